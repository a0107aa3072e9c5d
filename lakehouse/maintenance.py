"""Maintenance: keeps the Iceberg tables of a lakehouse small and fast, beside running writers, any number of times.

Per table: day partitions of many small files are rewritten as one, snapshots that nobody needs are expired, files that
nothing refers to are removed. Then objects that no document row names, and what runs that died left under OMNI_HOME.
Content, verdicts and what the ledger cites never change. Called by `omni maintain`.

What keeps it safe, in one rule: only what has been out of use for longer than the age limit goes. A snapshot is out of
use since another became current, not since it was written: a reader may have begun a moment before.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import fsspec
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io.fsspec import FsspecFileIO
from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.types import DateType
from tenacity import RetryCallState, retry, retry_if_exception_type, stop_after_attempt, wait_random

from lakehouse.assets import DOC_ASSETS, QUARANTINE
from lakehouse.catalog import list_tables
from lakehouse.commits import ALWAYS
from lakehouse.digest import find_table, time_column
from lakehouse.ledger import Ledger
from lakehouse.partitions import WHOLE, Window
from lakehouse.provenance import unrecorded_snapshots
from lakehouse.settings import LakehouseSettings
from lakehouse.tables import partition_filter, time_filter

NAMESPACES = ("bronze", "silver", "gold")

SMALL_FILES = 8
"""A partition with more small files than this is compacted."""

SMALL_FILE_BYTES = 16 << 20

_COMPACTED_BYTES = 256 << 20
"""A partition is compacted in memory: a larger one is left as it is."""

_FILE_KINDS = (".parquet", ".avro", ".metadata.json")
_OBJECT_COLUMN = "raw_object_path"
_ASIDE = ".removing"
_PARTIAL = ".partial"


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
            f"{self.table}: {len(self.snapshots_expired)} snapshots expired, {self.snapshots_kept} kept; "
            f"{len(done)} partitions compacted{f', {skipped} left to another writer' if skipped else ''}; "
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
        """The report for a program."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Rule:
    """What may go: out of use before `cutoff` (UTC)."""

    cutoff: datetime
    keep_snapshots: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class _Listed:
    """One file as a listing shows it."""

    path: str
    size_bytes: int
    modified_at: datetime


def maintain(
    catalog: Catalog,
    ledger: Ledger,
    settings: LakehouseSettings,
    *,
    older_than: timedelta,
    dry_run: bool,
    now: datetime,
    keep_snapshots: int = 10,
    table: str | None = None,
) -> MaintenanceReport:
    """Keep the tables healthy.

    Args:
        catalog: Catalog of the tables.
        ledger: What it cites as current stays, and what it has not recorded yet.
        settings: Where warehouse and home are.
        older_than: Age limit; longer than any run or read takes.
        dry_run: Only say what would be done.
        now: The clock (UTC).
        keep_snapshots: So many of the latest snapshots of a table stay, whatever their age.
        table: Look after the table of this asset only, and at nothing beside tables.

    Raises:
        UnknownTable: no table has that name.
    """
    rule = _Rule(now - older_than, keep_snapshots, dry_run)
    everything = [catalog.load_table(name) for namespace in NAMESPACES for name in list_tables(catalog, namespace)]
    wanted = everything if table is None else [find_table(catalog, table)]
    tables = tuple(_maintain_table(each, everything, ledger, rule) for each in wanted)
    problems = [f"{each.table}: {each.problem}" for each in tables if each.problem]
    if table is not None:
        return MaintenanceReport(dry_run, tables, (), (), tuple(problems))
    expired = {snapshot_id for each in tables for snapshot_id in each.snapshots_expired}
    objects: list[Removal] = []
    try:
        objects = _remove_objects(everything, expired, ledger, settings, rule)
    except OSError as error:
        problems.append(f"object store: {_unreadable(error)}")
    leftovers = tuple(_remove_leftovers(settings, rule))
    return MaintenanceReport(dry_run, tables, tuple(objects), leftovers, tuple(problems))


