"""Maintenance of real Iceberg tables: what may go goes, what is cited, unrecorded, young or in use stays."""

import hashlib
import io
import os
import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import schema_to_pyarrow
from typer.testing import CliRunner

from lakehouse.assets import DOC_ASSETS, QUARANTINE, TICKET_EVENTS
from lakehouse.catalog import ensure_table, open_catalog
from lakehouse.commits import replace_window
from lakehouse.digest import content_digest, find_table
from lakehouse.evidence import CheckResult, Materialization, RowCounts
from lakehouse.ledger import open_ledger
from lakehouse.maintenance import _expire, _rewrite, maintain
from lakehouse.objects import object_path, put_object
from lakehouse.orphans import AgeRule
from lakehouse.partitions import Window
from lakehouse.provenance import read_evidence, recover_ledger, snapshot_evidence
from lakehouse.settings import load_settings
from lakehouse.tables import bronze_table, partition_filter
from loaders.ingest import ingest
from orchestration.asset_graph import load_asset_graph
from orchestration.maintenance_command import maintain_command
from orchestration.readiness import Readiness
from orchestration.verdicts import Status
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines

DAY = timedelta(days=1)
SOON = timedelta(hours=25)


def maintained(settings, later=SOON, dry_run=False, keep_snapshots=1, table=None, now=None):
    """Maintenance with an age limit of a day, at an instant from now or at a given one."""
    return maintain(
        open_catalog(settings),
        open_ledger(settings),
        settings,
        older_than=DAY,
        dry_run=dry_run,
        now=now or datetime.now(UTC) + later,
        keep_snapshots=keep_snapshots,
        table=table,
    )


def of(report, name):
    return next(table for table in report.tables if table.table == f"bronze.{name}")


def has_done_nothing(report):
    return not (
        report.objects
        or report.leftovers
        or report.problems
        or any(table.snapshots_expired or table.compacted or table.removed for table in report.tables)
    )


def warehouse_files(settings):
    return {str(path) for path in (settings.home / "warehouse").rglob("*") if path.is_file()}


def digests(settings, *tables):
    return [content_digest(find_table(open_catalog(settings), table)) for table in tables]


def folder_of(settings, name):
    return Path(find_table(open_catalog(settings), name).location().removeprefix("file://"))


@pytest.fixture
def three_days(settings, declare):
    """Three days of events and one of documents, loaded; the second day of events loaded twice."""
    write_lines(
        settings.manifests / "a.jsonl", [ticket_event(n, f"2026-04-{n:02}") for n in (1, 2, 3)] + ["not a record"]
    )
    (settings.manifests / "guide.md").write_text("# Guide\n")
    declare(ticket_manifest([source("a", "a.jsonl")]))
    declare(document_manifest("2026-04-01", [source("guide", "guide.md", "other")]))
    ingest(settings)
    ingest(settings, window=Window.of_keys("2026-04-02", "2026-04-02"))
    return settings


@pytest.fixture
def many_files(three_days):
    """The first day as twelve files in twelve commits, as a streaming writer leaves it; same content."""
    table = find_table(open_catalog(three_days), TICKET_EVENTS)
    window = partition_filter(TICKET_EVENTS, TICKET_EVENTS, Window.of_keys("2026-04-01", "2026-04-01"))
    row = table.scan(row_filter=window).to_arrow()
    for number in range(11):
        again = row.set_column(row.column_names.index("event_id"), row.schema.field("event_id"), [[f"more{number}"]])
        table.append(again)
    return three_days


