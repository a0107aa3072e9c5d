"""Catalog and ledger on Postgres: the same commands, two writers at once, maintenance, and someone else's commits."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy import create_engine, make_url, text

from lakehouse.database.engines import POOL
from lakehouse.database.versions import read_versions
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.evidence import SourceFileRecord
from lakehouse.ledger.ledger import open_ledger
from lakehouse.recovery.plan import plan_recovery
from lakehouse.recovery.recover import recover
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import ensure_table, open_catalog
from lakehouse.tables.digest import content_digest
from lakehouse.upkeep.maintenance import maintain
from loaders.ingest import ingest, look_again
from orchestration.readiness.readiness import open_readiness
from orchestration.runs.main_job import run_main_job
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.integration.postgres_server import new_database, serving_postgres

SERVER = os.environ.get("OMNI_TEST_POSTGRES_URI")  # before the tests are isolated from the environment


@pytest.fixture(scope="module")
def server():
    """A server that the caller names, else one of the tests' own."""
    if SERVER:
        yield make_url(SERVER)
        return
    with serving_postgres() as url:
        yield url


@pytest.fixture
def on_postgres(server, settings, monkeypatch):
    """A lakehouse whose catalog and ledger are a new database, for the processes that it starts, too."""
    uri = new_database(server)
    monkeypatch.setenv("OMNI_CATALOG_URI", uri.get_secret_value())
    yield LakehouseSettings(home=settings.home, manifests=settings.manifests, catalog_uri=uri)
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"drop database {make_url(uri.get_secret_value()).database} with (force)"))
    engine.dispose()


def ingesting(settings, day):
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT_ROOT),
        "OMNI_HOME": str(settings.home),
        "OMNI_MANIFESTS": str(settings.manifests),
    }
    command = [sys.executable, "-c", "from orchestration.cli.main import app; app()", "ingest", "--partition", day]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_looks_at_the_same_new_files_at_once_are_all_recorded(on_postgres):
    ledger = open_ledger(on_postgres)

    def look(time: int) -> None:
        files = [SourceFileRecord("raw_ticket_events", f"m{time}", "s", f"{n}.jsonl", "seen") for n in range(40)]
        ledger.replace_file_coverage(files, [])

    with ThreadPoolExecutor(4) as lookers:
        found = [lookers.submit(look, time) for time in range(15) for _ in range(4)]

    assert [error for each in found if (error := each.exception())] == []
    assert len(ledger.known_files("raw_ticket_events")) == 15 * 40


def test_a_lakehouse_on_postgres_runs_takes_two_writers_and_is_maintained(on_postgres):
    write_lines(on_postgres.manifests / "a.jsonl", [ticket_event(d, f"2026-04-{d}") for d in (14, 15)])
    (on_postgres.manifests / "m.json").write_text(json.dumps(ticket_manifest([source("a", "a.jsonl")])))

    outcome = run_main_job(on_postgres, None, lambda _: None)
    verdicts = open_readiness(on_postgres).verdicts("support_kpi_daily")
    writers = [ingesting(on_postgres, day) for day in ("2026-04-14", "2026-04-15", "2026-04-15")]
    outputs = [writer.communicate()[0] for writer in writers]
    now = datetime.now(UTC)
    report = maintain(
        open_catalog(on_postgres),
        open_ledger(on_postgres),
        on_postgres,
        older_than=timedelta(hours=1),
        dry_run=False,
        now=now,
    )

    assert outcome.is_complete, outcome.lines
    assert all(verdict.is_ready for verdict in verdicts.values()) and len(verdicts) == 2
    assert [writer.returncode for writer in writers] == [0, 0, 0], outputs
    assert open_catalog(on_postgres).load_table("bronze.raw_ticket_events").scan().to_arrow().num_rows == 2
    assert not report.problems
    assert not (on_postgres.home / "catalog.db").exists()


