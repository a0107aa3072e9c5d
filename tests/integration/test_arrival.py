"""What arrives, and what of it is loaded: declared windows, load modes, replays, growing folders, releases."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lakehouse.assets import QUARANTINE, TICKET_EVENTS
from lakehouse.catalog import list_tables, open_catalog
from lakehouse.contracts import load_contract
from lakehouse.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from loaders import day_counts
from loaders.admission import Admission
from loaders.dating import Dating
from loaders.day_counts import count_days
from loaders.ingest import ingest
from loaders.manifest import Manifest
from loaders.quick_typing import QuickTyper
from loaders.record_typing import RecordTyper
from loaders.records import connect
from loaders.seed_loader import release_source
from loaders.source_reading import local_file
from loaders.sources import find_files
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.integration.test_bronze import rows


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
    assert checks == {"conservation": True, "quarantine_share": False, "contract_drift": True}  # nothing is lost


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


# ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────────
TIMES = st.one_of(
    st.none(),
    st.sampled_from(
        ["2026-04-15T10:00:00Z", "2026-04-16T00:30:00+08:00", "2026-04-15", "soon", "1970-01-01T00:00:00Z"]
    ),
    st.sampled_from(["2026-04-15 10:00:00Z", "2026-04-15T10:00:00.5Z", "2026-04-15T24:00:00Z"]),
    st.integers(),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
)
RECORDS = st.fixed_dictionaries({}, optional={name: TIMES for name in ("occurred_at", "updated_at", "created_at", "x")})


def plain_source(settings, folder):
    """A source of JSON lines, `a.jsonl`: its admission, how its records are dated, and their typer."""
    manifest = Manifest.model_validate(ticket_manifest([source("a", "a.jsonl")]))
    admission = Admission(None, manifest, manifest.assets[0], "accept", ())
    dating = Dating.of_file(settings, manifest, "a.jsonl")
    typer = RecordTyper(load_contract(settings, "ticket_event"), admission, dating, connect(folder))
    return admission, dating, typer


ODD_LINES = st.sampled_from(
    ["", "  ", "null", "[1]", "{", '{"occurred_at": }', '{"a":1}{"b":2}', ' {"x": 1}', "{}", "12"]
)


@hypothesis_settings(max_examples=60)
@given(lines=st.lists(st.one_of(RECORDS, ODD_LINES), max_size=8))
def test_both_ways_to_count_find_the_days_that_the_load_finds(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("lines")
    write_lines(folder / "a.jsonl", lines)
    settings = LakehouseSettings(home=folder)
    admission, dating, typer = plain_source(settings, folder)
    (file,) = find_files(settings, folder / "manifest.json", admission.source)

    def counted(quick):
        with pytest.MonkeyPatch.context() as patch, local_file(file, admission.source, folder) as local:
            if not quick:
                patch.setattr(day_counts, "_date_clean_lines", lambda *_: False)
            return count_days(settings, admission, "a.jsonl", local, dating, connect(folder), folder)

    with (folder / "a.jsonl").open("rb") as stream, connect(folder) as connection:
        typed = [row for table in typer.type_lines(stream, "a.jsonl") for row in table.to_pylist()]
        schema = pa.schema([("source_line", pa.int64()), ("day", pa.date32())])
        connection.register("typed", pa.Table.from_pylist(typed, schema))
        query = f"select partition::varchar, count(*) from ({dating.partitioned('typed')}) group by 1 order by 1"
        loaded = connection.execute(query).fetchall()
    assert [(day.partition, day.records) for day in counted(quick=True)] == loaded
    assert counted(quick=True) == counted(quick=False)


# ── typing ───────────────────────────────────────────────────────────────────────────────────────────────────────────
TEXTS = st.sampled_from(
    ["x", "", " ", "\u3000", "\t", "7", "true", "ä", "a\\b", 'a"b', "[1]", "{}", "\u2028", "x" * 130]
)
ODD_VALUES = st.one_of(st.none(), st.integers(), st.booleans(), TEXTS, st.lists(TEXTS, max_size=2))
EVENTS = st.builds(
    lambda base, odd: {**base, **odd},
    st.builds(ticket_event, st.integers(1, 3)),
    st.fixed_dictionaries(
        {},
        optional={
            "subject": st.one_of(TEXTS, ODD_VALUES),
            "priority": st.sampled_from(["P1", "p1", None, 1]),
            "tags": st.one_of(st.lists(TEXTS, max_size=2), ODD_VALUES),
            "pii_redacted": st.sampled_from([True, False, "true", None]),
            "resolved_at": TIMES,
            "occurred_at": TIMES,
            "ticket_id": ODD_VALUES,
            "event_id": st.none(),
            "plan": ODD_VALUES,
            "batch_id": TEXTS,
        },
    ),
)


@hypothesis_settings(max_examples=80)
@example(lines=[{**ticket_event(1), "occurred_at": None, "event_type": None}])
@example(lines=[ticket_event(1, tags=["a", "ä"]), ticket_event(2, tags=[], sla_due_at="2026-04-16T08:00:00Z")])
@given(lines=st.lists(st.one_of(EVENTS, EVENTS, ODD_LINES), max_size=6))
def test_the_quick_way_to_type_gives_what_the_careful_way_gives(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("lines")
    path = write_lines(folder / "a.jsonl", lines)
    _, _, typer = plain_source(LakehouseSettings(home=folder), folder)

    def typed(quick):
        with pytest.MonkeyPatch.context() as patch, path.open("rb") as stream:
            if not quick:
                patch.setattr(QuickTyper, "type_chunk", lambda *_: None)
            return sorted(
                (row for table in typer.type_lines(stream, "a.jsonl") for row in table.to_pylist()),
                key=lambda row: row["source_line"],
            )

    assert typed(quick=True) == typed(quick=False)
