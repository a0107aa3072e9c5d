"""Another desk's tickets: one CSV of current states under the plain ticket contract, without events.

Called by `sample`.
"""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta

from loaders.simulator.dice import Dice
from loaders.simulator.phrases import (
    CATEGORIES,
    CUSTOMERS,
    ORGS,
    PHRASES,
    PRIORITIES,
    PRODUCTS,
    SLA_HOURS,
)
from loaders.simulator.timeline import Timeline, midnight, written

CRM_TICKETS = 40
_UNTOUCHED_PER_THOUSAND = 300
_STATUSES = ((35, "open"), (15, "pending"), (10, "escalated"), (25, "resolved"), (15, "closed"))
_TYPE_OF_STATUS = {"escalated": "escalated", "resolved": "resolved", "closed": "closed"}

Row = dict[str, str]


def list_crm_tickets(seed: int, timeline: Timeline) -> list[Row]:
    """Return the rows of the other desk, one per ticket; null is the empty text."""
    dice = Dice(seed, "crm")
    days = timeline.crm_days
    births = sorted(midnight(dice.pick(days)) + timedelta(seconds=dice.below(86_400)) for _ in range(CRM_TICKETS))
    return [_row(dice, f"CRM-{n:04d}", created_at, timeline) for n, created_at in enumerate(births, start=1)]


def derived_event_type(row: Row) -> str:
    """Return the event type that the Bronze rule derives from a row."""
    if row["updated_at"] == row["created_at"]:
        return "created"
    return _TYPE_OF_STATUS.get(row["status"], "updated")


def csv_text(rows: list[Row]) -> str:
    """Return the rows as CSV with a header line and LF line ends."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(dice: Dice, ticket_id: str, created_at: datetime, timeline: Timeline) -> Row:
    org = dice.pick(ORGS)
    priority = dice.weigh(PRIORITIES)
    product_line, versions = dice.weigh(PRODUCTS)
    category = dice.pick(CATEGORIES)
    phrase = dice.pick(PHRASES[category])
    name = dice.pick(CUSTOMERS)
    row = {
        "ticket_id": ticket_id,
        "customer_id": f"{org.org_id.removeprefix('org-')}-{name}",
        "org_id": org.org_id,
        "priority": priority,
        "category": category,
        "product_line": product_line,
        "product_version": dice.pick(versions),
        "subject": phrase.subject,
        "description": phrase.description.format(email=f"{name}@example.com"),
        "sla_tier": org.sla_tier,
        "sla_due_at": written(created_at + timedelta(hours=SLA_HOURS[priority])),
        "pii_level": phrase.pii_level,
        "pii_redacted": "false",
        "owner": "crm-desk",
    }
    return row | _progress(dice, created_at, timeline)


def _progress(dice: Dice, created_at: datetime, timeline: Timeline) -> Row:
    """Return the state at export: untouched since its creation, or changed once."""
    changed_at = timeline.after_silence(created_at + timedelta(minutes=dice.soon(30, 7200)))
    if dice.happens(_UNTOUCHED_PER_THOUSAND) or changed_at.date() > timeline.crm_days[-1]:
        status, updated_at, touched = "new", created_at, False
    else:
        status, updated_at, touched = dice.weigh(_STATUSES), changed_at, True
    return {
        "status": status,
        "assignee_id": "crm-agent-1" if touched else "",
        "created_at": written(created_at),
        "updated_at": written(updated_at),
        "resolved_at": written(updated_at) if status in ("resolved", "closed") else "",
        "first_response_at": written(updated_at) if touched else "",
    }
