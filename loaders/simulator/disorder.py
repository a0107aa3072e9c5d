"""What goes wrong between a desk and its files: lateness, duplicates, damage, and a second export.

Takes healthy events from `lives` and decides which line stands in which file. Every disorder is counted where
it is made. A bad record is an *extra* `updated` event, so that losing it leaves the ticket's life whole.
Called by `sample`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from loaders.simulator.dice import Dice, digest
from loaders.simulator.lives import Event, Record, json_line
from loaders.simulator.phrases import CATEGORIES
from loaders.simulator.timeline import Timeline, written

_LATE_PER_THOUSAND = 22
_LONGEST_DELAY_DAYS = 5
_DUPLICATE_PER_THOUSAND = 10
_CORRECTIONS = 5
_BAD_DAY_OFFSETS = (1, 3, 5, 7, 9, 11, 13, 15, 17, 20, 21, 22, 24, 25, 27)
_BAD_PER_DAY = 2
_BAD_PERCENT_LIMIT = 4


@dataclass
class Export:
    """The daily files by arrival day, as lines, with the count of every disorder in them."""

    lines: dict[date, list[str]]
    late: int = 0
    duplicates: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    bad_per_file: dict[date, int] = field(default_factory=dict)


def export_daily(seed: int, events: list[Event], timeline: Timeline) -> Export:
    """Distribute the events over daily files, in order of occurrence, then add duplicates and bad lines."""
    dice = Dice(seed, "disorder")
    export = Export({day: [] for day in timeline.active_days})
    for event in sorted(events, key=lambda event: (event.occurred_at, event.event_id)):
        arrival = _arrival(dice, event.occurred_at.date(), timeline)
        export.late += arrival != event.occurred_at.date()
        export.lines[arrival].append(event.line)
    healthy = {day: list(lines) for day, lines in export.lines.items()}
    _add_bad_lines(dice, seed, export, timeline)
    for day, lines in healthy.items():
        twice = [line for line in lines if dice.happens(_DUPLICATE_PER_THOUSAND)]
        export.duplicates += len(twice)
        export.lines[day] += twice
    export.lines = {day: lines for day, lines in export.lines.items() if lines}
    return export


def reexport(seed: int, events: list[Event], timeline: Timeline) -> tuple[list[str], int]:
    """Export some days of occurrence again, with reversed key order and some categories corrected.

    Returns:
        The lines of the one file, and how many of its events are corrected.
    """
    dice = Dice(seed, "reexport")
    chosen = [event for event in events if event.occurred_at.date() in timeline.reexport_days]
    chosen.sort(key=lambda event: (event.occurred_at, event.event_id))
    records = [json.loads(event.line) for event in chosen]
    spacing = max(1, len(records) // _CORRECTIONS)
    corrected = records[::spacing][:_CORRECTIONS]
    for record in corrected:
        record["category"] = dice.pick([name for name in CATEGORIES if name != record["category"]])
    lines = [json_line(dict(reversed(record.items())), sort_keys=False) for record in records]
    return lines, len(corrected)


def _arrival(dice: Dice, day: date, timeline: Timeline) -> date:
    """Return the day whose file holds the event; on time where no late file would exist."""
    if not dice.happens(_LATE_PER_THOUSAND):
        return day
    arrival = day + timedelta(days=1 + dice.below(_LONGEST_DELAY_DAYS))
    return day if arrival > timeline.last or arrival == timeline.silent_day else arrival


def _add_bad_lines(dice: Dice, seed: int, export: Export, timeline: Timeline) -> None:
    """Put bad lines on known days, in turn of their kinds, within the limit per file."""
    kinds = list(_DAMAGES)
    for turn, day in enumerate(map(timeline.day, _BAD_DAY_OFFSETS)):
        lines = export.lines[day]
        healthy = tuple(lines)
        allowed = min(_BAD_PER_DAY, len(healthy) * _BAD_PERCENT_LIMIT // 100)
        for place in range(allowed):
            kind = kinds[(turn * _BAD_PER_DAY + place) % len(kinds)]
            # The middle half of a file: on time, and far from midnight.
            template = healthy[len(healthy) // 4 + dice.below(len(healthy) // 2)]
            extra = _extra_event(json.loads(template), f"{seed}/{day}/{place}")
            lines.insert(lines.index(template) + 1, _DAMAGES[kind](extra))
            export.bad[kind] = export.bad.get(kind, 0) + 1
        export.bad_per_file |= {day: allowed} if allowed else {}


def _extra_event(record: Record, identity: str) -> Record:
    """Return an `updated` event of the same ticket, half a minute after the given one."""
    at = datetime.fromisoformat(str(record["occurred_at"])) + timedelta(seconds=30)
    extra: Record = {"event_id": digest(identity, length=16), "event_type": "updated"}
    return record | extra | {"occurred_at": written(at), "updated_at": written(at)}


def _truncated(record: Record) -> str:
    line = json_line(record)
    return line[: len(line) * 2 // 3]


def _without_ticket_id(record: Record) -> str:
    return json_line({name: value for name, value in record.items() if name != "ticket_id"})


def _naive(record: Record) -> str:
    at = datetime.fromisoformat(str(record["occurred_at"])).replace(tzinfo=None)
    return json_line(record | {"occurred_at": at.isoformat()})


_DAMAGES: dict[str, Callable[[Record], str]] = {
    "truncated_json": _truncated,
    "unknown_priority": lambda record: json_line(record | {"priority": "URGENT"}),
    "missing_ticket_id": _without_ticket_id,
    "invalid_timestamp": lambda record: json_line(record | {"created_at": "yesterday"}),
    "naive_timestamp": _naive,
    "number_for_string": lambda record: json_line(record | {"subject": 42}),
}