def _maintain_table(table: Table, everything: list[Table], ledger: Ledger, rule: _Rule) -> TableMaintenance:
    compacted: tuple[Compaction, ...] = ()
    expired: tuple[int, ...] = ()
    removed: tuple[Removal, ...] = ()
    problem = _shared_folder(table, everything)
    try:
        compacted = tuple(_compact(table, rule))
        expired = _expire(table, ledger, rule)
        if problem is None:
            removed, problem = _remove_orphans(table, expired, rule)
    except CommitFailedException as error:
        problem = f"other writers were faster each time ({error}); next: omni maintain, when they rest"
    except OSError as error:
        problem = _unreadable(error)
    kept = len({snapshot.snapshot_id for snapshot in table.snapshots()} - set(expired))
    return TableMaintenance(".".join(table.name()), kept, expired, compacted, removed, problem)


def _unreadable(error: OSError) -> str:
    return f"a file cannot be read or removed ({error}); the rest of it was left; next: look at its storage"


def _shared_folder(table: Table, everything: list[Table]) -> str | None:
    """Why nothing in the table's folder can be told to be an orphan; such as: a renamed table keeps its old folder."""
    own = f"{table.location()}/"
    for other in everything:
        theirs = f"{other.location()}/"
        if other.name() != table.name() and (own.startswith(theirs) or theirs.startswith(own)):
            return f"shares its folder with {'.'.join(other.name())}: no file was removed; next: give one its own"
    return None


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────────────
def _refresh(state: RetryCallState) -> None:
    state.args[0].refresh()


# Where another commit came between, what may go is looked up again. pyiceberg answers ValueError where another
# maintenance has expired one of the snapshots.
@retry(
    retry=retry_if_exception_type((CommitFailedException, ValueError)),
    stop=stop_after_attempt(5),
    wait=wait_random(0.05, 0.5),
    before_sleep=_refresh,
    reraise=True,
)
def _expire(table: Table, ledger: Ledger, rule: _Rule) -> tuple[int, ...]:
    expired = _expirable(table, ledger, rule)
    if expired and not rule.dry_run:
        table.maintenance.expire_snapshots().by_ids(expired).commit()
    return tuple(expired)


def _expirable(table: Table, ledger: Ledger, rule: _Rule) -> list[int]:
    snapshots = sorted(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)
    kept = {snapshot.snapshot_id for snapshot in snapshots[-rule.keep_snapshots :]}
    kept |= {ref.snapshot_id for ref in table.refs().values()}
    kept |= {item.snapshot_id for item in ledger.current_materializations().values() if item.snapshot_id is not None}
    kept |= unrecorded_snapshots(table, ledger)
    replaced_at = {entry.snapshot_id: after.timestamp_ms for entry, after in pairwise(table.history())}
    cutoff_ms = rule.cutoff.timestamp() * 1000
    return [
        snapshot.snapshot_id
        for snapshot in snapshots
        if snapshot.snapshot_id not in kept and replaced_at.get(snapshot.snapshot_id, snapshot.timestamp_ms) < cutoff_ms
    ]


# ── compaction ───────────────────────────────────────────────────────────────────────────────────────────────────────
def _compact(table: Table, rule: _Rule) -> Iterator[Compaction]:
    partitions: dict[Any, list[DataFile]] = defaultdict(list)
    for task in table.scan().plan_files():
        if task.file.spec_id == table.spec().spec_id:
            partitions[task.file.partition].append(task.file)
    for partition, files in partitions.items():
        small = sum(file.file_size_in_bytes < SMALL_FILE_BYTES for file in files)
        size_bytes = sum(file.file_size_in_bytes for file in files)
        named = _named_window(table, partition)
        if small > SMALL_FILES and size_bytes <= _COMPACTED_BYTES and named is not None:
            key, window = named
            is_done = rule.dry_run or _rewrite(table, key, window)
            yield Compaction(key, len(files), size_bytes, is_skipped=not is_done)


