"""What a dbt build promises: the same content in chunks, one state read to the end, columns that follow the model."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest, find_table
from loaders.ingest import ingest
from orchestration.readiness.asset_graph import read_asset_graph
from orchestration.readiness.readiness import open_readiness, readiness_now
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import build, dbt
from tests.integration.dbt.test_dbt import rows

DAILY = ("ticket_events", "support_kpi_daily", "support_backlog_daily")


@pytest.fixture
def week(settings, declare):
    """Two events a day, 2026-04-13 to 2026-04-19 but for the 17th; each ticket of a day is resolved two days later."""
    opened = [ticket_event(10 * d + n, f"2026-04-{d}", ticket_id=f"t{d}-{n}") for d in (13, 14, 16) for n in (1, 2)]
    closed = [
        ticket_event(
            1000 + 10 * d + n, f"2026-04-{d}", ticket_id=f"t{d - 2}-{n}", status="resolved", event_type="resolved"
        )
        for d in (15, 16, 18, 19)
        for n in (1, 2)
    ]
    write_lines(settings.manifests / "a.jsonl", opened + closed)
    declare(ticket_manifest([source("a", "a.jsonl")]))
    assert ingest(settings).is_complete
    return settings


@pytest.fixture
def project(tmp_path, week):
    """A dbt project with our macros and Bronze, and models of its own."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT_ROOT / "dbt_project", folder, ignore=shutil.ignore_patterns("gold", "silver"))

    def write(name: str, sql: str, columns: dict[str, str]) -> None:
        model = folder / "models" / "silver" / f"{name}.sql"
        model.parent.mkdir(exist_ok=True)
        model.write_text("{{ config(materialized='incremental', event_time='day') }}\n" + sql)
        described = [{"name": column, "data_type": kind} for column, kind in columns.items()]
        meta = {"meta": {"omni": {"partitioned": "daily"}}}
        described_model = {"name": name, "config": meta, "columns": described}
        model.with_suffix(".yml").write_text(json.dumps({"version": 2, "models": [described_model]}))

    def run(*arguments: str):
        return dbt(week, "build", "--exclude", "source:*", *arguments, cwd=folder)

    write.folder, write.run = folder, run
    return write


def _daily(project, name="shape", **columns):
    """A model with a row per day; column → (SQL, type)."""
    selected = ", ".join(f"cast({sql} as {kind}) as {column}" for column, (sql, kind) in columns.items())
    bronze = "{{ source('bronze', 'raw_ticket_events', where=in_window('occurred_at')) }}"
    sql = f"select cast(occurred_at as date) as day, {selected} from {bronze} group by 1"
    project(name, sql, {"day": "date", **{column: kind for column, (_, kind) in columns.items()}})


def _types(settings, name="shape"):
    return {field.name: str(field.field_type) for field in find_table(open_catalog(settings), name).schema().fields}


ONE_DAY = ("--event-time-start", "2026-04-15", "--event-time-end", "2026-04-16")


def test_a_history_built_in_chunks_is_the_history_built_at_once_and_day_by_day(week, monkeypatch):
    def state():
        current = open_ledger(week).current_materializations(DAILY)
        digests = {name: content_digest(find_table(open_catalog(week), name)) for name in DAILY}
        return digests, {key: (item.version, item.rows) for key, item in current.items()}

    assert build(week).returncode == 0
    at_once = state()
    commits = len(find_table(open_catalog(week), "ticket_events").snapshots())

    monkeypatch.setenv("OMNI_DBT_CHUNK_ROWS", "3")
    done = build(week)

    assert done.returncode == 0, done.stdout
    assert state() == at_once
    # Two snapshots a build after the first one (what goes, what comes): the chunks share one commit.
    assert len(find_table(open_catalog(week), "ticket_events").snapshots()) == commits + 2
    assert rows(week, "support_backlog_daily", "kpi_date::varchar, open_tickets, open_tickets_change") == [
        ("2026-04-13", 2, 2),
        ("2026-04-14", 4, 2),
        ("2026-04-15", 2, -2),
        ("2026-04-16", 2, 0),
        ("2026-04-17", 2, 0),
        ("2026-04-18", 0, -2),
        ("2026-04-19", 0, 0),
    ]

    # A whole build computed the day between, too: it is known to be empty, or to hold what came before.
    between = [open_readiness(week).verdict(name, "2026-04-17") for name in (*DAILY, "int_open_tickets__monthly")]
    assert [verdict.status for verdict in between] == ["EMPTY", "EMPTY", "READY", "EMPTY"]

    assert build(week, window=("2026-04-15", "2026-04-18")).returncode == 0
    assert state()[0] == at_once[0]


