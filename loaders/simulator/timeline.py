"""The days of a simulation, and how an instant is written down.

Which days exist, which one is silent, which ones are exported again, which ones have snapshots. Nothing
random here. Called by every module beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

SHORTEST_DAYS = 28
_SILENT_OFFSET = 18
_REEXPORT_OFFSETS = (9, 10, 11)
_SNAPSHOT_OFFSETS = (0, 7, 14, 21)
_CRM_OFFSETS = range(4, 25)


@dataclass(frozen=True)
class Timeline:
    """The UTC days `start` .. `last`, of which `silent_day` has no event at all."""

    start: date
    days: int

    def __post_init__(self) -> None:
        """Refuse a timeline that is too short for the scripted days."""
        if self.days < SHORTEST_DAYS:
            raise ValueError(
                f"days is {self.days}, the script of the simulation needs at least {SHORTEST_DAYS}; "
                "next: ask for fewer tickets, not for fewer days"
            )

    @property
    def last(self) -> date:
        """The last day on which anything happens."""
        return self.day(self.days - 1)

    @property
    def silent_day(self) -> date:
        """The day without events and without a file."""
        return self.day(_SILENT_OFFSET)

    @property
    def active_days(self) -> tuple[date, ...]:
        """All days but the silent one."""
        return self._at(range(self.days))

    @property
    def reexport_days(self) -> tuple[date, ...]:
        """The days of occurrence that a second batch exports again."""
        return self._at(_REEXPORT_OFFSETS)

    @property
    def snapshot_days(self) -> tuple[date, ...]:
        """The days on which the document collections are listed."""
        return self._at(_SNAPSHOT_OFFSETS)

    @property
    def crm_days(self) -> tuple[date, ...]:
        """The days on which the other desk's tickets were last updated."""
        return self._at(_CRM_OFFSETS)

    def day(self, offset: int) -> date:
        """Return the day `offset` days after the start."""
        return self.start + timedelta(days=offset)

    def after_silence(self, at: datetime) -> datetime:
        """Move an instant of the silent day to the same time of the next day."""
        return at + timedelta(days=1) if at.date() == self.silent_day else at

    def _at(self, offsets: range | tuple[int, ...]) -> tuple[date, ...]:
        return tuple(day for day in map(self.day, offsets) if day != self.silent_day)


def midnight(day: date) -> datetime:
    """Return the first instant of a UTC day."""
    return datetime.combine(day, time(), UTC)


def written(at: datetime) -> str:
    """Return the instant as ISO 8601 with an offset, UTC as `Z`."""
    return at.isoformat().replace("+00:00", "Z")
