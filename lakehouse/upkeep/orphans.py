"""What nothing refers to: files of tables, objects of the object store, folders of runs that died; and their removal.

Only what has been out of use for longer than the age limit goes. Called by `lakehouse.upkeep.maintenance`.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.types import StringType

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.kinds import OBJECT_COLUMNS
from lakehouse.ledger.ledger import Ledger
from lakehouse.scratch import scratch_root
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.objects import open_store
from lakehouse.tables.stored_files import StoredFile, file_system, list_files, list_table, path_of
from lakehouse.upkeep.report import Removal

_FILE_KINDS = (".parquet", ".avro", ".metadata.json")
_ASIDE = ".removing"
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class AgeRule:
    """What may go: out of use before `cutoff` (UTC)."""

    cutoff: datetime
    keep_snapshots: int
    dry_run: bool


# ── files of tables ──────────────────────────────────────────────────────────────────────────────────────────────────
def remove_orphans(table: Table, expired: tuple[int, ...], rule: AgeRule) -> tuple[tuple[Removal, ...], str | None]:
    """Remove the files under a table's folder that no retained snapshot and no metadata log entry refers to."""
    current = table.current_snapshot()
    certain = _paths(_snapshot_files(table, [current])) if current else set()
    listed = list_table(table)
    # In this order: what is committed after the listing is not in it.
    table.refresh()
    retained = [snapshot for snapshot in table.snapshots() if snapshot.snapshot_id not in expired]
    needed = _paths(_snapshot_files(table, retained) | _metadata_files(table))
    folder = f"{path_of(table.location())}/"
    if missing := {path for path in certain if path.startswith(folder)} - {file.path for file in listed}:
        return (), f"{min(missing)} is referred to and not listed: no file was removed; next: look at its storage"
    orphans = [
        file
        for file in _dated_by_successor(listed)
        if file.path not in needed and file.modified_at < rule.cutoff and file.path.endswith(_FILE_KINDS)
    ]
    return tuple(_remove(file_system(table), orphans, rule)), None


def _metadata_files(table: Table) -> set[str]:
    """Locations of the table's metadata: the current version, those of its log, statistics."""
    metadata = table.metadata
    statistics = {each.statistics_path for each in (*metadata.statistics, *metadata.partition_statistics)}
    return {table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log), *statistics}


def _snapshot_files(table: Table, snapshots: list[Snapshot]) -> set[str]:
    """Locations of all that a reader of the snapshots opens: manifest lists, manifests, data and delete files."""
    manifests = _manifests(table, snapshots)
    return {snapshot.manifest_list for snapshot in snapshots} | manifests.keys() | _data_files(table, manifests)


def _manifests(table: Table, snapshots: list[Snapshot]) -> dict[str, ManifestFile]:
    return {manifest.manifest_path: manifest for snapshot in snapshots for manifest in snapshot.manifests(table.io)}


def _data_files(table: Table, manifests: dict[str, ManifestFile]) -> set[str]:
    return {
        entry.data_file.file_path
        for manifest in manifests.values()
        for entry in manifest.fetch_manifest_entry(table.io)
    }


def _dated_by_successor(files: list[StoredFile]) -> Iterator[StoredFile]:
    """The files; each version of the metadata dated by the one after it: until then a reader could begin with it."""
    versions = sorted(
        (file for file in files if file.path.endswith(".metadata.json")), key=lambda file: file.modified_at
    )
    replaced_at = {file.path: after.modified_at for file, after in pairwise(versions)}
    for file in files:
        yield StoredFile(file.path, file.size_bytes, replaced_at.get(file.path, file.modified_at))


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def remove_objects(
    tables: list[Table], expired: set[int], ledger: Ledger, settings: LakehouseSettings, rule: AgeRule
) -> list[Removal]:
    """Remove the objects that no row of any retained snapshot names and no known source file has as its content.

    A load records the files that it found, then leaves out the upload of what the store holds already. An object is
    therefore set aside first, and comes back where the ledger knows of it by then; a load that looks later than that
    finds it gone and uploads it.
    """
    fs, root = open_store(settings)
    listed = list_files(fs, f"{root}/objects/sha256")
    aside = [file for file in listed if file.path.endswith(_ASIDE)]  # by a maintenance that died, or another one
    old = [file for file in listed if file.modified_at < rule.cutoff and file not in aside]
    if not old and not aside:
        return []
    partial = [file for file in old if file.path.endswith(_PARTIAL)]
    named = _named_objects(tables, expired) | _known_objects(ledger, settings)
    unnamed = [file for file in old if file not in partial and _object_of(file) not in named]
    if not rule.dry_run:
        unnamed = [_moved(fs, file, file.path + _ASIDE) for file in unnamed]
        named |= _known_objects(ledger, settings)
        for file in (file for file in (*aside, *unnamed) if _object_of(file) in named):
            _moved(fs, file, file.path.removesuffix(_ASIDE))
    gone = [file for file in (*aside, *unnamed) if _object_of(file) not in named]
    return _remove(fs, [*partial, *gone], rule)


