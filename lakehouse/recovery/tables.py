"""Tables of which the catalog does not know what their folders hold, and what it is to name instead.

Called by `lakehouse.recovery.plan`. Reads only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lakehouse.counted import counted
from lakehouse.database.commit_marks import Warehouse, number_of
from lakehouse.database.lost_catalog import lost_commits
from lakehouse.database.versions import TableVersion
from lakehouse.namespaces import NAMESPACES
from lakehouse.recovery.metadata_files import MetadataFile, newest, read_metadata_files
from lakehouse.settings import LakehouseSettings

_SUFFIX = ".metadata.json"


@dataclass(frozen=True)
class TableRecovery:
    """What a catalog is to name of a table."""

    seen: TableVersion
    """What it names, and what we left."""
    file: MetadataFile | None
    """What it is to name; None where it stays as it is."""
    problems: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """What is done, for a person."""
        name, named = self.seen.identifier, (self.seen.current or "").rpartition("/")[2]
        found = [f"{name}: {problem}" for problem in self.problems]
        if self.file is None:
            return [*found, f"{name}: left as it is, {f'at {named}' if named else 'unknown to the catalog'}"]
        before = f"from {named} to" if named else "registered at"
        return [*found, f"{name}: {before} {self.file.name}, {counted(len(self.file.table.snapshots()), 'snapshot')}"]


def tables_to_recover(settings: LakehouseSettings, versions: Mapping[str, TableVersion]) -> Iterator[TableRecovery]:
    """The tables of the layers that the catalog does not know, or knows at older metadata than are committed.

    A table that someone else wrote or dropped, and that was not looked at since, is not among them.

    Args:
        settings: Where the warehouse is.
        versions: What the catalog names, and what we left, by identifier.
    """
    warehouse = Warehouse(settings)
    marks = warehouse.marks()
    lost = {each.identifier for each in lost_commits(marks, versions)}
    for namespace in NAMESPACES:
        for name in warehouse.folders(namespace):
            seen = versions.get(f"{namespace}.{name}", TableVersion(namespace, name))
            mark, is_dropped = marks.get(seen.identifier), seen.is_known and seen.current is None
            if seen.identifier in lost:
                yield _recovery(settings, warehouse, seen, mark)
            elif mark is None and not is_dropped and (seen.is_ours or not seen.is_known):
                found = _recovery(settings, warehouse, seen, None)
                if found.file is not None:
                    yield found


def _recovery(settings: LakehouseSettings, warehouse: Warehouse, seen: TableVersion, mark: str | None) -> TableRecovery:
    named = seen.current.rpartition("/")[2] if seen.current else None
    files, unreadable = _read(settings, warehouse, seen, number_of(named or mark or ""))
    found = newest(files, unreadable, mark, named)
    if found.is_unrelated:
        return TableRecovery(seen, None, ("what is committed in its folder does not follow what the catalog names",))
    if found.file is None and named is None:  # what was committed last cannot be used: what came before it
        files, unreadable = _read(settings, warehouse, seen, -1)
        found = newest(files, unreadable, None, None)
    if found.file is None and not found.problems:
        return TableRecovery(seen, None, (f"{mark} was committed, and is not in its folder",))
    return TableRecovery(seen, found.file, found.problems)


def _read(
    settings: LakehouseSettings, warehouse: Warehouse, seen: TableVersion, least: int
) -> tuple[list[MetadataFile], list[str]]:
    folder = f"{seen.namespace}/{seen.name}/metadata"
    names = [each for each in warehouse.folders(folder) if each.endswith(_SUFFIX) and number_of(each) >= least]
    root = settings.warehouse_url.rstrip("/")
    locations = (f"{root}/{folder}/{name}" for name in names)
    return read_metadata_files(seen.identifier, locations, settings.plain_catalog_properties)
