"""What is expected in Bronze, day by day, from the ledger alone: `omni coverage`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lakehouse.counted import counted
from lakehouse.ledger.evidence import Coverage
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import Window, parse_day


@dataclass(frozen=True)
class _Day:
    partition: str
    rows: list[Coverage]

    @property
    def records(self) -> int:
        return sum(row.rows_expected or 0 for row in self.rows)

    @property
    def unread(self) -> int:
        """Files of which nothing is known but that they declare the day."""
        return sum(row.rows_expected is None for row in self.rows)

    @property
    def problems(self) -> list[str]:
        return sorted({row.problem for row in self.rows if row.problem})


def coverage_lines(ledger: Ledger, assets: Iterable[str], window: Window | None) -> list[str]:
    """Coverage for a person: per asset one line a day, its problems below it, then the sums and the high-water mark."""
    lines = []
    for name in assets:
        days = list(_days(ledger, name, window))
        lines += [line for day in days for line in _day_lines(name, day)]
        span = f"{days[0].partition} to {days[-1].partition}" if days else "no days"
        records = counted(sum(day.records for day in days), "record")
        lines.append(f"{name}: {span}, {counted(len(days), 'day')}, {records} expected")
        if mark := ledger.high_water_mark(name):
            lines.append(f"{name}: high-water mark {mark:%Y-%m-%dT%H:%M:%SZ}")
    return lines


def coverage_json(ledger: Ledger, assets: Iterable[str], window: Window | None) -> list[dict[str, Any]]:
    """Coverage as JSON values: one object per asset, day and source file."""
    return [
        {
            "asset": name,
            "partition": day.partition,
            "manifest_id": row.manifest_id,
            "source_id": row.source_id,
            "source_file": row.source_file,
            "rows_expected": row.rows_expected,
            "first_at": row.first_at and row.first_at.isoformat(),
            "last_at": row.last_at and row.last_at.isoformat(),
            "problem": row.problem,
        }
        for name in assets
        for day in _days(ledger, name, window)
        for row in day.rows
    ]


def _days(ledger: Ledger, asset: str, window: Window | None) -> Iterator[_Day]:
    for (_, partition), rows in sorted(ledger.coverage(asset).items()):
        if window is None or parse_day(partition) in window:
            yield _Day(partition, sorted(rows, key=lambda row: (row.manifest_id, row.source_id, row.source_file)))


def _day_lines(asset: str, day: _Day) -> Iterator[str]:
    unread = f", {day.unread} of them not read" if day.unread else ""
    records, files = counted(day.records, "record"), counted(len(day.rows), "file")
    yield f"{asset}  {day.partition}  {records:>17}  {files:>10}{unread}"
    for problem in day.problems:
        yield f"    {problem}"
