"""What arrives, and what of it is loaded: declared windows, load modes, replays, growing folders, releases."""

from datetime import UTC, date, datetime

import pytest

from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import QUARANTINE
from lakehouse.partitions import Window
from lakehouse.tables.catalog import list_tables, open_catalog
from loaders.ingest import ingest
from loaders.seed_loader import release_source
from tests.conftest import TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines
from tests.integration.loaders.test_bronze import rows


def loaded(settings):
    """Partitions and event ids of what is in Bronze."""
    if "bronze.raw_ticket_events" not in list_tables(open_catalog(settings), "bronze"):
        return []
    return sorted(rows(settings, TICKET_EVENTS, "strftime(occurred_at, '%Y-%m-%d'), event_id"))


def held(settings):
    return sorted(rows(settings, QUARANTINE, "partition, reason_code, source_file, source_line"))


def just_loaded(report):
    return [item.partition for item in report.loads[0].loaded]


# ── declared windows ─────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("folder", ["dt=2026-04-15", "event_date=2026-04-15", "year=2026/month=04/day=15"])
def test_a_record_of_another_day_than_its_hive_folder_is_quarantined_on_the_folders_day(settings, declare, folder):
    records_ = [ticket_event(1), ticket_event(2, "2026-04-16"), ticket_event(3)]
    write_lines(settings.manifests / "events" / folder / "a.jsonl", records_)
    declare(ticket_manifest([source("a", "events")]))

    report = ingest(settings)

    assert loaded(settings) == [("2026-04-15", "e1"), ("2026-04-15", "e3")]
    assert held(settings) == [("2026-04-15", "outside_window", f"events/{folder}/a.jsonl", 2)]
    ((reason,),) = rows(settings, QUARANTINE, "reason")
    assert reason == (
        "found 2026-04-16 10:00:00+00, the file declares records from 2026-04-15T00:00:00Z before 2026-04-16T00:00:00Z"
    )
    checks = {check.check: check.passed for check in report.loads[0].checks}
    assert checks == {
        "conservation": True,
        "quarantine_share": False,
        "contract_drift": True,
        "volume": True,
    }  # nothing is lost


def test_a_folder_that_names_no_day_declares_nothing(settings, declare):
    write_lines(settings.manifests / "dt=2026-02-31" / "a.jsonl", [ticket_event(1)])
    declare(ticket_manifest([source("a", "dt=2026-02-31/a.jsonl")]))

    ingest(settings)

    assert (loaded(settings), held(settings)) == ([("2026-04-15", "e1")], [])


def test_a_record_outside_the_window_that_its_manifest_declares_is_quarantined_as_such(settings, declare):
    window = {"start_at": "2026-04-15T00:00:00Z", "end_at": "2026-04-16T08:00:00+08:00"}
    events = [ticket_event(1), ticket_event(2, "2026-04-16"), ticket_event(3, "2026-04-14")]
    write_lines(settings.manifests / "a.jsonl", events)
    declare(ticket_manifest([source("a", "a.jsonl")], selection_window=window))

    ingest(settings)

    assert loaded(settings) == [("2026-04-15", "e1")]
    assert [(key, code) for key, code, _, _ in held(settings)] == [("2026-04-15", "outside_window")] * 2


def test_the_bounds_of_what_is_plausible_are_settings(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1, "1999-12-31"), ticket_event(2, "2026-05-04")])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    strict = [code for _, code, _, _ in held(settings)]

    ingest(settings.model_copy(update={"earliest_instant": date(1990, 1, 1), "latest_after_batch_hours": 240}))

    assert strict == ["implausible_instant"] * 2
    assert (loaded(settings), held(settings)) == ([("1999-12-31", "e1"), ("2026-05-04", "e2")], [])


def test_a_load_of_some_days_reads_no_file_that_declares_others_and_expects_them_all_the_same(settings, declare):
    for day in ("2026-04-14", "2026-04-15", "2026-04-16"):
        write_lines(settings.manifests / f"dt={day}" / "a.jsonl", [ticket_event(1, day, event_id=day)])
    declare(ticket_manifest([source("a", "*/a.jsonl")]))

    one_day = ingest(settings, window=Window.of_keys("2026-04-15", "2026-04-15"))
    stamps = {file.source_file: file.stamp for file in open_ledger(settings).files_looked_at_since(None)}
    expected = {key[1]: rows_[0].rows_expected for key, rows_ in open_ledger(settings).coverage(TICKET_EVENTS).items()}
    everything = ingest(settings)

    assert just_loaded(one_day) == ["2026-04-15"]
    assert [name for name, stamp in sorted(stamps.items()) if stamp.startswith("unread")] == [
        "dt=2026-04-14/a.jsonl",
        "dt=2026-04-16/a.jsonl",
    ]
    assert expected == {"2026-04-14": None, "2026-04-15": 1, "2026-04-16": None}
    assert just_loaded(everything) == ["2026-04-14", "2026-04-16"]


