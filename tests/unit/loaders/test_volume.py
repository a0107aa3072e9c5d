"""Is a day as full as its weekday usually is."""

from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.ledger.evidence import Materialization, RowCounts
from lakehouse.partitions import parse_day
from loaders.bronze.volume import volume

MONDAY = "2026-06-15"


def day(rows: int) -> Materialization:
    counts = RowCounts(expected=rows, read=rows, loaded=rows)
    return Materialization("raw_calls", MONDAY, "v", 1, datetime(2026, 6, 16, tzinfo=UTC), "run", counts)


def earlier(*rows: int) -> dict[str, int]:
    """Mondays before the day that is judged, the latest last."""
    last = parse_day(MONDAY)
    return {str(last - timedelta(weeks=len(rows) - at)): count for at, count in enumerate(rows)}


@pytest.mark.parametrize(
    ("rows", "before", "failures"),
    [
        (50, earlier(100, 100, 100, 100), 0),
        (49, earlier(100, 100, 100, 100), 1),
        (49, earlier(100, 100, 100), 0),
        (0, {}, 0),
        (0, earlier(1, 1, 1, 1), 1),
        (50, earlier(10, 10, 90, 110), 0),
        (50, earlier(10, 90, 110, 2_000), 0),
        (50, earlier(*(4 * [1]), *(8 * [110])), 1),
        (50, earlier(*(8 * [110]), *(8 * [100])), 0),
    ],
)
def test_a_day_reaches_half_of_the_median_of_its_last_eight_weekdays(rows, before, failures):
    assert volume(day(rows), before, 0.5)[1] == failures


def test_other_weekdays_later_days_and_the_day_itself_say_nothing(rows=10):
    monday = parse_day(MONDAY)
    others = {str(monday - timedelta(days=n)): 1_000 for n in range(1, 60) if n % 7}
    later = {str(monday + timedelta(weeks=n)): 1_000 for n in range(10)}

    message, failures = volume(day(rows), dict(sorted({**others, **later}.items())), 0.5)

    assert (message, failures) == ("10 records; 0 earlier Mondays, 4 are needed to compare", 0)


def test_the_message_says_what_is_usual_and_what_to_do():
    message, _ = volume(day(79), earlier(100, 100, 100, 104, 96), 0.8)

    assert message == (
        "79 records; usual are 100, the median of 5 earlier Mondays, of which 80% are expected at least; next: ask the "
        "source for the rest, or, if so few are right, leave it: the share is `checks.volume.at_least` of the contract"
    )