def files_of_day(settings, name=TICKET_EVENTS, day="2026-04-01"):
    window = partition_filter(name, name, Window.of_keys(day, day))
    return list(find_table(open_catalog(settings), name).scan(row_filter=window).plan_files())


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_old_snapshots_go_and_the_ledger_cites_one_that_holds_the_same(three_days):
    written = cited_rows(three_days)
    assert all(cited == wrote for cited, wrote, _ in written.values())

    planned, report = maintained(three_days, dry_run=True), maintained(three_days)

    snapshots = find_table(open_catalog(three_days), TICKET_EVENTS).snapshots()
    found = cited_rows(three_days)
    assert of(planned, TICKET_EVENTS).snapshots_expired == of(report, TICKET_EVENTS).snapshots_expired
    assert len(of(report, TICKET_EVENTS).snapshots_expired) >= 3
    assert {cited for cited, _, _ in found.values()} == {snapshot.snapshot_id for snapshot in snapshots[-1:]}
    assert {day: rows for day, (_, _, rows) in found.items()} == {day: rows for day, (_, _, rows) in written.items()}
    assert {day: wrote for day, (_, wrote, _) in found.items()} == {
        day: wrote for day, (_, wrote, _) in written.items()
    }


def test_a_snapshot_that_expired_is_not_recovered(three_days):
    before = open_ledger(three_days).recorded_snapshots(TICKET_EVENTS)
    maintained(three_days)

    assert recover_ledger(open_catalog(three_days), open_ledger(three_days)) == 0
    assert open_ledger(three_days).recorded_snapshots(TICKET_EVENTS) == before
    assert ingest(three_days).loads[0].loaded == []


def test_a_day_that_is_loaded_again_is_cited_by_its_own_commit_until_the_next_maintenance(three_days):
    maintained(three_days)
    before = cited_rows(three_days)

    ingest(three_days, window=Window.of_keys("2026-04-02", "2026-04-02"))

    found = cited_rows(three_days)
    assert found["2026-04-01"] == before["2026-04-01"]
    assert found["2026-04-02"][0] == found["2026-04-02"][1] != before["2026-04-02"][1]
    maintained(three_days)
    assert len({cited for cited, _, _ in cited_rows(three_days).values()}) == 1


@pytest.mark.parametrize("change", ["appended", "deleted", "replaced"])
def test_a_day_that_somebody_changed_is_cited_by_the_snapshot_that_wrote_it(three_days, change):
    """Rows are as many as were written, where it was replaced, and others."""
    table = find_table(open_catalog(three_days), TICKET_EVENTS)
    window = partition_filter(TICKET_EVENTS, TICKET_EVENTS, Window.of_keys("2026-04-01", "2026-04-01"))
    row = table.scan(row_filter=window).to_arrow()
    other = row.set_column(row.column_names.index("event_id"), row.schema.field("event_id"), [["other"]])
    if change != "appended":
        table.delete(window)
    if change != "deleted":
        table.append(other)
    table.append(_one_row(table, 1))  # a last commit, on another day
    before = cited_rows(three_days)

    maintained(three_days)

    found = cited_rows(three_days)
    assert found["2026-04-01"] == before["2026-04-01"]
    assert found["2026-04-03"][0] != before["2026-04-03"][0] and found["2026-04-03"][2] == before["2026-04-03"][2]


def test_an_older_commit_that_was_never_recorded_does_not_come_back_when_the_newer_one_expired(three_days):
    catalog, ledger = open_catalog(three_days), open_ledger(three_days)
    table = find_table(catalog, TICKET_EVENTS)
    unrecorded = _commit_unrecorded(table, "2026-04-01")
    (found,) = read_evidence(_evidence(table), unrecorded)
    window = partition_filter(TICKET_EVENTS, TICKET_EVENTS, Window.of_keys("2026-04-01", "2026-04-01"))
    rows = table.scan(row_filter=window).to_arrow()
    newer = _replace(table, window, rows, snapshot_evidence([replace(found, run_id="newer")]))
    ledger.record_materializations([replace(found, run_id="newer", snapshot_id=newer)])
    table.append(_one_row(table, 1))

    maintained(three_days)

    table.refresh()
    assert table.snapshot_by_id(newer) is None and table.snapshot_by_id(unrecorded) is not None
    assert recover_ledger(catalog, ledger) == 0


