"""Partitions whose rows may not be those that the ledger knows: someone else wrote them, or a run of ours that died.

`lakehouse.proof.foreign_writes` finds the former, a run says before its commit that it begins one of the latter; the
verdicts, a load's plan and a build's pins ask. What is recorded speaks of the materialization that was current then:
the next one of the partition is free of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, insert, select

from lakehouse.ledger import schema as t
from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.ledger import MOST_VALUES, Ledger


@dataclass(frozen=True, slots=True)
class ForeignWrite:
    """What was found of one partition."""

    asset: str
    partition: str
    materialization_id: int | None
    """The materialization that was current; None where there was none."""
    snapshot_id: int | None
    """Snapshot of a materialization that was committed and not recorded yet."""
    left_at: datetime | None
    """When we had left the table (UTC); None where that is not known."""
    found_at: datetime
    """When it was found (UTC)."""
    change: str
    """What differs, for a person."""
    run_id: str | None = None
    """The run of ours that began to write it; None where it was someone else."""

    @property
    def reason(self) -> str:
        """One line for a verdict."""
        if self.run_id is not None:
            return f"run {self.run_id} {self.change}"
        since = f" since {self.left_at:%Y-%m-%d %H:%M} UTC" if self.left_at else ""
        return f"written by someone else{since}: {self.change}"

    def speaks_of(self, item: Materialization | None) -> bool:
        """Whether a partition with this materialization (None: without any) still holds what was found."""
        if item is None:
            return self.materialization_id is None
        if self.materialization_id is not None and item.id <= self.materialization_id:
            return True
        if self.run_id is not None:  # who began later takes it back; who did not may have been written over
            return item.run_id != self.run_id
        return self.snapshot_id is not None and item.snapshot_id == self.snapshot_id


def record_foreign_writes(ledger: Ledger, found: Iterable[ForeignWrite]) -> None:
    """Record what was found."""
    rows = [{name: getattr(each, name) for name in ForeignWrite.__slots__} for each in found]
    if rows:
        with ledger.engine.begin() as connection:
            connection.execute(insert(t.foreign_writes), rows)


class Write:
    """A write of a run to partitions of an asset, from before its commit until what came of it is on record.

    A process that dies between its commit and its record leaves rows by which the ledger would call an older state
    current: should the model be edited back, it would pass for computed by it.
    """

    def __init__(self, ledger: Ledger, asset: str, partitions: Iterable[str], run_id: str) -> None:
        """Nothing is said yet."""
        self._ledger, self._asset, self._partitions, self._run_id = ledger, asset, list(partitions), run_id
        self._recorded_before = 0

    def begin(self) -> None:
        """Say that the run is about to replace the partitions: until it records what came of it, nothing is known.

        Said before each attempt to commit, after the table was looked at. So of two runs of a partition the one that
        said so last wrote last, if it wrote at all: the commit of the other would be one that it has not seen.
        """
        self._recorded_before = self._ledger.last_materialization()
        current, now = self._ledger.current_materializations([self._asset]), datetime.now(UTC)
        change = f"began to write it at {now:%Y-%m-%d %H:%M} UTC and has not recorded what came of it"
        known = {
            key: current[self._asset, key].id if (self._asset, key) in current else None for key in self._partitions
        }
        record_foreign_writes(
            self._ledger,
            [
                ForeignWrite(self._asset, key, before, None, None, now, change, self._run_id)
                for key, before in known.items()
            ],
        )

    def record(self, items: Iterable[Materialization], snapshots: Iterable[int]) -> list[int]:
        """Record what came of it, unless a later commit is on record already.

        Args:
            items: The partitions, with their snapshot.
            snapshots: All that the table had when the commit had landed.

        Returns:
            Ids, as `Ledger.record_materializations`.
        """
        return self._ledger.record_materializations(items, self._recorded_before, frozenset(snapshots))

    def end(self) -> None:
        """Say that it is on record, with which is said what came of whoever began before."""
        begun, own = t.foreign_writes.c, t.foreign_writes.alias().c
        last = select(func.max(own.id)).where(
            own.asset == begun.asset, own.partition == begun.partition, own.run_id == self._run_id
        )
        ended = delete(t.foreign_writes).where(
            begun.asset == self._asset, begun.run_id.is_not(None), begun.id <= last.scalar_subquery()
        )
        with self._ledger.engine.begin() as connection:
            for start in range(0, len(self._partitions), MOST_VALUES):
                connection.execute(ended.where(begun.partition.in_(self._partitions[start : start + MOST_VALUES])))


class ForeignWrites:
    """All that were ever found, asked for a partition as it is now."""

    def __init__(self, ledger: Ledger) -> None:
        """Read them."""
        columns = [t.foreign_writes.c[name] for name in ForeignWrite.__slots__]
        self._found: dict[tuple[str, str], list[ForeignWrite]] = {}
        with ledger.engine.connect() as connection:
            rows: Iterable[Any] = connection.execute(select(*columns).order_by(t.foreign_writes.c.id))
            for each in (ForeignWrite(*row) for row in rows):
                self._found.setdefault((each.asset, each.partition), []).append(each)

    def of(self, asset: str, partition: str, item: Materialization | None) -> ForeignWrite | None:
        """The latest that speaks of a partition with this materialization."""
        found = self._found.get((asset, partition))
        return next((each for each in reversed(found) if each.speaks_of(item)), None) if found else None

    def partitions(self, asset: str) -> set[str]:
        """Partitions of an asset that any was ever found of."""
        return {partition for name, partition in self._found if name == asset}

    def standing(self, current: Mapping[tuple[str, str], Materialization]) -> list[ForeignWrite]:
        """Those that no materialization since has replaced, by asset and partition."""
        found = (self.of(*key, current.get(key)) for key in sorted(self._found))
        return [each for each in found if each]


def standing_foreign_writes(ledger: Ledger) -> list[ForeignWrite]:
    """What someone else wrote and no run has written anew since."""
    current = ledger.current_materializations()  # first: what is found meanwhile speaks of these or of earlier ones
    return ForeignWrites(ledger).standing(current)