def _rewrite(table: Table, key: str, window: str) -> bool:
    """Write the rows of a window anew, in one commit; False where another writer was faster on it.

    Not `replace_window`: that one tries again on top of the other writer's rows, and here they are the newer ones.
    The snapshots carry no evidence, so that recovery does not take them for a load.
    """
    marks = {"omni.maintenance": "compaction", "omni.partition": key}
    try:
        with table.transaction() as transaction:
            rows = table.scan(row_filter=window).to_arrow()
            transaction.delete(window, snapshot_properties=marks)
            transaction.append(rows.combine_chunks(), snapshot_properties=marks)
    except (CommitFailedException, ValidationException):
        table.refresh()
        return False
    return True


def _named_window(table: Table, partition: Any) -> tuple[str, str] | None:
    """Key of a partition and the row filter that holds exactly its rows; None for a kind that this project lacks."""
    fields = table.spec().fields
    if not fields:
        return WHOLE, ALWAYS
    if table.name()[-1] == QUARANTINE:
        asset, key = partition[0], partition[1]
        return f"{asset} {key}", partition_filter(QUARANTINE, asset, Window.of_keys(key, key))
    column = time_column(table)
    if column is None or len(fields) > 1 or partition[0] is None:
        return None
    day = date(1970, 1, 1) + timedelta(partition[0])
    is_date = isinstance(table.schema().find_type(column), DateType)
    return day.isoformat(), time_filter(column, Window.of_day(day), is_date)


# ── files of tables ──────────────────────────────────────────────────────────────────────────────────────────────────
def _remove_orphans(table: Table, expired: tuple[int, ...], rule: _Rule) -> tuple[tuple[Removal, ...], str | None]:
    """Remove the files under a table's folder that no retained snapshot and no metadata log entry refers to."""
    uri = urlparse(table.location())
    fs = FsspecFileIO(table.io.properties).get_fs(uri.scheme or "file", uri.hostname)
    current = table.current_snapshot()
    certain = _paths(_snapshot_files(table, [current])) if current else set()
    listed = [file for part in ("data", "metadata") for file in _list(fs, f"{table.location()}/{part}")]
    # In this order: what is committed after the listing is not in it.
    table.refresh()
    retained = [snapshot for snapshot in table.snapshots() if snapshot.snapshot_id not in expired]
    needed = _paths(_snapshot_files(table, retained) | _metadata_files(table))
    folder = f"{_path(table.location())}/"
    if missing := {path for path in certain if path.startswith(folder)} - {file.path for file in listed}:
        return (), f"{min(missing)} is referred to and not listed: no file was removed; next: look at its storage"
    orphans = [
        file
        for file in _dated_by_successor(listed)
        if file.path not in needed and file.modified_at < rule.cutoff and file.path.endswith(_FILE_KINDS)
    ]
    return tuple(_remove(fs, orphans, rule)), None


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


def _dated_by_successor(files: list[_Listed]) -> Iterator[_Listed]:
    """The files; each version of the metadata dated by the one after it: until then a reader could begin with it."""
    versions = sorted(
        (file for file in files if file.path.endswith(".metadata.json")), key=lambda file: file.modified_at
    )
    replaced_at = {file.path: after.modified_at for file, after in pairwise(versions)}
    for file in files:
        yield _Listed(file.path, file.size_bytes, replaced_at.get(file.path, file.modified_at))


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def _remove_objects(
    tables: list[Table], expired: set[int], ledger: Ledger, settings: LakehouseSettings, rule: _Rule
) -> list[Removal]:
    """Remove the objects that no row of any retained snapshot names and no known source file has as its content.

    A load records the files that it found, then leaves out the upload of what the store holds already. An object is
    therefore set aside first, and comes back where the ledger knows of it by then; a load that looks later than that
    finds it gone and uploads it.
    """
    fs, root = fsspec.core.url_to_fs(settings.warehouse_url)
    listed = _list(fs, f"{root}/objects/sha256")
    aside = [file for file in listed if file.path.endswith(_ASIDE)]  # by a maintenance that died, or another one
    old = [file for file in listed if file.modified_at < rule.cutoff and file not in aside]
    if not old and not aside:
        return []
    partial = [file for file in old if file.path.endswith(_PARTIAL)]
    named = _named_objects(tables, expired) | _known_objects(ledger)
    unnamed = [file for file in old if file not in partial and _object_of(file) not in named]
    if not rule.dry_run:
        unnamed = [_moved(fs, file, file.path + _ASIDE) for file in unnamed]
        named |= _known_objects(ledger)
        for file in (file for file in (*aside, *unnamed) if _object_of(file) in named):
            _moved(fs, file, file.path.removesuffix(_ASIDE))
    gone = [file for file in (*aside, *unnamed) if _object_of(file) not in named]
    return _remove(fs, [*partial, *gone], rule)


