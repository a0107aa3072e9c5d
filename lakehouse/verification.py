"""Do the ledger and the tables say the same? Evidence recomputed from tables and snapshots alone, compared.

Reads only. Per asset partition: the rows that the table's files hold, the snapshot that the ledger cites and what is
written on it, commits that the ledger lacks, writes that left no evidence; the records in quarantine; the objects that
document rows name. Called by `omni verify`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from lakehouse.assets import BRONZE_ASSETS, DOC_ASSETS, QUARANTINE
from lakehouse.catalog import list_tables, load_table_if_exists
from lakehouse.digest import UnknownTable
from lakehouse.evidence import Materialization, RowCounts
from lakehouse.ledger import Ledger
from lakehouse.objects import open_store
from lakehouse.partition_files import PartitionFiles, partition_files
from lakehouse.partitions import WHOLE, Window
from lakehouse.provenance import read_evidence
from lakehouse.settings import LakehouseSettings

NAMESPACES = ("bronze", "silver", "gold")

_COMPARED = ("version", "rows", "run_id", "batch_ids", "manifest_ids", "manifest_hashes", "source_files", "inputs")


@dataclass(frozen=True)
class Finding:
    """One disagreement between the ledger and the tables."""

    code: str
    asset: str
    partition: str
    found: str
    expected: str
    next_step: str


@dataclass(frozen=True)
class VerificationReport:
    """What was compared, and where it disagrees."""

    partitions: int
    snapshots: int
    objects: int
    findings: list[Finding]


@dataclass(frozen=True)
class _Scope:
    assets: Sequence[str]
    window: Window | None

    def __contains__(self, partition: str) -> bool:
        if self.window is None or partition == WHOLE or not partition[:1].isdigit():
            return True
        return self.window.first.isoformat() <= partition < self.window.end.isoformat()


@dataclass
class _Counts:
    partitions: int = 0
    snapshots: int = 0
    objects: int = 0
    findings: list[Finding] = field(default_factory=list)


def verify(
    catalog: Catalog,
    ledger: Ledger,
    settings: LakehouseSettings,
    *,
    asset: str | None = None,
    window: Window | None = None,
) -> VerificationReport:
    """Compare ledger and tables.

    A run may commit between the two readings: only what a second look finds again is reported.

    Args:
        catalog: Where the tables are.
        ledger: What is recorded.
        settings: Where the objects are.
        asset: This one only; default: every asset that has a table or a record.
        window: These days only, and what is not partitioned.

    Raises:
        UnknownTable: neither the catalog nor the ledger knows the asset.
    """
    first = _look(catalog, ledger, settings, asset, window)
    again = _look(catalog, ledger, settings, asset, window).findings if first.findings else []
    lasting = [finding for finding in first.findings if finding in again]
    return VerificationReport(first.partitions, first.snapshots, first.objects, lasting)


def _look(
    catalog: Catalog, ledger: Ledger, settings: LakehouseSettings, asset: str | None, window: Window | None
) -> _Counts:
    current = ledger.current_materializations(None if asset is None else [asset])
    identifiers = {name.rpartition(".")[2]: name for space in NAMESPACES for name in list_tables(catalog, space)}
    names = sorted(({name for name, _ in current} | identifiers.keys()) - {QUARANTINE})
    if asset is not None and asset not in names:
        raise UnknownTable(f"asset {asset!r}: neither a table nor a record; there are: {', '.join(names)}")
    scope = _Scope(names if asset is None else [asset], window)
    counts = _Counts()
    for name in scope.assets:
        recorded = {key: item for (of, key), item in current.items() if of == name and key in scope}
        identifier = identifiers.get(name)
        table = load_table_if_exists(catalog, identifier) if identifier else None
        counts.findings += _table_findings(name, table, recorded, scope, counts)
    counts.findings += _quarantine_findings(catalog, current, scope)
    if DOC_ASSETS in scope.assets:
        counts.findings += _object_findings(catalog, settings, scope, counts)
    return counts


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def _table_findings(
    asset: str, table: Table | None, recorded: dict[str, Materialization], scope: _Scope, counts: _Counts
) -> Iterator[Finding]:
    files = {key: found for key, found in (partition_files(table) if table else {}).items() if key in scope}
    snapshots = _Snapshots(table)
    counts.snapshots += len(snapshots.by_id)
    evidence = {key: item for key, item in snapshots.evidence.items() if key in scope}
    for key in sorted(recorded.keys() | files.keys() | evidence.keys()):
        counts.partitions += 1
        partition = _Partition(asset, key, recorded.get(key), files.get(key, PartitionFiles()), evidence.get(key))
        yield from partition.findings(snapshots)


class _Snapshots:
    """A table's retained snapshots, in the order of their commits, and the latest evidence on each partition."""

    def __init__(self, table: Table | None) -> None:
        asset = table.name()[-1] if table else ""
        found: list[Snapshot] = sorted(table.snapshots(), key=lambda s: s.sequence_number or 0) if table else []
        self.by_id = {snapshot.snapshot_id: snapshot for snapshot in found}
        self.order = {snapshot.snapshot_id: number for number, snapshot in enumerate(found)}
        self.said: dict[tuple[int, str], Materialization] = {}
        """What each snapshot says of each partition that it wrote."""
        for snapshot in found:
            properties = self._properties(snapshot)
            if properties.get("omni.asset") == asset:
                for item in read_evidence(properties, snapshot.snapshot_id):
                    self.said[snapshot.snapshot_id, item.partition] = item
        self.evidence = {partition: item for (_, partition), item in self.said.items()}

    def was_expired(self, item: Materialization) -> bool:
        """Whether a snapshot that is not there may have been expired: numbers are missing where it should stand."""
        at_ms = item.committed_at.timestamp() * 1000
        numbers = [(s.timestamp_ms >= at_ms, s.sequence_number or 0) for s in self.by_id.values()]
        before = max((number for is_later, number in numbers if not is_later), default=0)
        after = min((number for is_later, number in numbers if is_later), default=0)
        return after - before > 1

    def strangers(self, files: PartitionFiles, partition: str) -> list[int]:
        """Retained snapshots that added files of a partition without evidence on it; compaction moves rows only."""
        return sorted(
            snapshot_id
            for snapshot_id in files.added_by & self.by_id.keys()
            if (snapshot_id, partition) not in self.said
            and "omni.maintenance" not in self._properties(self.by_id[snapshot_id])
        )

    @staticmethod
    def _properties(snapshot: Snapshot) -> dict[str, str]:
        return snapshot.summary.additional_properties if snapshot.summary else {}


