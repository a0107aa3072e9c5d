"""Someone else's writes, with pyiceberg and a catalog of their own on the same database, and what becomes of READY."""

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.types import StringType

from lakehouse.database.versions import read_versions
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import WHOLE, Window
from lakehouse.proof.foreign_writes import find_foreign_writes
from lakehouse.proof.verification import verify
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest, find_table
from lakehouse.tables.filters import day_filter
from lakehouse.upkeep import maintenance
from loaders.ingest import ingest
from orchestration.graph.partitions import daily_partitions
from orchestration.readiness.decisions import decision_on
from orchestration.readiness.gate import Gate
from orchestration.readiness.mending import next_command
from orchestration.readiness.readiness import open_readiness
from orchestration.readiness.verdicts import Status
from orchestration.runs.graph_run import GraphRunner
from orchestration.runs.main_job import run_main_job
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import dbt

ONE, TWO, THREE = DAYS = "2026-04-15", "2026-04-16", "2026-04-17"
EVENTS, KPI, FACT = "raw_ticket_events", "support_kpi_daily", "ticket_fact"


@pytest.fixture(scope="module")
def built(tmp_path_factory, parsed_project):
    """Three days of tickets and a document, loaded, built and checked."""
    root = tmp_path_factory.mktemp("foreign")
    settings = LakehouseSettings(home=root / "home", manifests=root / "manifests")
    parsed_project.give_to(settings)
    for n, day in enumerate(DAYS):
        events = [ticket_event(10 * n + i, day, product_line="cross_product") for i in (1, 2)]
        write_lines(settings.manifests / f"{day}.jsonl", events)
    (settings.manifests / "d.md").write_text("the text of a document")
    tickets = ticket_manifest([source(day, f"{day}.jsonl") for day in DAYS])
    for manifest in (tickets, document_manifest(ONE, [source("d", "d.md", "other")])):
        (settings.manifests / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest))
    outcome = run_main_job(settings, None, lambda _: None)
    assert outcome.is_complete, outcome.lines
    shutil.copytree(settings.home, root / "kept")
    return settings


@pytest.fixture(scope="module")
def clean(built):
    """What each table of the lakehouse holds that nobody else wrote."""
    return digests(built)


@pytest.fixture
def lake(built, clean):
    """The lakehouse, put back afterwards: paths in Iceberg's metadata are absolute."""
    yield built
    shutil.rmtree(built.home)
    shutil.copytree(built.home.parent / "kept", built.home)


def digests(settings):
    catalog = open_catalog(settings)
    return {
        name: content_digest(find_table(catalog, name))
        for name in open_readiness(settings).graph.nodes
        if _is_there(catalog, name)
    }


def _is_there(catalog, name):
    return any(catalog.table_exists(f"{layer}.{name}") for layer in ("bronze", "silver", "gold"))


def stranger(settings):
    """A catalog as anybody opens it."""
    return SqlCatalog("lake", uri=f"sqlite:///{settings.home}/catalog.db", warehouse=settings.warehouse_url)


def foreign(settings, name=f"bronze.{EVENTS}"):
    return stranger(settings).load_table(name)


def rows_of_day(table, day):
    return table.scan(row_filter=day_filter(table, Window.of_keys(day, day))).to_arrow().combine_chunks()


def statuses(settings, asset=EVENTS, days=DAYS):
    readiness = open_readiness(settings)
    return [str(readiness.verdict(asset, day).status) for day in days]


def look(settings):
    return find_foreign_writes(open_catalog(settings), open_ledger(settings))


def run(settings, window=None):
    return run_main_job(settings, window, lambda _: None)


def unsafe(settings):
    readiness = open_readiness(settings)
    return sorted(
        verdict.name
        for asset in readiness.graph.nodes
        for verdict in readiness.verdicts(asset).values()
        if verdict.is_problem
    )


def written_elsewhere(settings):
    """Days of events that hold, or may hold, what someone else wrote."""
    readiness = open_readiness(settings)
    return [day for day in DAYS if readiness.verdict(EVENTS, day).evidence.foreign_write]


