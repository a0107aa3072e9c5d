"""The verdicts of a report as a map of assets by days, month by month. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from lakehouse.partitions import WHOLE
from orchestration.readiness.verdicts import Verdict

_LATEST = 3


@dataclass(frozen=True)
class Month:
    """The verdicts of one calendar month. Grain of a row: asset."""

    name: str
    days: list[str]
    rows: dict[str, list[Verdict]]
    is_folded: bool
    """An earlier month in which nothing is wrong: its sums say enough."""

    @property
    def safe(self) -> int:
        """Partitions that are safe to consume."""
        return sum(verdict.is_ready for verdicts in self.rows.values() for verdict in verdicts)


def months(verdicts: Sequence[Verdict], days: Sequence[str]) -> list[Month]:
    """The months of some days, the earliest first, each with a row per partitioned asset."""
    of: dict[str, dict[str, Verdict]] = defaultdict(dict)
    for verdict in verdicts:
        if verdict.partition != WHOLE:
            of[verdict.asset][verdict.partition] = verdict
    named = [(name, list(found)) for name, found in groupby(days, key=lambda day: day[:7])]
    latest = {name for name, _ in named[-_LATEST:]}
    return [_month(name, found, of, name in latest) for name, found in named]


def _month(name: str, days: list[str], of: dict[str, dict[str, Verdict]], is_late: bool) -> Month:
    rows = {asset: [by_day[day] for day in days] for asset, by_day in of.items()}
    return Month(name, days, rows, is_folded=not is_late and not any(_problems(rows)))


def _problems(rows: dict[str, list[Verdict]]) -> Iterator[bool]:
    return (verdict.is_problem for verdicts in rows.values() for verdict in verdicts)
