"""What the ledger says was admitted, against the files of the manifest folder, judged again.

Called by `orchestration.runs.proof`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lakehouse.ledger.declarations import recorded_expectations
from lakehouse.ledger.evidence import SourceAdmission
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import WHOLE
from lakehouse.proof.partition_comparison import Finding
from lakehouse.settings import LakehouseSettings
from loaders.seed_loader import admit_manifests

_OF_A_VERSION = ("batch_id", "declared_at", "load_mode", "declared")
_OF_A_SOURCE = ("judgment", "reasons", "declared")
_STEP = "look who changed the ledger, and bring its row back"


def admission_findings(settings: LakehouseSettings, ledger: Ledger, empty: Ledger) -> Iterator[Finding]:
    """Recorded versions of manifests, of files that are still there, that are not what these say.

    Args:
        settings: Where the manifest folder is.
        ledger: What is recorded.
        empty: A ledger without rows, in which the folder is admitted again.
    """
    admit_manifests(settings, empty)
    recorded = {(each.manifest_id, each.manifest_sha256): each for each in ledger.manifest_versions()}
    judged, judged_again = ledger.every_source_admission(), empty.every_source_admission()
    for said in empty.manifest_versions():
        key = said.manifest_id, said.manifest_sha256
        if (version := recorded.get(key)) is not None:
            yield from _differences(said.manifest_id, version, said, _OF_A_VERSION)
            yield from _source_findings(said.manifest_id, judged.get(key, []), judged_again.get(key, []))
    if recorded and (found := recorded_expectations(ledger)) != (said_now := recorded_expectations(empty)):
        step = "omni run, which records them; if it does not, look who changed the ledger"
        yield Finding("admission_differs", "expectations", WHOLE, _short(found), _short(said_now), step)


def unread_versions(settings: LakehouseSettings, ledger: Ledger, empty: Ledger) -> int:
    """Recorded versions whose file is not in the folder any more: they stand by themselves."""
    there = {each.manifest_sha256 for each in empty.manifest_versions()}
    return sum(version.manifest_sha256 not in there for version in ledger.manifest_versions())


def _source_findings(manifest_id: str, judged: list[SourceAdmission], said: list[SourceAdmission]) -> Iterator[Finding]:
    recorded = {each.source_id: each for each in judged}
    for source in said:
        name = f"{manifest_id} {source.source_id}"
        if source.source_id not in recorded:
            yield Finding("admission_differs", name, WHOLE, "no admission of the source", source.judgment, _STEP)
        else:
            yield from _differences(name, recorded[source.source_id], source, _OF_A_SOURCE)
    for source_id in sorted(recorded.keys() - {source.source_id for source in said}):
        name = f"{manifest_id} {source_id}"
        yield Finding("admission_differs", name, WHOLE, "an admission", "no such source in the manifest", _STEP)


def _differences(name: str, recorded: Any, said: Any, fields: tuple[str, ...]) -> Iterator[Finding]:
    for field in fields:
        found, expected = getattr(recorded, field), getattr(said, field)
        if found is not None and not _agree(found, expected):
            yield Finding(
                "admission_differs", name, WHOLE, f"{field} {_short(found)}", f"{field} {_short(expected)}", _STEP
            )


def _agree(found: object, expected: object) -> bool:
    """Equal; of an object, in what both name: a later version of this project may read more of a manifest."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        is_known = all(key in expected or value is None for key, value in found.items())
        return is_known and all(_agree(found[key], value) for key, value in expected.items() if key in found)
    return found == expected


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
