"""The `volume` check of a day of records (warn): it holds no fewer than is usual for its day of the week.

Usual is the median of the last eight days of the same weekday that were loaded with records; with fewer than four of
them nothing is usual yet. Judged against earlier days, whatever was loaded later: when one of them is loaded again,
later days keep their results. Called by `loaders.bronze.checks`.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import islice
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
        rows_of: Day that was loaded with records → how many, of all partitions of the asset, the earliest first.
        share: Of what is usual, that a day must reach, 0 to 1.
    """
    weekday = f"{parse_day(item.partition):%A}"
    compared = [*islice(_weeks_before(item.partition, rows_of), _COMPARED)]
    if len(compared) < _NEEDED:
        return f"{item.rows.loaded} records; {len(compared)} earlier {weekday}s, {_NEEDED} are needed to compare", 0
    usual = median(compared)
    message = f"{item.rows.loaded} records; usual are {usual:g}, the median of {len(compared)} earlier {weekday}s"
    if item.rows.loaded >= share * usual:
        return message, 0
    lacking = f"{message}, of which {share:.0%} are expected at least; next: ask the source for the rest, or, if so few"
    return f"{lacking} are right, leave it: the share is `checks.volume.at_least` of the contract", 1


def _weeks_before(day: str, rows_of: Mapping[str, int]) -> Iterator[int]:
    """Records of the earlier days of the same weekday that have any, the latest first."""
    first, at = next(iter(rows_of), day), parse_day(day)
    while (at := at - timedelta(weeks=1)).isoformat() >= first:
        if (rows := rows_of.get(at.isoformat())) is not None:
            yield rows
