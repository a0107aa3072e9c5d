"""Admission of the manifest folder: read, judged, recorded with its hash. The first step of every ingest."""

from collections import Counter
from dataclasses import dataclass

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
