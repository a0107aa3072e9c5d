"""The events of a ServiceNow audit log, by the comment at the head of manifests/mappings/servicenow_incidents.sql."""

import csv
import hashlib
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Event = dict[str, Any]

_STATUS = {"New": "new", "Active": "open", "Resolved": "resolved", "Closed": "closed"}
_ENRICHED = ("resolved_at", "closed_at", "resolved_by", "closed_code")


def read_events(path: Path) -> list[Event]:
    """One event per change of an incident."""
    incidents = defaultdict(dict)
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            event = _event(row)
            incidents[row["number"]][event["event_id"]] = event
    for life in incidents.values():
        _tell_what_happened(sorted(life.values(), key=lambda event: (event["occurred_at"], event["event_id"])))
    return [event for life in incidents.values() for event in life.values()]


def _event(row: dict[str, str]) -> Event:
    # The view `raw` has its columns by name, so that their order in an export changes no identity.
    text = "|".join(row[name] for name in sorted(row) if name not in _ENRICHED and row[name])
    row_hash = hashlib.md5(text.encode()).hexdigest()  # an identity, no secret
    at = _instant(row["sys_updated_at"])
    state = row["incident_state"]
    return {
        "event_id": f"{row['number']}-{at:%Y-%m-%dT%H:%M:00Z}-{row['sys_mod_count'].zfill(6)}-{row_hash[:16]}",
        "ticket_id": row["number"],
        "occurred_at": at,
        "customer_id": _known(row["caller_id"]),
        "org_id": None,
        "status": "pending" if state.startswith("Awaiting ") else _STATUS[state],
        "priority": f"P{row['priority'][0]}",
        "category": _known(row["category"]),
        "product_line": None,
        "assignee_id": _known(row["assigned_to"]),
        "sla_tier": None,
        "sla_due_at": None,
        "created_at": _instant(row["sys_created_at"]) or _instant(row["opened_at"]),
        "resolved_at": _instant(row["resolved_at"]),
        "first_response_at": None,
    }


def _tell_what_happened(life: list[Event]) -> None:
    """Derive the type of each event of an incident, and what was known of its resolution then."""
    before, done_since = None, None
    for event in life:
        now, final = event["status"], event["resolved_at"]
        is_done = now in ("resolved", "closed")
        done_since = (done_since or event["occurred_at"]) if is_done else None
        event["event_type"] = _type(before, now)
        is_past = final is not None and final <= event["occurred_at"]
        event["resolved_at"] = (final if is_past else done_since) if is_done else None
        before = now


def _type(before: str | None, now: str) -> str:
    if before is None:
        return "created"
    if now == before:
        return "updated"
    if now in ("resolved", "closed"):
        return now
    return "reopened" if before in ("resolved", "closed") else "status_changed"


def _known(value: str) -> str | None:
    return None if value in ("", "?") else value


def _instant(value: str) -> Any:
    return None if _known(value) is None else datetime.strptime(value, "%d-%m-%Y %H:%M").replace(tzinfo=UTC)
