"""Partitions and windows of time: one UTC day, and half-open ranges of days.

Pure values, no I/O. Called by every writer, by the plans and by the verdicts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from lakehouse.counted import counted
from lakehouse.errors import OmniError

WHOLE = ""
"""Partition key of an asset that is not partitioned."""

ONE_DAY = timedelta(days=1)


class InvalidPartition(OmniError):
    """A partition key or window that is not made of UTC days."""


def parse_day(text: str) -> date:
    """Read a partition key.

    Raises:
        InvalidPartition: the text is not a calendar day in the form 2026-04-15.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:  # other ISO forms would give one day several keys
        raise InvalidPartition(f"partition {text!r}: expected one UTC day such as 2026-04-15") from None
    return day


def named_day(text: str, now: datetime) -> date:
    """The UTC day that a person means at an instant: a partition key, `today` or `yesterday`.

    Raises:
        InvalidPartition: the text is none of these.
    """
    ago = {"today": 0, "yesterday": 1}.get(text)
    return parse_day(text) if ago is None else now.astimezone(UTC).date() - ago * ONE_DAY


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open range of UTC days: `first` is in it, `end` is not."""

    first: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.first:
            raise InvalidPartition(f"window {self.first}..{self.end}: the end must come after the start")

    @classmethod
    def of_day(cls, day: date) -> "Window":
        """The window of one partition."""
        return cls(day, day + ONE_DAY)

    @classmethod
    def of_keys(cls, first: str, last: str) -> "Window":
        """The window from one partition key to another, both inside."""
        return cls(parse_day(first), parse_day(last) + ONE_DAY)

    @classmethod
    def touched(cls, start_at: datetime, end_at: datetime) -> "Window | None":
        """The UTC days that the time from one instant up to another lies on; None where that is no time at all."""
        if start_at >= end_at:
            return None
        last_at = end_at.astimezone(UTC) - timedelta(microseconds=1)
        return cls(start_at.astimezone(UTC).date(), last_at.date() + ONE_DAY)

    def overlaps(self, other: "Window") -> bool:
        """Whether any day is in both."""
        return self.first < other.end and other.first < self.end

    @property
    def start_at(self) -> datetime:
        """First instant inside (UTC)."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def end_at(self) -> datetime:
        """First instant after the window (UTC)."""
        return datetime.combine(self.end, time(), UTC)

    @property
    def first_key(self) -> str:
        """Partition key of the first day."""
        return self.first.isoformat()

    @property
    def last_key(self) -> str:
        """Partition key of the last day."""
        return (self.end - ONE_DAY).isoformat()

    @property
    def keys(self) -> list[str]:
        """Partition keys inside, in order."""
        return [day.isoformat() for day in self]

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range((self.end - self.first).days))

    def __contains__(self, day: date) -> bool:
        return self.first <= day < self.end

    def __str__(self) -> str:
        last = self.end - ONE_DAY
        return str(self.first) if last == self.first else f"{self.first}..{last}"


def typed_window(partition: str | None, first: str | None, last: str | None) -> Window | None:
    """The window that a person types as `--partition`, or as `--from` and `--to`; None where nothing is typed.

    Raises:
        InvalidPartition: they contradict each other, or name no days.
    """
    if partition and (first or last):
        raise InvalidPartition("--partition names one day; next: leave out --from and --to")
    if partition:
        return Window.of_keys(partition, partition)
    if first and last:
        if last < first:
            raise InvalidPartition(f"--from {first} --to {last}: --to lies before --from; next: exchange them")
        return Window.of_keys(first, last)
    if first or last:
        typed, other = (f"--from {first}", "--to") if first else (f"--to {last}", "--from")
        raise InvalidPartition(
            f"{typed}: a range needs both --from and --to; next: add {other} DAY, or use --partition"
        )
    return None


def is_day(partition: str) -> bool:
    """Whether a key names a day, and not a whole asset or what stands for none."""
    return partition[:1].isdigit()


def lies_within(partition: str, window: Window | None) -> bool:
    """Whether a partition is a day of a window; what is no day lies within every one."""
    return window is None or not is_day(partition) or window.first_key <= partition <= window.last_key


def contiguous_windows(keys: Iterable[str], apart: Iterable[str] = (), bridged_days: int = 0) -> list[Window]:
    """Group partition keys into as few windows as hold these days.

    Args:
        keys: The days that must be inside.
        apart: Days that must stay outside.
        bridged_days: So many other days in a row may be inside, too, where they join two windows to one.
    """
    outside = {parse_day(key) for key in apart}
    windows: list[Window] = []
    for day in sorted({parse_day(key) for key in keys}):
        gap = [windows[-1].end + timedelta(days=n) for n in range((day - windows[-1].end).days)] if windows else []
        if windows and len(gap) <= bridged_days and not outside & set(gap):
            windows[-1] = Window(windows[-1].first, day + ONE_DAY)
        else:
            windows.append(Window.of_day(day))
    return windows


def day_ranges(keys: Iterable[str], shown: int = 6) -> str:
    """Days as ranges, such as `2026-04-01..2026-04-18, 2026-04-20`; the empty key stands for the whole asset."""
    keys = set(keys)
    windows = contiguous_windows(keys - {WHOLE})
    ranges = (["not partitioned"] if WHOLE in keys else []) + [str(window) for window in windows]
    more = len(ranges) - shown
    return ", ".join(ranges[:shown]) + (f" and {counted(more, 'more range')}" if more > 0 else "")


def named(asset: str, keys: Iterable[str]) -> str:
    """Partitions of an asset for a person: its name, and the days in ranges where it is partitioned."""
    keys = set(keys)
    return asset if keys <= {WHOLE} else f"{asset} {day_ranges(keys)}"


def said_once(said: Iterable[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """What is said of asset and partition, for a person: what is said of several partitions of an asset stands once.

    Returns:
        The partitions, named, and what is said of them, in the order in which it is first said.
    """
    alike: dict[tuple[str, str], set[str]] = {}
    for asset, key, what in said:
        alike.setdefault((asset, what), set()).add(key)
    return [(named(asset, keys), what) for (asset, what), keys in alike.items()]
