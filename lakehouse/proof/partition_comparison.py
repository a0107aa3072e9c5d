"""One partition of a table, as the ledger, the table's files and its snapshots' evidence know it: where they disagree.

Pure, over what was read. Called by `lakehouse.proof.verification`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from lakehouse.builds.commit_evidence import read_evidence, told_fields
from lakehouse.database.written_files import WrittenFile, named_files
from lakehouse.ledger.evidence import Materialization, RowCounts
from lakehouse.partitions import is_day
from lakehouse.proof.partition_files import PartitionFiles
from lakehouse.tables.stored_files import BrokenFile


@dataclass(frozen=True)
class Finding:
    """One disagreement between the ledger and the tables."""

    code: str
    asset: str
    partition: str
    found: str
    expected: str
    next_step: str


def day_option(partition: str) -> str:
    """Option of a command that names a day; nothing for a partition that is none."""
    return f" --partition {partition}" if is_day(partition) else ""


def run_step(partition: str) -> str:
    """The run that computes a partition again."""
    return f"omni run{day_option(partition)}"


def file_finding(asset: str, partition: str, lost: BrokenFile, next_step: str) -> Finding:
    """A data or delete file that is gone, or has another size than the metadata say."""
    code = "file_gone" if lost.found_bytes is None else "file_differs"
    return Finding(code, asset, partition, lost.found, lost.expected, next_step)


class TableSnapshots:
    """A table's retained snapshots, in the order of their commits, and the latest evidence on each partition."""

    def __init__(self, table: Table | None) -> None:
        asset = table.name()[-1] if table else ""
        found: list[Snapshot] = sorted(table.snapshots(), key=lambda s: s.sequence_number or 0) if table else []
        self.by_id = {snapshot.snapshot_id: snapshot for snapshot in found}
        self.order = {snapshot.snapshot_id: number for number, snapshot in enumerate(found)}
        self.said: dict[tuple[int, str], Materialization] = {}
        """What each snapshot says of each partition that it wrote."""
        self.told: dict[tuple[int, str], list[str]] = {}
        """Fields of a materialization that it tells."""
        self.named: dict[int, dict[str, WrittenFile]] = {}
        """Data files that each snapshot names, by location; of those that name any."""
        for snapshot in found:
            properties = self._properties(snapshot)
            if table and (named := named_files(table.location(), properties)):
                self.named[snapshot.snapshot_id] = {file.location: file for file in named}
            if properties.get("omni.asset") == asset:
                told = told_fields(properties)
                for item in read_evidence(properties, snapshot.snapshot_id):
                    self.said[snapshot.snapshot_id, item.partition] = item
                    self.told[snapshot.snapshot_id, item.partition] = told[item.partition]
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
class PartitionComparison:
    """One partition, as the ledger, the files and the snapshots' evidence know it."""

    asset: str
    partition: str
    recorded: Materialization | None
    files: PartitionFiles
    evidence: Materialization | None
    written: Mapping[str, WrittenFile]
    """What is recorded of the table's files, by location."""

    def findings(self, snapshots: TableSnapshots) -> Iterator[Finding]:
        """Where they disagree."""
        yield from self._file_findings(snapshots)
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
            yield from self._citation_findings(snapshots, reference)
        yield from self._row_findings(snapshots, reference)

    def _file_findings(self, snapshots: TableSnapshots) -> Iterator[Finding]:
        step = f"omni backfill {self.asset}{day_option(self.partition)}"
        for lost in self.files.broken:
            yield file_finding(self.asset, self.partition, lost, step)
        for entry in self.files.data:
            named = snapshots.named.get(entry.snapshot_id or 0)
            if named is not None:
                yield from self._named_findings(entry.data_file, named, step)

    def _named_findings(self, file: DataFile, named: Mapping[str, WrittenFile], step: str) -> Iterator[Finding]:
        """A file is that which the snapshot that added it names, and that which was recorded with its commit."""
        told, recorded = named.get(file.file_path), self.written.get(file.file_path)
        if told is None:
            yield self._finding("file_unknown", file.file_path, f"one of {', '.join(sorted(named))}", step)
        elif recorded != told or told.size_bytes != file.file_size_in_bytes:
            found = f"{file.file_path}: {file.file_size_in_bytes} bytes by its manifest; on record: {recorded}"
            yield self._finding("file_differs", found, f"{told}, as its snapshot says", step)

    def _is_unrecorded(self, snapshots: TableSnapshots) -> bool:
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

    def _snapshot_findings(self, snapshots: TableSnapshots, item: Materialization) -> Iterator[Finding]:
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
        for name in snapshots.told[item.snapshot_id, self.partition]:
            recorded, written = getattr(item, name), getattr(said, name)
            if recorded != written and (name != "size_bytes" or written is not None):
                yield self._finding(
                    "evidence_differs",
                    f"ledger: {name} {_short(recorded)}",
                    f"snapshot {item.snapshot_id}: {name} {_short(written)}",
                    f"look who changed the ledger, then: {self._run}",
                )

    def _citation_findings(self, snapshots: TableSnapshots, item: Materialization) -> Iterator[Finding]:
        """The later snapshot that maintenance found to hold the partition must be there, and be a later one."""
        cited = item.held_by_snapshot_id
        if cited is None:
            return
        if cited not in snapshots.by_id:
            found = f"snapshot {cited}, which the ledger cites as one that holds it, is not on the table"
            yield self._finding(
                "citation_unknown", found, "a snapshot to read it in", "omni maintain, which cites another"
            )
        elif snapshots.order[cited] < snapshots.order.get(item.snapshot_id or 0, 0):
            found = (
                f"snapshot {cited}, which the ledger cites as one that holds it, is older than the one that wrote it"
            )
            yield self._finding("citation_unknown", found, f"snapshot {item.snapshot_id} or a later one", self._run)

    def _row_findings(self, snapshots: TableSnapshots, reference: Materialization | None) -> Iterator[Finding]:
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
        return run_step(self.partition)

    def _finding(self, code: str, found: str, expected: str, next_step: str) -> Finding:
        return Finding(code, self.asset, self.partition, found, expected, next_step)


def _short(value: object) -> str:
    if isinstance(value, RowCounts):
        return ", ".join(f"{name} {count}" for name, count in asdict(value).items())
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
