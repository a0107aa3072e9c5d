"""Admission of the manifest folder: read, judged, recorded with its hash. The first step of every ingest."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lakehouse.ledger import Ledger
from lakehouse.settings import LakehouseSettings
from loaders.admission import Admission, judge_file
from loaders.manifest import ManifestFile, read_manifests


@dataclass(frozen=True)
class AdmissionReport:
    """What the manifest folder declares, judged."""

    files: list[ManifestFile]
    admissions: list[Admission]

    @property
    def refused(self) -> list[ManifestFile]:
        """Files that are no valid manifest."""
        return [file for file in self.files if file.manifest is None]

    @property
    def judgments(self) -> dict[str, int]:
        """Number of sources by judgment."""
        return dict(Counter(admission.judgment for admission in self.admissions))

    @property
    def exit_status(self) -> int:
        """0 all admitted, 1 something quarantined or rejected, 2 something unreadable."""
        if not all(file.is_readable for file in self.files):
            return 2
        return 1 if self.refused or not all(a.is_admitted for a in self.admissions) else 0

    def as_json(self) -> dict[str, Any]:
        """The judgments as JSON values."""
        manifests = [
            {
                "path": str(file.path),
                "manifest_id": file.manifest_id,
                "valid": file.manifest is not None,
                "errors": [str(breach) for breach in file.breaches],
            }
            for file in self.files
        ]
        sources = [
            {
                "manifest_id": a.manifest.manifest_id,
                "source_id": a.source.source_id,
                "judgment": a.judgment,
                "reasons": list(a.reasons),
            }
            for a in self.admissions
        ]
        return {"manifests": manifests, "sources": sources}

    def lines(self) -> list[str]:
        """The judgments for a person: every breach and every reason, then the totals."""
        refused = [f"{file.path.name} is refused\n" + _indented(file.breaches) for file in self.refused]
        judged = [
            f"{a.judgment}: {a.manifest.manifest_id} {a.source.source_id}\n" + _indented(a.reasons)
            for a in self.admissions
            if a.reasons
        ]
        totals = ", ".join(f"{number} {judgment}" for judgment, number in sorted(self.judgments.items()))
        return [
            *refused,
            *judged,
            f"{len(self.files)} manifests, {len(self.refused)} refused; sources: {totals or 'none'}",
        ]


def _indented(reasons: Iterable[object]) -> str:
    return "\n".join(f"    {reason}" for reason in reasons)


def judge_manifests(settings: LakehouseSettings) -> AdmissionReport:
    """Judge what is declared. Needs no catalog and no source file."""
    files = read_manifests(settings)
    return AdmissionReport(files, [admission for file in files for admission in judge_file(file)])


def admit_manifests(settings: LakehouseSettings, ledger: Ledger) -> AdmissionReport:
    """Judge the manifest folder and record each manifest version with the judgment of its sources, once."""
    report = judge_manifests(settings)
    for file in report.files:
        if file.manifest is not None:
            batch = {
                "manifest_id": file.manifest.manifest_id,
                "manifest_sha256": file.sha256,
                "batch_id": file.manifest.batch_id,
                "manifest_path": file.path.name,
            }
            judged = [a for a in report.admissions if a.file is file]
            ledger.record_admission(
                batch,
                [{"source_id": a.source.source_id, "judgment": a.judgment, "reasons": list(a.reasons)} for a in judged],
            )
    return report