def test_a_day_of_the_backlog_is_exact_after_a_correction_of_an_earlier_day(week):
    """A ticket that is first seen resolved takes nothing away; one that moved counts where it went."""
    assert build(week).returncode == 0
    lines = (week.manifests / "a.jsonl").read_text("utf-8").splitlines()
    kept = [json.loads(line) for line in lines if '"t13-1"' not in line or '"resolved"' in line]
    moved = [{**event, "product_line": "cross_product"} if event["ticket_id"] == "t16-1" else event for event in kept]
    write_lines(week.manifests / "a.jsonl", moved)
    assert ingest(week).is_complete
    columns = "kpi_date::varchar, product_line, open_tickets, open_tickets_change"

    for day in (13, 16, 18):  # not the days between: a day of Gold must not lean on the day before it
        done = build(week, window=(f"2026-04-{day}", f"2026-04-{day + 1}"))
        assert done.returncode == 0, done.stdout

    found = rows(week, "support_backlog_daily", columns, "kpi_date = date '2026-04-16'")
    assert found == [("2026-04-16", "cross_product", 1, 1), ("2026-04-16", "unknown", 1, -1)]
    of_the_18th = rows(week, "support_backlog_daily", columns, "kpi_date = date '2026-04-18'")
    assert build(week).returncode == 0
    assert rows(week, "support_backlog_daily", columns, "kpi_date = date '2026-04-18'") == of_the_18th


def test_days_that_vanished_upstream_are_cleared_by_a_build_in_chunks(week, monkeypatch):
    monkeypatch.setenv("OMNI_DBT_CHUNK_ROWS", "3")
    assert build(week, "--select", "ticket_events").returncode == 0
    write_lines(week.manifests / "a.jsonl", [ticket_event(1, "2026-04-14"), ticket_event(2, "2026-04-15")])
    assert ingest(week).is_complete

    assert build(week, "--select", "ticket_events").returncode == 0

    assert rows(week, "ticket_events", "event_id") == [("e1",), ("e2",)]
    current = open_ledger(week).current_materializations(["ticket_events"])
    assert {day: item.rows.loaded for (_, day), item in current.items()} == {
        "2026-04-13": 0, "2026-04-14": 1, "2026-04-15": 1, "2026-04-16": 0, "2026-04-18": 0, "2026-04-19": 0,
    }  # fmt: skip


def test_a_row_outside_its_chunk_stops_the_build_before_anything_is_written(project, week, monkeypatch):
    monkeypatch.setenv("OMNI_DBT_CHUNK_ROWS", "3")
    events = "{{ source('bronze', 'raw_ticket_events', where=in_window('occurred_at')) }}"
    # The last days' rows claim to be of the first day.
    day = "case when occurred_at < timestamptz '2026-04-18 00:00:00+00' then cast(occurred_at as date) else date '2026-04-13' end"
    project("astray", f"select {day} as day, event_id from {events}", {"day": "date", "event_id": "varchar"})

    done = project.run()

    assert done.returncode == 1
    assert "expected day >= date '2026-04-18'" in done.stdout and "nothing was written" in done.stdout
    assert not open_catalog(week).table_exists("silver.astray")
    assert not open_ledger(week).current_materializations(["astray"])


def test_a_new_column_a_wider_and_a_removed_one_change_the_table_and_leave_the_old_rows(project, week):
    money = ("count(*)", "decimal(9, 2)")
    _daily(project, n=("count(*)", "integer"), r=("1", "float"), d=money, gone=("'here'", "varchar"))
    assert project.run().returncode == 0

    _daily(project, n=("3000000000", "bigint"), r=("2", "double"), d=("1", "decimal(18, 2)"), new=("'here'", "varchar"))
    done = project.run(*ONE_DAY)

    assert done.returncode == 0, done.stdout
    assert _types(week) == {
        "day": "date", "n": "long", "r": "double", "d": "decimal(18, 2)", "gone": "string", "new": "string",
    }  # fmt: skip
    assert rows(week, "shape", "n, r, d::int, gone, new", "day in (date '2026-04-14', date '2026-04-15')") == [
        (2, 1.0, 2, "here", None),
        (3_000_000_000, 2.0, 1, None, "here"),
    ]

    _daily(project, n=("7", "integer"))  # narrower than the table by now
    assert project.run(*ONE_DAY).returncode == 0
    assert _types(week)["n"] == "long"
    assert rows(week, "shape", "n", "day = date '2026-04-15'") == [(7,)]


