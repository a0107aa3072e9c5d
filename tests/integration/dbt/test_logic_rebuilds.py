"""What another logic or another check has left behind, `omni run` finds and mends; what no project says is not built."""

import json
import re
import shutil
from collections import Counter
from datetime import UTC, datetime

import dagster as dg
import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from lakehouse.builds.commit_evidence import read_evidence
from lakehouse.dbt.declared import declared_path
from lakehouse.ledger import schema as t
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import WHOLE
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest
from orchestration.cli import edits, main
from orchestration.cli import status as status_command
from orchestration.dbt_launcher.manifest import ensure_declared
from orchestration.definitions import build_definitions
from orchestration.graph.schedules import ARRIVALS_JOB
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import open_readiness
from orchestration.report.pages import as_html, as_markdown
from orchestration.report.report import build_report
from tests.conftest import TICKET_EVENTS, ticket_lake
from tests.dbt_shell import dbt
from tests.integration.conftest import run, statuses

ONE, TWO = "2026-04-01", "2026-04-02"


def write(settings, table, values, **where):
    """Leave in the ledger what another logic, another definition or an earlier version would have."""
    with open_ledger(settings).engine.begin() as connection:
        conditions = [table.c[name] == value for name, value in where.items()]
        assert connection.execute(update(table).where(*conditions).values(**values)).rowcount


@pytest.fixture(scope="module")
def lake(tmp_path_factory, parsed_project):
    """Two days of tickets after `omni run`."""
    root = tmp_path_factory.mktemp("lake")
    settings = ticket_lake(root, parsed_project, [ONE, TWO])
    run(settings)
    assert set(statuses(settings).values()) <= {"READY", "EMPTY", "UNKNOWN"}
    return settings


def test_what_an_edit_leaves_behind_is_found_and_mended_by_a_run(lake):
    loaded = open_ledger(lake).current_materializations([TICKET_EVENTS])

    write(lake, t.materializations, {"logic": None}, asset="ticket_events", partition=ONE)
    write(lake, t.materializations, {"logic": "another"}, asset="ticket_fact")
    write(lake, t.checks, {"definition": "another"}, check_name="kpi_key_unique", partition=ONE)
    write(lake, t.checks, {"definition": "at most 0.5"}, check_name="quarantine_share", partition=TWO)
    readiness, found = open_readiness(lake), Counter(statuses(lake).values())

    assert readiness.verdict("ticket_events", ONE).reasons == ("its SQL is not on record",)
    assert readiness.verdict("ticket_fact", WHOLE).reasons[0] == "its SQL has changed since"
    assert readiness.verdict("support_kpi_daily", ONE).reasons[0] == (
        "check kpi_key_unique is defined otherwise since it ran"
    )
    assert readiness.verdict(TICKET_EVENTS, TWO).reasons == (
        "check quarantine_share is defined otherwise since it ran",
    )
    assert (found["STALE"], found["UNCHECKED"]) == (2, 2)

    run(lake)

    assert set(statuses(lake).values()) <= {"READY", "EMPTY", "UNKNOWN"}
    # The loaders' check was asked again, and the day was not loaded for it.
    assert open_ledger(lake).current_materializations([TICKET_EVENTS]) == loaded


def test_the_logic_is_on_the_snapshot_so_that_a_lost_record_comes_back_with_it(lake):
    (item,) = open_ledger(lake).current_materializations(["ticket_fact"]).values()
    table = open_catalog(lake).load_table("silver.ticket_fact")

    (found,) = read_evidence(table.current_snapshot().summary.additional_properties, item.snapshot_id)

    assert item.logic is not None
    assert found.logic == item.logic


def test_a_unit_test_says_nothing_of_what_another_logic_computed(lake):
    write(lake, t.materializations, {"logic": "another"}, asset="support_kpi_daily", partition=ONE)
    items = {key: item for (_, key), item in open_ledger(lake).current_materializations(["support_kpi_daily"]).items()}
    name = "kpi_breaches_are_judged_by_the_last_event_of_the_day"

    def results():
        found = open_ledger(lake).current_checks([item.id for item in items.values()])
        return {key: [r.run_id for r in found[item.id] if r.check == name] for key, item in items.items()}

    before = results()
    assert dbt(lake, "test", "--select", name).returncode == 0
    after = results()
    write(lake, t.materializations, {"logic": items[TWO].logic}, asset="support_kpi_daily", partition=ONE)

    assert after[ONE] == before[ONE]
    assert after[TWO] != before[TWO]


