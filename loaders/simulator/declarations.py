"""The manifests of a sample: how the simulated sources declare themselves.

Builds plain dictionaries in the manifest format; writes nothing. Called by `sample`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from hashlib import sha256

from loaders.simulator.documents import Collection, Listing
from loaders.simulator.timeline import Timeline, midnight, written

Json = dict[str, object]

_CONTRACTS = "omni://contracts/data"
_FACTS = {
    "help_center": {"html": "html", "md": "faq"},
    "release_notes": {"html": "release_notes", "md": "release_notes"},
}


def declare_tickets(name: str, day: date, assets: Sequence[Json], notes: str) -> Json:
    """Return the manifest of a ticket export that was made at the first instant of `day`."""
    return {
        **_head(name, day),
        "modality": "structured",
        "source_type": "ticket_export",
        "license_tag": "course_synthetic",
        "contract_ref": f"{_CONTRACTS}/ticket/v1",
        "load_mode": "full_snapshot",
        "product_line": "cross_product",
        "owner": "support-data",
        "notes": notes,
        "assets": list(assets),
    }


def ticket_asset(source_id: str, path: str, content: bytes) -> Json:
    """Return the declaration of one ticket file; the type is the file's, without compression."""
    kind = "csv" if path.endswith(".csv") else "jsonl"
    return {"source_id": source_id, "source_url_or_path": path, "asset_type": kind, **evidence_of(content)}


def declare_documents(collection: Collection, timeline: Timeline, snapshot: int, assets: Sequence[Json]) -> Json:
    """Return the manifest of one snapshot (index) of a document collection."""
    day = timeline.snapshot_days[snapshot]
    return {
        **_head(collection.slug, day),
        "snapshot_at": written(midnight(day)),
        "modality": "document",
        "source_type": collection.name,
        "license_tag": "course_synthetic",
        "contract_ref": f"{_CONTRACTS}/doc_asset/v1",
        "collection": collection.name,
        "disposition": collection.disposition,
        **_load_mode(collection, timeline, snapshot),
        "product_line": "cross_product",
        "owner": "support-content",
        "assets": list(assets),
    }


def document_asset(collection: Collection, listing: Listing, path: str, content: bytes) -> Json:
    """Return the declaration of one listed document; a tombstone points at the bytes that it deletes."""
    document = listing.document
    evidence = evidence_of(content)
    if listing.is_unchecked:
        del evidence["checksum_sha256"]
    if document.is_suspected:
        evidence["pii_scan_status"] = "suspected"
    return {
        "source_id": f"{collection.slug}-{document.slug}",
        "source_url_or_path": path,
        "asset_type": _FACTS[collection.name][document.suffix],
        "title": document.title,
        "language": "en",
        "doc_version": str(listing.version),
        **({"deleted": True} if listing.is_tombstone else {}),
        **evidence,
    }


def _load_mode(collection: Collection, timeline: Timeline, snapshot: int) -> Mapping[str, object]:
    """Return the load mode; a list of changes starts at the snapshot before it."""
    if collection.disposition == "replace":
        return {"load_mode": "full_snapshot"}
    since = timeline.snapshot_days[snapshot - 1] if snapshot else timeline.start
    window = {"cursor_field": "snapshot_date", "cursor_start": since.isoformat()}
    return {"load_mode": "incremental_cursor", "selection_window": window}


def _head(name: str, day: date) -> Json:
    stamp = f"{name}-{day:%Y%m%d}-001"
    return {
        "$schema": "schema/source_manifest_v1.schema.json",
        "manifest_id": f"manifest-{stamp}",
        "schema_version": "source_manifest_v1",
        "batch_id": f"batch-{stamp}",
        "created_at": written(midnight(day)),
    }


def evidence_of(content: bytes) -> Json:
    """Return what a source declares of its bytes, admitted without a finding."""
    return {
        "size_bytes": len(content),
        "checksum_sha256": sha256(content).hexdigest(),
        "metadata_status": "complete",
        "pii_scan_status": "clear",
    }