def test_another_type_is_refused_until_the_whole_table_is_replaced(project, week):
    _daily(project, n=("count(*)", "bigint"), d=("1", "decimal(9, 2)"))
    assert project.run().returncode == 0
    before = find_table(open_catalog(week), "shape").metadata_location

    _daily(project, n=("'many'", "varchar"), d=("1", "decimal(9, 3)"))
    refused = project.run()
    shut = project.run("--full-refresh", *ONE_DAY)

    assert refused.returncode == 1
    assert "n is long, now string; d is decimal(9, 2), now decimal(9, 3)" in refused.stdout
    assert "dbt build --full-refresh --select shape" in refused.stdout
    assert shut.returncode == 2 and "a window replaces its own days" in shut.stdout
    assert find_table(open_catalog(week), "shape").metadata_location == before

    done = project.run("--full-refresh")

    assert done.returncode == 0, done.stdout
    assert _types(week) == {"day": "date", "n": "string", "d": "decimal(9, 3)"}
    assert rows(week, "shape", "distinct n, d::varchar") == [("many", "1.000")]


def test_the_time_column_cannot_change_its_type(project, week):
    _daily(project, n=("count(*)", "bigint"))
    assert project.run().returncode == 0
    events = "{{ source('bronze', 'raw_ticket_events', where=in_window('occurred_at')) }}"
    project("shape", f"select occurred_at as day, 1 as n from {events}", {"day": "timestamptz", "n": "integer"})

    done = project.run("--full-refresh")

    assert done.returncode == 1
    assert "day is date, now timestamptz" in done.stdout and "give the model another name" in done.stdout
    assert _types(week)["day"] == "date"


LOADS_BETWEEN_TWO_MODELS = """
import subprocess, sys
from dbt.cli.main import dbtRunner

def load(event):
    if event.info.name == "LogModelResult" and "first" in event.data.description:
        program = "from lakehouse.settings import load_settings; from loaders.ingest import ingest; ingest(load_settings())"
        subprocess.run([sys.executable, "-c", program], check=True)

result = dbtRunner(callbacks=[load]).invoke(["build", "--exclude", "source:*", "--threads", "1"])
sys.exit(0 if result.success else 1)
"""


def test_a_load_between_two_models_of_an_invocation_is_not_read_and_makes_them_stale(project, week):
    _daily(project, "first", n=("count(*)", "bigint"))
    _daily(project, "second", n=("count(*)", "bigint"))
    second = project.folder / "models" / "silver" / "second.sql"
    second.write_text(second.read_text() + "\n-- depends_on: {{ ref('first') }}")
    bronze = find_table(open_catalog(week), "raw_ticket_events").current_snapshot().snapshot_id
    late = [ticket_event(1, "2026-04-15"), ticket_event(2, "2026-04-15"), ticket_event(3, "2026-04-15")]
    with (week.manifests / "a.jsonl").open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in late)

    environment = {
        **os.environ, "OMNI_HOME": str(week.home), "OMNI_MANIFESTS": str(week.manifests),
        "DBT_LOG_PATH": str(week.home / "logs"), "PYTHONPATH": str(PROJECT_ROOT),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LOADS_BETWEEN_TWO_MODELS],
        cwd=project.folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    loaded = open_ledger(week).current_materializations(["raw_ticket_events"])["raw_ticket_events", "2026-04-15"]
    assert loaded.rows.loaded == 5, "the load took place"
    manifest = json.loads((week.dbt_target_dir / "manifest.json").read_text("utf-8"))
    readiness = readiness_now(week, read_asset_graph(manifest, bronze_contracts(week)), open_ledger(week))
    for name in ("first", "second"):
        assert "raw_ticket_events has changed since" in readiness.verdict(name, "2026-04-15").reasons
        assert not any("since" in reason for reason in readiness.verdict(name, "2026-04-14").reasons)
        assert rows(week, name, "n", "day = date '2026-04-15'") == [(2,)]
        item = open_ledger(week).current_materializations([name])[name, "2026-04-15"]
        assert item.read_snapshots["raw_ticket_events"] == bronze
        assert item.inputs["raw_ticket_events"] != loaded.version
