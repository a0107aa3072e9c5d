"""Rules that span several fields of a manifest, beyond what its JSON Schema says. Any breach rejects the manifest.

Pure. Called by `loaders.manifests.manifest` with any JSON; a value that the schema refuses is the schema's to report.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

Rule = tuple[str, str, str]
"""JSON path, what was found, what is allowed."""

FITTING = {
    "doc_asset": {
        "modality": {"document"},
        "source_type": {"help_center", "faq", "release_notes", "api_doc", "pdf_manual", "community", "other"},
        "asset_type": {"pdf", "html", "faq", "release_notes", "api_doc", "community_post", "image", "other"},
    },
    "ticket": {
        "modality": {"structured"},
        "source_type": {"ticket_export"},
        "asset_type": {"jsonl", "json", "csv", "parquet"},
    },
    "audio_asset": {
        "modality": {"audio"},
        "source_type": {"call_recording", "tts_synthetic", "other"},
        "asset_type": {"audio", "jsonl", "other"},
    },
    "video_asset": {
        "modality": {"video"},
        "source_type": {"tutorial_video", "screencast", "other"},
        "asset_type": {"video", "jsonl", "other"},
    },
}
"""What fits each contract. A multimodal manifest fits any of them by its source type."""

_CONTRACTS = {f"omni://contracts/data/{name}/v1": name for name in FITTING}
_KNOWN = {
    field: set().union(*(fitting[field] for fitting in FITTING.values()))
    for field in ("modality", "source_type", "asset_type")
}
_KNOWN["modality"] |= {"image", "multimodal"}

_MODE_NEEDS = {
    "incremental_cursor": (("cursor_field",), ("cursor_start",)),
    "cdc": (("cursor_field", "watermark_field"),),
    "replay": (("replay_from_batch",),),
    "backfill": (("start_at",), ("end_at",)),
}


def rule_breaches(document: object) -> list[Rule]:
    """Every rule that the manifest breaks, not only the first. What breaks the schema is left to the schema."""
    if not isinstance(document, dict):
        return []
    declared = document.get("assets")
    numbered = enumerate(declared if isinstance(declared, list) else [])
    sources = [(number, source) for number, source in numbered if isinstance(source, dict)]
    return [*_license(document), *_unique_sources(sources), *_fit(document, sources), *_load_mode(document)]


def _license(document: dict[str, Any]) -> Iterator[Rule]:
    if document.get("license_tag") == "unknown" and document.get("canonization_status") == "canonized":
        yield "$.canonization_status", '"canonized"', "not canonized while license_tag is unknown"


def _unique_sources(sources: list[tuple[int, dict[str, Any]]]) -> Iterator[Rule]:
    ids = [(number, source["source_id"]) for number, source in sources if isinstance(source.get("source_id"), str)]
    counts = Counter(source_id for _, source_id in ids)
    for number, source_id in ids:
        if counts[source_id] > 1:
            yield f"$.assets[{number}].source_id", f'"{source_id}"', "an id that no other source has"


def _fit(document: dict[str, Any], sources: list[tuple[int, dict[str, Any]]]) -> Iterator[Rule]:
    contract = document.get("contract_ref")
    if not isinstance(contract, str) or contract not in _CONTRACTS:
        return
    fitting = FITTING[_CONTRACTS[contract]]
    is_multimodal = document.get("modality") == "multimodal"
    if not is_multimodal and _misfits("modality", document, fitting):
        yield "$.modality", f'"{document["modality"]}"', _one_of(fitting["modality"], contract)
    if _misfits("source_type", document, fitting):
        yield "$.source_type", f'"{document["source_type"]}"', _one_of(fitting["source_type"], contract)
    for number, source in sources:
        own = source.get("contract_ref", contract)
        if own != contract:
            if not is_multimodal and own in _CONTRACTS:
                yield f"$.assets[{number}].contract_ref", f'"{own}"', "the manifest's contract, unless it is multimodal"
        elif _misfits("asset_type", source, fitting):
            yield (
                f"$.assets[{number}].asset_type",
                f'"{source["asset_type"]}"',
                _one_of(fitting["asset_type"], contract),
            )


def _misfits(field: str, declared: dict[str, Any], fitting: dict[str, set[str]]) -> bool:
    """Whether a value that the schema allows does not fit the contract."""
    value = declared.get(field)
    return isinstance(value, str) and value in _KNOWN[field] and value not in fitting[field]


def _one_of(values: set[str], contract: str) -> str:
    return f"{', '.join(sorted(values))} under {contract}"


def _load_mode(document: dict[str, Any]) -> Iterator[Rule]:
    window = document.get("selection_window", {})
    for choices in _MODE_NEEDS.get(str(document.get("load_mode")), ()) if isinstance(window, dict) else ():
        if not any(window.get(name) for name in choices):
            names = " or ".join(choices)
            yield "$.selection_window", f"no {names}", f"{names}, which load_mode {document['load_mode']} needs"
