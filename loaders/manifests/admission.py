"""The judgment of one declared source: accept, warn, quarantine or reject, with every reason.

Pure: judges what is declared, needs no catalog and no source file. Only `accept` and `warn` sources are loaded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lakehouse.contracts.model import Contract
from loaders.manifests.manifest import Manifest, ManifestFile, Source

Judgment = Literal["accept", "warn", "quarantine", "reject"]

SEVERITY: dict[str, int] = {"accept": 0, "warn": 1, "quarantine": 2, "reject": 3}

DEFAULT_POLICY: dict[str, Judgment] = {
    "on_missing_checksum": "warn",
    "on_partial_metadata": "warn",
    "on_missing_metadata": "quarantine",
    "on_pii_gap": "quarantine",
    "on_contract_mismatch": "reject",
    "on_unknown_license": "reject",
}


@dataclass(frozen=True)
class Admission:
    """The judgment of one source of one version of a manifest."""

    file: ManifestFile
    manifest: Manifest
    source: Source
    asset: str
    """Bronze asset that the source is loaded into."""
    judgment: Judgment
    reasons: tuple[str, ...]

    @property
    def is_admitted(self) -> bool:
        """Whether the source may be loaded."""
        return self.judgment in ("accept", "warn")

    @property
    def way_in(self) -> list[str]:
        """What would let a source in that is held back."""
        if self.judgment == "quarantine":
            release = f"omni manifests release {self.manifest.manifest_id} {self.source.source_id} --reason WHY"
            return [f"next: mend it and declare it in a new version of {self.file.path.name}, or: {release}"]
        if self.judgment == "reject":
            return [f"next: declare it otherwise in a new version of {self.file.path.name}; a reject is never released"]
        return []

    @property
    def key(self) -> tuple[str, str]:
        """Manifest and source."""
        return self.manifest.manifest_id, self.source.source_id


def judge_file(file: ManifestFile, contracts: Mapping[str, Contract]) -> list[Admission]:
    """Judge every source of a manifest, whose contracts are these by their ref; a file that is no manifest has none."""
    manifest = file.manifest
    if manifest is None:
        return []
    policy = _gate_policy(manifest)
    return [
        _judge_source(file, manifest, source, contracts[manifest.contract_of(source)], policy)
        for source in manifest.assets
    ]


def _gate_policy(manifest: Manifest) -> dict[str, Judgment]:
    """The defaults, overridden by what the manifest sets."""
    return {**DEFAULT_POLICY, **manifest.gate_policy}  # type: ignore[dict-item]  # the schema allows judgments only


def _judge_source(
    file: ManifestFile, manifest: Manifest, source: Source, contract: Contract, policy: dict[str, Judgment]
) -> Admission:
    """Judge one source: the worst of its findings decides, and all of them are named."""
    judgment: Judgment = "accept"
    reasons = []
    for found, reason in _findings(manifest, source, contract, policy):
        if SEVERITY[found]:
            reasons.append(f"{found}: {reason}")
        judgment = max(judgment, found, key=SEVERITY.__getitem__)
    return Admission(file, manifest, source, contract.declared_asset.name, judgment, tuple(reasons))


def _findings(
    manifest: Manifest, source: Source, contract: Contract, policy: dict[str, Judgment]
) -> Iterator[tuple[Judgment, str]]:
    if source.checksum_sha256 is None and not source.deleted:
        yield policy["on_missing_checksum"], "checksum_sha256 is missing, so changed bytes would go unnoticed"
    if source.had_credentials:
        yield "warn", "a URL of it has credentials: they are left out and not used; next: take them out of the manifest"
    if source.metadata_status == "partial":
        yield policy["on_partial_metadata"], "metadata_status is partial"
    elif source.metadata_status != "complete":
        yield policy["on_missing_metadata"], f"metadata_status is {source.metadata_status}"
    if source.pii_scan_status == "suspected":
        yield "quarantine", "pii_scan_status is suspected: personal data must be cleared at the source"
    elif source.pii_scan_status in ("not_run", "unknown"):
        yield policy["on_pii_gap"], f"pii_scan_status is {source.pii_scan_status}"
    if contract.fits.asset_type is not None and source.asset_type not in contract.fits.asset_type:
        yield (
            policy["on_contract_mismatch"],
            f"asset_type {source.asset_type} does not fit the contract {contract.name}",
        )
    if manifest.license_tag == "unknown":
        yield policy["on_unknown_license"], "license_tag is unknown"
