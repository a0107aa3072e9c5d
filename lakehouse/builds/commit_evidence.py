"""Evidence on the snapshots themselves, and the ledger recovered from it.

A process may die between an Iceberg commit and its record in the ledger. Every commit therefore carries what it wrote
in its snapshot's properties; `recover_ledger` records whatever the ledger lacks.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from lakehouse.database.written_files import FILES
from lakehouse.ledger.evidence import Materialization, RowCounts
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import NAMESPACES
from lakehouse.tables.catalog import list_tables

logger = logging.getLogger(__name__)

_EVIDENCE = "omni.evidence"
_IN_EVIDENCE = (
    "version",
    "inputs",
    "batch_ids",
    "manifest_ids",
    "manifest_hashes",
    "source_files",
    "is_forced",
    "read_snapshots",
    "logic",
    "size_bytes",
)
_OF_THE_LEDGER = {"asset", "partition", "snapshot_id", "id", "held_by_snapshot_id"}
"""Fields of a materialization that say where it is, not what it is."""


def snapshot_evidence(items: list[Materialization]) -> dict[str, str]:
    """Snapshot properties that say what one commit wrote: partitions of one asset, by one run."""
    first, started_at = items[0], min((item.started_at for item in items if item.started_at), default=None)
    details = {item.partition: _detail(item) for item in items}
    totals = {f"omni.rows-{name}": sum(getattr(item.rows, name) for item in items) for name in asdict(RowCounts())}
    return {
        "omni.asset": first.asset,
        "omni.partition" if len(items) == 1 else "omni.partitions": ",".join(item.partition for item in items),
        "omni.batch-id": _each_once(item.batch_ids for item in items),
        "omni.manifest-id": _each_once(item.manifest_ids for item in items),
        "omni.manifest-sha256": _each_once(item.manifest_hashes for item in items),
        "omni.run-id": first.run_id,
        "omni.committed-at": first.committed_at.isoformat(),
        **({"omni.started-at": started_at.isoformat()} if started_at else {}),
        **{name: str(total) for name, total in totals.items()},
        _EVIDENCE: json.dumps(details, separators=(",", ":")),
    }


def _each_once(of_items: Iterable[Iterable[str]]) -> str:
    return ",".join(dict.fromkeys(name for names in of_items for name in names))


def read_evidence(properties: dict[str, str], snapshot_id: int | None) -> list[Materialization]:
    """The materializations that a snapshot's properties speak of; none for a snapshot without evidence."""
    started_at, details = properties.get("omni.started-at"), json.loads(properties.get(_EVIDENCE, "{}"))
    return [
        Materialization(
            asset=properties["omni.asset"],
            partition=partition,
            snapshot_id=snapshot_id,
            committed_at=datetime.fromisoformat(properties["omni.committed-at"]),
            started_at=datetime.fromisoformat(started_at) if started_at else None,
            run_id=properties["omni.run-id"],
            version=item["version"],
            inputs=item["inputs"],
            rows=RowCounts(**{name: item[name] for name in asdict(RowCounts())}),
            batch_ids=tuple(item["batch_ids"]),
            manifest_ids=tuple(item["manifest_ids"]),
            manifest_hashes=tuple(item["manifest_hashes"]),
            source_files=tuple(item["source_files"]),
            is_forced=item.get("is_forced", False),
            # Absent from the evidence of earlier versions, or with numbers.
            read_snapshots={name: int(at) for name, at in item.get("read_snapshots", {}).items()},
            logic=item.get("logic"),
            size_bytes=item.get("size_bytes") or (_size_of_files(properties) if len(details) == 1 else None),
        )
        for partition, item in details.items()
    ]


def _size_of_files(properties: dict[str, str]) -> int | None:
    """Bytes of all data files of a commit; None where it names none. A staged file cannot say how large it is."""
    return sum(file["size_bytes"] for file in json.loads(properties.get(FILES, "{}")).values()) or None