def test_a_day_with_a_later_commit_to_recover_is_not_cited_anew(three_days):
    """An emptied day leaves no file to tell by which commit it was emptied."""
    for path in three_days.manifests.glob("manifest-tickets-*.json"):
        path.unlink()
    ingest(three_days)
    catalog, ledger = open_catalog(three_days), open_ledger(three_days)
    table = find_table(catalog, TICKET_EVENTS)
    table.append(_one_row(table, 0))
    unrecorded = _commit_unrecorded(table, "2026-04-01", is_empty=True)
    table.append(_one_row(table, 1))

    maintained(three_days)

    assert recover_ledger(catalog, ledger) == 1
    assert ledger.current_materializations([TICKET_EVENTS])[TICKET_EVENTS, "2026-04-01"].snapshot_id == unrecorded


def test_a_materialization_that_was_cited_anew_meanwhile_stays_cited_so(three_days):
    ledger = open_ledger(three_days)
    read = list(ledger.current_materializations([TICKET_EVENTS]).values())
    ledger.cite(read[:1], 7)

    ledger.cite(read, 8)

    assert [m.held_by_snapshot_id for m in ledger.current_materializations([TICKET_EVENTS]).values()] == [7, 8, 8]


def test_two_maintenances_and_a_loader_at_once_leave_every_citation_readable(three_days):
    """Even without an age limit: none cites anew what another one has cited anew since, or expires what it has not."""
    expired, errors, done = [], [], threading.Event()

    def look_after():
        rule = AgeRule(datetime.now(UTC), 1, dry_run=False)
        expired.extend(_expire(find_table(open_catalog(three_days), TICKET_EVENTS), open_ledger(three_days), rule))

    def keep_looking_after():
        while not done.is_set():
            try:
                look_after()
            except CommitFailedException:
                continue  # another one was faster each time
            except Exception as error:
                errors.append(error)

    others = [threading.Thread(target=keep_looking_after) for _ in range(2)]
    for other in others:
        other.start()
    try:
        catalog, ledger = open_catalog(three_days), open_ledger(three_days)
        for number in range(1, 21):
            table = find_table(catalog, TICKET_EVENTS)
            day = f"2026-04-{1 + number % 2:02}"  # the third day is cited anew each time
            item = ledger.current_materializations([TICKET_EVENTS])[TICKET_EVENTS, day]
            window = partition_filter(TICKET_EVENTS, TICKET_EVENTS, Window.of_keys(day, day))
            rows = table.scan(row_filter=window).to_arrow()
            snapshot_id = _replace(table, window, rows, snapshot_evidence([item]))
            ledger.record_materializations([replace(item, snapshot_id=snapshot_id, held_by_snapshot_id=None)])
    finally:
        done.set()
        for other in others:
            other.join()
    look_after()  # however often the loader was faster: now it rests

    assert errors == [] and expired
    assert [len(rows) for _, _, rows in cited_rows(three_days).values()] == [1, 1, 1]


def cited_rows(settings):
    """Per day of events: the cited snapshot, the one that wrote it, and the rows to be read in the cited one."""
    table = find_table(open_catalog(settings), TICKET_EVENTS)
    found = {}
    for (_, day), item in open_ledger(settings).current_materializations([TICKET_EVENTS]).items():
        window = partition_filter(TICKET_EVENTS, TICKET_EVENTS, Window.of_keys(day, day))
        rows = table.scan(row_filter=window, snapshot_id=item.readable_snapshot_id).to_arrow()
        found[day] = item.readable_snapshot_id, item.snapshot_id, rows.sort_by("event_id").to_pylist()
    return found


def _evidence(table):
    properties = table.current_snapshot().summary.additional_properties
    return {name: value for name, value in properties.items() if name.startswith("omni.")}


def _replace(table, window, rows, evidence):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        pq.write_table(rows.cast(schema_to_pyarrow(table.schema(), include_field_ids=False)), file)
        return replace_window(table, window, [file] if len(rows) else [], evidence)


def _commit_unrecorded(table, day, is_empty=False):
    """Commit a day as it is, as a run does that dies before it tells the ledger."""
    window = partition_filter(TICKET_EVENTS, TICKET_EVENTS, Window.of_keys(day, day))
    rows = table.scan(row_filter=window).to_arrow()
    item = Materialization(
        TICKET_EVENTS, day, "killed", None, datetime.now(UTC), "killed", RowCounts(loaded=len(rows), read=len(rows))
    )
    return _replace(table, window, rows[:0] if is_empty else rows, snapshot_evidence([item]))


