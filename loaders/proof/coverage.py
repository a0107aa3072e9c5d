"""Coverage computed again from the sources, in a copy of the ledger, and compared with what is recorded.

A source that has changed since the last look is no disagreement, and is said. Called by `orchestration.runs.proof`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.ledger.evidence import Coverage, FileKey, SourceFileRecord
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import WHOLE, Window
from lakehouse.proof.partition_comparison import Finding
from lakehouse.settings import LakehouseSettings
from loaders.ingest import cover
from loaders.seed_loader import admit_manifests
from loaders.workers import Workers

_STEP = "look who changed the ledger, then: omni run, which looks at the sources again"
_COMPARED = ("rows_expected", "fingerprint", "problem", "first_at", "last_at")


@dataclass
class CoverageProof:
    """What the sources say, against what is recorded of them."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Files that cannot be compared, and why."""


def prove_coverage(
    settings: LakehouseSettings,
    ledger: Ledger,
    copy: Ledger,
    assets: Collection[str],
    window: Window | None,
    progress: Callable[[str], None],
) -> CoverageProof:
    """Read the sources of some Bronze assets again.

    Args:
        settings: Where the sources are.
        ledger: What is recorded.
        copy: A copy of it without source files and coverage, to be written.
        assets: Those that are asked about.
        window: Files that declare other days are not read.
        progress: Told which asset is read.
    """
    proof = CoverageProof()
    admission = admit_manifests(settings, copy)
    for asset in (each for each in bronze_contracts(settings) if each in assets):
        progress(f"coverage of {asset}")
        with Workers(settings.workers) as workers:
            cover(settings, copy, asset, admission, workers, window)
        before, now = _rows(ledger, asset), _rows(copy, asset)
        recorded, found = ledger.known_files(asset), copy.known_files(asset)
        for key in sorted(recorded.keys() | found.keys()):
            _compare_file(proof, recorded.get(key), found.get(key), before.get(key, {}), now.get(key, {}))
        for key in sorted(before.keys() - recorded.keys()):
            proof.findings.append(_finding(asset, "", key, "coverage of a file that is not on record", "none"))
    return proof


def _rows(ledger: Ledger, asset: str) -> dict[FileKey, dict[str, Coverage]]:
    """Coverage of each file, by partition."""
    found: dict[FileKey, dict[str, Coverage]] = {}
    for (_, partition), rows in ledger.coverage(asset).items():
        for row in rows:
            found.setdefault((row.manifest_id, row.source_id, row.source_file), {})[partition] = row
    return found


def _compare_file(
    proof: CoverageProof,
    recorded: SourceFileRecord | None,
    found: SourceFileRecord | None,
    before: dict[str, Coverage],
    now: dict[str, Coverage],
) -> None:
    if recorded is None or found is None:
        if found is not None:
            proof.notes.append(f"{found.asset}: {found.source_file} is not on record yet; next: omni run")
        elif recorded is not None:
            proof.findings.append(
                _finding(recorded.asset, "", recorded.key, "a file on record", "one that an admitted source declares")
            )
        return
    if "unread|" in (recorded.stamp[:7], found.stamp[:7]):
        return  # the days that it declares are all that is known of it
    if reason := _incomparable(recorded, found):
        proof.notes.append(f"{recorded.asset}: {recorded.source_file} {reason}")
        return
    for name in ("sha256", "problem", "sidecars"):
        if (old := getattr(recorded, name)) != (new := getattr(found, name)):
            proof.findings.append(_finding(recorded.asset, "", recorded.key, f"{name} {old}", f"{name} {new}"))
    for partition in sorted(before.keys() | now.keys()):
        if problem := _difference(before.get(partition), now.get(partition)):
            proof.findings.append(_finding(recorded.asset, partition, recorded.key, *problem))


def _incomparable(recorded: SourceFileRecord, found: SourceFileRecord) -> str | None:
    """Why a file says nothing about what was recorded of it: it cannot be read now, or is another one by now."""
    if found.problem and not recorded.problem:
        return f"cannot be read now: {found.problem}"
    is_same = recorded.stamp == found.stamp
    reads_alike = recorded.stamp.split("|")[-2:] == found.stamp.split("|")[-2:]
    if not is_same and not (reads_alike and recorded.sha256 == found.sha256):
        return "has changed since the last look; next: omni run"
    return None


def _difference(before: Coverage | None, now: Coverage | None) -> tuple[str, str] | None:
    if before is None or now is None:
        return ("no coverage", "coverage of it") if before is None else ("coverage of it", "none")
    names = [name for name in _COMPARED if getattr(before, name) != getattr(now, name)]
    if not names:
        return None
    old, new = (", ".join(f"{name} {getattr(each, name)}" for name in names) for each in (before, now))
    return old, f"{new}, by the source"


def _finding(asset: str, partition: str, key: FileKey, found: str, expected: str) -> Finding:
    return Finding("coverage_differs", asset, partition or WHOLE, f"{' '.join(key)}: {found}", expected, _STEP)