@pytest.fixture
def omni(lake, monkeypatch):
    monkeypatch.setattr(edits, "load_settings", lambda: lake)
    return lambda *words: CliRunner().invoke(main.app, list(words))


def test_a_trial_says_which_rows_an_edit_changes_and_leaves_nothing_behind(lake, omni, tmp_path, monkeypatch):
    project = shutil.copytree(PROJECT_ROOT / "dbt_project", tmp_path / "dbt_project")
    model = project / "models" / "gold" / "support_kpi_daily.sql"
    model.write_text(model.read_text().replace("count(*) as events,", "count(*) + 1 as events,"))
    monkeypatch.setattr(LakehouseSettings, "dbt_project_dir", project)

    def left():
        tables = [table for of in open_catalog(lake).list_namespaces() for table in open_catalog(lake).list_tables(of)]
        folders = sorted(path.name for path in (lake.home / "warehouse").iterdir())
        found = {t: content_digest(open_catalog(lake).load_table(t)) for t in tables}
        return found, folders, open_ledger(lake).current_materializations(), list((lake.home / "dev").glob("*"))

    before = left()
    done = omni("plan", "--diff", "--json")
    said = omni("plan", "--diff")

    assert (done.exit_code, said.exit_code) == (1, 1), done.output
    (group,) = json.loads(done.stdout)
    assert (group["asset"], group["after"], group["partitions"]) == ("support_kpi_daily", "STALE", [ONE, TWO])
    counts = [(each["partition"], each["added"], each["removed"], each["changed"]) for each in group["rows"]]
    assert counts == [(ONE, 0, 0, 1), (TWO, 0, 0, 1)]
    assert group["rows"][0]["examples"][0].endswith("events 1 → 2")
    assert f"support_kpi_daily {ONE}: 0 added, 0 removed, 1 changed" in said.stdout
    assert left() == before


def test_a_trial_of_an_edit_that_dbt_does_not_build_says_so_and_leaves_nothing(lake, omni, tmp_path, monkeypatch):
    project = shutil.copytree(PROJECT_ROOT / "dbt_project", tmp_path / "dbt_project")
    model = project / "models" / "gold" / "support_kpi_daily.sql"
    model.write_text(model.read_text().replace("count(*) as events,", "no_such_column as events,"))
    monkeypatch.setattr(LakehouseSettings, "dbt_project_dir", project)

    done = omni("plan", "--diff")

    assert done.exit_code == 2
    assert "dbt does not build support_kpi_daily" in done.output and "no_such_column" in done.output
    assert list((lake.home / "dev").glob("*")) == []


def test_an_acceptance_lets_an_older_logic_stand_for_this_edit_alone(lake, omni):
    logic = open_readiness(lake).graph["support_kpi_daily"].logic
    write(lake, t.materializations, {"logic": "another"}, asset="support_kpi_daily")

    assert omni("accept", "support_kpi_daily").exit_code == 2
    assert omni("accept", "support_kpi_daily", "--partition", ONE, "--reason", "same rows").exit_code == 0
    accepted = open_readiness(lake).verdict("support_kpi_daily", ONE)
    assert (accepted.status, accepted.evidence.acceptance.reason) == ("READY", "same rows")
    assert open_readiness(lake).verdict("support_kpi_daily", TWO).status == "STALE"

    write(lake, t.acceptances, {"current_logic": "of a later edit"}, asset="support_kpi_daily")
    assert open_readiness(lake).verdict("support_kpi_daily", ONE).status == "STALE"
    write(lake, t.acceptances, {"current_logic": logic}, asset="support_kpi_daily")

    write(lake, t.checks, {"passed": False, "severity": "error"}, check_name="kpi_key_unique", partition=ONE)
    assert open_readiness(lake).verdict("support_kpi_daily", ONE).status == "FAILED"
    write(lake, t.checks, {"passed": True}, check_name="kpi_key_unique", partition=ONE)

    assert "1 taken back" in omni("accept", "support_kpi_daily", "--undo").stdout
    assert open_readiness(lake).verdict("support_kpi_daily", ONE).status == "STALE"
    write(lake, t.materializations, {"logic": logic.split()[0]}, asset="support_kpi_daily")  # of DuckDB
    assert "0 accepted" in omni("accept", "support_kpi_daily", "--reason", "nothing to accept").stdout