def test_a_snapshot_that_the_ledger_has_not_recorded_stays_and_is_recovered(three_days):
    catalog, ledger = open_catalog(three_days), open_ledger(three_days)
    table = find_table(catalog, TICKET_EVENTS)
    window = partition_filter(TICKET_EVENTS, TICKET_EVENTS, Window.of_keys("2026-04-03", "2026-04-03"))
    evidence = {
        name: value
        for name, value in table.current_snapshot().summary.additional_properties.items()
        if name.startswith("omni.")
    }
    killed = {"omni.run-id": "killed", "omni.committed-at": datetime.now(UTC).isoformat()}
    rows = table.scan(row_filter=window).to_arrow()
    unrecorded = _replace(table, window, rows, evidence | killed)
    table.append(table.scan(limit=1).to_arrow())  # the killed run's snapshot is no longer the current one

    maintained(three_days)

    table.refresh()
    assert table.snapshot_by_id(unrecorded) is not None
    assert recover_ledger(catalog, ledger) == 1
    assert unrecorded in ledger.recorded_snapshots(TICKET_EVENTS)


def test_a_snapshot_that_was_current_within_the_age_limit_stays_however_long_ago_it_was_written(settings):
    """A reader may have begun with it just before it was replaced."""
    definition = bronze_table(settings, TICKET_EVENTS)
    table = ensure_table(open_catalog(settings), definition.identifier, definition.schema, definition.partition_by)
    for number in range(3):
        table.append(_one_row(table, number))
        time.sleep(0.01)
    first, second, third = table.snapshots()
    just_after_the_second = datetime.fromtimestamp(second.timestamp_ms / 1000, UTC) + timedelta(milliseconds=2)

    report = maintained(settings, now=just_after_the_second + DAY)

    assert of(report, TICKET_EVENTS).snapshots_expired == (first.snapshot_id,)
    table.refresh()
    assert table.snapshots() == [second.model_copy(update={"parent_snapshot_id": None}), third]


def test_the_latest_snapshots_stay_whatever_their_age(three_days):
    before = len(find_table(open_catalog(three_days), TICKET_EVENTS).snapshots())

    report = maintained(three_days, keep_snapshots=before)

    assert of(report, TICKET_EVENTS).snapshots_expired == ()


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def orphans(three_days):
    """What a killed commit leaves: a data file, a manifest, a version of the metadata; and files that are no business
    of maintenance."""
    folder = folder_of(three_days, TICKET_EVENTS)
    names = (
        "data/0a.parquet",
        "data/occurred_at_day=2026-04-01/0b.parquet",
        "metadata/0c-m0.avro",
        "metadata/00009-0d.metadata.json",
    )
    written = [folder / name for name in names]
    for path in (*written, folder / "data" / "note.txt", folder / "note.parquet"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"left")
    return {str(path) for path in written}


def test_orphans_of_a_killed_commit_are_listed_then_removed_and_nothing_else_is(three_days, orphans):
    before, content = warehouse_files(three_days), digests(three_days, TICKET_EVENTS, DOC_ASSETS, QUARANTINE)
    maintained(three_days, keep_snapshots=99, later=timedelta())  # young: everything stays
    assert warehouse_files(three_days) == before

    planned = maintained(three_days, keep_snapshots=99, dry_run=True)
    assert warehouse_files(three_days) == before
    assert {each.location for each in of(planned, TICKET_EVENTS).removed} == orphans
    assert {each.size_bytes for each in of(planned, TICKET_EVENTS).removed} == {4}
    assert all(any(path in line for line in planned.lines()) for path in orphans)

    done = maintained(three_days, keep_snapshots=99)
    assert done.tables == planned.tables
    assert warehouse_files(three_days) == before - orphans
    assert digests(three_days, TICKET_EVENTS, DOC_ASSETS, QUARANTINE) == content
    assert has_done_nothing(maintained(three_days, keep_snapshots=99))


