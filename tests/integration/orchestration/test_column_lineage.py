"""Column lineage of models, from SQL as dbt leaves it beside its manifest."""

import json
import shutil

import pytest

from orchestration.instance.column_lineage import column_lineage
from orchestration.readiness.asset_graph import load_asset_graph

BACKLOG = "models/gold/support_backlog_daily.sql"
STATES = "models/silver/int_ticket_states__daily.sql"
SQL = """
with states as (select kpi_date, product_line, is_last, is_open from "memory"."silver"."int_ticket_states__daily")
select kpi_date, product_line, count(*) as open_tickets, count_if(is_open) - count_if(is_last) as open_tickets_change
from states group by kpi_date, product_line
"""


@pytest.fixture
def lineage(settings):
    load_asset_graph(settings)  # which parses the project

    def read(*models):
        return {
            model: {
                column: [(dep.asset_key.to_user_string(), dep.column_name) for dep in deps]
                for column, deps in found.deps_by_column.items()
            }
            for model, found in column_lineage(settings, models).items()
        }

    return read


@pytest.fixture
def compiled(settings):
    def write(path, sql):
        file = settings.dbt_target_dir / "compiled" / "omni" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(sql)

    return write


def declare_again(settings, change):
    """Change the backlog's node in dbt's manifest."""
    path = settings.dbt_manifest
    manifest = json.loads(path.read_text())
    change(manifest["nodes"]["model.omni.support_backlog_daily"])
    path.write_text(json.dumps(manifest))


def test_a_column_is_traced_to_the_columns_of_the_upstream_table_that_it_is_computed_from(lineage, compiled):
    compiled(BACKLOG, SQL)

    found = lineage("support_backlog_daily")["support_backlog_daily"]

    states = "int_ticket_states__daily"
    assert found == {
        "kpi_date": [(states, "kpi_date")],
        "product_line": [(states, "product_line")],
        "open_tickets": [],
        "open_tickets_change": [(states, "is_last"), (states, "is_open")],
    }


def test_what_was_found_is_kept_until_the_model_changes(settings, lineage, compiled):
    compiled(BACKLOG, SQL)
    first = lineage("support_backlog_daily")
    compiled(BACKLOG, SQL.replace("- count_if(is_last)", ""))

    kept = lineage("support_backlog_daily")
    declare_again(settings, lambda node: node["checksum"].update(checksum="another"))
    after = lineage("support_backlog_daily")

    assert kept == first
    assert after["support_backlog_daily"]["open_tickets_change"] == [("int_ticket_states__daily", "is_open")]


def test_a_model_whose_sql_cannot_be_read_has_no_lineage_and_the_others_have(lineage, compiled, caplog):
    compiled(BACKLOG, "select from where (")
    compiled(STATES, 'select ticket_id from "memory"."silver"."ticket_events"')

    found = lineage("support_backlog_daily", "int_ticket_states__daily", "ticket_fact")

    assert list(found) == ["int_ticket_states__daily"]
    assert found["int_ticket_states__daily"]["ticket_id"] == [("ticket_events", "ticket_id")]
    said = [record.args[0] for record in caplog.records if record.name == "orchestration.instance.column_lineage"]
    assert said == ["support_backlog_daily", "ticket_fact"]


@pytest.mark.parametrize("artifact", [None, "{}"], ids=["none", "another project's"])
def test_what_dbt_left_of_its_last_run_is_not_needed(settings, lineage, artifact):
    shutil.rmtree(settings.dbt_target_dir)
    if artifact:
        settings.dbt_target_dir.mkdir()
        (settings.dbt_target_dir / "manifest.json").write_text(artifact)

    assert lineage("support_backlog_daily") == {}
