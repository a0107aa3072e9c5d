"""What is known of an asset partition: coverage (expected), materializations (written), check results.

Frozen values without I/O; the ledger stores them, the verdict judges them. All instants are UTC.
"""

import hashlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from lakehouse.kinds import Severity

FileKey = tuple[str, str, str]
"""manifest_id, source_id, source_file."""


class Sidecar(NamedTuple):
    """A file that a source declares beside its own: a transcript, a sound track."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)  # without slots, with which pickling it takes long
class SourceFileRecord:
    """A file of an admitted source, as last looked at."""

    asset: str
    manifest_id: str
    source_id: str
    source_file: str
    stamp: str
    """Tells, without reading the file, whether it must be read again."""
    sha256: str | None = None
    problem: str | None = None
    """Why it cannot be read; None for a file that can."""
    sidecars: Mapping[str, Sidecar] = field(default_factory=dict)
    """Column of the asset → the sidecar that was read for it."""

    @property
    def objects(self) -> set[str]:
        """SHA-256 of all that is read of it: where a row is a file, of the objects that the row names."""
        return {each for each in (self.sha256, *(sidecar.sha256 for sidecar in self.sidecars.values())) if each}

    @property
    def key(self) -> FileKey:
        """Identity within its asset."""
        return self.manifest_id, self.source_id, self.source_file


@dataclass(frozen=True, slots=True)
class ManifestVersion:
    """One admitted version of a manifest: who let what in, and when."""

    manifest_id: str
    manifest_sha256: str
    batch_id: str
    manifest_path: str
    """Name of the file in the manifest folder."""
    declared_at: datetime | None
    """`created_at` of the manifest; None for a version that was admitted before this was recorded."""
    load_mode: str | None
    declared: dict[str, Any] | None
    """The manifest without its sources."""
    admitted_at: datetime
    """When it was let in; of a version that came back after a later one, when it did."""


@dataclass(frozen=True, slots=True)
class SourceAdmission:
    """The judgment of one source of one admitted version of a manifest, as recorded."""

    source_id: str
    judgment: str
    reasons: tuple[str, ...]
    declared: dict[str, Any] | None
    """The source as it stands in the manifest."""


@dataclass(frozen=True, slots=True)
class Release:
    """A quarantined source of one version of a manifest that a person let in."""

    manifest_id: str
    manifest_sha256: str
    source_id: str
    reason: str
    released_by: str
    released_at: datetime


@dataclass(frozen=True, slots=True)
class QuarantineAction:
    """What a person did about a quarantined record."""

    record_id: str
    action: str
    """`released` or `discarded`."""
    asset: str
    partition: str
    source_file: str
    source_line: int
    reason_code: str
    reason: str
    """Why it was done."""
    acted_by: str
    acted_at: datetime


@dataclass(frozen=True, slots=True)
class Backfill:
    """A bounded re-materialization that somebody asked for."""

    id: str
    targets: tuple[tuple[str, str], ...]
    """Asset and partition of each, upstream first."""
    reason: str
    requested_by: str
    requested_at: datetime
    is_forced: bool = False
    finished_at: datetime | None = None
    """None while it runs, or where it was interrupted."""
    outcome: str | None = None
    """`ready` where every target came out ready, else `incomplete`."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """The share of one source file in one asset partition. Grain: asset, manifest, source, file, partition."""

    asset: str
    partition: str
    manifest_id: str
    source_id: str
    source_file: str
    rows_expected: int | None
    """Records that the file holds for the partition; None while the file cannot be read."""
    fingerprint: str
    """Changes when, and only when, these records or the way they are read change."""
    problem: str | None = None
    """Why the file cannot be read now: found, expected, next step."""
    first_at: datetime | None = None
    """Instant of the earliest record that is dated (UTC)."""
    last_at: datetime | None = None
    """Instant of the latest."""


def coverage_version(rows: Iterable[Coverage]) -> str:
    """Version of a Bronze partition that holds exactly these rows: a hash of the fingerprints, whatever their order."""
    return hashlib.sha256("\n".join(sorted(row.fingerprint for row in rows)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows of one partition: read = loaded + deduplicated + quarantined, and read = expected."""

    expected: int = 0
    read: int = 0
    loaded: int = 0
    deduplicated: int = 0
    quarantined: int = 0

    @property
    def is_conserved(self) -> bool:
        """Nothing was dropped in silence."""
        return self.read == self.loaded + self.deduplicated + self.quarantined and self.read == self.expected


