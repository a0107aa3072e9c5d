"""The horizon: the days of an asset that anything is known of. Outside of it a day is UNKNOWN, never EMPTY.

Pure. Of a Bronze asset one range, from the first to the last day that a source covers, a declared window names or an
expectation schedules; of a derived one the days that anything it reads is known of.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from lakehouse.ledger.declarations import Declaration
from lakehouse.partitions import WHOLE, Window, parse_day
from loaders.manifests.expectations import Expectation

Range = tuple[str, str]
"""Partition keys of the first and the last day, both inside."""
_AFTER_ALL = "~"
"""Sorts after every partition key."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """Ranges of days in order, apart from each other; none: nothing is known at all."""

    ranges: tuple[Range, ...] = ()
    is_open: bool = False
    """It reads what is no asset, of whose days the ledger knows nothing."""

    @classmethod
    def spanning(cls, keys: Iterable[str]) -> "Horizon":
        """From the first to the last of these days."""
        found = list(keys)
        return cls(((min(found), max(found)),) if found else ())

    @property
    def last(self) -> date | None:
        """The last day; None where nothing is known of any."""
        return parse_day(self.ranges[-1][1]) if self.ranges else None

    def covers(self, key: str) -> bool:
        """Whether anything is known of a partition; of an asset that is not partitioned, where of any day."""
        if key == WHOLE:
            return bool(self.ranges) or self.is_open
        at = bisect_left(self.ranges, (key, _AFTER_ALL))
        return at > 0 and key <= self.ranges[at - 1][1]

    def __or__(self, other: "Horizon") -> "Horizon":
        if self == other or other == Horizon():
            return self
        merged: list[Range] = []
        for first, last in sorted((*self.ranges, *other.ranges)):
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return Horizon(tuple(merged), self.is_open or other.is_open)

    def __str__(self) -> str:
        return ", ".join(first if first == last else f"{first}..{last}" for first, last in self.ranges)


def known_horizons(covered: Iterable[tuple[str, str]], declared: Iterable[Declaration]) -> dict[str, Horizon]:
    """What sources cover and manifests declare of each Bronze asset, from the first to the last day.

    Args:
        covered: Asset and partition of whatever the sources cover.
        declared: What the manifests of the sources declare.
    """
    days: dict[str, set[str]] = {}
    for asset, partition in covered:
        days.setdefault(asset, set()).add(partition)
    for each in declared:
        if each.window is not None:
            days.setdefault(each.asset, set()).update((each.window.first_key, each.window.last_key))
    return {asset: Horizon.spanning(found) for asset, found in days.items()}


def with_scheduled(known: Mapping[str, Horizon], scheduled: Mapping[Expectation, Sequence[date]]) -> dict[str, Horizon]:
    """The horizon of each Bronze asset: what is known of it, up to the first and the last day that is scheduled."""
    found = dict(known)
    for expectation, days in scheduled.items():
        if days:
            ranges = found.get(expectation.asset, Horizon()).ranges
            ends = (day for each in ranges for day in each)
            found[expectation.asset] = Horizon.spanning((*ends, days[0].isoformat(), days[-1].isoformat()))
    return found


def span(horizons: Iterable[Horizon]) -> Window | None:
    """From the first to the last day of any of them; None where nothing is known of any."""
    ranges = [each for horizon in horizons for each in horizon.ranges]
    return Window.of_keys(min(first for first, _ in ranges), max(last for _, last in ranges)) if ranges else None