def test_on_postgres_our_commits_are_told_from_those_of_someone_else(on_postgres):
    rows = pa.table({"a": pa.array([1], pa.int64())})
    ensure_table(open_catalog(on_postgres), "bronze.shape", rows.schema, {})
    engine = open_ledger(on_postgres).catalog_engine
    with ThreadPoolExecutor(2) as writers:  # which commit on top of each other
        for _ in range(2):
            writers.submit(
                lambda: [open_catalog(on_postgres).load_table("bronze.shape").append(rows) for _ in range(3)]
            )
    ours = read_versions(engine)["bronze.shape"]

    uri, warehouse = on_postgres.catalog_url.get_secret_value(), on_postgres.warehouse_url
    SqlCatalog("lake", uri=uri, warehouse=warehouse).load_table("bronze.shape").append(rows)
    open_catalog(on_postgres).load_table("bronze.shape").append(rows)
    theirs = read_versions(engine)["bronze.shape"]

    assert len(open_catalog(on_postgres).load_table("bronze.shape").snapshots()) == 8
    assert (ours.is_ours, theirs.is_ours, theirs.left) == (True, False, ours.left)


def emptied(engine):
    """All tables of the database are dropped, as by the wrong `dropdb`."""
    with engine.begin() as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))


def set_back(engine):
    """The database is as it was before its last load: of each table but the marks' the rows of a week ago."""
    with engine.begin() as connection:
        for table in connection.execute(text("select tablename from pg_tables where schemaname = 'public'")).scalars():
            connection.execute(text(f"truncate {table} cascade"))
        for table in connection.execute(text("select tablename from pg_tables where schemaname = 'week'")).scalars():
            connection.execute(text(f"insert into public.{table} select * from week.{table}"))


def kept(engine):
    """A copy of the database's tables, beside them."""
    with engine.begin() as connection:
        connection.execute(text("create schema week"))
        for table in connection.execute(text("select tablename from pg_tables where schemaname = 'public'")).scalars():
            connection.execute(text(f"create table week.{table} as table public.{table}"))


@pytest.mark.parametrize("loss", [emptied, set_back])
def test_a_postgres_that_was_emptied_or_set_back_is_refused_and_comes_back_from_the_warehouse(on_postgres, loss):
    days = ("2026-04-14", "2026-04-15")
    write_lines(on_postgres.manifests / "a.jsonl", [ticket_event(int(day[-2:]), day) for day in days])
    (on_postgres.manifests / "m.json").write_text(json.dumps(ticket_manifest([source("a", "a.jsonl")])))
    ingest(on_postgres)
    engine = open_ledger(on_postgres).engine
    kept(engine)
    write_lines(on_postgres.manifests / "a.jsonl", [ticket_event(int(day[-2:]), day, priority="high") for day in days])
    ingest(on_postgres)
    before = content_digest(open_catalog(on_postgres).load_table("bronze.raw_ticket_events"))

    loss(engine)
    with pytest.raises(ConfigurationError, match="older than its warehouse"):
        open_readiness(on_postgres)
    plan = plan_recovery(on_postgres, datetime.now(UTC))
    recover(on_postgres, plan, lambda catalog, ledger: look_again(on_postgres, catalog, ledger))

    assert content_digest(open_catalog(on_postgres).load_table("bronze.raw_ticket_events")) == before
    statuses = {key: v.status for key, v in open_readiness(on_postgres).verdicts("raw_ticket_events").items()}
    assert statuses.keys() == set(days) and "READY" not in statuses.values()
    assert not plan_recovery(on_postgres, datetime.now(UTC)).is_needed


def test_a_process_takes_few_connections_however_often_it_opens_catalog_and_ledger(on_postgres, server):
    opened = []

    def use(_):
        catalog, ledger = open_catalog(on_postgres), open_ledger(on_postgres)
        catalog.list_namespaces()
        ledger.last_materialization()
        opened.append((catalog, ledger))

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(use, range(36)))

    database = make_url(on_postgres.catalog_url.get_secret_value()).database
    taken = text("select count(*) from pg_stat_activity where datname = :name")
    with create_engine(server, isolation_level="AUTOCOMMIT").connect() as connection:
        until = time.monotonic() + 10  # the server takes its time to end what was closed
        while connection.execute(taken, {"name": database}).scalar_one() > POOL:
            assert time.monotonic() < until
            time.sleep(0.1)
