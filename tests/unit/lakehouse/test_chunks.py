"""Chunks of days: they cover a window without gap or overlap, and compiled SQL follows their bounds."""

from datetime import date

import pytest

from lakehouse.builds.chunks import MAX_DAYS, Chunk, chunks_of, has_marks, narrowed
from lakehouse.partitions import Window

ROWS = {"2026-04-01": 4, "2026-04-02": 4, "2026-04-05": 4, "2026-04-06": 20, "2026-04-07": 1}


def day(number):
    return date(2026, 4, number)


def test_the_whole_history_is_open_on_both_sides_and_cut_before_days_with_rows():
    assert chunks_of(None, ROWS, max_rows=8) == [
        Chunk(None, day(5)),
        Chunk(day(5), day(6)),
        Chunk(day(6), day(7)),
        Chunk(day(7), None),
    ]


def test_a_window_is_covered_from_end_to_end_by_the_rows_in_it():
    window = Window(day(2), day(30))

    assert chunks_of(window, ROWS, max_rows=8) == [
        Chunk(day(2), day(6)),
        Chunk(day(6), day(7)),
        Chunk(day(7), day(30)),
    ]


@pytest.mark.parametrize("rows", [{}, ROWS])
def test_what_fits_is_one_chunk(rows):
    assert chunks_of(None, rows, max_rows=100) == [Chunk(None, None)]


def test_many_small_days_are_cut_too():
    rows = {date.fromordinal(700_000 + n).isoformat(): 1 for n in range(MAX_DAYS + 1)}

    assert len(chunks_of(None, rows, max_rows=1_000_000)) == 2


MARKED = {
    "window": "/*window:at:timestamp*/ at is not null /*end window*/",
    "up_to_window": "/*up_to_window:at:date*/ at is not null /*end window*/",
    "before_window": "/*before_window:at:date*/ false /*end window*/",
    "window_first_day": "/*window_first_day::date*/ min(at) /*end window*/",
    "window_last_day": "/*window_last_day::date*/ max(at) /*end window*/",
}


@pytest.mark.parametrize(
    ("what", "chunk", "expected"),
    [
        ("window", Chunk(None, None), "at is not null"),
        ("window", Chunk(day(2), None), "at >= timestamptz '2026-04-02 00:00:00+00'"),
        ("window", Chunk(None, day(3)), "at < timestamptz '2026-04-03 00:00:00+00'"),
        ("up_to_window", Chunk(day(2), day(3)), "at < date '2026-04-03'"),
        ("up_to_window", Chunk(day(2), None), "at is not null"),
        ("before_window", Chunk(day(2), day(3)), "at < date '2026-04-02'"),
        ("before_window", Chunk(None, day(3)), "false"),
        ("window_first_day", Chunk(day(2), None), "date '2026-04-02'"),
        ("window_first_day", Chunk(None, day(3)), " min(at) "),
        ("window_last_day", Chunk(None, day(3)), "date '2026-04-02'"),
        ("window_last_day", Chunk(day(2), None), " max(at) "),
    ],
)
def test_marked_text_takes_the_bounds_of_the_chunk(what, chunk, expected):
    assert narrowed(f"select ({MARKED[what]}) as x", chunk) == f"select ({expected}) as x"


def test_only_sql_that_marks_its_window_can_be_narrowed():
    assert has_marks(MARKED["window"])
    assert not has_marks(MARKED["up_to_window"]) and not has_marks("select 1")
