"""Do the ledger and the tables say the same? Evidence recomputed from tables and snapshots alone, compared.

Changes no table. Per asset partition: the rows that the table's files hold, the snapshot that the ledger cites and
what is written on it, commits that the ledger lacks, writes that left no evidence, files that are gone; the records in
quarantine; the objects that rows of files name. Called by `omni verify`.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import ManifestEntry
from pyiceberg.table import Table

from lakehouse.contracts.model import Contract
from lakehouse.contracts.registry import bronze_contracts
from lakehouse.kinds import OBJECT_COLUMN
from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import NAMESPACES, QUARANTINE, bronze
from lakehouse.partitions import WHOLE, Window
from lakehouse.proof.foreign_writes import find_foreign_writes, foreign_findings
from lakehouse.proof.partition_comparison import Finding, PartitionComparison, TableSnapshots, file_finding
from lakehouse.proof.partition_files import PartitionFiles, broken_files, broken_metadata, partition_files
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import list_tables, load_table_if_exists
from lakehouse.tables.digest import UnknownTable
from lakehouse.tables.filters import ALWAYS, HELD, day_filter
from lakehouse.tables.objects import object_path, open_store
from lakehouse.tables.stored_files import BrokenFile, TableFiles, list_files


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
    """Find what someone else wrote, which is recorded; then compare ledger and tables.

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
    unsettled = find_foreign_writes(catalog, ledger)
    first = _look(catalog, ledger, settings, asset, window)
    again = _look(catalog, ledger, settings, asset, window).findings if first.findings else []
    lasting = [finding for finding in first.findings if finding in again]
    seen, scope = {(each.asset, each.partition) for each in lasting}, _Scope([] if asset is None else [asset], window)
    lasting += [
        each
        for each in foreign_findings(ledger, unsettled)
        if asset in (None, each.asset) and each.partition in scope and (each.asset, each.partition) not in seen
    ]
    return VerificationReport(first.partitions, first.snapshots, first.objects, lasting)


def _look(
    catalog: Catalog, ledger: Ledger, settings: LakehouseSettings, asset: str | None, window: Window | None
) -> _Counts:
    every = ledger.current_materializations()
    current = {key: item for key, item in every.items() if asset in (None, key[0])}
    identifiers = {name.rpartition(".")[2]: name for space in NAMESPACES for name in list_tables(catalog, space)}
    names = sorted(({name for name, _ in current} | identifiers.keys()) - {QUARANTINE})
    if asset is not None and asset not in names:
        raise UnknownTable(f"asset {asset!r}: neither a table nor a record; there are: {', '.join(names)}")
    scope = _Scope(names if asset is None else [asset], window)
    counts, contracts = _Counts(), bronze_contracts(settings)
    for name in scope.assets:
        recorded = {key: item for (of, key), item in current.items() if of == name and key in scope}
        opened = _open(catalog, name, identifiers.get(name), [name])
        counts.findings += opened.findings or _table_findings(name, opened, recorded, scope, counts)
        if name in contracts and contracts[name].object_columns and opened.is_whole(scope):
            counts.findings += _object_findings(opened.table, contracts[name], ledger, settings, scope, counts)
    recorded_assets = {of for of, _ in every}
    loaded = [name for name in contracts if name in recorded_assets]
    quarantine = _open(catalog, QUARANTINE, identifiers.get(QUARANTINE), loaded)
    # Of a table that is not whole nothing can be counted, whatever was asked about.
    counts.findings += (
        quarantine.findings
        or _held_file_findings(quarantine, loaded)
        or _quarantine_findings(quarantine.table, current, contracts, scope)
    )
    return counts


# ── what can be read ─────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True)
class _Opened:
    """A table, and what is stored of it; without either where its metadata cannot be read, which findings say."""

    table: Table | None = None
    stored: TableFiles | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def broken(self) -> list[tuple[ManifestEntry, BrokenFile]]:
        """Its data and delete files that cannot be read."""
        return list(broken_files(self.table, self.stored)) if self.table and self.stored else []

    @cached_property
    def partitions(self) -> dict[str, PartitionFiles]:
        """Its live files, by partition."""
        return partition_files(self.table, self.stored) if self.table and self.stored else {}

    def is_whole(self, scope: _Scope) -> bool:
        """Whether the rows that are asked about can be read."""
        return not self.findings and not any(of.broken for key, of in self.partitions.items() if key in scope)


def _open(catalog: Catalog, asset: str, identifier: str | None, rebuilt: Iterable[str]) -> _Opened:
    """Open a table, as far as it is there; `rebuilt` are the assets whose backfill makes it anew."""
    if identifier is None:
        return _Opened()
    step = f"bring it back from a copy of the warehouse; or {_drop(identifier, rebuilt)}"
    try:
        table = load_table_if_exists(catalog, identifier)
    except FileNotFoundError as error:
        return _Opened(findings=[Finding("metadata_gone", asset, WHOLE, str(error), "the table's metadata", step)])
    if table is None:
        return _Opened()
    stored = TableFiles(table)
    findings = [
        Finding(
            "metadata_gone" if lost.found_bytes is None else "metadata_differs",
            asset,
            WHOLE,
            lost.found,
            lost.expected,
            step,
        )
        for lost in broken_metadata(table, stored)
    ]
    return _Opened(table, stored, findings)


