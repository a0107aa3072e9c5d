"""What a table's files say of its partitions: rows, which snapshots added the files, and which of them are broken.

Called by `lakehouse.proof.verification`. Reads manifests and one listing, never rows; these only where a writer left
delete files.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFileContent, ManifestEntry
from pyiceberg.table import Table

from lakehouse.namespaces import QUARANTINE
from lakehouse.partitions import WHOLE
from lakehouse.tables.filters import time_column
from lakehouse.tables.stored_files import BrokenFile, TableFiles

NO_DAY = "no day"
"""Key of rows whose time column is null."""


@dataclass
class PartitionFiles:
    """The live data files of one partition."""

    rows: int = 0
    added_by: set[int] = field(default_factory=set)
    """Snapshots that added them."""
    data: list[ManifestEntry] = field(default_factory=list)
    broken: list[BrokenFile] = field(default_factory=list)
    """Data and delete files that are gone, or have another size than the metadata say."""


def broken_metadata(table: Table, stored: TableFiles) -> list[BrokenFile]:
    """The manifest list and the manifests of the current snapshot that are gone, or have another size than it says."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        return []
    if lost := stored.broken(snapshot.manifest_list, None):
        return [lost]
    manifests = snapshot.manifests(table.io)
    return [lost for each in manifests if (lost := stored.broken(each.manifest_path, each.manifest_length))]


def broken_files(table: Table, stored: TableFiles) -> Iterator[tuple[ManifestEntry, BrokenFile]]:
    """The data and delete files of the current snapshot that are gone, or have another size than the metadata say."""
    return _broken(live_entries(table), stored)


def partition_files(table: Table, stored: TableFiles) -> dict[str, PartitionFiles]:
    """Live files of the current snapshot, by partition; the empty key holds those of an unpartitioned table."""
    entries, is_daily = list(live_entries(table)), time_column(table) is not None
    found: dict[str, PartitionFiles] = defaultdict(PartitionFiles)
    for entry in entries:
        if entry.data_file.content == DataFileContent.DATA:
            files = found[day_of(entry) if is_daily else WHOLE]
            files.rows += entry.data_file.record_count
            files.added_by.add(entry.snapshot_id or 0)
            files.data.append(entry)
    for entry, lost in _broken(entries, stored):
        # A delete file that is bound to no day counts to the table as such.
        found[place_of(table, entry)[1]].broken.append(lost)
    is_whole = not any(files.broken for files in found.values())
    if is_whole and any(entry.data_file.content != DataFileContent.DATA for entry in entries):
        counted = _counted_rows(table)
        for key, files in found.items():
            files.rows = counted.get(key, 0)
    return dict(found)


def _broken(entries: Iterable[ManifestEntry], stored: TableFiles) -> Iterator[tuple[ManifestEntry, BrokenFile]]:
    for entry in entries:
        if lost := stored.broken(entry.data_file.file_path, entry.data_file.file_size_in_bytes):
            yield entry, lost


def live_entries(table: Table) -> Iterator[ManifestEntry]:
    """Entries of the data and delete files of the current snapshot."""
    snapshot = table.current_snapshot()
    for manifest in snapshot.manifests(table.io) if snapshot else ():
        yield from manifest.fetch_manifest_entry(table.io, discard_deleted=True)


def place_of(table: Table, entry: ManifestEntry) -> tuple[str, str]:
    """Asset and partition that a file of a table counts to; one that is bound to no partition, to the table."""
    name, values = table.name()[-1], entry.data_file.partition
    if name == QUARANTINE and len(values) == 2:
        return values[0], values[1]
    return name, day_of(entry) if time_column(table) is not None and len(values) else WHOLE


def day_of(entry: ManifestEntry) -> str:
    """Key of the partition that a file of a table of days lies in."""
    value: Any = entry.data_file.partition[0]
    return NO_DAY if value is None else (date(1970, 1, 1) + timedelta(value)).isoformat()


def _counted_rows(table: Table) -> dict[str, int]:
    """Rows per partition as a reader sees them, with delete files applied."""
    column = time_column(table)
    if column is None:
        return {WHOLE: table.scan().count()}
    days = table.scan(selected_fields=(column,)).to_arrow()[column].combine_chunks().cast(pa.date32())
    return {str(item["values"] or NO_DAY): item["counts"] for item in pc.value_counts(days).to_pylist()}
