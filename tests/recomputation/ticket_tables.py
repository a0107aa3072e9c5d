"""The ticket tables of Silver and Gold from events: what design and column descriptions say, event by event."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

Event = dict[str, Any]
Row = dict[str, Any]

DIMENSIONS = ("product_line", "priority", "category", "org_id")
DONE = ("resolved", "closed")


def in_order(events: Iterable[Event]) -> list[Event]:
    """Events as they happened; at the same instant by their id."""
    return sorted(events, key=lambda event: (event["occurred_at"], event["event_id"]))


def by_ticket(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each ticket, in order."""
    found = defaultdict(list)
    for event in in_order(events):
        found[event["ticket_id"]].append(event)
    return found


def ticket_fact(events: list[Event]) -> list[Row]:
    """The state of each ticket after its last event."""
    same = ("ticket_id", "customer_id", "org_id", "status", "priority", "category", "product_line", "assignee_id")
    same += ("sla_tier", "sla_due_at", "created_at", "resolved_at", "first_response_at")
    rows = []
    for life in by_ticket(events).values():
        last, types = life[-1], Counter(event["event_type"] for event in life)
        counted = {
            "is_open": last["status"] not in DONE,
            "first_event_at": life[0]["occurred_at"],
            "last_event_at": last["occurred_at"],
            "last_event_id": last["event_id"],
            "last_event_type": last["event_type"],
            "event_count": len(life),
            "resolution_count": types["resolved"],
            "reopening_count": types["reopened"],
        }
        rows.append({name: last[name] for name in same} | counted)
    return rows


def support_kpi_daily(events: list[Event]) -> list[Row]:
    """The measures of each day and group, from the events of that day."""
    found: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for life in by_ticket(events).values():
        for day, on_day in groupby(life, key=lambda event: event["occurred_at"].date()):
            _measure_day(found, day, list(on_day))
    measures = {name for counts in found.values() for name in counts} | set(_COUNTED.values()) | _SUMS
    return [
        dict(zip(("kpi_date", *DIMENSIONS), key, strict=True)) | {name: counts[name] for name in measures}
        for key, counts in found.items()
    ]


_COUNTED = {
    "created": "tickets_created",
    "resolved": "tickets_resolved",
    "reopened": "tickets_reopened",
    "escalated": "tickets_escalated",
}
_SUMS = {"p1_created", "sla_breaches", "resolution_minutes_sum", "resolution_count"} | {
    "first_response_minutes_sum",
    "first_response_count",
}


def _measure_day(found: dict[tuple[Any, ...], Counter[str]], day: date, events: list[Event]) -> None:
    """Add what the events of one ticket on one day count for."""

    def group(event: Event) -> Counter[str]:
        return found[(day, *(event[name] or "unknown" for name in DIMENSIONS))]

    for event in events:
        group(event)["events"] += 1
        if measure := _COUNTED.get(event["event_type"]):
            group(event)[measure] += 1
        if event["event_type"] == "created" and event["priority"] == "P1":
            group(event)["p1_created"] += 1
        if event["event_type"] == "resolved" and event["resolved_at"]:
            group(event)["resolution_minutes_sum"] += minutes(event["created_at"], event["resolved_at"])
            group(event)["resolution_count"] += 1
    last, due = events[-1], events[-1]["sla_due_at"]
    if due and due.date() == day and (last["resolved_at"] is None or last["resolved_at"] > due):
        group(last)["sla_breaches"] += 1
    answers = [event for event in events if event["first_response_at"] and event["first_response_at"].date() == day]
    if answers:
        first = answers[0]
        group(first)["first_response_minutes_sum"] += minutes(first["created_at"], first["first_response_at"])
        group(first)["first_response_count"] += 1


def minutes(start: datetime, end: datetime) -> int:
    """Whole minutes from one instant to another."""
    return (end - start) // timedelta(minutes=1)


def support_backlog_daily(events: list[Event]) -> list[Row]:
    """Open tickets at the end of every day, by the product line that each ticket's last event names."""
    by_day = defaultdict(list)
    for event in in_order(events):
        by_day[event["occurred_at"].date()].append(event)
    state: dict[str, tuple[str, bool]] = {}
    known: set[str] = set()
    before: Counter[str] = Counter()
    rows = []
    for offset in range((max(by_day) - min(by_day)).days + 1):
        day = min(by_day) + timedelta(days=offset)
        for event in by_day[day]:
            line = event["product_line"] or "unknown"
            known.add(line)
            state[event["ticket_id"]] = (line, event["status"] not in DONE)
        open_now = Counter(line for line, is_open in state.values() if is_open)
        for line in known:
            change = open_now[line] - before[line]
            rows.append(
                {
                    "kpi_date": day,
                    "product_line": line,
                    "open_tickets": open_now[line],
                    "open_tickets_change": change,
                }
            )
        before = open_now
    return rows


def int_open_tickets__monthly(events: list[Event]) -> list[Row]:
    """The tickets that each month finds open: those whose last event before it leaves them so."""
    days = [event["occurred_at"].date() for event in events]
    between = (min(days) + timedelta(days=offset) for offset in range((max(days) - min(days)).days + 1))
    months = [day for day in between if day.day == 1]
    rows = []
    for life in by_ticket(events).values():
        for month in months:
            before = [event for event in life if event["occurred_at"].date() < month]
            if before and before[-1]["status"] not in DONE:
                line = before[-1]["product_line"] or "unknown"
                rows.append({"month_start": month, "ticket_id": life[0]["ticket_id"], "product_line": line})
    return rows
