"""Which of a table's metadata files is its newest: read from its folder, where no catalog says it.

A commit writes its file before the catalog names it, so a file may be of a commit that never landed: several can follow
the same one. A file counts as committed where the table's mark names it (`lakehouse.database.commit_marks`), or where
another file was written upon it, which is done to what a catalog names alone. Of these the highest number is the
newest, if all that a reader of it opens is there; then the one that was written last. Where nothing marks the table,
its last file counts as well: whatever it holds is judged by its evidence, and has to be checked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.exceptions import ValidationError
from pyiceberg.table import StaticTable, Table

from lakehouse.database.commit_marks import number_of
from lakehouse.tables.stored_files import TableFiles


@dataclass(frozen=True)
class MetadataFile:
    """One metadata file of a table that can be read."""

    table: Table
    location: str

    @property
    def name(self) -> str:
        """Its name, which is the same wherever its folder lies."""
        return self.location.rpartition("/")[2]

    @property
    def number(self) -> int:
        """One more than that of the file that it was written upon."""
        return number_of(self.location)

    @property
    def written_upon(self) -> str | None:
        """Name of the file that it was written upon; None of a table's first."""
        log = self.table.metadata.metadata_log
        return log[-1].metadata_file.rpartition("/")[2] if log else None

    def problem(self) -> str | None:
        """What of the files that a reader opens is not there, or cannot be read; None where all of it is."""
        snapshot = self.table.current_snapshot()
        try:
            stored = TableFiles(self.table)
            for manifest in snapshot.manifests(self.table.io) if snapshot else ():
                for entry in manifest.fetch_manifest_entry(self.table.io):
                    broken = stored.broken(entry.data_file.file_path, entry.data_file.file_size_in_bytes)
                    if broken:
                        return f"{broken.found}, expected {broken.expected}"
        except (OSError, ValueError, EOFError, AssertionError, IndexError) as error:  # as Avro's reader raises them
            return str(error) or f"a manifest cannot be read ({type(error).__name__})"
        return None


@dataclass(frozen=True)
class Newest:
    """What was found of a table that the catalog does not know as its folder does."""

    file: MetadataFile | None
    """The newest that is committed and whole; None where there is none above what the catalog names."""
    problems: tuple[str, ...]
    """Files that cannot be used, and why."""
    is_unrelated: bool = False
    """Whether the newest does not follow what the catalog names."""


def open_table(identifier: str, location: str, properties: Mapping[str, str]) -> Table:
    """A table as one of its metadata files says, under its own name; whoever commits to it fails."""
    static = StaticTable.from_metadata(location, dict(properties))
    return Table(tuple(identifier.split(".")), static.metadata, location, static.io, NoopCatalog("none"))


def read_metadata_files(
    identifier: str, locations: Iterable[str], properties: Mapping[str, str]
) -> tuple[list[MetadataFile], list[str]]:
    """Read metadata files of a table; and say of those that cannot be read, why."""
    found, problems = [], []
    for location in locations:
        try:
            found.append(MetadataFile(open_table(identifier, location, properties), location))
        except (OSError, ValueError, ValidationError) as error:
            reason = str(error).partition("\n")[0]
            problems.append(f"{location.rpartition('/')[2]} cannot be read ({reason})")
    return found, problems


def newest(files: Iterable[MetadataFile], problems: Iterable[str], mark: str | None, named: str | None) -> Newest:
    """Choose among the metadata files of a table.

    Args:
        files: Those that can be read, from the number of what the catalog names on.
        problems: What is said of the others.
        mark: Name of the file that was committed last; None where nothing marks it.
        named: Name of the file that the catalog names; None where it does not know the table.
    """
    found = {file.name: file for file in files}
    committed = {file.written_upon for file in found.values()} | {mark, named}
    if mark is None and named is None:
        committed |= found.keys()
    start, unusable = found.get(named or ""), list(problems)
    wanted = sorted(
        (file for name, file in found.items() if name in committed and name != named),
        key=lambda file: (file.number, file.table.metadata.last_updated_ms, file.name),
        reverse=True,
    )
    is_unrelated = False
    for file in wanted:
        if start is not None and not _follows(file, start, found):
            is_unrelated = True
        elif problem := file.problem():
            unusable.append(f"{file.name} is not whole ({problem})")
        else:
            return Newest(file, tuple(unusable))
    return Newest(None, tuple(unusable), is_unrelated)


def _follows(file: MetadataFile, start: MetadataFile, found: Mapping[str, MetadataFile]) -> bool:
    """Whether a file was written upon another one, at whatever distance, in the same table."""
    if file.table.metadata.table_uuid != start.table.metadata.table_uuid:
        return False
    at: MetadataFile | None = file
    while at is not None and at.number > start.number:
        at = found.get(at.written_upon or "")
    return at is not None and at.name == start.name
