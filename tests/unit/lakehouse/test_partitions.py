"""Partition keys and windows of days: values without I/O."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import OmniError
from lakehouse.partitions import (
    WHOLE,
    InvalidPartition,
    Window,
    contiguous_windows,
    day_ranges,
    named_day,
    parse_day,
    said_once,
)

DAYS = st.dates(date(2026, 2, 20), date(2026, 3, 20))
KEYS = st.sets(DAYS.map(date.isoformat), max_size=20)


def inside(windows):
    return [key for window in windows for key in window.keys]


def shown(windows):
    return [str(window) for window in windows]


def test_a_partition_key_is_the_calendar_day_it_names():
    assert parse_day("2024-02-29") == date(2024, 2, 29)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "2026-04",
        "2026-4-5",
        "2026-02-29",
        "2026-13-01",
        "2026-04-15 ",
        "15.04.2026",
        "2026-04-15T00:00:00",
        "today",
    ],
)
def test_what_names_no_day_is_refused_with_what_was_found_and_what_is_expected(text):
    with pytest.raises(InvalidPartition) as refused:
        parse_day(text)

    assert repr(text) in str(refused.value)
    assert "expected one UTC day such as 2026-04-15" in str(refused.value)


@pytest.mark.parametrize("text", ["20260415", "2026-W16-3"])
def test_a_day_has_one_partition_key_only(text):
    with pytest.raises(InvalidPartition):
        parse_day(text)


def test_a_refused_partition_key_is_an_error_of_this_project_without_a_chained_traceback():
    with pytest.raises(OmniError) as refused:
        parse_day("tomorrow")

    assert refused.value.__suppress_context__


def test_a_window_of_keys_holds_both_keys():
    window = Window.of_keys("2026-02-27", "2026-03-02")

    assert window.keys == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]
    assert list(window) == [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 2)]


def test_a_window_contains_its_first_day_and_not_its_end():
    window = Window(date(2026, 4, 10), date(2026, 4, 12))

    found = [day for day in (date(2026, 4, n) for n in range(9, 14)) if day in window]

    assert found == [date(2026, 4, 10), date(2026, 4, 11)]


def test_a_window_lies_between_two_utc_midnights():
    window = Window.of_day(date(2026, 12, 31))

    assert window.start_at == datetime(2026, 12, 31, tzinfo=UTC)
    assert window.end_at == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_window_of_one_day_is_named_by_that_day():
    assert str(Window.of_day(date(2026, 4, 15))) == "2026-04-15"


def test_a_window_of_many_days_is_named_by_its_first_and_its_last_day():
    assert str(Window.of_keys("2026-04-15", "2026-05-01")) == "2026-04-15..2026-05-01"


@pytest.mark.parametrize("end", [date(2026, 4, 15), date(2026, 4, 14)])
def test_a_window_that_holds_no_day_is_refused(end):
    with pytest.raises(InvalidPartition, match="the end must come after the start"):
        Window(date(2026, 4, 15), end)


def test_keys_in_the_wrong_order_make_no_window():
    with pytest.raises(InvalidPartition):
        Window.of_keys("2026-04-15", "2026-04-13")


NOW = datetime(2026, 5, 1, 1, tzinfo=timezone(timedelta(hours=2)))  # in UTC it is still April


@pytest.mark.parametrize(
    ("typed", "meant"), [("today", "2026-04-30"), ("yesterday", "2026-04-29"), ("2026-04-15", "2026-04-15")]
)
def test_today_and_yesterday_are_days_in_utc(typed, meant):
    assert named_day(typed, NOW).isoformat() == meant


def test_what_is_no_day_is_refused():
    with pytest.raises(InvalidPartition, match="expected one UTC day such as 2026-04-15"):
        named_day("tomorrow", NOW)


def test_what_is_said_of_several_partitions_stands_once_with_their_ranges():
    said = [
        ("a", "2026-04-01", "gone"),
        ("a", "2026-04-03", "gone"),
        ("b", WHOLE, "gone"),
        ("a", "2026-04-02", "gone"),
        ("a", "2026-04-05", "late"),
    ]

    assert said_once(said) == [("a 2026-04-01..2026-04-03", "gone"), ("b", "gone"), ("a 2026-04-05", "late")]


def test_more_ranges_than_a_person_reads_are_counted():
    keys = [f"2026-04-{number:02}" for number in range(1, 16, 2)]

    assert day_ranges(keys[:7]).endswith("2026-04-11 and 1 more range")
    assert day_ranges(keys).endswith("2026-04-11 and 2 more ranges")


def test_windows_sort_by_their_first_day():
    early, late = Window.of_keys("2026-04-01", "2026-04-09"), Window.of_keys("2026-04-02", "2026-04-03")

    assert sorted([late, early]) == [early, late]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], []),
        (["2026-04-15"], ["2026-04-15"]),
        (["2026-04-16", "2026-04-15", "2026-04-15"], ["2026-04-15..2026-04-16"]),
        (["2026-04-15", "2026-04-17"], ["2026-04-15", "2026-04-17"]),
        (["2026-02-28", "2026-03-01"], ["2026-02-28..2026-03-01"]),
    ],
)
def test_days_in_a_row_become_one_window(keys, expected):
    assert shown(contiguous_windows(keys)) == expected


@pytest.mark.parametrize(
    ("bridged_days", "expected"),
    [(1, ["2026-04-01", "2026-04-04"]), (2, ["2026-04-01..2026-04-04"]), (9, ["2026-04-01..2026-04-04"])],
)
def test_a_gap_is_bridged_up_to_so_many_days_and_no_further(bridged_days, expected):
    assert shown(contiguous_windows(["2026-04-01", "2026-04-04"], bridged_days=bridged_days)) == expected


@pytest.mark.parametrize("apart", ["2026-04-02", "2026-04-03"])
def test_a_gap_is_not_bridged_over_a_day_that_must_stay_outside(apart):
    windows = contiguous_windows(["2026-04-01", "2026-04-04"], apart=[apart], bridged_days=7)

    assert shown(windows) == ["2026-04-01", "2026-04-04"]


def test_a_day_that_must_stay_outside_elsewhere_parts_nothing():
    windows = contiguous_windows(["2026-04-01", "2026-04-03"], apart=["2026-04-05"], bridged_days=7)

    assert shown(windows) == ["2026-04-01..2026-04-03"]


def test_a_day_that_is_wanted_is_inside_even_where_it_is_named_apart():
    keys = ["2026-04-01", "2026-04-02"]

    assert shown(contiguous_windows(keys, apart=keys, bridged_days=7)) == ["2026-04-01..2026-04-02"]


@pytest.mark.parametrize("broken", [{"keys": ["soon"]}, {"keys": ["2026-04-01"], "apart": ["soon"]}])
def test_no_window_is_made_of_a_key_that_names_no_day(broken):
    with pytest.raises(InvalidPartition, match="'soon'"):
        contiguous_windows(**broken)


@given(keys=st.lists(DAYS.map(date.isoformat), max_size=20))
def test_windows_without_bridges_cover_exactly_the_days_once_and_never_touch(keys):
    windows = contiguous_windows(keys)

    assert inside(windows) == sorted(set(keys))
    assert all(before.end < after.first for before, after in zip(windows, windows[1:], strict=False))


@given(keys=KEYS, apart=KEYS, bridged_days=st.integers(0, 9))
def test_bridged_windows_hold_every_day_nothing_apart_and_no_longer_gap(keys, apart, bridged_days):
    windows = contiguous_windows(keys, apart=apart, bridged_days=bridged_days)

    covered = inside(windows)
    extra = sorted(set(covered) - keys)
    assert len(covered) == len(set(covered))
    assert keys <= set(covered)
    assert not set(extra) & apart
    assert all(len(gap.keys) <= bridged_days for gap in contiguous_windows(extra))


@given(keys=KEYS.filter(bool), bridged_days=st.integers(0, 9))
def test_a_window_begins_and_ends_with_a_day_that_is_wanted(keys, bridged_days):
    windows = contiguous_windows(keys, bridged_days=bridged_days)

    assert {window.first.isoformat() for window in windows} <= keys
    assert {(window.end - timedelta(days=1)).isoformat() for window in windows} <= keys