def events_are(settings, clean):
    return content_digest(find_table(open_catalog(settings), EVENTS)) == clean[EVENTS]


ALL_STALE = ["STALE"] * 3
SECOND_STALE = ["READY", "STALE", "READY"]


def append(settings):
    table = foreign(settings)
    table.append(rows_of_day(table, TWO))


def overwrite(settings, name=f"bronze.{EVENTS}", day=TWO):
    table = foreign(settings, name)
    table.overwrite(rows_of_day(table, day), day_filter(table, Window.of_keys(day, day)))


def delete(settings):
    table = foreign(settings)
    table.delete(day_filter(table, Window.of_keys(TWO, TWO)))


def delete_a_row(settings):
    foreign(settings).delete("event_id == 'e11'")


def append_on_another_day(settings, apart):
    table = foreign(settings)
    rows = rows_of_day(table, TWO)
    at = pc.add(rows["occurred_at"], pa.scalar(apart))
    table.append(rows.set_column(rows.column_names.index("occurred_at"), rows.schema.field("occurred_at"), at))


@pytest.mark.parametrize("write", [append, overwrite, delete, delete_a_row])
def test_what_someone_else_writes_over_is_unsafe_at_once_and_then_its_day_alone(lake, write):
    write(lake)

    at_once, kpi = statuses(lake), statuses(lake, KPI)
    report = verify(open_catalog(lake), open_ledger(lake), lake)

    assert (at_once, kpi) == (ALL_STALE, ["BLOCKED"] * 3)
    assert [(f.asset, f.partition) for f in report.findings] == [(EVENTS, TWO)]
    assert (statuses(lake), statuses(lake, KPI)) == (SECOND_STALE, ["READY", "BLOCKED", "READY"])


def test_the_table_of_a_model_is_guarded_like_bronze_and_what_reads_it_is_blocked(lake):
    overwrite(lake, "silver.ticket_events")

    assert (statuses(lake, "ticket_events"), statuses(lake)) == (ALL_STALE, ["READY"] * 3)
    assert look(lake) == []
    assert (statuses(lake, "ticket_events"), statuses(lake, FACT, [WHOLE])) == (SECOND_STALE, ["BLOCKED"])


def test_a_run_mends_what_someone_else_wrote_over(lake, clean):
    overwrite(lake)
    overwrite(lake, "silver.ticket_events", ONE)
    next_step = next_command(open_readiness(lake).verdict(EVENTS, ONE))

    outcome = run(lake)

    assert (next_step, outcome.is_complete) == ("omni verify", True)
    assert (unsafe(lake), digests(lake)) == ([], clean)
    assert verify(open_catalog(lake), open_ledger(lake), lake, asset=EVENTS).findings == []


def test_rows_on_a_day_that_we_never_wrote_are_not_taken_for_an_empty_day(lake, clean):
    before = "2026-04-14"
    append_on_another_day(lake, timedelta(days=1))
    append_on_another_day(lake, timedelta(days=-2))

    look(lake)

    assert statuses(lake, EVENTS, [before, *DAYS]) == ["STALE", "READY", "READY", "STALE"]
    assert daily_partitions(lake, open_ledger(lake)).start.date().isoformat() == before
    ingest(lake)
    assert statuses(lake, EVENTS, [before, *DAYS]) == ["UNKNOWN", "READY", "READY", "UNCHECKED"]
    assert events_are(lake, clean)
    assert daily_partitions(lake, open_ledger(lake)).start.date().isoformat() == ONE


def test_rows_of_no_day_leave_the_whole_table_unsafe_until_they_are_gone(lake, clean):
    table = foreign(lake)
    rows = rows_of_day(table, TWO)
    table.append(
        rows.set_column(
            rows.column_names.index("occurred_at"),
            rows.schema.field("occurred_at"),
            pa.nulls(len(rows), rows.schema.field("occurred_at").type),
        )
    )

    (unsettled,) = look(lake)
    ingest(lake)

    assert (unsettled.asset, written_elsewhere(lake)) == (EVENTS, list(DAYS))
    foreign(lake).delete("occurred_at is null")
    assert (look(lake), statuses(lake), events_are(lake, clean)) == ([], ["READY"] * 3, True)