@dataclass(frozen=True, slots=True)
class Materialization:
    """One committed version of one asset partition, with its evidence."""

    asset: str
    partition: str
    version: str
    """Hash of what the content was computed from: equal versions hold equal content."""
    snapshot_id: int | None
    """Iceberg snapshot that the commit left as current; None for a table that was never written."""
    committed_at: datetime
    run_id: str
    rows: RowCounts = RowCounts()
    inputs: dict[str, str] = field(default_factory=dict)
    """Upstream asset → the version of it that was read."""
    batch_ids: tuple[str, ...] = ()
    manifest_ids: tuple[str, ...] = ()
    manifest_hashes: tuple[str, ...] = ()
    """SHA-256 of each manifest, in the order of `manifest_ids`."""
    source_files: tuple[str, ...] = ()
    is_forced: bool = False
    """Built on a person's word although what it reads was not ready."""
    read_snapshots: dict[str, int] = field(default_factory=dict)
    """Upstream asset → the Iceberg snapshot of its table that was read."""
    started_at: datetime | None = None
    """When the work on it began; None where that is not known. What one commit wrote together began together."""
    size_bytes: int | None = None
    """Size of its data files, as committed; None where that is not known."""
    logic: str | None = None
    """Hash of what its rows were computed by (`lakehouse.builds.logic`); None for Bronze, and where it is not known."""
    id: int = 0
    """Key in the ledger; 0 before it is recorded."""
    held_by_snapshot_id: int | None = None
    """A later snapshot that maintenance found to hold the partition unchanged; None before it looked."""

    @property
    def readable_snapshot_id(self) -> int | None:
        """The snapshot to read the partition in: maintenance may have expired the one that wrote it."""
        return self.snapshot_id if self.held_by_snapshot_id is None else self.held_by_snapshot_id


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check on one materialization of one asset partition."""

    asset: str
    partition: str
    check: str
    severity: Severity
    passed: bool
    message: str
    materialization_id: int
    observed_at: datetime
    run_id: str
    failures: int = 0
    definition: str | None = None
    """Hash of the check as it ran, of one that has thresholds or SQL of its own; None where it is not known."""

    @property
    def is_broken_off(self) -> bool:
        """Whether it ended in an error, as where a store was not reached: it tells nothing of the rows."""
        return not self.passed and not self.failures


@dataclass(frozen=True, slots=True)
class CheckOutcomes:
    """The last outcome of each check on one materialization: what a verdict needs of the results."""

    passed: Mapping[str, str] = field(default_factory=dict)
    """Check that passed → the run that ran it."""
    failed: tuple[CheckResult, ...] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)
    """Check → the definition that it ran with, as far as it is known."""

    @classmethod
    def of(cls, results: Iterable[CheckResult]) -> "CheckOutcomes":
        """Outcomes of results, one of each check."""
        found = list(results)
        passed = {result.check: result.run_id for result in found if result.passed}
        failed = tuple(result for result in found if not result.passed)
        return cls(passed, failed, {result.check: result.definition for result in found if result.definition})

    @property
    def names(self) -> Set[str]:
        """Checks that have run."""
        return self.passed.keys() | {result.check for result in self.failed} if self.failed else self.passed.keys()

    def of_run(self, run_id: str | None) -> set[str]:
        """Checks whose last result is of a run."""
        passed = {name for name, run in self.passed.items() if run == run_id}
        return passed | {result.check for result in self.failed if result.run_id == run_id}

    def only(self, names: Set[str]) -> "CheckOutcomes":
        """Outcomes of some checks."""
        if self.names <= names:
            return self
        passed = {name: run for name, run in self.passed.items() if name in names}
        failed = tuple(result for result in self.failed if result.check in names)
        return CheckOutcomes(passed, failed, self.definitions)

    def without_result(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Checks that have run by another definition than is wanted, or not to their end; and what is said of each."""
        ran = self.definitions
        if wanted.items() <= ran.items():
            return {}
        broken_off = {each.check: f"ended in an error: {each.message}" for each in self.failed if each.is_broken_off}
        names = [name for name in wanted.keys() & self.names if ran.get(name) != wanted[name]]
        return {name: broken_off.get(name, "is defined otherwise since it ran") for name in names}
