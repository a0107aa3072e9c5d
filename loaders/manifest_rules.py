"""Rules that span several fields of a manifest, beyond what its JSON Schema says. Any breach rejects the manifest.

Pure. Called by `loaders.manifest` with a document that the schema has accepted.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from lakehouse.contracts import contract_name

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

_MODE_NEEDS = {
    "incremental_cursor": (("cursor_field",), ("cursor_start",)),
    "cdc": (("cursor_field", "watermark_field"),),
    "replay": (("replay_from_batch",),),
    "backfill": (("start_at",), ("end_at",)),
}


def rule_breaches(document: dict[str, Any]) -> list[Rule]:
    """Every rule that the manifest breaks, not only the first."""
    return [*_license(document), *_unique_sources(document), *_fit(document), *_load_mode(document)]


def _license(document: dict[str, Any]) -> Iterator[Rule]:
    if document["license_tag"] == "unknown" and document.get("canonization_status") == "canonized":
        yield "$.canonization_status", '"canonized"', "not canonized while license_tag is unknown"


def _unique_sources(document: dict[str, Any]) -> Iterator[Rule]:
    counts = Counter(source["source_id"] for source in document["assets"])
    for number, source in enumerate(document["assets"]):
        if counts[source["source_id"]] > 1:
            yield f"$.assets[{number}].source_id", f'"{source["source_id"]}"', "an id that no other source has"


def _fit(document: dict[str, Any]) -> Iterator[Rule]:
    fitting = FITTING[contract_name(document["contract_ref"])]
    is_multimodal = document["modality"] == "multimodal"
    if not is_multimodal and document["modality"] not in fitting["modality"]:
        yield "$.modality", f'"{document["modality"]}"', _one_of(fitting["modality"], document)
    if document["source_type"] not in fitting["source_type"]:
        yield "$.source_type", f'"{document["source_type"]}"', _one_of(fitting["source_type"], document)
    for number, source in enumerate(document["assets"]):
        own = source.get("contract_ref", document["contract_ref"])
        if own != document["contract_ref"]:
            if not is_multimodal:
                yield f"$.assets[{number}].contract_ref", f'"{own}"', "the manifest's contract, unless it is multimodal"
        elif source["asset_type"] not in fitting["asset_type"]:
            allowed = _one_of(fitting["asset_type"], document)
            yield f"$.assets[{number}].asset_type", f'"{source["asset_type"]}"', allowed


def _one_of(values: set[str], document: dict[str, Any]) -> str:
    return f"{', '.join(sorted(values))} under {document['contract_ref']}"


def _load_mode(document: dict[str, Any]) -> Iterator[Rule]:
    window = document.get("selection_window", {})
    for choices in _MODE_NEEDS.get(document["load_mode"], ()):
        if not any(window.get(name) for name in choices):
            names = " or ".join(choices)
            yield "$.selection_window", f"no {names}", f"{names}, which load_mode {document['load_mode']} needs"
