"""The document tables from the snapshot manifests, replayed one after another on a plain dictionary."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str]

DESCRIBED = ("title", "language", "doc_version", "product_line", "license_tag", "pii_level", "owner")
_PII_LEVELS = {"clear": "none", "not_applicable": "none", "redacted": "low"}


def replay(manifests: Path, source_root: Path) -> tuple[list[Row], dict[date, dict[Key, str]]]:
    """Apply every snapshot in the order of its day.

    Returns:
        What changed (one row per document and day), and which documents live after each snapshot day, by their hash.
    """
    living: dict[Key, Row] = {}
    changes: list[Row] = []
    after: dict[date, dict[Key, str]] = {}
    for manifest in _snapshots(manifests):
        day, collection = _day(manifest), manifest["collection"]
        listed = {(collection, row["doc_id"]): row for row in _listing(manifest, manifests, source_root)}
        if manifest["disposition"] == "replace":
            gone = [key for key in living if key[0] == collection and key not in listed]
            listed |= {key: dict.fromkeys(DESCRIBED) | {"sha256": None} for key in gone}
        for key, row in listed.items():
            before = living.get(key)
            if row["sha256"] is None and before is None:
                continue
            if before is None or row["sha256"] is None or before != {"sha256": row["sha256"], **_description(row)}:
                old = before and before["sha256"]
                changes.append({"day": day, "key": key, "old": old, "new": row["sha256"], **_description(row)})
        living |= {key: {"sha256": row["sha256"], **_description(row)} for key, row in listed.items()}
        living = {key: row for key, row in living.items() if row["sha256"]}
        after[day] = {key: row["sha256"] for key, row in living.items()}
    return changes, after


def doc_change_feed(changes: list[Row]) -> list[Row]:
    """What a retriever must embed again or forget."""
    return [
        {
            "snapshot_date": change["day"],
            "collection": change["key"][0],
            "doc_id": change["key"][1],
            "change_type": "removed" if not change["new"] else "changed" if change["old"] else "added",
            "source_fingerprint": change["new"],
            "previous_fingerprint": change["old"],
            "raw_object_path": _object_path(change["new"]),
            **{name: change[name] for name in ("title", "product_line", "license_tag", "pii_level")},
        }
        for change in changes
    ]


def knowledge_doc_history(changes: list[Row]) -> list[Row]:
    """Every version of every document, deletions included, with the days on which it holds."""
    lives: dict[Key, list[Row]] = {}
    for change in changes:
        lives.setdefault(change["key"], []).append(change)
    rows = []
    for (collection, doc_id), life in lives.items():
        for number, (change, after) in enumerate(zip(life, [*life[1:], None], strict=True), start=1):
            rows.append(
                {
                    "collection": collection,
                    "doc_id": doc_id,
                    "version_number": number,
                    "valid_from": change["day"],
                    "valid_to": after and after["day"],
                    "is_current": after is None,
                    "is_deleted": change["new"] is None,
                    "source_fingerprint": change["new"],
                    "previous_fingerprint": change["old"],
                    "raw_object_path": _object_path(change["new"]),
                    **_description(change),
                }
            )
    return rows


def knowledge_doc(changes: list[Row]) -> list[Row]:
    """The current version of every document that lives."""
    unwanted = ("valid_to", "is_current", "is_deleted", "previous_fingerprint")
    return [
        {name: value for name, value in row.items() if name not in unwanted}
        for row in knowledge_doc_history(changes)
        if row["is_current"] and not row["is_deleted"]
    ]


def _snapshots(manifests: Path) -> list[Row]:
    found = [json.loads(path.read_text("utf-8")) for path in manifests.glob("*.json")]
    documents = [manifest for manifest in found if manifest["modality"] == "document"]
    return sorted(documents, key=lambda manifest: (_day(manifest), manifest["created_at"], manifest["manifest_id"]))


def _day(manifest: Row) -> date:
    at = manifest.get("snapshot_at") or manifest["created_at"]
    return datetime.fromisoformat(at).astimezone(UTC).date()


def _listing(manifest: Row, manifests: Path, source_root: Path) -> Iterator[Row]:
    """What a manifest lists and admission lets through."""
    head = {"product_line": manifest.get("product_line"), "license_tag": manifest["license_tag"]}
    for source in manifest["assets"]:
        pii = source.get("pii_scan_status", "unknown")
        if pii in ("suspected", "not_run", "unknown") or source["metadata_status"] in ("missing", "unknown"):
            continue
        declared = source["source_url_or_path"]
        is_glob = "*" in declared
        for path in sorted((source_root if is_glob else manifests).glob(declared)):
            content = path.read_bytes()
            yield {
                "doc_id": f"{source['source_id']}/{path.name}" if is_glob else source["source_id"],
                "sha256": None if source.get("deleted") else sha256(content).hexdigest(),
                "title": source.get("title") or _title(path),
                "language": source.get("language"),
                "doc_version": source.get("doc_version"),
                "pii_level": _PII_LEVELS.get(pii),
                "owner": manifest["owner"],
                **head,
            }


def _title(path: Path) -> str:
    """The Title field of a PEP in reStructuredText, whose later lines are indented; else the file's name."""
    found = re.search(r"^Title: (.*(?:\n[ \t]+.*)*)", path.read_text("utf-8"), re.MULTILINE)
    return " ".join(found[1].split()) if path.suffix == ".rst" and found else path.name


def _description(row: Row) -> Row:
    return {name: row[name] for name in DESCRIBED}


def _object_path(digest: str | None) -> str | None:
    return digest and f"objects/sha256/{digest[:2]}/{digest}"
