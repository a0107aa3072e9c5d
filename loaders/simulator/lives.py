"""The lives of tickets: what happens to each one, in order, and the state it is in afterwards.

Healthy events only. Late files, duplicates and damage are `disorder`'s; files and manifests are `sample`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from loaders.simulator.dice import Dice, digest
from loaders.simulator.phrases import (
    AGENTS,
    CATEGORIES,
    CUSTOMERS,
    ERROR_CODES,
    EXPERTS,
    ORGS,
    PHRASES,
    PRIORITIES,
    PRODUCTS,
    SLA_HOURS,
)
from loaders.simulator.timeline import Timeline, midnight, written

Record = dict[str, object]

_AGENT_ACTIONS = ("status_changed", "escalated", "resolved", "closed")
_ABANDONED_PER_THOUSAND = 24
_CHANNEL_PER_THOUSAND = 250


@dataclass(frozen=True)
class Event:
    """A healthy event: `line` is its JSON, `occurred_at` its instant in UTC."""

    event_id: str
    event_type: str
    ticket_id: str
    occurred_at: datetime
    line: str


class _Step(NamedTuple):
    event_type: str
    status: str
    shortest_minutes: int
    longest_minutes: int


_STEPS: dict[str, tuple[tuple[int, _Step | None], ...]] = {
    "new": (
        (72, _Step("status_changed", "open", 3, 480)),
        (14, _Step("comment_added", "new", 5, 600)),
        (10, _Step("updated", "new", 2, 120)),
        (4, None),
    ),
    "open": (
        (32, _Step("comment_added", "open", 5, 900)),
        (15, _Step("status_changed", "pending", 10, 900)),
        (8, _Step("escalated", "escalated", 10, 600)),
        (38, _Step("resolved", "resolved", 20, 2400)),
        (6, _Step("updated", "open", 5, 600)),
        (1, None),
    ),
    "pending": (
        (18, _Step("comment_added", "pending", 30, 1800)),
        (54, _Step("status_changed", "open", 30, 2400)),
        (25, _Step("resolved", "resolved", 60, 2880)),
        (3, None),
    ),
    "escalated": (
        (35, _Step("comment_added", "escalated", 5, 600)),
        (53, _Step("resolved", "resolved", 30, 1800)),
        (12, _Step("status_changed", "open", 20, 900)),
    ),
    "resolved": (
        (74, _Step("closed", "closed", 120, 4320)),
        (8, _Step("comment_added", "resolved", 5, 1200)),
        (10, _Step("reopened", "open", 60, 4320)),
        (8, None),
    ),
    "closed": ((1, None),),
}


@dataclass
class _Ticket:
    """A ticket on its way: `fixed` never changes, the rest is its state now (instants in UTC)."""

    fixed: Record
    created_at: datetime
    sla_due_at: datetime
    zone: timezone
    is_abandoned: bool
    status: str = "new"
    category: str = ""
    assignee_id: str | None = None
    resolved_at: datetime | None = None
    first_response_at: datetime | None = None
    tags: list[str] = field(default_factory=list)
    sequence: int = 0


def live(seed: int, tickets: int, timeline: Timeline) -> Iterator[Event]:
    """Yield the whole life of every ticket, ticket by ticket, up to the end of the timeline."""
    dice = Dice(seed, "lives")
    days = timeline.active_days
    # The first day counts twice: no older ticket keeps the desk busy.
    openings = (days[0], *days)
    born_on = [openings[number % len(openings)] for number in range(tickets)]
    births = sorted(midnight(day) + timedelta(seconds=_time_of_day(dice)) for day in born_on)
    for number, created_at in enumerate(births, start=1):
        ticket = _open(dice, f"T-{number:05d}", created_at)
        yield from _live_one(dice, seed, ticket, timeline)


def _time_of_day(dice: Dice) -> int:
    """Return a second of the day; the middle of the day is busier than its ends."""
    return (dice.below(86_400) + dice.below(86_400)) // 2


def _live_one(dice: Dice, seed: int, ticket: _Ticket, timeline: Timeline) -> Iterator[Event]:
    at = ticket.created_at
    step: _Step | None = _Step("created", "new", 0, 0)
    while step is not None:
        wait = timedelta(minutes=dice.soon(step.shortest_minutes, step.longest_minutes), seconds=dice.below(60))
        at = timeline.after_silence(at + wait) if ticket.sequence else at
        if at.date() > timeline.last:
            return
        _apply(dice, ticket, step, at)
        yield _event(dice, seed, ticket, step.event_type, at)
        step = _next_step(dice, ticket)


def _next_step(dice: Dice, ticket: _Ticket) -> _Step | None:
    step = dice.weigh(_STEPS[ticket.status])
    if step and step.event_type == "resolved" and ticket.is_abandoned:
        return step._replace(event_type="closed", status="closed")
    return step


def _open(dice: Dice, ticket_id: str, created_at: datetime) -> _Ticket:
    org = dice.pick(ORGS)
    priority = dice.weigh(PRIORITIES)
    product_line, versions = dice.weigh(PRODUCTS)
    category = dice.pick(CATEGORIES)
    phrase = dice.pick(PHRASES[category])
    name = dice.pick(CUSTOMERS)
    fixed: Record = {
        "ticket_id": ticket_id,
        "customer_id": f"{org.org_id.removeprefix('org-')}-{name}",
        "org_id": org.org_id,
        "priority": priority,
        "product_line": product_line,
        "product_version": dice.pick(versions),
        "subject": phrase.subject,
        "description": phrase.description.format(email=f"{name}@example.com"),
        "sla_tier": org.sla_tier,
        "pii_level": phrase.pii_level,
        "pii_redacted": False,
        "quality_gate": "accept",
        "owner": "support-desk",
    }
    fixed |= _attachments(dice, ticket_id)
    return _Ticket(
        fixed=fixed,
        created_at=created_at,
        sla_due_at=created_at + timedelta(hours=SLA_HOURS[priority]),
        zone=timezone(timedelta(hours=org.utc_offset_hours)),
        is_abandoned=dice.happens(_ABANDONED_PER_THOUSAND),
        category=category,
    )


def _attachments(dice: Dice, ticket_id: str) -> Record:
    attached: Record = {}
    if dice.happens(300):
        attached["error_codes"] = [dice.pick(ERROR_CODES)]
    if dice.happens(120):
        attached["asset_ids"] = [f"{ticket_id}-screen.png"]
    if dice.happens(_CHANNEL_PER_THOUSAND):
        attached["channel"] = dice.pick(("email", "chat"))
    return attached


def _apply(dice: Dice, ticket: _Ticket, step: _Step, at: datetime) -> None:
    """Bring the ticket into the state after the step."""
    ticket.status = step.status
    by_agent = step.event_type in _AGENT_ACTIONS or (step.event_type == "comment_added" and dice.happens(600))
    if by_agent:
        ticket.first_response_at = ticket.first_response_at or at
        ticket.assignee_id = ticket.assignee_id or dice.pick(AGENTS)
    if step.event_type == "escalated":
        ticket.assignee_id = dice.pick(EXPERTS)
    elif step.event_type == "resolved":
        ticket.resolved_at = at
    elif step.event_type == "reopened":
        ticket.resolved_at = None
    elif step.event_type == "updated":
        ticket.category = dice.pick(CATEGORIES)
        ticket.tags = ["triaged"]


def _event(dice: Dice, seed: int, ticket: _Ticket, event_type: str, at: datetime) -> Event:
    ticket.sequence += 1
    ticket_id = str(ticket.fixed["ticket_id"])
    event_id = digest(seed, ticket_id, ticket.sequence, length=16)
    record: Record = {"event_id": event_id, "event_type": event_type, **_state(ticket, at)}
    return Event(event_id, event_type, ticket_id, at, json_line(record))


def _state(ticket: _Ticket, at: datetime) -> Record:
    """Return the ticket's state as a source record; what is null or empty is left out."""
    instants = {
        "occurred_at": at,
        "created_at": ticket.created_at,
        "updated_at": at,
        "resolved_at": ticket.resolved_at,
        "first_response_at": ticket.first_response_at,
        "sla_due_at": ticket.sla_due_at,
    }
    state: Record = {name: written(value.astimezone(ticket.zone)) for name, value in instants.items() if value}
    state |= {"status": ticket.status, "category": ticket.category}
    state |= {"assignee_id": ticket.assignee_id} if ticket.assignee_id else {}
    state |= {"tags": ticket.tags} if ticket.tags else {}
    return state | ticket.fixed


def json_line(record: Record, *, sort_keys: bool = True) -> str:
    """Return the record as one line of JSON, without the line end."""
    return json.dumps(record, sort_keys=sort_keys, separators=(",", ":"))