def test_a_table_that_someone_partitions_anew_stays_unsafe(lake):
    with foreign(lake).update_spec() as spec:
        spec.add_identity("priority")

    (unsettled,) = look(lake)

    assert (unsettled.asset, statuses(lake)) == (EVENTS, ALL_STALE)


# ── no rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_column_more_a_property_and_a_tag_are_no_change_once_they_are_looked_at(lake):
    table = foreign(lake)
    with table.update_schema() as update:
        update.add_column("note", StringType())
    with table.transaction() as transaction:
        transaction.set_properties({"owner": "someone else"})
    table.manage_snapshots().create_tag(table.current_snapshot().snapshot_id, "release").commit()

    assert statuses(lake) == ALL_STALE
    assert look(lake) == []
    assert (unsafe(lake), statuses(lake)) == ([], ["READY"] * 3)


@pytest.mark.parametrize("deed", ["rename", "drop"])
def test_a_column_less_makes_every_day_unsafe_until_it_is_loaded_again(lake, deed):
    with foreign(lake).update_schema() as update:
        update.delete_column("priority") if deed == "drop" else update.rename_column("priority", "rank")

    look(lake)

    assert statuses(lake) == ALL_STALE
    assert "columns priority" in open_readiness(lake).verdict(EVENTS, ONE).reasons[0]
    ingest(lake, window=Window.of_keys(ONE, ONE))
    assert written_elsewhere(lake) == [TWO, THREE]
    assert set(rows_of_day(foreign(lake), ONE)["priority"].to_pylist()) == {"P2"}


# ── the same rows, or earlier ones ───────────────────────────────────────────────────────────────────────────────────
def test_files_that_someone_else_has_put_together_are_not_ours_even_with_the_same_rows(lake):
    foreign_rows = rows_of_day(foreign(lake), TWO)
    overwrite(lake)

    look(lake)

    assert rows_of_day(foreign(lake), TWO).num_rows == foreign_rows.num_rows
    assert statuses(lake) == SECOND_STALE


def test_a_rollback_to_an_earlier_snapshot_of_ours_is_someone_elses_write(lake, clean):
    before = foreign(lake).current_snapshot().snapshot_id
    ingest(lake, window=Window.of_keys(TWO, TWO))
    foreign(lake).manage_snapshots().set_current_snapshot(snapshot_id=before).commit()

    at_once = written_elsewhere(lake)
    look(lake)

    assert (at_once, written_elsewhere(lake)) == (list(DAYS), [TWO])
    ingest(lake)
    assert (written_elsewhere(lake), events_are(lake, clean)) == ([], True)


def test_a_catalog_row_that_is_put_back_to_earlier_metadata_is_someone_elses_write(lake):
    before = foreign(lake).metadata_location
    ingest(lake, window=Window.of_keys(TWO, TWO))
    with closing(sqlite3.connect(lake.home / "catalog.db")) as connection:
        connection.execute("update iceberg_tables set metadata_location = ? where table_name = ?", (before, EVENTS))
        connection.commit()

    at_once = written_elsewhere(lake)
    look(lake)

    assert (at_once, written_elsewhere(lake)) == (list(DAYS), [TWO])


def test_a_table_that_someone_drops_is_unsafe_and_made_anew(lake, clean):
    stranger(lake).drop_table(f"bronze.{EVENTS}")

    at_once = statuses(lake)
    look(lake)

    assert (at_once, statuses(lake)) == (ALL_STALE, ALL_STALE)
    ingest(lake, window=Window.of_keys(ONE, ONE))
    assert written_elsewhere(lake) == [TWO, THREE]
    ingest(lake)
    assert (written_elsewhere(lake), events_are(lake, clean)) == ([], True)


