"""Ticket events as the source files of a manifest folder tell them: docs/reference/manifests.md, in plain Python.

Contracts and manifests are read as the data that they are. What a folder of these tests does not hold (selecting load
modes, declared days, Parquet) is not read here.
"""

import csv
import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

DERIVED = "derived"
"""Stands for an event_id that the source does not give: a hash, compared by its form only."""

Record = dict[str, Any]
Event = dict[str, Any]

_LISTS = ("error_codes", "asset_ids", "tags")
_OFFSET = re.compile(r"T.*(Z|[+-]\d\d:?\d\d)$")


def read_events(manifests: Path, contracts: Path) -> list[Event]:
    """The valid events of a manifest folder, each once per UTC day, as its latest batch tells it."""
    fields = [*_fields(contracts, "ticket"), *_fields(contracts, "ticket_event")]
    latest: dict[tuple[str, Any], Event] = {}
    for manifest in ticket_manifests(manifests):
        is_text = any(source["asset_type"] == "csv" for source in manifest["assets"])
        for source in manifest["assets"]:
            path = manifests / source["source_url_or_path"]
            for line, record in enumerate(read_records(path)):
                if record is not None and _is_valid(record, fields, is_text, manifest["created_at"]):
                    event = _event(record, fields)
                    key = event["event_id"] or f"{DERIVED}:{path.name}:{line}"
                    latest[key, event["occurred_at"].date()] = event | {"event_id": event["event_id"] or DERIVED}
    return list(latest.values())


def ticket_manifests(manifests: Path) -> list[dict[str, Any]]:
    """The ticket manifests of a folder, the later batch last."""
    found = [json.loads(path.read_text("utf-8")) for path in manifests.glob("*.json")]
    tickets = [manifest for manifest in found if manifest["contract_ref"].endswith("/ticket/v1")]
    return sorted(tickets, key=lambda manifest: (instant(manifest["created_at"]), manifest["manifest_id"]))


def read_records(path: Path) -> Iterator[Record | None]:
    """The records of a JSONL or CSV file; None for a line that is no JSON object."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as lines:
            yield from ({name: value or None for name, value in row.items()} for row in csv.DictReader(lines))
        return
    for line in _content(path).splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        yield record if isinstance(record, dict) else None


def instant(value: str) -> datetime:
    """The instant that a text names."""
    if not _OFFSET.search(value):
        raise ValueError(f"{value}: no instant with an offset")
    return datetime.fromisoformat(value).astimezone(UTC)


def _content(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        with pa.input_stream(path, compression="zstd") as stream:
            return bytes(stream.read())
    return path.read_bytes()


def _fields(contracts: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((contracts / f"{name}.json").read_text("utf-8"))["fields"]
    return found


def _is_valid(record: Record, fields: list[dict[str, Any]], is_text: bool, created_at: str) -> bool:
    """Whether a record keeps the contract, and happened neither before 2000 nor two days after its batch."""
    if not all(_fits(record.get(field["name"]), field, is_text) for field in fields):
        return False
    at = next(instant(record[name]) for name in ("occurred_at", "updated_at", "created_at") if record.get(name))
    return datetime(2000, 1, 1, tzinfo=UTC) <= at < instant(created_at) + timedelta(hours=48)


def _fits(value: Any, field: dict[str, Any], is_text: bool) -> bool:
    if value is None:
        return not field.get("required")
    kind = field["type"]
    if kind == "timestamp":
        try:
            return bool(instant(value))
        except (TypeError, ValueError):
            return False
    if kind == "boolean":
        return isinstance(value, bool) or (is_text and value in ("true", "false"))
    if kind == "list<string>":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    is_short = isinstance(value, str) and len(value) <= field.get("max_length", len(value))
    return is_short and value in field.get("enum", [value]) and not (field.get("required") and not value.strip())


def _event(record: Record, fields: list[dict[str, Any]]) -> Event:
    """A record as an event: instants as such, and what a plain ticket does not say."""
    event: Event = {
        field["name"]: instant(record[field["name"]])
        if field["type"] == "timestamp" and record.get(field["name"])
        else record.get(field["name"])
        for field in fields
        if field["name"] not in _LISTS
    }
    created, updated, status = event["created_at"], event["updated_at"], event["status"]
    if event["event_type"] is None:
        is_settled = status in ("resolved", "escalated", "closed")
        event["event_type"] = "created" if updated in (None, created) else status if is_settled else "updated"
    event["occurred_at"] = event["occurred_at"] or updated or created
    return event