def _drop(identifier: str, rebuilt: Iterable[str]) -> str:
    """What makes a table anew that can be neither read nor written."""
    return f"drop {identifier} from the catalog, then: omni backfill {' '.join(rebuilt)}"


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def _table_findings(
    asset: str, opened: _Opened, recorded: dict[str, Materialization], scope: _Scope, counts: _Counts
) -> Iterator[Finding]:
    files = {key: of for key, of in opened.partitions.items() if key in scope}
    snapshots = TableSnapshots(opened.table)
    counts.snapshots += len(snapshots.by_id)
    evidence = {key: item for key, item in snapshots.evidence.items() if key in scope}
    for key in sorted(recorded.keys() | files.keys() | evidence.keys()):
        counts.partitions += 1
        partition = PartitionComparison(
            asset, key, recorded.get(key), files.get(key, PartitionFiles()), evidence.get(key)
        )
        yield from partition.findings(snapshots)


# ── quarantine ───────────────────────────────────────────────────────────────────────────────────────────────────────
def _held_file_findings(opened: _Opened, loaded: Iterable[str]) -> list[Finding]:
    """Files of held records that are gone: a load would read them, to see which records were released.

    Their partition is that of the asset whose load held them back.
    """
    step = _drop(bronze(QUARANTINE), loaded)
    named = ((entry.data_file.partition, lost) for entry, lost in opened.broken)
    return [file_finding(partition[0], partition[1], lost, step) for partition, lost in named]


def _quarantine_findings(
    table: Table | None, current: dict[tuple[str, str], Materialization], assets: Collection[str], scope: _Scope
) -> Iterator[Finding]:
    """Records that are held, against what the ledger says was held back."""
    held: dict[tuple[str, str], int] = {}
    if table is not None:
        rows = table.scan(row_filter=HELD, selected_fields=("asset", "partition")).to_arrow()
        for row in rows.group_by(["asset", "partition"]).aggregate([([], "count_all")]).to_pylist():
            held[row["asset"], row["partition"]] = row["count_all"]
    for asset, key in sorted(held.keys() | current.keys()):
        if asset not in scope.assets or asset not in assets or key not in scope:
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
    table: Table | None, contract: Contract, ledger: Ledger, settings: LakehouseSettings, scope: _Scope, counts: _Counts
) -> Iterator[Finding]:
    """Objects that rows of files name, against what the object store holds: there, and of that size."""
    if table is None:
        return
    asset, named = contract.declared_asset.name, _named_objects(table, contract, ledger, scope)
    counts.objects += len(named)
    fs, root = open_store(settings)
    sizes = {file.path.rpartition("/")[2]: file.size_bytes for file in list_files(fs, f"{root}/objects")}
    for (path, size_bytes), day in sorted(named.items(), key=lambda each: (each[0][0], each[0][1] or 0)):
        size, expected = sizes.get(path.rpartition("/")[2]), f"{size_bytes or 'its'} bytes"
        if size is None:
            step = f"omni run --partition {day}, which stores it again"
            yield Finding("object_gone", asset, day, f"no object {path}", expected, step)
        elif size_bytes is not None and size != size_bytes:
            step = f"remove the object, then: omni run --partition {day}"
            yield Finding("object_differs", asset, day, f"object {path} of {size} bytes", expected, step)


def _named_objects(
    table: Table, contract: Contract, ledger: Ledger, scope: _Scope
) -> dict[tuple[str, int | None], str]:
    """Path and size of each object that rows name → the latest day that does, which is the one to load again.

    A row has the size of its own file. That of a sidecar knows the ledger, or a row whose own file has the same bytes;
    None where neither does.
    """
    asset = contract.declared_asset
    columns = [column for column in contract.object_columns if column in table.schema().column_names]
    asked = day_filter(table, scope.window) if scope.window else ALWAYS
    rows = table.scan(asked, selected_fields=(*columns, "size_bytes", asset.time)).to_arrow()
    records = ledger.known_files(asset.name).values()
    sizes = {object_path(each.sha256): each.size_bytes for record in records for each in record.sidecars.values()}
    named: dict[tuple[str, int | None], str] = {}
    for column in columns:  # the row's own file first
        found = rows.filter(pc.is_valid(rows[column])).group_by([column, "size_bytes", asset.time]).aggregate([])
        for row in found.to_pylist():
            path, day = row[column], str(row[asset.time])
            if column == OBJECT_COLUMN:
                sizes.setdefault(path, row["size_bytes"])
            size_bytes = row["size_bytes"] if column == OBJECT_COLUMN else sizes.get(path)
            if day in scope:
                named[path, size_bytes] = max(day, named.get((path, size_bytes), ""))
    return named