def test_a_dry_run_lists_exactly_what_expiry_lets_go(three_days):
    before = warehouse_files(three_days)

    planned, done = maintained(three_days, dry_run=True), maintained(three_days)

    assert [table.removed for table in planned.tables] == [table.removed for table in done.tables]
    gone = {each.location for table in done.tables for each in table.removed}
    assert gone and gone == before - warehouse_files(three_days)
    assert has_done_nothing(maintained(three_days))


def test_a_replaced_version_of_the_metadata_stays_while_a_reader_may_have_begun_with_it(three_days):
    folder = folder_of(three_days, TICKET_EVENTS) / "metadata"
    old, after = folder / "00000-1.metadata.json", folder / "00000-2.metadata.json"
    for path, days in ((old, 9), (after, 0.5)):
        path.write_text("{}")
        at = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(path, (at, at))

    maintained(three_days, later=timedelta())
    assert old.exists()

    maintained(three_days, later=timedelta(hours=13))
    assert not old.exists() and after.exists()


def test_nothing_is_removed_from_a_folder_whose_listing_lacks_what_the_table_refers_to(three_days, orphans):
    (task,) = files_of_day(three_days)
    Path(task.file.file_path.removeprefix("file://")).unlink()

    report = maintained(three_days)

    assert "not listed: no file was removed" in of(report, TICKET_EVENTS).problem
    assert all(Path(path).exists() for path in orphans)


def test_nothing_is_removed_from_a_folder_that_two_tables_share(three_days, orphans):
    """A renamed table keeps its folder; the one that is made under the old name gets the same."""
    catalog = open_catalog(three_days)
    catalog.rename_table(f"bronze.{TICKET_EVENTS}", "bronze.put_by")
    definition = bronze_table(three_days, TICKET_EVENTS)
    ensure_table(catalog, definition.identifier, definition.schema, definition.partition_by)
    before = content_digest(catalog.load_table("bronze.put_by"))

    report = maintained(three_days, table=TICKET_EVENTS)

    assert report.problems == (
        f"bronze.{TICKET_EVENTS}: shares its folder with bronze.put_by: no file was removed; next: give one its own",
    )
    assert content_digest(catalog.load_table("bronze.put_by")) == before


def test_a_data_file_that_is_gone_is_reported_and_holds_up_neither_other_tables_nor_leftovers(three_days):
    table = find_table(open_catalog(three_days), DOC_ASSETS)
    (task,) = table.scan().plan_files()
    Path(task.file.file_path.removeprefix("file://")).unlink()
    (three_days.home / "scratch" / "dead").mkdir()
    _put(three_days, b"nobody's")
    before = warehouse_files(three_days)

    report = maintained(three_days)

    assert [problem.partition(":")[0] for problem in report.problems] == [f"bronze.{DOC_ASSETS}", "object store"]
    assert report.objects == () and _objects(before) == _objects(warehouse_files(three_days))
    assert of(report, TICKET_EVENTS).snapshots_expired and len(report.leftovers) == 1


def _objects(files):
    return {file for file in files if "/objects/" in file}


# ── objects, leftovers ───────────────────────────────────────────────────────────────────────────────────────────────
def _put(settings, content):
    sha256 = hashlib.sha256(content).hexdigest()
    put_object(settings, io.BytesIO(content), sha256)
    return settings.home / "warehouse" / object_path(sha256)


def test_objects_that_no_row_names_go_when_they_are_old_and_the_others_stay(three_days):
    used = _put(three_days, b"# Guide\n")
    orphan = _put(three_days, b"nobody's")
    partial = orphan.with_name(f"{orphan.name}.0a.partial")
    partial.write_bytes(b"half")

    assert maintained(three_days, later=timedelta()).objects == ()
    planned = maintained(three_days, dry_run=True)
    done = maintained(three_days)

    assert planned.objects == done.objects
    assert {each.location for each in done.objects} == {str(orphan), str(partial)}
    assert used.exists() and not orphan.exists() and not partial.exists()
    assert has_done_nothing(maintained(three_days))


