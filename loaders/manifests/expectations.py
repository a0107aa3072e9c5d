"""Expectations: which days of an asset should arrive, by when, with how many records; a declared rhythm.

Pure values, without a clock: "now" is handed in. Read from files and judged by `loaders.manifests.expectation_files`;
the verdicts (`orchestration.readiness.arrivals`) ask which days are scheduled and since when they are due.
"""

from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from lakehouse.partitions import ONE_DAY

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Rhythm = Literal["daily", "weekdays", "weekly", "monthly", "cron"]


class Expectation(BaseModel):
    """A rhythm in which days of an asset, or of one collection or source of it, arrive."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, title="Expectation"
    )

    schema_file: str | None = Field(default=None, alias="$schema", description="Where this schema lies, for editors.")
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """That of its file, without `.json`."""
    asset: str
    """Bronze asset whose partitions are expected."""
    collection: str | None = Field(default=None, min_length=1)
    """Only what manifests of this collection list counts; else whatever the asset's sources hold."""
    source: str | None = Field(default=None, min_length=1)
    """Only what the source of this `source_id` holds counts. Not beside `collection`."""
    rhythm: Rhythm
    """Which days: each; Monday to Friday; some days of the week; some of the month; those on which `cron` fires."""
    days: tuple[Weekday | Annotated[int, Field(ge=1, le=31)], ...] | None = Field(default=None, min_length=1)
    """Of `weekly`: names such as `monday`. Of `monthly`: numbers; one that a month does not have is its last day."""
    cron: str | None = None
    """Of `cron`: five fields. A day is expected once, however often it fires on it."""
    time_zone: str = "UTC"
    """IANA name, such as `Europe/Berlin`: where a day ends. The partition is the one that has the day's name."""
    due_after_hours: float = Field(ge=0, le=8784, allow_inf_nan=False)
    """Hours after the end of the day in that zone from which on it is due."""
    since: date
    """First day."""
    until: date | None = None
    """Last day, inside; none: it goes on."""
    owner: str = Field(min_length=1)
    """Who answers where a day does not come."""
    min_records: int = Field(default=1, ge=1)
    """So many records of a day must be there for it to have arrived."""

    def scheduled(self, now: datetime, known: date = date.min) -> list[date]:
        """Days that the rhythm names, up to the day that it is in the zone at `now`, or to a later known one."""
        latest = max(now.astimezone(ZoneInfo(self.time_zone)).date(), known)
        last = min(latest, self.until or latest)
        if self.rhythm == "cron":
            return list(_fired(self.cron or "", self.since, last))
        days = (self.since + timedelta(n) for n in range((last - self.since).days + 1))
        return [day for day in days if self._names(day)]

    def due_at(self, day: date) -> datetime:
        """The instant (UTC) from which on a day is due."""
        # Added in UTC: hours that pass, whatever the clocks do meanwhile.
        ends_at = datetime.combine(day + ONE_DAY, time(), ZoneInfo(self.time_zone)).astimezone(UTC)
        return ends_at + timedelta(hours=self.due_after_hours)

    def _names(self, day: date) -> bool:
        if self.rhythm == "weekdays":
            return day.weekday() < 5
        if self.rhythm == "weekly":
            return _WEEKDAYS[day.weekday()] in (self.days or ())
        if self.rhythm == "monthly":
            length = monthrange(day.year, day.month)[1]
            return day.day in {min(each, length) for each in self.days or () if isinstance(each, int)}
        return True


@lru_cache(maxsize=64)  # asked for with every verdict; the last day changes once a day
def _fired(cron: str, first: date, last: date) -> Sequence[date]:
    """Days on which a cron expression fires, by the wall clock."""
    from croniter import croniter  # only where a rhythm is one

    days: list[date] = []
    at = datetime.combine(first, time()) - timedelta(seconds=1)
    while (day := croniter(cron, at).get_next(datetime).date()) <= last:
        days.append(day)
        at = datetime.combine(day, time(23, 59, 59))
    return days
