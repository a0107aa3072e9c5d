"""A table's live files by partition, at one of its metadata: what two states of it are compared by.

Reads manifests, never rows. Called by `lakehouse.proof.foreign_writes`.
"""

from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, field

from pyiceberg.manifest import DataFileContent, ManifestEntry
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from lakehouse.ledger.evidence import Materialization
from lakehouse.partitions import WHOLE
from lakehouse.proof.partition_files import NO_DAY, day_of, live_entries
from lakehouse.tables.filters import time_column
from lakehouse.tables.schema_changes import compare


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A data or delete file that a reader of the table reads."""

    path: str
    rows: int
    is_data: bool
    added_by: int | None
    """Snapshot that added it."""


@dataclass(frozen=True)
class TableState:
    """A table as one of its metadata files says; without a table: that there is none."""

    table: Table | None
    files: dict[str, frozenset[LiveFile]] = field(default_factory=dict)
    """By partition; those of no day, or of another partitioning than the table's, under `NO_DAY`."""

    @classmethod
    def of(cls, table: Table | None) -> "TableState":
        """Read the manifests of the current snapshot.

        Raises:
            FileNotFoundError: one of them is gone.
        """
        if table is None:
            return cls(None)
        is_daily, spec_id = time_column(table) is not None, table.spec().spec_id
        found: dict[str, set[LiveFile]] = defaultdict(set)
        for entry in live_entries(table):
            found[_key(entry, is_daily, spec_id)].add(_live_file(entry))
        return cls(table, {key: frozenset(files) for key, files in found.items()})

    @property
    def partitioned_by(self) -> list[tuple[str | None, str]]:
        """Column and transform of each partition field."""
        if self.table is None:
            return []
        schema = self.table.schema()
        return [(schema.find_column_name(each.source_id), str(each.transform)) for each in self.table.spec().fields]

    @property
    def snapshot_ids(self) -> Set[int]:
        """Snapshots that it retains."""
        return {snapshot.snapshot_id for snapshot in self.table.snapshots()} if self.table else set()

    def files_of(self, partition: str) -> frozenset[LiveFile]:
        """Live files of a partition."""
        return self.files.get(partition, frozenset())

    def holds_exactly(self, item: Materialization) -> bool:
        """Whether a partition consists of what the snapshot of a materialization added, all of it and nothing else."""
        files = self.files_of(item.partition)
        is_own = all(file.is_data and file.added_by == item.snapshot_id for file in files)
        return is_own and sum(file.rows for file in files) == item.rows.loaded

    def schema_of(self, item: Materialization) -> Schema | None:
        """Columns of the table when a materialization was written; None where its snapshot is not retained."""
        snapshot = self.table.snapshot_by_id(item.snapshot_id) if self.table and item.snapshot_id else None
        if self.table is None or snapshot is None or snapshot.schema_id is None:
            return None
        return self.table.schemas().get(snapshot.schema_id)

    def lost_columns(self, schema: Schema) -> list[str]:
        """Columns of an earlier schema that it does not have as they were: gone, renamed, narrower, or another type."""
        if self.table is None:
            return []
        now = self.table.schema()
        moved = [each.name for each in schema.fields if now.find_column_name(each.field_id) != each.name]
        change = compare(self.table, schema)
        narrower = [
            name for name, kind in change.types.items() if name in now.column_names and _is_less(now, name, kind)
        ]
        return sorted({*moved, *narrower, *change.conflicts})


def _is_less(schema: Schema, name: str, kind: object) -> bool:
    found = schema.find_field(name).field_type
    return found.is_primitive and found != kind


def _key(entry: ManifestEntry, is_daily: bool, spec_id: int) -> str:
    if entry.data_file.spec_id != spec_id:
        return NO_DAY
    return day_of(entry) if is_daily else WHOLE


def _live_file(entry: ManifestEntry) -> LiveFile:
    file = entry.data_file
    return LiveFile(file.file_path, file.record_count, file.content == DataFileContent.DATA, entry.snapshot_id)