def test_an_acceptance_is_shown_on_every_screen_until_it_is_taken_back(lake, omni, monkeypatch):
    monkeypatch.setattr(status_command, "load_settings", lambda: lake)
    logic = open_readiness(lake).graph["support_kpi_daily"].logic
    write(lake, t.materializations, {"logic": "another"}, asset="support_kpi_daily")
    omni("accept", "support_kpi_daily", "--reason", "<b>same</b> | rows", "--by", "ana")

    status, (page, text), check = omni("status").stdout, pages(lake), acceptances_check(lake)
    other = omni("status", "--asset", "ticket_events").stdout
    (listed,) = json.loads(omni("status", "--json", "--from", TWO, "--to", TWO, "--asset", "support_kpi_daily").stdout)

    said = f"support_kpi_daily {ONE}..{TWO} (2 partitions), by ana at "
    assert f"accepted: {said}" in status and "Z: <b>same</b> | rows" in status
    assert "accepted" not in other
    assert (listed["status"], listed["accepted"]["reason"]) == ("READY", "<b>same</b> | rows")
    cell = rf'class="cell s-ready accepted" title="support_kpi_daily {ONE}: READY; accepted by ana at [^"]*same[^"]*"'
    told = r'aria-label="support_kpi_daily [^"]*: READY, accepted[^"]*"'
    assert len(re.findall(cell, page)) == 1 and len(re.findall(told, page)) == 2
    assert "support_kpi_daily stands on a person" in page and "&lt;b&gt;same&lt;/b&gt; | rows" in page
    assert f"| support_kpi_daily | 2 | {ONE}..{TWO} | by ana at " in text and r"&lt;b>same&lt;/b> \| rows |" in text
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["partitions_accepted"].value == 2
    assert check.metadata["accepted"].value[0].startswith(said)

    assert "2 taken back" in omni("accept", "support_kpi_daily", "--undo").stdout
    write(lake, t.materializations, {"logic": logic.split()[0]}, asset="support_kpi_daily")  # of DuckDB
    page, text = pages(lake)
    assert "accepted" not in omni("status").stdout
    assert "READY, accepted" not in page and "by ana" not in page and "accepted" not in text
    assert acceptances_check(lake).passed


def pages(lake):
    """The report as HTML and as Markdown."""
    graph, ledger, catalog = load_asset_graph(lake), open_ledger(lake), open_catalog(lake)
    content = build_report(graph, ledger, catalog, expectations=[], generated_at=datetime.now(UTC))
    return as_html(content), as_markdown(content)


def acceptances_check(lake):
    """The check of support_kpi_daily, by the job that asks for it."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = build_definitions(lake).resolve_job_def(ARRIVALS_JOB).execute_in_process(instance=instance)
    found = {each.asset_key.to_user_string(): each for each in result.get_asset_check_evaluations()}
    return found["support_kpi_daily"]


def test_sql_that_the_project_does_not_say_is_refused_before_it_is_written(lake):
    ensure_declared(lake)
    declared = json.loads(declared_path(lake).read_text("utf-8"))
    declared["logic"]["ticket_fact"] = "what the project compiles to, whatever the run"
    declared_path(lake).write_text(json.dumps(declared), "utf-8")
    before = open_ledger(lake).current_materializations(["ticket_fact"])

    refused = dbt(lake, "build", "--select", "ticket_fact")

    assert refused.returncode == 1
    said = " ".join(refused.stdout.split())
    assert "ticket_fact: its SQL depends on this run, compiled for itself it is another" in said
    assert "nothing was written; next: take is_incremental, run_started_at" in said
    assert open_ledger(lake).current_materializations(["ticket_fact"]) == before
