"""Rules that span several fields of a manifest, beyond what its JSON Schema says. Any breach rejects the manifest.

Pure. Called by `loaders.manifests.manifest` with any JSON; a value that the schema refuses is the schema's to report.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from lakehouse.contracts.model import Contract

Rule = tuple[str, str, str]
"""JSON path, what was found, what is allowed."""

Disposition = Literal["merge", "replace"]
"""How a snapshot lists its collection: changes of it, or the whole."""

_MODE_NEEDS = {
    "incremental_cursor": (("cursor_field",), ("cursor_start",)),
    "cdc": (("cursor_field", "watermark_field"),),
    "replay": (("replay_from_batch",),),
    "backfill": (("start_at",), ("end_at",)),
}


def rule_breaches(document: object, contracts: Mapping[str, Contract]) -> list[Rule]:
    """Every rule that the manifest breaks, not only the first. What breaks the schema is left to the schema.

    Args:
        document: Any JSON.
        contracts: `contract_ref` → contract (`lakehouse.contracts.registry.Contracts.by_ref`).
    """
    if not isinstance(document, dict):
        return []
    declared = document.get("assets")
    numbered = enumerate(declared if isinstance(declared, list) else [])
    sources = [(number, source) for number, source in numbered if isinstance(source, dict)]
    return [
        *_license(document),
        *_unique_sources(sources),
        *_unknown_contracts(document, sources, contracts),
        *_fit(document, sources, contracts),
        *_load_mode(document),
        *_whole_list(document, sources, contracts),
        *_tombstones(document, sources, contracts),
    ]


def default_disposition(load_mode: str) -> Disposition:
    """How a snapshot lists its collection, where its manifest does not say."""
    return "replace" if load_mode == "full_snapshot" else "merge"


def _license(document: dict[str, Any]) -> Iterator[Rule]:
    if document.get("license_tag") == "unknown" and document.get("canonization_status") == "canonized":
        yield "$.canonization_status", '"canonized"', "not canonized while license_tag is unknown"


def _unique_sources(sources: list[tuple[int, dict[str, Any]]]) -> Iterator[Rule]:
    ids = [(number, source["source_id"]) for number, source in sources if isinstance(source.get("source_id"), str)]
    counts = Counter(source_id for _, source_id in ids)
    for number, source_id in ids:
        if counts[source_id] > 1:
            yield f"$.assets[{number}].source_id", f'"{source_id}"', "an id that no other source has"


def _unknown_contracts(
    document: dict[str, Any], sources: list[tuple[int, dict[str, Any]]], contracts: Mapping[str, Contract]
) -> Iterator[Rule]:
    named = [("$", document), *((f"$.assets[{number}]", source) for number, source in sources)]
    for path, declared in named:
        ref = declared.get("contract_ref")
        if isinstance(ref, str) and ref not in contracts:
            yield f"{path}.contract_ref", f'"{ref}"', f"one of {', '.join(sorted(contracts))}"


def _fit(
    document: dict[str, Any], sources: list[tuple[int, dict[str, Any]]], contracts: Mapping[str, Contract]
) -> Iterator[Rule]:
    ref = document.get("contract_ref")
    if not isinstance(ref, str) or ref not in contracts:
        return
    fitting = contracts[ref].fits
    is_multimodal = document.get("modality") == "multimodal"
    for field, allowed in (("modality", fitting.modality), ("source_type", fitting.source_type)):
        if _misfits(document.get(field), allowed) and not (is_multimodal and field == "modality"):
            yield f"$.{field}", f'"{document[field]}"', _one_of(allowed, ref)
    for number, source in sources:
        own = source.get("contract_ref", ref)
        if own != ref:
            if not is_multimodal and own in contracts:
                yield f"$.assets[{number}].contract_ref", f'"{own}"', "the manifest's contract, unless it is multimodal"
        elif _misfits(source.get("asset_type"), fitting.asset_type):
            yield f"$.assets[{number}].asset_type", f'"{source["asset_type"]}"', _one_of(fitting.asset_type, ref)


def _misfits(value: object, allowed: Sequence[str] | None) -> bool:
    return isinstance(value, str) and allowed is not None and value not in allowed


def _one_of(values: Sequence[str] | None, ref: str) -> str:
    return f"{', '.join(sorted(values or ()))} under {ref}"


def _load_mode(document: dict[str, Any]) -> Iterator[Rule]:
    window = document.get("selection_window", {})
    for choices in _MODE_NEEDS.get(str(document.get("load_mode")), ()) if isinstance(window, dict) else ():
        if not any(window.get(name) for name in choices):
            names = " or ".join(choices)
            yield "$.selection_window", f"no {names}", f"{names}, which load_mode {document['load_mode']} needs"


def _whole_list(
    document: dict[str, Any], sources: list[tuple[int, dict[str, Any]]], contracts: Mapping[str, Contract]
) -> Iterator[Rule]:
    """What a whole list of records replaces must be said: two lists of one day may be of two collections."""
    refs = [document.get("contract_ref"), *(source.get("contract_ref") for _, source in sources)]
    lists = [ref for ref in refs if isinstance(ref, str) and ref in contracts and contracts[ref].lists_records]
    disposition = document.get("disposition") or default_disposition(str(document.get("load_mode")))
    if lists and disposition == "replace" and not document.get("collection"):
        yield "$.collection", "none", f"the name of what is listed whole under {lists[0]}, or disposition merge"


def _tombstones(
    document: dict[str, Any], sources: list[tuple[int, dict[str, Any]]], contracts: Mapping[str, Contract]
) -> Iterator[Rule]:
    for number, source in sources:
        ref = source.get("contract_ref", document.get("contract_ref"))
        is_of_records = isinstance(ref, str) and ref in contracts and contracts[ref].form == "records"
        if is_of_records and source.get("deleted") is True:
            yield f"$.assets[{number}].deleted", "true", f"false under {ref}, whose sources hold records"