# ── load modes ───────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_backfill_brings_the_records_of_its_window_and_no_others(settings, declare):
    window = {"start_at": "2026-04-15T00:00:00Z", "end_at": "2026-04-16T00:00:00Z"}
    events = [ticket_event(1), ticket_event(2, "2026-04-16"), ticket_event(3, "2026-04-14"), "not json"]
    write_lines(settings.manifests / "a.jsonl", events)
    declare(ticket_manifest([source("a", "a.jsonl")], load_mode="backfill", selection_window=window))

    ingest(settings)

    assert loaded(settings) == [("2026-04-15", "e1")]
    assert held(settings) == [("2026-04-15", "broken_record", "a.jsonl", 4)]


def test_a_cursor_is_compared_as_an_instant_and_not_as_text(settings, declare):
    window = {"cursor_field": "updated_at", "cursor_start": "2026-04-17T23:00:00Z"}
    at = {"before": "2026-04-18T00:30:00+08:00", "after": "2026-04-17T23:30:00Z", "far": "2026-04-17T20:00:00-05:00"}
    events = [ticket_event(1, event_id=name, occurred_at=when, updated_at=when) for name, when in at.items()]
    write_lines(settings.manifests / "a.jsonl", events)
    declare(ticket_manifest([source("a", "a.jsonl")], load_mode="incremental_cursor", selection_window=window))

    ingest(settings)

    assert loaded(settings) == [("2026-04-17", "after"), ("2026-04-18", "far")]


@pytest.mark.parametrize(("start", "kept"), [("9", ["e10", "e9"]), ("abc", ["e10", "e9"])])
def test_a_cursor_that_is_a_number_is_compared_as_one(settings, declare, start, kept):
    events = [ticket_event(1, event_id="e9", seq=9 if start == "9" else "abc"), ticket_event(2, event_id="e10", seq=10)]
    events.append(ticket_event(3, event_id="e8", seq=8 if start == "9" else "abb"))
    events[1]["seq"] = 10 if start == "9" else "abd"
    write_lines(settings.manifests / "a.jsonl", events)
    window = {"watermark_field": "seq", "cursor_start": start}
    declare(ticket_manifest([source("a", "a.jsonl")], load_mode="cdc", selection_window=window))

    ingest(settings)

    assert [event_id for _, event_id in loaded(settings)] == kept


# ── replays ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def replay(path, batch="batch-1", **window):
    """The manifest of a batch that is delivered again, much later."""
    fields = {"load_mode": "replay", "created_at": "2026-06-01T00:00:00Z", "batch_id": "batch-again"}
    return ticket_manifest([source("a", path)], 9, selection_window={"replay_from_batch": batch, **window}, **fields)


def test_a_replay_repeats_its_batch_and_rolls_back_nothing_that_came_later(settings, declare):
    write_lines(settings.manifests / "first.jsonl", [ticket_event(1, status="new"), ticket_event(2, status="new")])
    write_lines(settings.manifests / "later.jsonl", [ticket_event(1, status="open")])
    declare(ticket_manifest([source("a", "first.jsonl")], 1))
    declare(ticket_manifest([source("a", "later.jsonl")], 2, created_at="2026-05-02T00:00:00Z"))
    declare(replay("first.jsonl"))

    ingest(settings)

    assert sorted(rows(settings, TICKET_EVENTS, "event_id, status")) == [("e1", "open"), ("e2", "new")]


def test_a_replay_that_tells_its_batch_in_other_words_adds_what_was_missing_and_changes_nothing(settings, declare):
    write_lines(settings.manifests / "first.jsonl", [ticket_event(1, status="new")])
    write_lines(settings.manifests / "again.jsonl", [ticket_event(1, status="open"), ticket_event(2, status="open")])
    declare(ticket_manifest([source("a", "first.jsonl")], 1))
    declare(replay("again.jsonl"))

    ingest(settings)

    assert sorted(rows(settings, TICKET_EVENTS, "event_id, status")) == [("e1", "new"), ("e2", "open")]


def test_a_replay_brings_back_a_batch_whose_own_manifest_is_gone(settings, declare):
    write_lines(settings.manifests / "first.jsonl", [ticket_event(1), ticket_event(2, "2026-04-16")])
    first = declare(ticket_manifest([source("a", "first.jsonl")], 1))
    ingest(settings)
    first.unlink()
    declare(replay("first.jsonl", start_at="2026-04-16T00:00:00Z", end_at="2026-04-17T00:00:00Z"))

    ingest(settings)

    assert loaded(settings) == [("2026-04-16", "e2")]  # the window of a replay selects, too


