"""dbt's target dev: reads production, writes beside it, and never counts for a verdict."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys

import pytest

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import NAMESPACES
from lakehouse.settings import PROJECT_ROOT, load_settings
from lakehouse.tables.catalog import list_tables, open_catalog
from lakehouse.tables.digest import content_digest, find_table
from loaders.ingest import ingest
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import dbt

ANNA = {"OMNI_DEV_NAMESPACE": "anna", "DBT_TARGET": "dev"}
DAY = ("--event-time-start", "2026-04-15", "--event-time-end", "2026-04-16")

SHOWS_BOTH = """
from dbt.cli.main import dbtRunner
sql = "select sum(events) as n from {{ ref('support_kpi_daily') }} where kpi_date = date '2026-04-15'"
for target in ("dev", "duckdb"):  # in one process
    done = dbtRunner().invoke(["--quiet", "show", "--target", target, "--output", "json", "--inline", sql])
    assert done.success, done.exception
"""


@pytest.fixture
def production(settings, declare):
    """Two days, built and good."""
    write_lines(settings.manifests / "a.jsonl", [ticket_event(n, f"2026-04-{n}") for n in (14, 15)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    assert ingest(settings).is_complete
    done = dbt(settings, "build", "--select", "+support_kpi_daily")
    assert done.returncode == 0, done.stdout
    return settings


@pytest.fixture
def changed(tmp_path):
    """The project with a change to one model: each event counts twice."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT_ROOT / "dbt_project", folder)
    (model,) = folder.rglob("support_kpi_daily.sql")
    sql = model.read_text("utf-8")
    assert "count(*) as events" in sql
    model.write_text(sql.replace("count(*) as events", "2 * count(*) as events"), "utf-8")
    return folder


def state(settings):
    ledger, catalog = open_ledger(settings), open_catalog(settings)
    tables = [name for namespace in NAMESPACES for name in list_tables(catalog, namespace)]
    return (
        ledger.current_materializations(),
        ledger.current_checks(),
        {name: catalog.load_table(name).metadata_location for name in tables},
    )


def test_a_change_is_built_and_tested_beside_production_which_sees_nothing_of_it(production, changed):
    before, catalog = state(production), open_catalog(production)
    good = content_digest(find_table(catalog, "support_kpi_daily"))

    anna = {**ANNA, "DBT_TARGET_PATH": str(changed / "target")}  # a parse of its own
    selected = ("--select", "support_kpi_daily", "event_rows_conserved", "--exclude", "test_type:unit")
    built = dbt(production, "build", *selected, *DAY, cwd=changed, **anna)
    shown = subprocess.run(
        [sys.executable, "-c", SHOWS_BOTH],
        cwd=changed, env={**os.environ, **anna, "OMNI_HOME": str(production.home), "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    said = built.stdout
    assert "FAIL 1 kpi_events_conserved" in said and "PASS event_rows_conserved" in said, said
    assert re.findall(r'"n": (\d+)', shown.stdout) == ["2", "1"], shown.stdout + shown.stderr
    assert state(production) == before
    assert list_tables(catalog, "dev_anna_gold") == ["dev_anna_gold.support_kpi_daily"]
    with sqlite3.connect(production.home / "dev" / "anna" / "ledger.db") as ledger:
        recorded = ledger.execute("select asset, partition from omni_materializations").fetchall()
        checked = ledger.execute("select asset, partition, passed from omni_checks").fetchall()
    assert recorded == [("support_kpi_daily", "2026-04-15")] and ("support_kpi_daily", "2026-04-15", 0) in checked
    assert {(asset, partition) for asset, partition, _ in checked} == set(recorded)

    rebuilt = dbt(production, "build", "--select", "support_kpi_daily")
    assert rebuilt.returncode == 0, rebuilt.stdout
    assert content_digest(find_table(catalog, "support_kpi_daily")) == good

    refused = dbt(production, "run-operation", "drop_development")
    dropped = dbt(production, "run-operation", "drop_development", cwd=changed, **anna)

    assert refused.returncode != 0 and "whose tables are production" in " ".join(refused.stdout.split())
    assert dropped.returncode == 0 and "dropped dev_anna_gold.support_kpi_daily" in dropped.stdout, dropped.stdout
    assert list_tables(catalog, "dev_anna_gold") == [] and not (production.home / "dev" / "anna").exists()
    assert not list((production.home / "warehouse").glob("dev_anna*/**/*.parquet"))
    assert list_tables(catalog, "gold") == ["gold.support_kpi_daily"]


@pytest.mark.parametrize("name", ["silver", "Anna", "a.b", "../a"])
def test_a_name_of_production_or_of_no_namespace_is_refused(monkeypatch, name):
    monkeypatch.setenv("OMNI_DEV_NAMESPACE", name)
    load_settings.cache_clear()

    with pytest.raises(ConfigurationError, match="OMNI_DEV_NAMESPACE"):
        load_settings()

    monkeypatch.undo()
    load_settings.cache_clear()