def test_an_object_that_only_an_older_snapshot_names_goes_with_that_snapshot(three_days):
    for path in three_days.manifests.glob("manifest-docs-*.json"):
        path.unlink()
    ingest(three_days)  # takes the document out of Bronze, and out of what the ledger knows
    (guide,) = (three_days.home / "warehouse" / "objects").rglob("bc553ffe*")

    assert maintained(three_days, keep_snapshots=99).objects == () and guide.exists()

    report = maintained(three_days)
    assert of(report, DOC_ASSETS).snapshots_expired
    assert [each.location for each in report.objects] == [str(guide)] and not guide.exists()


def test_an_object_that_a_load_counts_on_meanwhile_comes_back(three_days):
    """A maintenance died after it set the object aside; then a load found it in the ledger's known files."""
    used = _put(three_days, b"# Guide\n")
    used.rename(f"{used}.removing")

    report = maintained(three_days)

    assert report.objects == ()
    assert used.read_bytes() == b"# Guide\n" and not Path(f"{used}.removing").exists()


def test_folders_of_runs_that_died_go_and_those_of_running_ones_stay(three_days):
    dead, alive = three_days.home / "scratch" / "dead", three_days.home / "dlt" / "runs" / "alive"
    for folder in (dead, alive):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_bytes(b"four")
        old = (datetime.now(UTC) - 2 * DAY).timestamp()
        for path in (folder / "deep" / "file", folder / "deep", folder):
            os.utime(path, (old, old))
    (alive / "deep" / "file").write_bytes(b"still at work")

    report = maintained(three_days, later=timedelta())

    assert [each.location for each in report.leftovers] == [str(dead)]
    assert alive.exists() and not dead.exists()


# ── compaction ───────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_day_of_many_small_files_becomes_one_with_the_same_content_and_verdict(many_files):
    content, current = digests(many_files, TICKET_EVENTS), open_ledger(many_files).current_materializations()
    _record_checks(many_files)
    verdicts = Readiness(load_asset_graph(many_files), open_ledger(many_files)).verdicts(TICKET_EVENTS)
    assert len(files_of_day(many_files)) == 12

    report = maintained(many_files, later=timedelta())

    (compaction,) = of(report, TICKET_EVENTS).compacted
    assert (compaction.partition, compaction.files, compaction.is_skipped) == ("2026-04-01", 12, False)
    assert len(files_of_day(many_files)) == 1
    assert digests(many_files, TICKET_EVENTS) == content
    assert recover_ledger(open_catalog(many_files), open_ledger(many_files)) == 0
    assert open_ledger(many_files).current_materializations() == current
    after = Readiness(load_asset_graph(many_files), open_ledger(many_files)).verdicts(TICKET_EVENTS)
    assert after == verdicts and {verdict.status for verdict in after.values()} == {Status.READY}
    assert of(maintained(many_files, later=timedelta()), TICKET_EVENTS).compacted == ()


def _record_checks(settings):
    """The results of the checks that dbt runs on the events, all passed."""
    ledger, required = open_ledger(settings), load_asset_graph(settings)[TICKET_EVENTS].checks
    ledger.record_checks(
        [
            CheckResult(item.asset, item.partition, check, severity, True, "", item.id, datetime.now(UTC), "run")
            for item in ledger.current_materializations([TICKET_EVENTS]).values()
            for check, severity in required.items()
        ]
    )


def test_a_dry_run_compacts_nothing(many_files):
    before = warehouse_files(many_files)

    (compaction,) = of(maintained(many_files, dry_run=True), TICKET_EVENTS).compacted

    assert compaction.files == 12
    assert warehouse_files(many_files) == before and len(files_of_day(many_files)) == 12


def test_many_files_of_quarantine_become_one(three_days):
    table = find_table(open_catalog(three_days), QUARANTINE)
    row = table.scan(limit=1).to_arrow()
    for _ in range(9):
        table.append(row)
    content = digests(three_days, QUARANTINE)

    report = maintained(three_days, later=timedelta())

    assert [each.files for each in of(report, QUARANTINE).compacted] == [10]
    assert digests(three_days, QUARANTINE) == content
    assert len(list(find_table(open_catalog(three_days), QUARANTINE).scan().plan_files())) == 1


