"""Admission of the manifest folder: read, judged, recorded with its hash. The first step of every ingest.

By itself: `python -m loaders.seed_loader --manifest-dir DIR [--manifest-path FILE …] [--report-json FILE]`.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakehouse.contracts.registry import load_contracts
from lakehouse.counted import counted
from lakehouse.errors import OmniError
from lakehouse.ledger.declarations import record_expectations
from lakehouse.ledger.evidence import ManifestVersion, Release, SourceAdmission
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.settings import LakehouseSettings, load_settings
from lakehouse.unicode_text import escaped
from loaders.errors import ReleaseRefused
from loaders.manifests.admission import Admission, judge_file
from loaders.manifests.changes import changes_since
from loaders.manifests.expectation_files import ExpectationFile, read_expectations
from loaders.manifests.manifest import ManifestFile, read_manifests


@dataclass(frozen=True)
class AdmissionReport:
    """What the manifest folder declares, judged."""

    files: list[ManifestFile]
    admissions: list[Admission]
    changes: dict[str, list[str]] = field(default_factory=dict)
    """Manifests of which a new version was recorded just now → what changed since the version before."""
    expectations: list[ExpectationFile] = field(default_factory=list)

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
        is_sound = not self.refused and not any(file.breaches for file in self.expectations)
        return 0 if is_sound and all(a.is_admitted for a in self.admissions) else 1

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
        expectations = [
            {"path": str(file.path), "valid": not file.breaches, "errors": [str(breach) for breach in file.breaches]}
            for file in self.expectations
        ]
        return {"manifests": manifests, "sources": sources, "expectations": expectations}

    def lines(self) -> list[str]:
        """The judgments for a person: every breach and every reason, what changed, then the totals."""
        told: list[tuple[str, Iterable[object]]] = [(f"{f.path.name} is refused", f.breaches) for f in self.refused]
        told += [(f"expectation {f.path.name} is refused", f.breaches) for f in self.expectations if f.breaches]
        told += [
            (f"{a.judgment}: {a.manifest.manifest_id} {a.source.source_id}", [*a.reasons, *a.way_in])
            for a in self.admissions
            if a.reasons
        ]
        told += [(f"new version of {name}", found) for name, found in sorted(self.changes.items())]
        totals = ", ".join(f"{number} {judgment}" for judgment, number in sorted(self.judgments.items()))
        summary = f"{counted(len(self.files), 'manifest')}, {len(self.refused)} refused; sources: {totals or 'none'}"
        return [line for head, reasons in told for line in (head, *(f"    {reason}" for reason in reasons))] + [summary]


def judge_manifests(settings: LakehouseSettings, paths: Sequence[Path] | None = None) -> AdmissionReport:
    """Judge what is declared, in the manifest folder or in some files. Needs no catalog, ledger or source file."""
    files = read_manifests(settings, paths)
    contracts = load_contracts(settings).by_ref
    admissions = [admission for file in files for admission in judge_file(file, contracts)]
    return AdmissionReport(files, admissions, expectations=read_expectations(settings))


def admit_manifests(
    settings: LakehouseSettings, ledger: Ledger, paths: Sequence[Path] | None = None
) -> AdmissionReport:
    """Judge the manifests, let in what a person released, and record each manifest version with its judgments, once."""
    judged, recorded = judge_manifests(settings, paths), ledger.recorded_last()
    sources_of: dict[Path, list[Admission]] = {}
    for admission in judged.admissions:
        sources_of.setdefault(admission.file.path, []).append(admission)
    changes: dict[str, list[str]] = {}
    for file in judged.files:
        if file.manifest is not None and (file.manifest.manifest_id, file.sha256) not in recorded:
            version, sources = _version_of(file), [_recorded(admission) for admission in sources_of[file.path]]
            if ledger.record_admission(version, sources) and (found := changes_since(ledger, version, sources)):
                changes[version.manifest_id] = found
    if not any(file.breaches for file in judged.expectations):  # else what was expected before still is
        expected = [file.expectation for file in judged.expectations if file.expectation is not None]
        record_expectations(ledger, [each.model_dump(mode="json", by_alias=True) for each in expected])
    released = ledger.releases()
    admissions = [_let_in(admission, released.get(_version_key(admission))) for admission in judged.admissions]
    return AdmissionReport(judged.files, admissions, changes, judged.expectations)


def release_source(
    settings: LakehouseSettings, ledger: Ledger, manifest_id: str, source_id: str, *, reason: str, by: str
) -> Release:
    """Let in a source that the current version of its manifest has in quarantine, on a person's word.

    The release holds for this version of the manifest alone.

    Raises:
        ReleaseRefused: there is no such source, it is not in quarantine, or no reason is given.
    """
    report = admit_manifests(settings, ledger)
    found = [a for a in report.admissions if a.key == (manifest_id, source_id)]
    if not found:
        raise ReleaseRefused(f"{manifest_id} {source_id}: no such source; next: omni manifests list")
    (admission,) = found
    if admission.judgment != "quarantine":
        why = "; ".join(admission.reasons) or "nothing stands against it"
        found_instead = f"is not in quarantine but {admission.judgment} ({why})"
        raise ReleaseRefused(f"{manifest_id} {source_id} {found_instead}; {_INSTEAD[admission.judgment]}")
    if not reason.strip():
        raise ReleaseRefused("a release needs a reason; next: --reason 'who cleared it, and how'")
    release = Release(*_version_key(admission), reason.strip(), by, datetime.now(UTC))
    ledger.record_release(release)
    return release


_INSTEAD = {
    "accept": "next: omni run, which loads it",
    "warn": "next: omni run, which loads it",
    "reject": "no word of a person lets it in; next: mend it, and declare it in a new version of its manifest",
}
"""What is to be done with a source that needs no release, or cannot have one."""


def _version_of(file: ManifestFile) -> ManifestVersion:
    manifest = file.manifest
    assert manifest is not None  # a refused file has no version
    return ManifestVersion(
        manifest_id=manifest.manifest_id,
        manifest_sha256=file.sha256,
        batch_id=manifest.batch_id,
        manifest_path=file.path.name,
        declared_at=manifest.created_at,
        load_mode=manifest.load_mode,
        declared=manifest.model_dump(mode="json", exclude={"assets"}, exclude_unset=True),
        admitted_at=datetime.now(UTC),
    )


def _recorded(admission: Admission) -> SourceAdmission:
    declared = admission.source.model_dump(mode="json", exclude_unset=True)
    return SourceAdmission(admission.source.source_id, admission.judgment, admission.reasons, declared)


def _version_key(admission: Admission) -> tuple[str, str, str]:
    return admission.manifest.manifest_id, admission.file.sha256, admission.source.source_id


def _let_in(admission: Admission, release: Release | None) -> Admission:
    if release is None or admission.judgment != "quarantine":
        return admission
    word = f"released by {release.released_by} on {release.released_at:%Y-%m-%d}: {release.reason}"
    return replace(admission, judgment="warn", reasons=(*admission.reasons, word))


def main(arguments: Sequence[str] | None = None) -> int:
    """Admit manifests into the ledger and say how each was judged; returns the exit status of the judgment."""
    parser = argparse.ArgumentParser(prog="python -m loaders.seed_loader", description=main.__doc__)
    parser.add_argument("--manifest-dir", type=Path, help="folder of manifests; default: OMNI_MANIFESTS")
    parser.add_argument("--manifest-path", type=Path, action="append", help="only these files; may be repeated")
    parser.add_argument("--report-json", type=Path, help="write the judgments to this file, as JSON")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
        if options.manifest_dir is not None:
            settings = settings.model_copy(update={"manifests": options.manifest_dir.resolve()})
        report = admit_manifests(settings, open_ledger(settings), options.manifest_path)
        if options.report_json is not None:
            options.report_json.write_text(json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    except (OmniError, OSError) as error:
        print(escaped(f"error: {error}"), file=sys.stderr)
        return 2
    print("\n".join(map(escaped, report.lines())))
    return report.exit_status


if __name__ == "__main__":
    sys.exit(main())