@dataclass(frozen=True)
class _Partition:
    """One partition, as the ledger, the files and the snapshots' evidence know it."""

    asset: str
    partition: str
    recorded: Materialization | None
    files: PartitionFiles
    evidence: Materialization | None

    def findings(self, snapshots: _Snapshots) -> Iterator[Finding]:
        reference = self.recorded
        if self._is_unrecorded(snapshots) and self.evidence is not None:
            item = reference = self.evidence
            yield self._finding(
                "commit_unrecorded",
                f"snapshot {item.snapshot_id} of run {item.run_id} with {item.rows.loaded} rows on the table",
                "the ledger to have it as the current one",
                self._run,
            )
        elif reference is not None:
            yield from self._snapshot_findings(snapshots, reference)
        yield from self._row_findings(snapshots, reference)

    def _is_unrecorded(self, snapshots: _Snapshots) -> bool:
        """Whether the table holds a later commit of the partition than the ledger."""
        if self.evidence is None:
            return False
        if self.recorded is None:
            return self.evidence.rows.loaded > 0
        written, known = (
            snapshots.order[self.evidence.snapshot_id or 0],
            snapshots.order.get(self.recorded.snapshot_id or 0),
        )
        return written > known if known is not None else self.evidence.committed_at > self.recorded.committed_at

    def _snapshot_findings(self, snapshots: _Snapshots, item: Materialization) -> Iterator[Finding]:
        if item.snapshot_id is None or item.snapshot_id not in snapshots.by_id:
            is_explained = item.rows.loaded == 0 if item.snapshot_id is None else snapshots.was_expired(item)
            if not is_explained:
                yield self._finding(
                    "snapshot_unknown",
                    f"snapshot {item.snapshot_id} of the ledger is not on the table, and none was expired there",
                    "the snapshot, or a gap in the numbers of the snapshots",
                    self._run,
                )
            return
        said = snapshots.said.get((item.snapshot_id, self.partition))
        if said is None:
            if item.rows.loaded:  # without rows there may have been nothing to commit
                yield self._finding(
                    "evidence_absent",
                    f"snapshot {item.snapshot_id} says nothing of this partition",
                    f"the evidence of run {item.run_id} with {item.rows.loaded} rows",
                    self._run,
                )
            return
        for name in _COMPARED:
            recorded, written = getattr(item, name), getattr(said, name)
            if recorded != written:
                yield self._finding(
                    "evidence_differs",
                    f"ledger: {name} {_short(recorded)}",
                    f"snapshot {item.snapshot_id}: {name} {_short(written)}",
                    f"look who changed the ledger, then: {self._run}",
                )

    def _row_findings(self, snapshots: _Snapshots, reference: Materialization | None) -> Iterator[Finding]:
        expected = reference.rows.loaded if reference else 0
        rows = self.files.rows
        if rows != expected:
            code = "rows_unknown" if not expected else "rows_gone" if not rows else "rows_differ"
            recorded = (
                f"{expected} rows by the ledger" if self.recorded else "no rows: the ledger knows no such partition"
            )
            yield self._finding(code, f"{rows} rows in the table's files", recorded, self._run)
        elif strangers := snapshots.strangers(self.files, self.partition):
            yield self._finding(
                "foreign_write",
                f"files that snapshot {', '.join(map(str, strangers))} added without evidence",
                "only files of a run that left its evidence",
                self._run,
            )

    @property
    def _run(self) -> str:
        return f"omni run --partition {self.partition}" if self.partition[:1].isdigit() else "omni run"

    def _finding(self, code: str, found: str, expected: str, next_step: str) -> Finding:
        return Finding(code, self.asset, self.partition, found, expected, next_step)