def test_a_table_that_someone_drops_and_creates_is_not_ours_whatever_we_load_into_it(lake, clean):
    catalog, table = stranger(lake), foreign(lake)
    schema, spec, rows = table.schema(), table.spec(), table.scan().to_arrow()
    catalog.drop_table(f"bronze.{EVENTS}")
    catalog.create_table(f"bronze.{EVENTS}", schema, partition_spec=spec).append(rows)

    at_once = statuses(lake)
    look(lake)

    assert (at_once, statuses(lake)) == (ALL_STALE, ALL_STALE)
    ingest(lake)
    assert (written_elsewhere(lake), events_are(lake, clean)) == ([], True)


def test_a_table_that_someone_renames_away_and_back_is_not_lost(lake):
    catalog = stranger(lake)
    catalog.rename_table(f"bronze.{EVENTS}", "bronze.elsewhere")
    away = statuses(lake)
    catalog.rename_table("bronze.elsewhere", f"bronze.{EVENTS}")

    assert (away, statuses(lake)) == (ALL_STALE, ["READY"] * 3)


# ── our own commits ──────────────────────────────────────────────────────────────────────────────────────────────────
def test_our_commit_on_top_does_not_hide_someone_elses(lake, clean, monkeypatch):
    monkeypatch.setattr("loaders.ingest.find_foreign_writes", lambda *_: [])
    overwrite(lake)
    ingest(lake, window=Window.of_keys(ONE, ONE))
    monkeypatch.undo()

    at_once = written_elsewhere(lake)
    look(lake)

    assert (at_once, written_elsewhere(lake)) == (list(DAYS), [TWO])
    ingest(lake)
    assert (written_elsewhere(lake), events_are(lake, clean)) == ([], True)


def test_a_day_that_we_wrote_after_someone_else_had_is_ours(lake, monkeypatch):
    monkeypatch.setattr("loaders.ingest.find_foreign_writes", lambda *_: [])
    overwrite(lake)
    ingest(lake, window=Window.of_keys(TWO, TWO))
    monkeypatch.undo()

    look(lake)

    assert statuses(lake) == ["READY", "UNCHECKED", "READY"]
    assert not open_readiness(lake).verdict(EVENTS, TWO).evidence.foreign_write


def test_a_second_foreign_write_between_two_of_ours_is_found_as_well(lake, monkeypatch):
    append(lake)
    look(lake)
    ingest(lake, window=Window.of_keys(TWO, TWO))
    table = foreign(lake)
    table.delete(day_filter(table, Window.of_keys(THREE, THREE)))
    monkeypatch.setattr("loaders.ingest.find_foreign_writes", lambda *_: [])
    ingest(lake, window=Window.of_keys(ONE, ONE))

    look(lake)

    assert statuses(lake) == ["UNCHECKED", "UNCHECKED", "STALE"]


def test_our_maintenance_launders_nothing(lake, clean, monkeypatch):
    append(lake)
    monkeypatch.setattr(maintenance, "SMALL_FILES", 0)
    maintenance.maintain(
        open_catalog(lake),
        open_ledger(lake),
        lake,
        older_than=timedelta(0),
        dry_run=False,
        now=datetime.now(UTC) + timedelta(hours=1),
        keep_snapshots=1,
    )

    at_once = statuses(lake)
    look(lake)

    assert (at_once, statuses(lake)[1]) == (ALL_STALE, "STALE")
    ingest(lake)
    assert (written_elsewhere(lake), events_are(lake, clean)) == ([], True)


def test_what_only_we_maintained_is_ours(lake, monkeypatch, tmp_path):
    monkeypatch.setattr(maintenance, "SMALL_FILES", 0)
    list(maintenance._compact(find_table(open_catalog(lake), EVENTS), maintenance.AgeRule(None, 1, False), tmp_path))

    assert (look(lake), statuses(lake)) == ([], ["READY"] * 3)


