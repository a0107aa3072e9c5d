"""A table opened for comparison, as far as its metadata can be read; what cannot be read, as disagreements.

What stands in a metadata file, a manifest list or a manifest is believed where its bytes are those that we wrote
(`lakehouse.database.written_files`). Called by `lakehouse.proof.verification`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import RESTError
from pyiceberg.manifest import ManifestEntry
from pyiceberg.table import Table
from sqlalchemy.exc import SQLAlchemyError

from lakehouse.database.written_files import WrittenFile, named_files, recorded_files
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import WHOLE
from lakehouse.proof.partition_comparison import Finding
from lakehouse.proof.partition_files import PartitionFiles, broken_files, broken_metadata, partition_files
from lakehouse.tables.catalog import load_table_if_exists
from lakehouse.tables.stored_files import BrokenFile, TableFiles, hashed_file


@dataclass(frozen=True)
class OpenedTable:
    """A table, and what is stored of it; without either where its metadata cannot be read, which findings say."""

    table: Table | None = None
    stored: TableFiles | None = None
    findings: list[Finding] = field(default_factory=list)
    recorded: Mapping[str, WrittenFile] = field(default_factory=dict)
    """What we wrote of its files, by location."""

    @property
    def broken(self) -> list[tuple[ManifestEntry, BrokenFile]]:
        """Its data and delete files that cannot be read."""
        return list(broken_files(self.table, self.stored)) if self.table and self.stored else []

    @cached_property
    def partitions(self) -> dict[str, PartitionFiles]:
        """Its live files, by partition."""
        return partition_files(self.table, self.stored) if self.table and self.stored else {}

    def is_whole(self, is_asked: Callable[[str], bool]) -> bool:
        """Whether the rows that are asked about can be read."""
        return not self.findings and not any(of.broken for key, of in self.partitions.items() if is_asked(key))

    def old_metadata(self) -> Iterator[WrittenFile]:
        """Metadata files, manifest lists and manifests that we wrote and that are stored, of any snapshot."""
        if self.table is not None and self.stored is not None:
            folder = f"{self.table.location()}/metadata/"
            for location, written in sorted(self.recorded.items()):
                if location.startswith(folder) and self.stored.has(location):
                    yield written


def open_table(
    catalog: Catalog, ledger: Ledger, asset: str, identifier: str | None, rebuilt: Iterable[str]
) -> OpenedTable:
    """Open a table, as far as it is there; `rebuilt` are the assets whose backfill makes it anew."""
    if identifier is None:
        return OpenedTable()
    step = f"bring it back from a copy of the warehouse; or {drop_step(identifier, rebuilt)}"
    try:
        table = load_table_if_exists(catalog, identifier)
    except FileNotFoundError as error:
        return _unreadable("metadata_gone", asset, str(error), step)
    except (OSError, RESTError, SQLAlchemyError):
        raise  # of the store or the catalog, not of the table
    except Exception as error:  # what a decoder says to bytes that are none of its is any error
        return _unreadable("metadata_differs", asset, f"metadata that cannot be read ({error})", step)
    if table is None:
        return OpenedTable()
    stored = TableFiles(table)
    recorded = {**_named_files(table), **recorded_files(ledger.engine, table.location())}
    try:
        findings = list(_metadata_findings(asset, table, stored, recorded, step))
    except (OSError, RESTError, SQLAlchemyError):
        raise
    except Exception as error:
        return _unreadable("metadata_differs", asset, f"a manifest that cannot be read ({error})", step)
    return OpenedTable(table, stored, findings, recorded)


def _named_files(table: Table) -> dict[str, WrittenFile]:
    """What the snapshots say of the data files that they added: it outlives the record, which a lost database takes."""
    said = [snapshot.summary.additional_properties for snapshot in table.snapshots() if snapshot.summary]
    return {file.location: file for each in said for file in named_files(table.location(), each)}


def drop_step(identifier: str, rebuilt: Iterable[str]) -> str:
    """What makes a table anew that can be neither read nor written."""
    return f"drop {identifier} from the catalog, then: omni backfill {' '.join(rebuilt)}"


def changed_bytes(table: Table, written: WrittenFile) -> str | None:
    """What is there in the place of a file that we wrote; None where it is that file."""
    found = hashed_file(table.io, written.location)
    return None if found == written else f"{written.location}: {found.size_bytes} bytes, SHA-256 {found.sha256}"


def as_written(written: WrittenFile) -> str:
    """What we wrote, for a person."""
    return f"{written.size_bytes} bytes, SHA-256 {written.sha256}, as written"


def _unreadable(code: str, asset: str, found: str, step: str) -> OpenedTable:
    return OpenedTable(findings=[Finding(code, asset, WHOLE, found, "the table's metadata", step)])


def _metadata_findings(
    asset: str, table: Table, stored: TableFiles, recorded: Mapping[str, WrittenFile], step: str
) -> Iterator[Finding]:
    """In the order in which a reader opens them; behind one that is not as it was, nothing is believed."""
    snapshot = table.current_snapshot()
    top = [table.metadata_location, *([snapshot.manifest_list] if snapshot else [])]
    if changed := list(_changed(asset, table, stored, recorded, top, step)):
        yield from changed
        return
    lost = broken_metadata(table, stored)
    for each in lost:
        code = "metadata_gone" if each.found_bytes is None else "metadata_differs"
        yield Finding(code, asset, WHOLE, each.found, each.expected, step)
    manifests = [each.manifest_path for each in snapshot.manifests(table.io)] if snapshot and not lost else []
    yield from _changed(asset, table, stored, recorded, manifests, step)


def _changed(
    asset: str,
    table: Table,
    stored: TableFiles,
    recorded: Mapping[str, WrittenFile],
    locations: Iterable[str],
    step: str,
) -> Iterator[Finding]:
    for written in (recorded[each] for each in locations if each in recorded and stored.has(each)):
        if found := changed_bytes(table, written):
            yield Finding("metadata_differs", asset, WHOLE, found, as_written(written), step)
