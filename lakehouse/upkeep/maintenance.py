"""Maintenance: keeps the Iceberg tables of a lakehouse small and fast, beside running writers, any number of times.

Per table: day partitions of many small files are rewritten as one, snapshots that nobody needs are expired, files that
nothing refers to are removed. Then objects that no document row names, and what runs that died left under OMNI_HOME.
Content and verdicts never change. A partition that the ledger cites by an old snapshot is cited by the current one,
where that holds it unchanged; else the old one stays. Called by `omni maintain`.

What keeps it safe, in one rule: only what has been out of use for longer than the age limit goes. A snapshot is out of
use since another became current, not since it was written: a reader may have begun a moment before.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.expressions import BooleanExpression
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.update import AssertTableUUID, RemoveSnapshotsUpdate
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from lakehouse.builds.commit_evidence import unrecorded_snapshots
from lakehouse.database.written_files import forget_files, recorded_files
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import NAMESPACES, QUARANTINE
from lakehouse.partitions import WHOLE, Window
from lakehouse.scratch import scratch_folder
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import list_tables
from lakehouse.tables.commits import evidence_of_files, put_into
from lakehouse.tables.digest import find_table
from lakehouse.tables.filters import ALWAYS, day_filter, rows_of, time_column
from lakehouse.tables.stored_files import path_of
from lakehouse.upkeep.citations import unchanged_in_current
from lakehouse.upkeep.orphans import AgeRule, remove_leftovers, remove_objects, remove_orphans, shared_folder
from lakehouse.upkeep.report import Compaction, MaintenanceReport, Removal, TableMaintenance

SMALL_FILES = 8
"""A partition with more small files than this is compacted."""

SMALL_FILE_BYTES = 16 << 20

_COMPACTED_BYTES = 256 << 20
"""A partition is compacted in memory: a larger one is left as it is."""


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
    rule = AgeRule(now - older_than, keep_snapshots, dry_run)
    everything = [catalog.load_table(name) for namespace in NAMESPACES for name in list_tables(catalog, namespace)]
    wanted = everything if table is None else [find_table(catalog, table)]
    with scratch_folder(settings) as scratch:
        tables = tuple(_maintain_table(each, everything, ledger, rule, scratch) for each in wanted)
    problems = [f"{each.table}: {each.problem}" for each in tables if each.problem]
    if table is not None:
        return MaintenanceReport(dry_run, tables, (), (), tuple(problems))
    expired = {snapshot_id for each in tables for snapshot_id in each.snapshots_expired}
    objects: list[Removal] = []
    try:
        objects = remove_objects(everything, expired, ledger, settings, rule)
    except OSError as error:
        problems.append(f"object store: {_unreadable(error)}")
    leftovers = tuple(remove_leftovers(settings, rule))
    return MaintenanceReport(dry_run, tables, tuple(objects), leftovers, tuple(problems))


def _maintain_table(
    table: Table, everything: list[Table], ledger: Ledger, rule: AgeRule, scratch: Path
) -> TableMaintenance:
    compacted: tuple[Compaction, ...] = ()
    expired: tuple[int, ...] = ()
    removed: tuple[Removal, ...] = ()
    problem = shared_folder(table, everything)
    try:
        compacted = tuple(_compact(table, rule, scratch))
        expired = _expire(table, ledger, rule)
        if problem is None:
            removed, problem = remove_orphans(table, expired, rule)
            if removed and not rule.dry_run:
                _forget(table, ledger, {file.location for file in removed})
    except CommitFailedException as error:
        problem = f"other writers were faster each time ({error}); next: omni maintain, when they rest"
    except OSError as error:
        problem = _unreadable(error)
    kept = len({snapshot.snapshot_id for snapshot in table.snapshots()} - set(expired))
    return TableMaintenance(".".join(table.name()), kept, expired, compacted, removed, problem)


def _forget(table: Table, ledger: Ledger, removed: set[str]) -> None:
    """Drop the record of files that are gone."""
    recorded = recorded_files(ledger.engine, table.location())
    forget_files(ledger.engine, [location for location in recorded if path_of(location) in removed])


def _unreadable(error: OSError) -> str:
    return f"a file cannot be read or removed ({error}); the rest of it was left; next: look at its storage"


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────────────
# Where another commit came between, what may go is looked up again, with what the ledger shall cite: a citation counts
# on the current snapshot of the very metadata that the expiry is committed on. pyiceberg answers ValueError where
# another maintenance has expired one of the snapshots.
@retry(
    retry=retry_if_exception_type((CommitFailedException, ValueError)),
    stop=stop_after_attempt(5),
    wait=wait_random(0.05, 0.5),
    reraise=True,
)
def _expire(table: Table, ledger: Ledger, rule: AgeRule) -> tuple[int, ...]:
    # The ledger first: of an older state of the table, a later citation would look like one of a snapshot that is gone.
    items = ledger.current_materializations([table.name()[-1]]).values()
    table.refresh()
    unneeded = _out_of_use(table, ledger, rule)
    current, unchanged = table.current_snapshot(), unchanged_in_current(table, ledger, items, set(unneeded))
    if current is not None and not rule.dry_run:
        ledger.cite(unchanged, current.snapshot_id)
        unchanged = []
    cited_anew = {item.id for item in unchanged}
    items = ledger.current_materializations().values()
    cited = {item.readable_snapshot_id for item in items if item.id not in cited_anew}
    expired = [snapshot_id for snapshot_id in unneeded if snapshot_id not in cited]
    if expired and not rule.dry_run:
        # Not `maintenance.expire_snapshots()`, which copies all metadata twice for each of them. Of 500 it
        # took 8 s; so, all that is done to a table takes 0.4 s.
        is_same = AssertTableUUID(uuid=table.metadata.table_uuid)
        removed = RemoveSnapshotsUpdate.model_validate({"snapshot-ids": expired})
        table.catalog.commit_table(table, (is_same,), (removed,))
        table.refresh()
    return tuple(expired)


def _out_of_use(table: Table, ledger: Ledger, rule: AgeRule) -> list[int]:
    """Snapshots that are to go unless the ledger cites them, the oldest first."""
    snapshots = sorted(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)
    kept = {snapshot.snapshot_id for snapshot in snapshots[-rule.keep_snapshots :]}
    kept |= {ref.snapshot_id for ref in table.refs().values()}
    kept |= unrecorded_snapshots(table, ledger)
    replaced_at = {entry.snapshot_id: after.timestamp_ms for entry, after in pairwise(table.history())}
    cutoff_ms = rule.cutoff.timestamp() * 1000
    return [
        snapshot.snapshot_id
        for snapshot in snapshots
        if snapshot.snapshot_id not in kept and replaced_at.get(snapshot.snapshot_id, snapshot.timestamp_ms) < cutoff_ms
    ]


# ── compaction ───────────────────────────────────────────────────────────────────────────────────────────────────────
def _compact(table: Table, rule: AgeRule, scratch: Path) -> Iterator[Compaction]:
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
            is_done = rule.dry_run or _rewrite(table, key, window, scratch)
            yield Compaction(key, len(files), size_bytes, is_skipped=not is_done)


def _rewrite(table: Table, key: str, window: BooleanExpression, scratch: Path) -> bool:
    """Write the rows of a window anew, in one commit; False where another writer was faster on it.

    Not `replace_window`: that one tries again on top of the other writer's rows, and here they are the newer ones.
    The snapshots carry no evidence, so that recovery does not take them for a load.
    """
    file = scratch / "rows.parquet"
    pq.write_table(table.scan(row_filter=window).to_arrow(), file, compression="zstd")
    added = put_into(table, file)
    file.unlink()  # it may be the table's by a link: never written again
    marks = {"omni.maintenance": "compaction", "omni.partition": key}
    try:
        with table.transaction() as transaction:
            transaction.delete(window, snapshot_properties=marks)
            files = evidence_of_files(table, [added])
            transaction.add_files([added.location], marks | files, check_duplicate_files=False)
    except (CommitFailedException, ValidationException):
        table.refresh()
        return False
    return True


def _named_window(table: Table, partition: Any) -> tuple[str, BooleanExpression] | None:
    """Key of a partition and the row filter that holds exactly its rows; None for a kind that this project lacks."""
    fields = table.spec().fields
    if not fields:
        return WHOLE, ALWAYS
    if table.name()[-1] == QUARANTINE:
        asset, key = partition[0], partition[1]
        return f"{asset} {key}", rows_of(table, asset, Window.of_keys(key, key))
    if time_column(table) is None or len(fields) > 1 or partition[0] is None:
        return None
    day = date(1970, 1, 1) + timedelta(partition[0])
    return day.isoformat(), day_filter(table, Window.of_day(day))
