"""The quick ways to count and to type records give what the careful ways give."""

import os

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lakehouse.contracts.registry import load_contract
from lakehouse.settings import LakehouseSettings
from loaders.events import counting
from loaders.events.counting import count_days, count_plainly
from loaders.events.dating import Dating
from loaders.events.quick_typing import QuickTyper
from loaders.events.record_typing import RecordTyper
from loaders.events.records import connect
from loaders.manifests.admission import Admission
from loaders.manifests.manifest import Manifest
from loaders.sources.bounds import Bounds
from loaders.sources.files import find_files
from loaders.sources.reading import local_file, open_stream
from tests.conftest import TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines

MORE = 50 if os.environ.get("OMNI_SOAK") else 1
"""Examples of `make soak` for one of the tests."""


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

BOUNDS = Bounds.of(LakehouseSettings())


def plain_source(settings, folder):
    """A source of JSON lines, `a.jsonl`: its admission, how its records are dated, and their typer."""
    manifest = Manifest.model_validate(ticket_manifest([source("a", "a.jsonl")]))
    admission = Admission(None, manifest, manifest.assets[0], TICKET_EVENTS, "accept", ())
    contract = load_contract(settings, "ticket_event")
    dating = Dating.of_file(settings, contract, manifest, "a.jsonl")
    typer = RecordTyper(contract, admission, dating, connect(folder))
    return admission, dating, typer


ODD_LINES = st.sampled_from(
    ["", "  ", "null", "[1]", "{", '{"occurred_at": }', '{"a":1}{"b":2}', ' {"x": 1}', "{}", "12"]
)


PLAIN = st.builds(
    lambda day, x: {"occurred_at": f"2026-04-{day}T10:00:00Z", "x": x}, st.integers(10, 17), st.text(max_size=3)
)
NEARLY_PLAIN = st.sampled_from(
    [
        f'{{"occurred_at":"2026-04-15T10:00:00Z"{more}}}'
        for more in (
            "",
            ',"a":NaN',
            ',"a":01',
            ',"a":1,',
            ',"a":"x\ty"',
            ',"a":"\\ud800"',
            ',"a":1e999',
            ',"occurred_at":"2026-04-16T10:00:00Z"',
            ',"\\u006fccurred_at":"2026-04-16T10:00:00Z"',
            ',"a":[1,]',
            "} {",
            "}\r",
        )
    ]
    + ['{"occurred_at":"2026-04-15T10:00:00\\u005a"}']
)


@hypothesis_settings(max_examples=40 * MORE)
@given(
    lines=st.one_of(
        st.lists(st.one_of(RECORDS, ODD_LINES), max_size=8),
        st.lists(st.one_of(PLAIN, PLAIN, PLAIN, NEARLY_PLAIN), min_size=1, max_size=6),
    )
)
def test_all_ways_to_count_find_the_days_that_the_load_finds(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("lines")
    write_lines(folder / "a.jsonl", lines)
    settings = LakehouseSettings(home=folder)
    admission, dating, typer = plain_source(settings, folder)
    (file,) = find_files(settings, folder / "manifest.json", admission.source)

    def counted(quick):
        with pytest.MonkeyPatch.context() as patch, local_file(file, admission.source, folder) as local:
            if not quick:
                patch.setattr(counting, "_date_quickly", lambda *_: False)
            contract = load_contract(settings, "ticket_event")
            return count_days(settings, contract, admission, file, local, dating, connect(folder), folder)

    with (folder / "a.jsonl").open("rb") as stream, connect(folder) as connection:
        typed = [row for table in typer.type_lines(stream, "a.jsonl", BOUNDS) for row in table.to_pylist()]
        schema = pa.schema([("source_line", pa.int64()), ("day", pa.date32())])
        connection.register("typed", pa.Table.from_pylist(typed, schema))
        query = f"select partition::varchar, count(*) from ({dating.partitioned('typed')}) group by 1 order by 1"
        loaded = connection.execute(query).fetchall()
    assert [(day.partition, day.records) for day in counted(quick=True)] == loaded
    assert counted(quick=True) == counted(quick=False)
    contract = load_contract(settings, "ticket_event")
    with open_stream(file, admission.source) as stream:
        plainly = count_plainly(contract, stream, file, dating, connect(folder))
    assert plainly is None or plainly == counted(quick=True)


def test_plain_lines_of_several_days_are_counted_without_their_sql(tmp_path):
    lines = [{"occurred_at": f"2026-04-{day}T10:00:00Z", "n": n} for n, day in enumerate((15, 16, 15))]
    write_lines(tmp_path / "a.jsonl", lines)
    settings = LakehouseSettings(home=tmp_path)
    admission, dating, _ = plain_source(settings, tmp_path)
    (file,) = find_files(settings, tmp_path / "manifest.json", admission.source)

    with open_stream(file, admission.source) as stream:
        found = count_plainly(load_contract(settings, "ticket_event"), stream, file, dating, connect(tmp_path))

    assert [(day.partition, day.records) for day in found] == [("2026-04-15", 2), ("2026-04-16", 1)]


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
            "priority": st.sampled_from(["P1", "p1", "p1_critical", None, 1]),
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


NEARLY_PLAIN = st.builds(
    lambda number, odd: ticket_event(number, **odd),
    st.integers(1, 3),
    st.sampled_from(
        [
            {},
            {"sla_due_at": "2026-04-16T08:00:00Z", "tags": ["a", "ä"], "error_codes": []},
            {"ticket_id": None},
            {"ticket_id": ""},
            {"ticket_id": " "},
            {"status": "odd"},
            {"priority": "p1"},
            {"priority": "p1_critical", "status": "in_progress"},
            {"subject": "x" * 10_000},
            {"subject": 'the "a\\b"\n'},
            {"event_type": None},
            {"occurred_at": None},
            {"occurred_at": "1970-01-01T00:00:00Z"},
            {"occurred_at": "2099-01-01T00:00:00Z"},
            {"event_id": None},
            {"tags": ["a", None]},
            {"tags": ['a"']},
        ]
    ),
)


@hypothesis_settings(max_examples=40 * MORE)
@example(lines=[{**ticket_event(1), "occurred_at": None, "event_type": None}])
@example(lines=[ticket_event(1), ticket_event(2, occurred_at=None)])
@example(lines=[ticket_event(1, subject='the "a\\b"\n'), ticket_event(2)])
@example(lines=[ticket_event(1, tags=["a", "ä"]), ticket_event(2, tags=[], sla_due_at="2026-04-16T08:00:00Z")])
@given(
    lines=st.one_of(
        st.lists(st.one_of(EVENTS, EVENTS, ODD_LINES), max_size=6), st.lists(NEARLY_PLAIN, min_size=1, max_size=2)
    )
)
def test_the_quick_way_to_type_gives_what_the_careful_way_gives(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("lines")
    path = write_lines(folder / "a.jsonl", lines)
    _, _, typer = plain_source(LakehouseSettings(home=folder), folder)

    def typed(quick):
        with pytest.MonkeyPatch.context() as patch, path.open("rb") as stream:
            if not quick:
                patch.setattr(QuickTyper, "type_chunk", lambda *_: None)
            return sorted(
                (row for table in typer.type_lines(stream, "a.jsonl", BOUNDS) for row in table.to_pylist()),
                key=lambda row: row["source_line"],
            )

    assert typed(quick=True) == typed(quick=False)
