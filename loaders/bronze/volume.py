"""The `volume` check of a day of records (warn): it holds no fewer than is usual for its day of the week.

Usual is the median of the last eight days of the same weekday that were loaded with records; with fewer than four of
them nothing is usual yet. Judged against earlier days, whatever was loaded later: when one of them is loaded again,
later days keep their results. Called by `loaders.bronze.checks`.
"""

from collections.abc import Mapping
from datetime import timedelta
from statistics import median

from lakehouse.ledger.evidence import Materialization
from lakehouse.partitions import parse_day
from loaders.plans.findings import Finding

_COMPARED, _NEEDED = 8, 4
"""Days that make what is usual: the most, the fewest."""


def volume(item: Materialization, rows_of: Mapping[str, int], share: float) -> Finding:
    """Judge how many records a day holds.

    Args:
        item: The partition.
        rows_of: Day that was loaded with records → how many, of all partitions of the asset.
        share: Of what is usual, that a day must reach, 0 to 1.
    """
    day = parse_day(item.partition)
    weekday = f"{day:%A}"
    earlier = sorted(key for key in rows_of if key < item.partition and _is_weeks_before(key, item.partition))
    compared = [rows_of[key] for key in earlier[-_COMPARED:]]
    if len(compared) < _NEEDED:
        return f"{item.rows.loaded} records; {len(compared)} earlier {weekday}s, {_NEEDED} are needed to compare", 0
    usual = median(compared)
    message = f"{item.rows.loaded} records; usual are {usual:g}, the median of {len(compared)} earlier {weekday}s"
    if item.rows.loaded >= share * usual:
        return message, 0
    lacking = f"{message}, of which {share:.0%} are expected at least; next: ask the source for the rest, or, if so few"
    return f"{lacking} are right, leave it: the share is `checks.volume.at_least` of the contract", 1


def _is_weeks_before(earlier: str, day: str) -> bool:
    return (parse_day(day) - parse_day(earlier)) % timedelta(weeks=1) == timedelta()