def test_metadata_of_ours_that_is_gone_proves_no_day_that_maintenance_wrote(lake, monkeypatch, tmp_path):
    monkeypatch.setattr(maintenance, "SMALL_FILES", 0)
    list(maintenance._compact(find_table(open_catalog(lake), EVENTS), maintenance.AgeRule(None, 1, False), tmp_path))
    ours = foreign(lake).metadata_location
    overwrite(lake)
    (lake.home / ours.removeprefix(f"file://{lake.home}/")).unlink()

    assert look(lake) == []
    assert statuses(lake) == ALL_STALE


# ── homes of before, and the doors ───────────────────────────────────────────────────────────────────────────────────
def forget_versions(settings):
    with closing(sqlite3.connect(settings.home / "catalog.db")) as connection:
        connection.execute("drop table omni_table_versions")
        connection.commit()
    for mark in (settings.home / "warehouse").glob("*/*/metadata/committed"):
        mark.unlink()


def test_a_home_that_kept_no_versions_is_compared_once_and_only_what_is_provably_ours_is_taken(lake):
    overwrite(lake)
    forget_versions(lake)

    before = statuses(lake)
    look(lake)

    assert before == ALL_STALE
    assert statuses(lake) == SECOND_STALE
    assert statuses(lake, "ticket_events") == ["READY", "BLOCKED", "READY"]


def test_a_table_of_such_a_home_that_someone_dropped_is_unsafe(lake):
    stranger(lake).drop_table(f"bronze.{EVENTS}")
    forget_versions(lake)

    before = statuses(lake)
    look(lake)

    assert (before, statuses(lake)) == (ALL_STALE, ALL_STALE)


def test_the_gate_holds_back_what_reads_it_and_lets_it_be_rebuilt(lake):
    overwrite(lake)
    look(lake)
    readiness = open_readiness(lake)

    gate = Gate(readiness, Window.of_keys(THREE, THREE))

    assert [v.name for v in gate.obstacles("support_backlog_daily", THREE, lambda _: False)]
    assert not gate.obstacles("ticket_events", THREE, lambda _: False)
    assert [v.name for v in gate.obstacles("ticket_events", TWO, lambda _: False)] == [f"{EVENTS} {TWO}"]
    assert not gate.obstacles("ticket_events", TWO, lambda v: v.name == f"{EVENTS} {TWO}")


def test_the_decision_is_to_hold(lake):
    overwrite(lake)

    verdict = open_readiness(lake).verdict(EVENTS, TWO)

    assert (verdict.status, verdict.is_mendable) == (Status.STALE, False)
    assert decision_on(verdict) == "hold"


def test_versions_are_kept_by_every_door(built):
    versions = read_versions(open_ledger(built).catalog_engine)

    assert len(versions) >= 12
    assert all(version.is_ours for version in versions.values())


def test_a_build_that_read_what_someone_else_wrote_does_not_pass_for_current_once_that_is_mended(lake, clean):
    append(lake)
    runner = GraphRunner(lake, lambda _: None)
    runner.run(Window.of_keys(TWO, TWO), ["ticket_events"], is_forced=True)
    before = content_digest(find_table(open_catalog(lake), "ticket_events"), TWO)
    ingest(lake)

    verdict = open_readiness(lake).verdict("ticket_events", TWO)

    assert not open_readiness(lake).verdict(EVENTS, TWO).evidence.foreign_write
    assert (before[1] > 0, verdict.evidence.changed_inputs) == (True, (EVENTS,))


def test_tests_that_saw_what_someone_else_wrote_do_not_speak_for_what_is_there_once_that_is_undone(lake):
    table = foreign(lake, "silver.ticket_events")
    ours = table.current_snapshot().snapshot_id
    table.append(rows_of_day(table, TWO))

    tested = dbt(lake, "test", "--select", "event_rows_conserved")
    foreign(lake, "silver.ticket_events").manage_snapshots().set_current_snapshot(snapshot_id=ours).commit()
    look(lake)

    assert tested.returncode == 1, tested.stdout
    assert statuses(lake, "ticket_events") == ["READY"] * 3
