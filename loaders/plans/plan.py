"""What a load passes on: files as coverage saw them, partitions to compute, and what staging left of each.

Values only. A process that stages imports no more than these; `loaders.plans.planning` makes the plans. Without slots:
frozen classes that have them are pickled in Python, which took a third of what coverage of many small files did.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from lakehouse.ledger.evidence import Coverage, Materialization, RowCounts, Sidecar, SourceFileRecord
from lakehouse.partitions import Window
from loaders.manifests.admission import Admission
from loaders.sources.files import SourceFile


@dataclass(frozen=True)
class Description:
    """What a document says of itself; None for what it does not say, or cannot."""

    title: str | None = None
    pages: int | None = None


@dataclass(frozen=True)
class CountedDay:
    """What a source file holds for one day."""

    partition: str
    records: int
    content: str
    """Hash of what it holds, whatever the order of the records."""
    first_at: datetime | None = None
    """Instant of the earliest record that is dated (UTC)."""
    last_at: datetime | None = None


@dataclass(frozen=True)
class FileContent:
    """What coverage learns of a source file that it reads, proven whole."""

    sha256: str
    days: list[CountedDay]
    described: Description | None = None
    sidecars: Mapping[str, Sidecar] = field(default_factory=dict)
    """Column → what the file beside it holds."""


@dataclass(frozen=True)
class UnreadFile:
    """A source file that coverage has yet to read."""

    admission: Admission
    file: SourceFile
    sidecars: Mapping[str, SourceFile]
    """Column → the file beside it whose object goes there."""
    record: SourceFileRecord
    """What will be on record, but for what reading tells."""
    batch_at: datetime


class Reader(Protocol):
    """How coverage looks at the files of an asset; the form of its rows says which one does."""

    least_bytes: int
    """Bytes that take as long to read as any file takes."""

    def declared_days(self, admission: Admission, name: str) -> Window | None:
        """Days that a file declares to hold, so that it need not be read to know them; None where it does not say."""
        ...

    def days_by_name(self, admission: Admission, name: str) -> set[str]:
        """Days that a file that cannot be read is to hold, as far as its declaration and its name tell."""
        ...

    def __call__(self, unread: UnreadFile) -> FileContent:
        """Read a file, and those beside it.

        Raises:
            SourceUnreadable, MappingRefused: one cannot be read as what it is declared to be.
        """
        ...


@dataclass(frozen=True)
class StagedDay:
    """What staging one partition left: files to be committed, and what the commit will be recorded as."""

    item: Materialization
    """Without its snapshot."""
    rows: Path | None
    """Parquet file of the partition's rows; None where it has none."""
    held: Path | None = None
    """Parquet file of the records that are held in quarantine; None where there are none."""
    unknown_fields: Mapping[str, str] = field(default_factory=dict)
    """Fields of the records that the contract does not name, each with the first place that has it."""


@dataclass(frozen=True)
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
