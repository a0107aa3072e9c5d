"""The life of a quarantined record: listed, released after its cause was mended, discarded with a reason."""

import json

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from lakehouse.ledger.evidence import CheckResult
from lakehouse.ledger.foreign_writes import standing_foreign_writes
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.commits import replace_window
from lakehouse.tables.digest import content_digest, find_table
from lakehouse.tables.filters import rows_of
from loaders.bronze.checks import check_partitions
from loaders.bronze.held_records import Selection, held_records
from loaders.errors import RecordNotHeld
from loaders.ingest import ingest
from loaders.quarantine import discard_records, release_records
from tests.conftest import TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines
from tests.integration.loaders.test_arrival import loaded

WHO = {"reason": "P0 is a priority now", "by": "ana"}


@pytest.fixture
def urgent(settings, declare):
    """Two days with an event each whose priority the contract does not allow, beside a good one."""
    for day in ("2026-04-15", "2026-04-16"):
        events = [
            ticket_event(1, day, event_id=f"{day}-good"),
            ticket_event(2, day, event_id=f"{day}-urgent", priority="P0"),
        ]
        write_lines(settings.manifests / f"{day}.jsonl", events)
    declare(ticket_manifest([source("a", "*.jsonl")]))
    ingest(settings)
    return settings


def held(settings, **selection):
    return held_records(open_catalog(settings), Selection(**selection))


def allow_p0(settings):
    """Mend the contract: the manifest folder's own goes before the one that ships."""
    contract = json.loads((PROJECT_ROOT / "manifests/contracts/ticket.json").read_text())
    (field,) = [field for field in contract["fields"] if field["name"] == "priority"]
    field["enum"].append("P0")
    (settings.manifests / "contracts").mkdir()
    (settings.manifests / "contracts" / "ticket.json").write_text(json.dumps(contract))


def check(settings, name, partition) -> CheckResult:
    ledger = open_ledger(settings)
    item = ledger.current_materializations([TICKET_EVENTS])[TICKET_EVENTS, partition]
    (found,) = [result for result in ledger.current_checks([item.id])[item.id] if result.check == name]
    return found


def test_a_held_record_keeps_its_id_over_loads(urgent):
    before = [record.record_id for record in held(urgent)]

    ingest(urgent, window=Window.of_keys("2026-04-15", "2026-04-16"))

    assert [record.record_id for record in held(urgent)] == before
    assert len(set(before)) == 2


def test_a_release_loads_exactly_the_partition_of_its_record_and_keeps_the_record(urgent):
    (record,) = held(urgent, window=Window.of_keys("2026-04-15", "2026-04-15"))
    allow_p0(urgent)

    report = release_records(urgent, Selection(record_ids=frozenset({record.record_id})), **WHO)

    assert [r.record_id for r in report.released] == [record.record_id] and not report.still_held
    assert ("2026-04-15", "2026-04-15-urgent") in loaded(urgent)
    assert ("2026-04-16", "2026-04-16-urgent") not in loaded(urgent)
    assert [r.partition for r in held(urgent)] == ["2026-04-16"]
    kept = [r for r in held_records(open_catalog(urgent), with_released=True) if r.released_at]
    assert [(r.record_id, r.raw_record, r.reason_code) for r in kept] == [
        (record.record_id, record.raw_record, "value_not_allowed")
    ]
    (action,) = open_ledger(urgent).quarantine_actions()
    assert (action.action, action.record_id, action.acted_by) == ("released", record.record_id, "ana")
    assert check(urgent, "conservation", "2026-04-15").passed


def test_what_was_released_stays_on_record_through_later_loads_and_is_no_part_of_the_content(urgent):
    allow_p0(urgent)
    release_records(urgent, Selection(asset=TICKET_EVENTS), **WHO)
    digest = content_digest(find_table(open_catalog(urgent), "quarantine"))

    report = ingest(urgent, window=Window.of_keys("2026-04-15", "2026-04-16"))

    assert report.is_complete
    assert len(held_records(open_catalog(urgent), with_released=True)) == 2
    assert digest[1] == 0 and content_digest(find_table(open_catalog(urgent), "quarantine")) == digest


def test_a_release_before_its_cause_is_mended_leaves_the_record_held_and_says_why(urgent):
    report = release_records(urgent, Selection(reason_code="value_not_allowed"), **WHO)

    assert report.released == []
    assert [r.reason for r in report.still_held] == ['priority: found "P0", allowed: P1, P2, P3, P4'] * 2
    assert open_ledger(urgent).quarantine_actions() == []


def test_a_record_that_was_mended_badly_is_still_held_in_its_new_words(urgent):
    (record,) = held(urgent, window=Window.of_keys("2026-04-15", "2026-04-15"))
    path = urgent.manifests / "2026-04-15.jsonl"
    path.write_text(path.read_text().replace('"P0"', '"P00"'))

    report = release_records(urgent, Selection(record_ids=frozenset({record.record_id})), **WHO)

    assert report.released == []
    assert [r.reason for r in report.still_held] == ['priority: found "P00", allowed: P1, P2, P3, P4']


def test_a_release_whose_source_cannot_be_read_says_so_and_loses_nothing(urgent):
    allow_p0(urgent)
    (urgent.manifests / "2026-04-15.jsonl").unlink()

    report = release_records(urgent, Selection(asset=TICKET_EVENTS), **WHO)

    assert [r.partition for r in report.released] == ["2026-04-16"]
    assert [r.partition for r in report.still_held] == ["2026-04-15"]
    assert len(report.problems) == 1 and report.problems[0].startswith("raw_ticket_events 2026-04-15: ")
    assert ("2026-04-15", "2026-04-15-good") in loaded(urgent)