def _short(value: object) -> str:
    if isinstance(value, RowCounts):
        return ", ".join(f"{name} {count}" for name, count in asdict(value).items())
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


# ── quarantine ───────────────────────────────────────────────────────────────────────────────────────────────────────
def _quarantine_findings(
    catalog: Catalog, current: dict[tuple[str, str], Materialization], scope: _Scope
) -> Iterator[Finding]:
    """Records that are held, against what the ledger says was held back."""
    table = load_table_if_exists(catalog, f"bronze.{QUARANTINE}")
    held: dict[tuple[str, str], int] = {}
    if table is not None:
        rows = table.scan(row_filter="released_at is null", selected_fields=("asset", "partition")).to_arrow()
        for row in rows.group_by(["asset", "partition"]).aggregate([([], "count_all")]).to_pylist():
            held[row["asset"], row["partition"]] = row["count_all"]
    for asset, key in sorted(held.keys() | current.keys()):
        if asset not in scope.assets or asset not in BRONZE_ASSETS or key not in scope:
            continue
        item = current.get((asset, key))
        found, expected = held.get((asset, key), 0), item.rows.quarantined if item else 0
        if found != expected:
            yield Finding(
                "quarantine_differs",
                asset,
                key,
                f"{found} records held in the quarantine table",
                f"{expected} by the ledger",
                f"omni run --partition {key}",
            )


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def _object_findings(
    catalog: Catalog, settings: LakehouseSettings, scope: _Scope, counts: _Counts
) -> Iterator[Finding]:
    """Objects that document rows name, against what the object store holds: there, and of that size."""
    table = load_table_if_exists(catalog, f"bronze.{DOC_ASSETS}")
    if table is None:
        return
    rows = table.scan(selected_fields=("raw_object_path", "size_bytes", "snapshot_date")).to_arrow()
    rows = rows.filter(pc.is_valid(rows["raw_object_path"]))
    grouped = rows.group_by(["raw_object_path", "size_bytes", "snapshot_date"]).aggregate([])
    named = {  # the latest day that names it is the one to load again
        (row["raw_object_path"], row["size_bytes"]): str(row["snapshot_date"])
        for row in grouped.sort_by("snapshot_date").to_pylist()
        if str(row["snapshot_date"]) in scope
    }
    counts.objects += len(named)
    fs, root = open_store(settings)
    fs.invalidate_cache()
    sizes = {path.rpartition("/")[2]: info["size"] for path, info in fs.find(f"{root}/objects", detail=True).items()}
    for (path, expected), day in sorted(named.items()):
        size = sizes.get(path.rpartition("/")[2])
        if size is None:
            step = f"omni run --partition {day}, which stores it again"
            yield Finding("object_gone", DOC_ASSETS, day, f"no object {path}", f"{expected} bytes", step)
        elif size != expected:
            step = f"remove the object, then: omni run --partition {day}"
            found = f"object {path} of {size} bytes"
            yield Finding("object_differs", DOC_ASSETS, day, found, f"{expected} bytes", step)
