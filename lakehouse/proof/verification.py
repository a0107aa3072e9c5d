"""Do the ledger and the tables say the same? Evidence recomputed from tables and snapshots alone, compared.

Changes no table. Per asset partition: the rows that the table's files hold, the snapshot that the ledger cites and
what is written on it, commits that the ledger lacks, writes that left no evidence, files that are gone or others; the
records in quarantine; the objects that rows of files name; coverage; tables that the catalog does not know. Deep: what
only reading shows. Called by `omni verify`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import NAMESPACES, QUARANTINE, bronze
from lakehouse.partitions import WHOLE, Window, lies_within
from lakehouse.proof.foreign_writes import find_foreign_writes, foreign_findings
from lakehouse.proof.ledger.coverage_fit import coverage_findings
from lakehouse.proof.named_objects import hashed_object_findings, named_objects, object_findings
from lakehouse.proof.opened_tables import OpenedTable, drop_step, open_table
from lakehouse.proof.partition_comparison import Finding, PartitionComparison, TableSnapshots, file_finding
from lakehouse.proof.partition_files import PartitionFiles
from lakehouse.proof.read_files import read_files, unwritten_files
from lakehouse.proof.unknown_tables import unknown_tables
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import list_tables
from lakehouse.tables.digest import UnknownTable
from lakehouse.tables.filters import HELD


@dataclass
class VerificationReport:
    """What was compared, and where it disagrees."""

    partitions: int = 0
    snapshots: int = 0
    objects: int = 0
    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    """Files that were read."""
    notes: list[str] = field(default_factory=list)
    """What could not be proven, for a person."""


@dataclass(frozen=True)
class _Scope:
    assets: Sequence[str]
    window: Window | None

    def __contains__(self, partition: str) -> bool:
        return lies_within(partition, self.window)


def verify(
    catalog: Catalog,
    ledger: Ledger,
    settings: LakehouseSettings,
    *,
    asset: str | None = None,
    window: Window | None = None,
    reading: Callable[[str], None] | None = None,
) -> VerificationReport:
    """Find what someone else wrote, which is recorded; then compare ledger and tables.

    A run may commit between the two readings: only what a second look finds again is reported.

    Args:
        catalog: Where the tables are.
        ledger: What is recorded.
        settings: Where the objects are.
        asset: This one only; default: every asset that has a table or a record.
        window: These days only, and what is not partitioned.
        reading: Also read every file and object, and say here which partition is read.

    Raises:
        UnknownTable: neither the catalog nor the ledger knows the asset.
    """
    unsettled = find_foreign_writes(catalog, ledger)
    first = _Look(catalog, ledger, settings, asset, window)
    report = first.report
    again = _Look(catalog, ledger, settings, asset, window).report.findings if report.findings else []
    lasting = report.findings = [finding for finding in report.findings if finding in again]
    seen, scope = {(each.asset, each.partition) for each in lasting}, first.scope
    lasting += [
        each
        for each in foreign_findings(ledger, unsettled)
        if asset in (None, each.asset) and each.partition in scope and (each.asset, each.partition) not in seen
    ]
    if reading is not None:
        first.read(reading)
    return report


class _Look:
    """One look at what is asked about."""

    def __init__(
        self, catalog: Catalog, ledger: Ledger, settings: LakehouseSettings, asset: str | None, window: Window | None
    ) -> None:
        self.report = VerificationReport()
        self._ledger, self._settings = ledger, settings
        every = ledger.current_materializations()
        current = {key: item for key, item in every.items() if asset in (None, key[0])}
        identifiers = {name.rpartition(".")[2]: name for space in NAMESPACES for name in list_tables(catalog, space)}
        recorded_assets = {of for of, _ in every}
        known = {*identifiers, *recorded_assets}
        self.report.findings += unknown_tables(settings, known, asset)
        names = sorted(known - {QUARANTINE})
        if asset is not None and asset not in names and not self.report.findings:
            raise UnknownTable(f"asset {asset!r}: neither a table nor a record; there are: {', '.join(names)}")
        self.scope = _Scope(names if asset is None else [asset], window)
        self._contracts = bronze_contracts(settings)
        self._tables: list[OpenedTable] = []
        for name in self.scope.assets:
            recorded = {key: item for (of, key), item in current.items() if of == name and key in self.scope}
            opened = open_table(catalog, ledger, name, identifiers.get(name), [name])
            self._tables.append(opened)
            self.report.findings += opened.findings or _table_findings(name, opened, recorded, self.scope, self.report)
            for named_asset, named in self._named(opened):
                self.report.objects += len(named)
                self.report.findings += object_findings(named_asset, named, settings)
        loaded = [name for name in self._contracts if name in recorded_assets]
        quarantine = open_table(catalog, ledger, QUARANTINE, identifiers.get(QUARANTINE), loaded)
        self._tables.append(quarantine)
        # Of a table that is not whole nothing can be counted, whatever was asked about.
        self.report.findings += (
            quarantine.findings
            or _held_file_findings(quarantine, loaded)
            or self._held_findings(quarantine, current, loaded)
        )
        inside = {key: item for key, item in current.items() if key[1] in self.scope}
        self.report.findings += coverage_findings(ledger, inside, [name for name in self._contracts if name in loaded])

    def read(self, progress: Callable[[str], None]) -> None:
        """Read every file and object that is asked about."""
        for opened in (each for each in self._tables if not each.findings):
            for finding in read_files(opened, self._is_asked, progress):
                self.report.files += 1
                self._add(finding)
            if unwritten := unwritten_files(opened):
                name = opened.table.name()[-1] if opened.table else ""
                self.report.notes.append(
                    f"{name}: {unwritten} data files are not on record, so their bytes prove nothing"
                )
            for asset, named in self._named(opened):
                progress(f"objects of {asset}")
                for found in hashed_object_findings(asset, named, self._settings):
                    self._add(found)

    def _held_findings(
        self, quarantine: OpenedTable, current: dict[tuple[str, str], Materialization], loaded: Iterable[str]
    ) -> list[Finding]:
        try:
            return list(_quarantine_findings(quarantine.table, current, self._contracts, self.scope))
        except _ROWS_UNREADABLE as error:
            return [_unreadable_rows(QUARANTINE, error, drop_step(bronze(QUARANTINE), loaded))]

    def _is_asked(self, asset: str, partition: str) -> bool:
        return asset in self.scope.assets and partition in self.scope

    def _add(self, finding: Finding | None) -> None:
        """Add what the look without reading has not found."""
        known = {(each.code, each.asset, each.partition) for each in self.report.findings}
        if finding is not None and (finding.code, finding.asset, finding.partition) not in known:
            self.report.findings.append(finding)

    def _named(self, opened: OpenedTable) -> Iterator[tuple[str, dict[tuple[str, int | None], str]]]:
        """The asset whose rows name objects, and those; nothing of a table that cannot be read."""
        contract = self._contracts.get(opened.table.name()[-1]) if opened.table else None
        if opened.table and contract and contract.object_columns and opened.is_whole(self.scope.__contains__):
            asset = contract.declared_asset.name
            try:
                named = named_objects(opened.table, contract, self._ledger, self.scope.window, self.scope.__contains__)
            except _ROWS_UNREADABLE as error:
                self._add(_unreadable_rows(asset, error, f"omni verify --deep --asset {asset}, which says the file"))
            else:
                yield asset, named


_ROWS_UNREADABLE = (OSError, ValueError, pa.ArrowException)


def _unreadable_rows(asset: str, error: Exception, step: str) -> Finding:
    found = f"a data file that cannot be read ({str(error).partition(chr(10))[0]})"
    return Finding("file_differs", asset, WHOLE, found, "Parquet files", step)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def _table_findings(
    asset: str, opened: OpenedTable, recorded: dict[str, Materialization], scope: _Scope, report: VerificationReport
) -> Iterator[Finding]:
    files = {key: of for key, of in opened.partitions.items() if key in scope}
    snapshots = TableSnapshots(opened.table)
    report.snapshots += len(snapshots.by_id)
    evidence = {key: item for key, item in snapshots.evidence.items() if key in scope}
    for key in sorted(recorded.keys() | files.keys() | evidence.keys()):
        report.partitions += 1
        partition = PartitionComparison(
            asset, key, recorded.get(key), files.get(key, PartitionFiles()), evidence.get(key), opened.recorded
        )
        yield from partition.findings(snapshots)


# ── quarantine ───────────────────────────────────────────────────────────────────────────────────────────────────────
def _held_file_findings(opened: OpenedTable, loaded: Iterable[str]) -> list[Finding]:
    """Files of held records that are gone: a load would read them, to see which records were released.

    Their partition is that of the asset whose load held them back.
    """
    step = drop_step(bronze(QUARANTINE), loaded)
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