def told_fields(properties: dict[str, str]) -> dict[str, list[str]]:
    """Partition → the fields of its materialization that a snapshot's properties tell, which the ledger must say, too.

    All but those of the ledger itself; of the evidence of an earlier version, what it had.
    """
    told = {}
    for partition, item in json.loads(properties.get(_EVIDENCE, "{}")).items():
        absent = {*_IN_EVIDENCE} - item.keys()
        if "size_bytes" in absent:  # then each partition of a build had an instant of its own, in the ledger alone
            absent |= {"committed_at", "started_at"}
        told[partition] = [f.name for f in fields(Materialization) if f.name not in _OF_THE_LEDGER | absent]
    return told


def _detail(item: Materialization) -> dict[str, Any]:
    # Snapshot ids as texts: other tools read these properties, too, and JavaScript's numbers do not hold 64 bits.
    read = {"read_snapshots": {name: str(at) for name, at in item.read_snapshots.items()}}
    return {name: getattr(item, name) for name in _IN_EVIDENCE} | read | asdict(item.rows)


def recover_ledger(catalog: Catalog, ledger: Ledger) -> int:
    """Record every committed partition that the ledger lacks; returns how many there were.

    Checks are not recovered: a recovered partition is UNCHECKED until its checks run again.
    """
    before = ledger.last_materialization()
    identifiers = [name for namespace in NAMESPACES for name in list_tables(catalog, namespace)]
    return record_missing((catalog.load_table(identifier) for identifier in identifiers), ledger, before)


def record_missing(tables: Iterable[Table], ledger: Ledger, before: int) -> int:
    """Record every partition committed to these tables that the ledger lacks; returns how many there were.

    Whose commit it is may be alive, and record it at any moment, as others may what they commit on top: of a partition
    that was recorded since the tables were looked at (`before`: the last before that), nothing is missing.
    """
    missing = [item for table in tables for item in unrecorded_materializations(table, ledger)]
    ids = ledger.record_materializations(missing, before)
    missing = [item for item, key in zip(missing, ids, strict=True) if key]
    for asset, number in Counter(item.asset for item in missing).items():
        logger.warning("%s: %s committed partitions were not in the ledger, and are recorded", asset, number)
    return len(missing)


def unrecorded_snapshots(table: Table, ledger: Ledger) -> set[int]:
    """Snapshots of a table with evidence on its own asset that the ledger has no materialization of.

    The quarantine table's snapshots speak of other assets, so none of them is among these.
    """
    asset = table.name()[-1]
    recorded = ledger.recorded_snapshots(asset)
    return {
        snapshot.snapshot_id
        for snapshot in table.snapshots()
        if snapshot.summary
        and snapshot.snapshot_id not in recorded
        and snapshot.summary.additional_properties.get("omni.asset") == asset
        and _EVIDENCE in snapshot.summary.additional_properties
    }


def unrecorded_materializations(table: Table, ledger: Ledger) -> Iterator[Materialization]:
    """Partitions whose last commit is on the table and not in the ledger, in the order of the commits."""
    if not (unrecorded := unrecorded_snapshots(table, ledger)):
        return
    committed = {
        (item.partition, item.run_id): item
        for snapshot in table.snapshots()
        if snapshot.summary and snapshot.snapshot_id in unrecorded
        for item in read_evidence(snapshot.summary.additional_properties, snapshot.snapshot_id)
    }
    current = ledger.current_materializations([table.name()[-1]])
    # By the table's own order: a clock may have jumped back. An expired snapshot is older than all that are there.
    order = {snapshot.snapshot_id: number for number, snapshot in enumerate(table.snapshots())}
    for (partition, _), item in committed.items():
        known = current.get((item.asset, partition))
        if known is None or order.get(known.readable_snapshot_id or 0, -1) < order[item.snapshot_id or 0]:
            yield item