def test_too_large_a_share_of_held_records_fails_the_partition_until_they_are_discarded(urgent):
    before = check(urgent, "quarantine_share", "2026-04-15")
    (record,) = held(urgent, window=Window.of_keys("2026-04-15", "2026-04-15"))

    discard_records(urgent, Selection(record_ids=frozenset({record.record_id})), reason="a test ticket", by="bo")

    assert not before.passed and before.severity == "error"
    assert before.message == (
        "1 of 2 records are held in quarantine (50.0%), allowed are 5.0%; next: omni quarantine list --partition 2026-04-15"
    )
    assert check(urgent, "quarantine_share", "2026-04-15").passed
    assert not check(urgent, "quarantine_share", "2026-04-16").passed
    assert [r.partition for r in held(urgent)] == ["2026-04-15", "2026-04-16"]  # on record, both
    (action,) = open_ledger(urgent).quarantine_actions()
    assert (action.action, action.reason, action.acted_by) == ("discarded", "a test ticket", "bo")


def test_a_discard_first_finds_what_someone_else_wrote_since_its_checks_may_speak_for_rows_that_are_taken_back(urgent):
    day = "2026-04-15"
    stranger = SqlCatalog("lake", uri=f"sqlite:///{urgent.home}/catalog.db", warehouse=urgent.warehouse_url)
    find_table(stranger, TICKET_EVENTS).delete(f"event_id == '{day}-good'")

    discard_records(urgent, Selection(window=Window.of_keys(day, day)), reason="test", by="bo")

    assert [each.partition for each in standing_foreign_writes(open_ledger(urgent))] == [day]


def test_held_records_that_left_their_table_are_not_conserved(urgent):
    find_table(open_catalog(urgent), "quarantine").delete("partition == '2026-04-15'")

    check_partitions(
        urgent, open_catalog(urgent), open_ledger(urgent), TICKET_EVENTS, ["2026-04-15", "2026-04-16"], "run"
    )

    lost = check(urgent, "conservation", "2026-04-15")
    assert not lost.passed and lost.message.endswith("1 quarantined; the tables hold 1 and 0")
    assert check(urgent, "conservation", "2026-04-16").passed


def test_a_discard_outlives_a_later_load(urgent):
    discard_records(urgent, Selection(window=Window.of_keys("2026-04-15", "2026-04-15")), reason="test", by="bo")

    ingest(urgent, window=Window.of_keys("2026-04-15", "2026-04-15"))

    assert check(urgent, "quarantine_share", "2026-04-15").passed


def test_the_share_that_may_be_held_is_a_setting(urgent):
    lenient = urgent.model_copy(update={"max_quarantined_share": 0.5})

    ingest(lenient, window=Window.of_keys("2026-04-15", "2026-04-15"))

    assert check(urgent, "quarantine_share", "2026-04-15").passed


HOSTILE = (
    "x' or asset != 'x",
    '" or 1 == 1 or "',
    "\\' or true --",
    f"{TICKET_EVENTS}\\",
    "x' or partition > '",
    "é’\u2028\N{FULLWIDTH APOSTROPHE} or true",
)
"""Names that would mean every record, or be an error, where a filter is a text that is parsed."""


def test_no_asset_that_a_person_types_widens_what_is_meant(urgent):
    for asset in ("", *HOSTILE):
        with pytest.raises(RecordNotHeld, match="no record is meant"):
            discard_records(urgent, Selection(asset=asset), reason="test", by="bo")

    assert open_ledger(urgent).quarantine_actions() == []


def test_a_load_takes_away_the_held_records_of_its_asset_alone_whatever_that_is_called(urgent):
    table, day = find_table(open_catalog(urgent), "quarantine"), Window.of_keys("2026-04-15", "2026-04-15")
    (row,) = table.scan(row_filter=rows_of(table, TICKET_EVENTS, day)).to_arrow().to_pylist()
    rows = [{**row, "asset": asset} for asset in HOSTILE]
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))
    left = [(TICKET_EVENTS, "2026-04-15"), (TICKET_EVENTS, "2026-04-16"), *((name, "2026-04-15") for name in HOSTILE)]

    for asset in HOSTILE:
        replace_window(table, rows_of(table, asset, day), [], {})
        left.remove((asset, "2026-04-15"))
        assert sorted((r.asset, r.partition) for r in held(urgent)) == sorted(left)


@pytest.mark.parametrize("selection", [Selection(), Selection(record_ids=frozenset({"nobody"}))])
@pytest.mark.parametrize("act", [release_records, discard_records])
def test_what_is_not_held_can_neither_be_released_nor_discarded(urgent, act, selection):
    with pytest.raises(RecordNotHeld, match="not in quarantine: .*; next: omni quarantine list"):
        act(urgent, selection, **WHO)


def test_a_field_that_the_contract_does_not_name_is_drift_with_its_first_place(settings, declare):
    events = [
        ticket_event(1),
        ticket_event(2, mood="bad", plan="gold"),
        ticket_event(3, mood="good", exported_at="now"),
    ]
    write_lines(settings.manifests / "a.jsonl", [*events, "broken"])
    declare(ticket_manifest([source("a", "a.jsonl")]))

    report = ingest(settings.model_copy(update={"max_quarantined_share": 0.5}))

    drift = check(settings, "contract_drift", "2026-04-15")
    assert (drift.passed, drift.severity) == (False, "warn")
    assert drift.message == (
        "fields that the contract does not name: mood (first in a.jsonl:2), plan (first in a.jsonl:2); they are kept in "
        "`extra`; next: add them to the contract, or ask the source to drop them"
    )
    assert report.is_complete  # a warning holds nothing back