def _moved(fs: AbstractFileSystem, file: _Listed, path: str) -> _Listed:
    with suppress(FileNotFoundError):  # another maintenance was faster
        fs.mv(file.path, path)
    return _Listed(path, file.size_bytes, file.modified_at)


def _object_of(file: _Listed) -> str:
    """SHA-256 of an object: the first part of its name."""
    return file.path.rpartition("/")[2].partition(".")[0]


def _known_objects(ledger: Ledger) -> set[str]:
    return {record.sha256 for record in ledger.known_files(DOC_ASSETS).values() if record.sha256 is not None}


def _named_objects(tables: list[Table], expired: set[int]) -> set[str]:
    """SHA-256 of each object that any retained snapshot of any table names."""
    paths: set[str | None] = set()
    for table in tables:
        if _OBJECT_COLUMN in table.schema().column_names:
            table.refresh()
            retained = [snapshot for snapshot in table.snapshots() if snapshot.snapshot_id not in expired]
            for location in _data_files(table, _manifests(table, retained)):
                with table.io.new_input(location).open() as stream:
                    rows = pq.read_table(stream, columns=[_OBJECT_COLUMN])
                    paths.update(rows[_OBJECT_COLUMN].unique().to_pylist() if rows.column_names else ())
    return {path.rpartition("/")[2] for path in paths if path}


# ── what runs left ───────────────────────────────────────────────────────────────────────────────────────────────────
def _remove_leftovers(settings: LakehouseSettings, rule: _Rule) -> Iterator[Removal]:
    """Remove the folders of runs in which nothing was written since the cutoff: their runs died."""
    for parent in (settings.home / "scratch", settings.home / "dlt" / "runs"):
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
def _list(fs: AbstractFileSystem, folder: str) -> list[_Listed]:
    fs.invalidate_cache()
    return [_listed_file(path, info) for path, info in fs.find(_path(folder), detail=True).items()]


def _listed_file(path: str, info: dict[str, Any]) -> _Listed:
    at = info["LastModified"] if "LastModified" in info else datetime.fromtimestamp(info["mtime"], UTC)
    return _Listed(path, info["size"], at)


def _remove(fs: AbstractFileSystem, files: Iterable[_Listed], rule: _Rule) -> list[Removal]:
    removed = []
    for file in files:
        if not rule.dry_run:
            with suppress(FileNotFoundError):  # another maintenance was faster
                fs.rm_file(file.path)
        removed.append(Removal(file.path.removesuffix(_ASIDE), file.size_bytes))
    return removed


def _path(location: str) -> str:
    """A location as fsspec lists it, whatever its scheme is called."""
    return str(fsspec.core.strip_protocol(location))


def _paths(locations: Iterable[str]) -> set[str]:
    return {_path(location) for location in locations}


def _sum(removals: tuple[Removal, ...], noun: str) -> str:
    return f"{len(removals)} {noun} ({sum(removal.size_bytes for removal in removals) / 1e6:.1f} MB)"


def _listed(removals: tuple[Removal, ...]) -> list[str]:
    return [f"  remove {removal.location} ({removal.size_bytes} bytes)" for removal in removals]
