"""Expiry of snapshots: what is cited, unrecorded, young or among the latest stays, and every citation stays readable."""

import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import schema_to_pyarrow

from lakehouse.builds.commit_evidence import read_evidence, recover_ledger, snapshot_evidence
from lakehouse.ledger.evidence import Materialization, RowCounts
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.settings import load_settings
from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import ensure_table, open_catalog
from lakehouse.tables.commits import replace_window
from lakehouse.tables.digest import find_table
from lakehouse.tables.filters import day_filter
from lakehouse.upkeep.maintenance import _expire
from lakehouse.upkeep.orphans import AgeRule
from loaders.ingest import ingest
from orchestration.instance.partition_metadata import PartitionMetadata
from orchestration.readiness.readiness import open_readiness
from orchestration.readiness.verdict_json import verdict_json
from tests.conftest import TICKET_EVENTS
from tests.integration.lakehouse.maintained_lake import DAY, maintained, of, one_row


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


def test_every_snapshot_that_is_offered_to_be_read_can_be_read(three_days):
    report = maintained(three_days)
    readiness, table = open_readiness(three_days), find_table(open_catalog(three_days), TICKET_EVENTS)
    verdicts = [readiness.verdict(TICKET_EVENTS, f"2026-04-{n:02}") for n in (1, 2, 3)]
    there = {str(snapshot.snapshot_id) for snapshot in table.snapshots()}

    told = [verdict_json(readiness.graph, verdict, {})["materialization"] for verdict in verdicts]
    metadata = [PartitionMetadata(three_days, readiness).of(v.evidence.materialization, None) for v in verdicts]

    assert len({each["written_by_snapshot_id"] for each in told} - there) == 2  # these have expired
    assert {each["snapshot_id"] for each in (*told, *metadata)} == there
    (expired,) = (
        each["snapshots_expired"] for each in report.as_json()["tables"] if each["table"] == f"bronze.{TICKET_EVENTS}"
    )
    assert expired and all(isinstance(each, str) for each in expired)


def test_the_code_that_dagster_shows_still_reads_the_partition_after_its_snapshot_expired(three_days, monkeypatch):
    item = open_ledger(three_days).current_materializations()[TICKET_EVENTS, "2026-04-01"]
    told = PartitionMetadata(three_days, open_readiness(three_days)).of(item, None)
    shown = told["look_at_snapshot"].value
    maintained(three_days)
    monkeypatch.setenv("OMNI_HOME", str(three_days.home))
    load_settings.cache_clear()
    names = {}

    *before, last = shown.removeprefix("```python\n").removesuffix("\n```").splitlines()
    exec("\n".join([*before, f"rows = {last}.to_arrow()"]), names)
    load_settings.cache_clear()

    assert names["rows"].num_rows == 3


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
    window = day_filter(table, Window.of_keys("2026-04-01", "2026-04-01"))
    row = table.scan(row_filter=window).to_arrow()
    other = row.set_column(row.column_names.index("event_id"), row.schema.field("event_id"), [["other"]])
    if change != "appended":
        table.delete(window)
    if change != "deleted":
        table.append(other)
    table.append(one_row(table, 1))  # a last commit, on another day
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
    window = day_filter(table, Window.of_keys("2026-04-01", "2026-04-01"))
    rows = table.scan(row_filter=window).to_arrow()
    newer = _replace(table, window, rows, snapshot_evidence([replace(found, run_id="newer")]))
    ledger.record_materializations([replace(found, run_id="newer", snapshot_id=newer)])
    table.append(one_row(table, 1))

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
    table.append(one_row(table, 0))
    unrecorded = _commit_unrecorded(table, "2026-04-01", is_empty=True)
    table.append(one_row(table, 1))

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
            window = day_filter(table, Window.of_keys(day, day))
            rows = table.scan(row_filter=window).to_arrow()
            snapshot_id = _replace(table, window, rows, snapshot_evidence([item]))
            ledger.record_materializations([replace(item, snapshot_id=snapshot_id, held_by_snapshot_id=None)])
    finally:
        done.set()
        for other in others:
            other.join()
    look_after()  # however often the loader was faster: now it rests

    assert errors == []
    assert len(expired) >= 5
    assert [len(rows) for _, _, rows in cited_rows(three_days).values()] == [1, 1, 1]


def cited_rows(settings):
    """Per day of events: the cited snapshot, the one that wrote it, and the rows to be read in the cited one."""
    table = find_table(open_catalog(settings), TICKET_EVENTS)
    found = {}
    for (_, day), item in open_ledger(settings).current_materializations([TICKET_EVENTS]).items():
        window = day_filter(table, Window.of_keys(day, day))
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
    window = day_filter(table, Window.of_keys(day, day))
    rows = table.scan(row_filter=window).to_arrow()
    item = Materialization(
        TICKET_EVENTS, day, "killed", None, datetime.now(UTC), "killed", RowCounts(loaded=len(rows), read=len(rows))
    )
    return _replace(table, window, rows[:0] if is_empty else rows, snapshot_evidence([item]))


def test_a_snapshot_that_the_ledger_has_not_recorded_stays_and_is_recovered(three_days):
    catalog, ledger = open_catalog(three_days), open_ledger(three_days)
    table = find_table(catalog, TICKET_EVENTS)
    window = day_filter(table, Window.of_keys("2026-04-03", "2026-04-03"))
    evidence = _evidence(table)
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
        table.append(one_row(table, number))
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
