"""Which snapshot the ledger cites for a partition: the one that wrote it, or a later one that holds it unchanged.

Were each partition cited by the snapshot that wrote it, none could ever go, and a table of many days would carry all
its commits for good. Called by `lakehouse.upkeep.maintenance`, before it expires snapshots.
"""

from collections import defaultdict
from collections.abc import Iterable, Set
from datetime import date, timedelta
from typing import Any

from pyiceberg.manifest import ManifestContent, ManifestEntry
from pyiceberg.table import Table

from lakehouse.builds.commit_evidence import unrecorded_materializations
from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import WHOLE
from lakehouse.tables.filters import time_column


def unchanged_in_current(
    table: Table, ledger: Ledger, items: Iterable[Materialization], replaceable: Set[int]
) -> list[Materialization]:
    """Materializations, current ones of the table's asset, that its current snapshot holds unchanged.

    Those are looked at that are cited by one of the replaceable snapshots, or by one that is gone.

    It does where each data file of the partition was added by the commit of the materialization, and together they
    have as many rows as that wrote: data files never change. Where deletes lie beside the data, or recovery has a later
    commit of the partition to record, nothing is said.
    """
    snapshot = table.current_snapshot()
    readable = {snapshot.snapshot_id for snapshot in table.snapshots()} - replaceable
    wanted = [item for item in items if item.readable_snapshot_id not in readable]
    if snapshot is None or not wanted:
        return []
    manifests = snapshot.manifests(table.io)
    is_plain = all(
        manifest.content == ManifestContent.DATA and manifest.partition_spec_id == table.spec().spec_id
        for manifest in manifests
    )
    if not is_plain:
        return []
    files: dict[str | None, list[ManifestEntry]] = defaultdict(list)
    for manifest in manifests:
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            files[_key(table, entry.data_file.partition)].append(entry)
    pending = {item.partition for item in unrecorded_materializations(table, ledger)}
    is_daily = bool(table.spec().fields)
    return [
        item
        for item in wanted
        if item.partition not in pending
        and (item.partition != WHOLE) == is_daily
        and _is_unchanged(item, files[item.partition])
    ]


def _key(table: Table, partition: Any) -> str | None:
    """Partition key of a data file; None where it is no day of the table's time column."""
    if not table.spec().fields:
        return WHOLE
    if len(table.spec().fields) > 1 or time_column(table) is None or partition[0] is None:
        return None
    return (date(1970, 1, 1) + timedelta(partition[0])).isoformat()


def _is_unchanged(item: Materialization, files: list[ManifestEntry]) -> bool:
    is_own = all(entry.snapshot_id == item.snapshot_id for entry in files)
    return is_own and sum(entry.data_file.record_count for entry in files) == item.rows.loaded