def _moved(fs: AbstractFileSystem, file: StoredFile, path: str) -> StoredFile:
    with suppress(FileNotFoundError):  # another maintenance was faster
        fs.mv(file.path, path)
    return StoredFile(path, file.size_bytes, file.modified_at)


def _object_of(file: StoredFile) -> str:
    """SHA-256 of an object: the first part of its name."""
    return file.path.rpartition("/")[2].partition(".")[0]


def _known_objects(ledger: Ledger, settings: LakehouseSettings) -> set[str]:
    """SHA-256 of each source file and sidecar that is to be stored as an object, as coverage last saw it."""
    assets = [name for name, contract in bronze_contracts(settings).items() if contract.form == "files"]
    records = [record for asset in assets for record in ledger.known_files(asset).values()]
    return {sha256 for record in records for sha256 in record.objects}


def _named_objects(tables: list[Table], expired: set[int]) -> set[str]:
    """SHA-256 of each object that any retained snapshot of any table names.

    By the columns that the table has ever had, not by the contract in force: rows outlive a contract.
    """
    paths: set[str | None] = set()
    for table in tables:
        table.refresh()
        if columns := _object_columns(table):
            retained = [snapshot for snapshot in table.snapshots() if snapshot.snapshot_id not in expired]
            for location in _data_files(table, _manifests(table, retained)):
                with table.io.new_input(location).open() as stream:
                    file = pq.ParquetFile(stream)  # it may be older than a column
                    for column in file.read([name for name in file.schema_arrow.names if name in columns]).columns:
                        paths.update(column.unique().to_pylist())
    return {path.rpartition("/")[2] for path in paths if path}


def _object_columns(table: Table) -> list[str]:
    columns = [column for schema in table.schemas().values() for column in schema.fields]
    texts = {column.name for column in columns if isinstance(column.field_type, StringType)}
    return sorted(texts.intersection(OBJECT_COLUMNS))


# ── what runs left ───────────────────────────────────────────────────────────────────────────────────────────────────
def remove_leftovers(settings: LakehouseSettings, rule: AgeRule) -> Iterator[Removal]:
    """Remove the folders of runs in which nothing was written since the cutoff: their runs died."""
    for parent in (scratch_root(settings), settings.home / "dlt" / "runs"):
        for folder in sorted(parent.iterdir()) if parent.exists() else []:
            with suppress(FileNotFoundError):  # its run is alive, and has just tidied up
                stats = [path.lstat() for path in (folder, *folder.rglob("*"))]
                if max(stat.st_mtime for stat in stats) < rule.cutoff.timestamp():
                    if not rule.dry_run:
                        _remove_tree(folder)
                    yield Removal(str(folder), sum(stat.st_size for stat in stats))


def _remove_tree(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _remove(fs: AbstractFileSystem, files: Iterable[StoredFile], rule: AgeRule) -> list[Removal]:
    removed = []
    for file in files:
        if not rule.dry_run:
            with suppress(FileNotFoundError):  # another maintenance was faster
                fs.rm_file(file.path)
        removed.append(Removal(file.path.removesuffix(_ASIDE), file.size_bytes))
    return removed


def _paths(locations: Iterable[str]) -> set[str]:
    return {path_of(location) for location in locations}


def shared_folder(table: Table, everything: list[Table]) -> str | None:
    """Why nothing in the table's folder can be told to be an orphan; such as: a renamed table keeps its old folder."""
    own = f"{table.location()}/"
    for other in everything:
        theirs = f"{other.location()}/"
        if other.name() != table.name() and (own.startswith(theirs) or theirs.startswith(own)):
            return f"shares its folder with {'.'.join(other.name())}: no file was removed; next: give one its own"
    return None