def test_a_load_that_replaced_the_day_meanwhile_wins_over_its_compaction(many_files):
    stale = find_table(open_catalog(many_files), TICKET_EVENTS)
    ingest(many_files, window=Window.of_keys("2026-04-01", "2026-04-01"))
    content = digests(many_files, TICKET_EVENTS)

    window = partition_filter(TICKET_EVENTS, TICKET_EVENTS, Window.of_keys("2026-04-01", "2026-04-01"))

    assert not _rewrite(stale, "2026-04-01", window)
    assert digests(many_files, TICKET_EVENTS) == content


def test_a_commit_on_another_day_meanwhile_does_not_hinder_a_compaction(many_files):
    stale = find_table(open_catalog(many_files), TICKET_EVENTS)
    ingest(many_files, window=Window.of_keys("2026-04-03", "2026-04-03"))
    content = digests(many_files, TICKET_EVENTS)

    window = partition_filter(TICKET_EVENTS, TICKET_EVENTS, Window.of_keys("2026-04-01", "2026-04-01"))

    assert _rewrite(stale, "2026-04-01", window)
    assert digests(many_files, TICKET_EVENTS) == content and len(files_of_day(many_files)) == 1


# ── beside writers, on nothing ───────────────────────────────────────────────────────────────────────────────────────
def test_maintenance_while_a_writer_commits_loses_nothing(settings):
    """Many commits on two days, with the shortest age limit that is safe for them, and a maintenance that never rests.

    How often it is faster than the writer is up to the machine; once the writer rests, it has all that it needs.
    """
    definition = bronze_table(settings, TICKET_EVENTS)
    ensure_table(open_catalog(settings), definition.identifier, definition.schema, definition.partition_by)
    written, age_limit = [], timedelta(seconds=2)

    def write():
        table = find_table(open_catalog(settings), TICKET_EVENTS)
        for number in range(1, 61):
            table.refresh()
            table.append(_one_row(table, number))
            written.append(f"e{number}")
            time.sleep(0.05)  # all of it takes longer than the age limit: snapshots come of age beside the writer

    def maintained_at(now):
        catalog, ledger = open_catalog(settings), open_ledger(settings)
        report = maintain(catalog, ledger, settings, older_than=age_limit, dry_run=False, now=now, keep_snapshots=1)
        return of(report, TICKET_EVENTS)

    writer = threading.Thread(target=write)
    writer.start()
    beside = []
    while writer.is_alive():
        beside.append(maintained_at(datetime.now(UTC)))
    after = maintained_at(datetime.now(UTC) + age_limit)

    found = find_table(open_catalog(settings), TICKET_EVENTS).scan().to_arrow()
    assert len(written) == 60 and sorted(found["event_id"].to_pylist()) == sorted(written)
    assert any(each.snapshots_expired for each in [*beside, after])
    assert any(each.compacted for each in [*beside, after])


def _one_row(table, number):
    day = date(2026, 4, 1 + number % 2)
    row = {"event_id": f"e{number}", "occurred_at": datetime(day.year, day.month, day.day, 10, tzinfo=UTC)}
    return pa.Table.from_pylist([row], schema=table.schema().as_arrow())


def test_an_empty_lakehouse_has_nothing_to_maintain(settings):
    report = maintained(settings)

    assert has_done_nothing(report) and report.tables == ()
    assert report.lines() == [
        "object store: 0 objects (0.0 MB) removed",
        "runs that died: 0 leftovers (0.0 MB) removed",
    ]


def test_the_command_prints_the_report_and_refuses_an_unknown_table(monkeypatch, three_days):
    app = typer.Typer()
    app.command()(maintain_command)
    monkeypatch.setenv("OMNI_HOME", str(three_days.home))
    load_settings.cache_clear()

    done, as_json = (CliRunner().invoke(app, arguments) for arguments in (["--dry-run"], ["--dry-run", "--json"]))
    unknown = CliRunner().invoke(app, ["--table", "nothing"])
    load_settings.cache_clear()

    assert (done.exit_code, as_json.exit_code, unknown.exit_code) == (0, 0, 2)
    assert f"bronze.{TICKET_EVENTS}: 0 snapshots expired" in done.output
    assert '"dry_run": true' in as_json.output
