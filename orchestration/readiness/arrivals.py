"""What should have come by now and has not: expectations held against coverage, at one instant.

Pure. A day has arrived when what the expectation speaks of covers it with `min_records` records, loaded or not; of a
day that was loaded, a record that came twice counts once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from lakehouse.ledger.evidence import Coverage
from loaders.manifests.expectations import Expectation
from orchestration.readiness.horizon import Horizon


@dataclass(frozen=True, slots=True)
class Awaited:
    """A day that an expectation schedules and that has not arrived."""

    expectation: str
    owner: str
    due_at: datetime
    """From this instant (UTC) on it is missing."""
    is_due: bool
    records: int
    """Records that have arrived."""
    min_records: int

    @property
    def reason(self) -> str:
        """When it is due, what has come of it, and whose it is."""
        due = f"{self.due_at:%Y-%m-%dT%H:%MZ}"
        few = f"{self.records} of at least {self.min_records} records arrived"
        if self.is_due:
            return f"due since {due}, {few if self.records else 'not arrived'}; owner {self.owner} ({self.expectation})"
        arrived = f", {few}" if self.records else ""
        return f"expected by {self.expectation}, due {due}{arrived}; owner {self.owner}"

    @property
    def on_any_day(self) -> str:
        """The reason without its instant and without what has come."""
        few = f"fewer than {self.min_records} records arrived" if self.records else "not arrived"
        due = f"due, {few}" if self.is_due else "not due yet"
        return f"{due}; owner {self.owner} ({self.expectation})"


@dataclass(frozen=True, slots=True)
class Late:
    """A day that has arrived, and was loaded first after it was due."""

    expectation: str
    loaded_at: datetime
    hours: float

    @property
    def reason(self) -> str:
        """By whose measure, and how late."""
        return f"arrived {self.hours:,.1f} h late for {self.expectation}: loaded at {self.loaded_at:%Y-%m-%dT%H:%MZ}"


@dataclass(frozen=True)
class Arrivals:
    """What all expectations schedule up to an instant, and what of it has not arrived."""

    scheduled: Mapping[str, set[str]]
    """Asset → days, up to now."""
    awaited: Mapping[tuple[str, str], tuple[Awaited, ...]]
    """By asset and partition: what has not arrived, the earliest due first."""
    due: Mapping[str, set[str]]
    """Asset → days of which something that has not arrived is due."""


def scheduled_days(
    expectations: Iterable[Expectation], known: Mapping[str, Horizon], now: datetime
) -> dict[Expectation, list[date]]:
    """The days of each expectation, up to now, or to a later day that is known of its asset."""
    nothing = Horizon()
    return {each: each.scheduled(now, known.get(each.asset, nothing).last or date.min) for each in expectations}


def judge_arrivals(
    scheduled: Mapping[Expectation, Sequence[date]],
    coverage: Mapping[tuple[str, str], Sequence[Coverage]],
    collections: Mapping[str, str | None],
    kept: Callable[[str, str], int | None],
    now: datetime,
) -> Arrivals:
    """Hold expectations against coverage.

    Args:
        scheduled: The days of each expectation, up to now.
        coverage: By asset and partition.
        collections: Manifest → the collection that it lists.
        kept: Of an asset and a partition that was loaded from this coverage, the records in it, loaded or quarantined:
            one that came twice is one. None where it was not loaded from it.
        now: The instant (UTC).
    """
    found: dict[tuple[str, str], list[Awaited]] = {}
    days_of: dict[str, set[str]] = {}
    for each, days in scheduled.items():
        keys = [day.isoformat() for day in days]
        days_of.setdefault(each.asset, set()).update(keys)
        for day, key in zip(days, keys, strict=True):
            rows = coverage.get((each.asset, key), ())
            records = sum(row.rows_expected or 0 for row in rows if _counts(each, row, collections))
            if records >= each.min_records > 1 and (found_once := kept(each.asset, key)) is not None:
                records = min(records, found_once)
            if records < each.min_records:
                due_at = each.due_at(day)
                late = Awaited(each.name, each.owner, due_at, due_at <= now, records, each.min_records)
                found.setdefault((each.asset, key), []).append(late)
    awaited = {target: tuple(sorted(late, key=lambda each: each.due_at)) for target, late in found.items()}
    due: dict[str, set[str]] = {}
    for (asset, key), (earliest, *_) in awaited.items():
        if earliest.is_due:
            due.setdefault(asset, set()).add(key)
    return Arrivals(days_of, awaited, due)


def late_arrivals(
    expectations: Iterable[Expectation], asset: str, day: date, loaded_at: Mapping[int, datetime], now: datetime
) -> Iterator[Late]:
    """By which expectations a day came late.

    Args:
        expectations: Those in force.
        asset: Bronze asset.
        day: The partition.
        loaded_at: Records that the day was loaded with → the instant (UTC) of the first commit that had so many.
        now: The instant (UTC).
    """
    for each in expectations:
        times = [at for records, at in loaded_at.items() if records >= each.min_records]
        if each.asset == asset and times and day in each.scheduled(now, day):
            hours = (min(times) - each.due_at(day)).total_seconds() / 3600
            if hours > 0:
                yield Late(each.name, min(times), hours)


def _counts(expectation: Expectation, row: Coverage, collections: Mapping[str, str | None]) -> bool:
    if expectation.source is not None:
        return row.source_id == expectation.source
    return expectation.collection is None or collections.get(row.manifest_id) == expectation.collection
