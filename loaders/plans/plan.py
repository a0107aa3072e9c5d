"""Which partitions of a Bronze asset a load computes, from which files, and which it must refuse.

A partition is a pure function of the admitted sources that cover it: it is always computed whole, from all its files,
in the order of their batches. That is why order, repetition and parallelism of loads do not matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from lakehouse.ledger.evidence import (
    Coverage,
    FileKey,
    Materialization,
    RowCounts,
    SourceFileRecord,
    coverage_version,
)
from lakehouse.ledger.foreign_writes import ForeignWrites
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import Window, parse_day
from loaders.manifests.admission import Admission
from loaders.sources.files import SourceFile


@dataclass(frozen=True, slots=True)
class Description:
    """What a document says of itself; None for what it does not say, or cannot."""

    title: str | None = None
    pages: int | None = None


@dataclass(frozen=True, slots=True)
class CountedDay:
    """What a source file holds for one day."""

    partition: str
    records: int
    content: str
    """Hash of what it holds, whatever the order of the records."""
    first_at: datetime | None = None
    """Instant of the earliest record that is dated (UTC)."""
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FileContent:
    """What coverage learns of a source file that it reads, proven whole."""

    sha256: str
    days: list[CountedDay]
    described: Description | None = None


class Reader(Protocol):
    """How coverage looks at the files of an asset; the form of its rows says which one does."""

    def declared_days(self, admission: Admission, name: str) -> Window | None:
        """Days that a file declares to hold, so that it need not be read to know them; None where it does not say."""
        ...

    def days_by_name(self, admission: Admission, name: str) -> set[str]:
        """Days that a file that cannot be read is to hold, as far as its declaration and its name tell."""
        ...

    def read(self, admission: Admission, file: SourceFile) -> FileContent:
        """Read a file.

        Raises:
            SourceUnreadable, MappingRefused: it cannot be read as what it is declared to be.
        """
        ...


@dataclass(frozen=True, slots=True)
class StagedDay:
    """What staging one partition left."""

    files: list[Path]
    """Parquet files, each of one table, with their evidence as metadata."""
    unknown_fields: Mapping[str, str] = field(default_factory=dict)
    """Fields of the records that the contract does not name, each with the first place that has it."""


@dataclass(frozen=True, slots=True)
class CoveredFile:
    """One file of an admitted source; `file` is None for a tombstone and for a file that cannot be found."""

    admission: Admission
    file: SourceFile | None
    record: SourceFileRecord
    coverage: list[Coverage] | None
    """What the file holds, where it was read anew; None where the ledger already knows."""
    batch_at: datetime
    """Instant of its batch; of the batch that it repeats, where it is a replay."""
    described: Description | None = None
    """What a document says of itself, told by the very bytes that its fingerprint was computed from.

    None where these were not read now, or where more than their head is needed: the stored object tells then.
    """
    sidecars: Mapping[str, SourceFile] = field(default_factory=dict)
    """Column → the file beside it whose object goes there; what it held is in the record."""


@dataclass(frozen=True)
class PartitionPlan:
    """One partition to compute."""

    asset: str
    partition: str
    files: tuple[CoveredFile, ...]
    """All files that cover it, in batch order: the later wins where two hold the same event or document."""
    rows_expected: int
    version: str


@dataclass(frozen=True)
class LoadPlan:
    """The partitions to load, and those that cannot be: partition → what is wrong with its sources."""

    asset: str
    partitions: list[PartitionPlan]
    refused: dict[str, str]
    unchanged: int
    """Partitions that already hold exactly what their sources say."""
    window: Window | None = None
    """The days that are meant; None: all."""


def plan_load(
    ledger: Ledger,
    asset: str,
    files: dict[FileKey, CoveredFile],
    window: Window | None = None,
    reload_unchanged: bool = True,
) -> LoadPlan:
    """Plan the load of an asset.

    Without a window: exactly the partitions whose coverage is new or changed since they were materialized. With a
    window: every covered partition in it, or only those of them that are new or changed. One that someone else has
    written is changed, also where nothing covers it.
    """
    coverage = {partition: rows for (_, partition), rows in ledger.coverage(asset).items()}
    current = {partition: item for (_, partition), item in ledger.current_materializations([asset]).items()}
    elsewhere = ForeignWrites(ledger)
    foreign = {key for key in elsewhere.partitions(asset) if elsewhere.of(asset, key, current.get(key))}
    emptied = {partition for partition, item in current.items() if item.rows.read and partition not in coverage}
    plans, refused, unchanged = [], {}, 0
    for partition in sorted(coverage.keys() | emptied | foreign):
        rows = coverage.get(partition, [])
        version = coverage_version(rows)
        if window is not None and parse_day(partition) not in window:
            continue
        is_current = partition in current and current[partition].version == version and partition not in foreign
        if is_current and (window is None or not reload_unchanged):
            unchanged += 1
        elif problems := sorted({row.problem for row in rows if row.problem}):
            refused[partition] = "; ".join(problems)
        else:
            plans.append(_plan(asset, partition, rows, files, version))
    return LoadPlan(asset, plans, refused, unchanged, window)


def _plan(
    asset: str, partition: str, rows: Sequence[Coverage], files: dict[FileKey, CoveredFile], version: str
) -> PartitionPlan:
    covering = [files[(row.manifest_id, row.source_id, row.source_file)] for row in rows]
    expected = sum(row.rows_expected or 0 for row in rows)
    return PartitionPlan(asset, partition, tuple(sorted(covering, key=batch_order)), expected, version)


def batch_order(covered: CoveredFile) -> tuple[object, ...]:
    """Sort key of a file: by the instant of its batch, then by names, so that it is the same everywhere.

    A replay stands before the batch that it repeats, so that it changes nothing that is there.
    """
    manifest = covered.admission.manifest
    return (
        covered.batch_at,
        manifest.load_mode != "replay",
        manifest.manifest_id,
        covered.record.source_id,
        covered.record.source_file,
    )


def planned_materialization(
    plan: PartitionPlan, counts: RowCounts, run_id: str, started_at: datetime, *, with_files: bool = True
) -> Materialization:
    """What the commit of a plan will be recorded as; the sink adds the snapshot.

    Args:
        plan: What was computed.
        counts: What came of it.
        run_id: The run that computed it.
        started_at: When it began to (UTC).
        with_files: Name the source files; a listing of documents names them itself, row by row.
    """
    batches = {covered.admission.manifest.manifest_id: covered.admission for covered in plan.files}
    return Materialization(
        asset=plan.asset,
        partition=plan.partition,
        version=plan.version,
        snapshot_id=None,
        committed_at=datetime.now(UTC),
        started_at=started_at,
        run_id=run_id,
        rows=counts,
        batch_ids=tuple(admission.manifest.batch_id for admission in batches.values()),
        manifest_ids=tuple(batches),
        manifest_hashes=tuple(admission.file.sha256 for admission in batches.values()),
        source_files=tuple(covered.record.source_file for covered in plan.files) if with_files else (),
    )