def test_a_replay_never_moves_the_high_water_mark(settings, declare):
    write_lines(settings.manifests / "first.jsonl", [ticket_event(1)])
    write_lines(settings.manifests / "again.jsonl", [ticket_event(1), ticket_event(2, "2026-04-28")])
    declare(ticket_manifest([source("a", "first.jsonl")], 1))
    ingest(settings)
    mark = open_ledger(settings).high_water_mark(TICKET_EVENTS)
    declare(replay("again.jsonl"))

    ingest(settings)

    assert mark == datetime(2026, 4, 15, 10, tzinfo=UTC)
    assert open_ledger(settings).high_water_mark(TICKET_EVENTS) == mark
    assert ("2026-04-28", "e2") in loaded(settings)


def test_a_replay_of_a_batch_that_was_never_admitted_is_refused_and_says_so(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1)])
    declare(replay("a.jsonl", batch="batch-nobody-knows"))

    report = ingest(settings)

    assert report.problems == [
        "manifest-tickets-20260501-009.json: replays batch batch-nobody-knows, which was never admitted; "
        "next: name a batch of `omni manifests list --all`"
    ]
    assert loaded(settings) == []


# ── growing folders ──────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_file_that_joins_a_folder_is_read_and_opens_its_days_alone(settings, declare):
    write_lines(settings.manifests / "events" / "a.jsonl", [ticket_event(1), ticket_event(2, "2026-04-16")])
    declare(ticket_manifest([source("a", "events")]))
    ingest(settings)
    ledger = open_ledger(settings)
    before = datetime.now(UTC)
    write_lines(settings.manifests / "events" / "late.jsonl", [ticket_event(3)])

    report = ingest(settings)

    assert [file.source_file for file in ledger.files_looked_at_since(before)] == ["events/late.jsonl"]
    assert just_loaded(report) == ["2026-04-15"]
    assert report.loads[0].unchanged == 1


def test_lines_that_join_a_file_open_their_days_and_no_others(settings, declare):
    events = [ticket_event(1), ticket_event(2, "2026-04-16")]
    write_lines(settings.manifests / "a.jsonl", events)
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    write_lines(settings.manifests / "a.jsonl", [*events, "broken behind the sixteenth"])

    report = ingest(settings)

    assert just_loaded(report) == ["2026-04-16"]


def test_a_file_that_vanishes_while_the_contract_changes_empties_nothing(settings, declare):
    for day in ("2026-04-15", "2026-04-16"):
        write_lines(settings.manifests / "events" / f"{day}.jsonl", [ticket_event(1, day, event_id=day)])
    declare(ticket_manifest([source("a", "events/*.jsonl")]))
    ingest(settings)
    (settings.manifests / "events" / "2026-04-15.jsonl").unlink()

    report = ingest(settings.model_copy(update={"latest_after_batch_hours": 72}))

    assert list(report.loads[0].refused) == ["2026-04-15"]
    assert loaded(settings) == [("2026-04-15", "2026-04-15"), ("2026-04-16", "2026-04-16")]


# ── releases ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_quarantined_source_is_loaded_once_released_and_held_again_in_another_version(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1)])
    manifest = ticket_manifest([source("a", "a.jsonl", pii_scan_status="suspected")])
    declare(manifest)
    ingest(settings)
    before = loaded(settings)

    release_source(settings, open_ledger(settings), manifest["manifest_id"], "a", reason="cleared", by="ana")
    report = ingest(settings)
    after = loaded(settings)
    declare({**manifest, "owner": "another"})
    ingest(settings)

    assert (before, after, loaded(settings)) == ([], [("2026-04-15", "e1")], [])
    (admission,) = report.admission.admissions
    assert admission.judgment == "warn"
    assert admission.reasons[-1].startswith("released by ana on ") and admission.reasons[-1].endswith(": cleared")


def test_a_new_version_of_a_manifest_says_what_it_changed(settings, declare):
    for name in ("a", "b", "c"):
        write_lines(settings.manifests / f"{name}.jsonl", [ticket_event(1, event_id=name)])
    declare(ticket_manifest([source("a", "a.jsonl"), source("b", "b.jsonl")]))
    ingest(settings)
    declare(ticket_manifest([source("b", "c.jsonl"), source("c", "c.jsonl")], owner="content"))

    report = ingest(settings)
    again = ingest(settings)

    assert report.admission.changes == {
        "manifest-tickets-20260501-001": [
            "owner was support, is content",
            "source c came",
            "source a went",
            "source b: source_url_or_path was b.jsonl, is c.jsonl",
        ]
    }
    assert again.admission.changes == {}
