"""What a maintenance did, or would do: values, and how they read. Made by `lakehouse.upkeep.maintenance`."""

from dataclasses import asdict, dataclass
from typing import Any

from lakehouse.counted import counted


@dataclass(frozen=True, slots=True)
class Removal:
    """A file or folder that was removed, or would be."""

    location: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Compaction:
    """A partition of many small files that was rewritten as one, or would be."""

    partition: str
    files: int
    size_bytes: int
    is_skipped: bool = False
    """Another writer replaced rows of the partition meanwhile: its rows stand."""


@dataclass(frozen=True, slots=True)
class TableMaintenance:
    """What was done to one table."""

    table: str
    snapshots_kept: int
    snapshots_expired: tuple[int, ...]
    compacted: tuple[Compaction, ...]
    removed: tuple[Removal, ...]
    problem: str | None = None
    """Why something was left undone: found, next step."""

    def line(self) -> str:
        """One line for a person."""
        done = [item for item in self.compacted if not item.is_skipped]
        skipped = len(self.compacted) - len(done)
        return (
            f"{self.table}: {counted(len(self.snapshots_expired), 'snapshot')} expired, {self.snapshots_kept} kept; "
            f"{counted(len(done), 'partition')} compacted{f', {skipped} left to another writer' if skipped else ''}; "
            f"{_sum(self.removed, 'files')} removed"
        )


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What one maintenance did; of a dry run, what it would do."""

    dry_run: bool
    tables: tuple[TableMaintenance, ...]
    objects: tuple[Removal, ...]
    leftovers: tuple[Removal, ...]
    """Folders of runs that died."""
    problems: tuple[str, ...] = ()
    """What a person should look at."""

    def lines(self) -> list[str]:
        """The report for a person; a dry run lists every file."""
        found = ["dry run: nothing is changed; this is what would be"] if self.dry_run else []
        for table in self.tables:
            found.append(table.line())
            if self.dry_run:
                found += [f"  compact {c.partition or 'the table'}: {c.files} files" for c in table.compacted]
                found += _listed(table.removed)
        found.append(f"object store: {_sum(self.objects, 'objects')} removed")
        found += _listed(self.objects) if self.dry_run else []
        found.append(f"runs that died: {_sum(self.leftovers, 'leftovers')} removed")
        found += _listed(self.leftovers) if self.dry_run else []
        return found + list(self.problems)

    def as_json(self) -> dict[str, Any]:
        """The report for a program; snapshot ids as texts, since JavaScript's numbers do not hold 64 bits."""
        tables = [
            asdict(table) | {"snapshots_expired": list(map(str, table.snapshots_expired))} for table in self.tables
        ]
        return asdict(self) | {"tables": tables}


def _sum(removals: tuple[Removal, ...], noun: str) -> str:
    return f"{len(removals)} {noun} ({sum(removal.size_bytes for removal in removals) / 1e6:.1f} MB)"


def _listed(removals: tuple[Removal, ...]) -> list[str]:
    return [f"  remove {removal.location} ({removal.size_bytes} bytes)" for removal in removals]
