"""To which day a record of a file counts, once, for coverage and for the load.

- A record of a snapshot counts to the day of its batch. Of events, to the UTC day of the first of the contract's time
  fields that is an instant (of tickets: `occurred_at`, else `updated_at`, else `created_at`).
- An implausible instant dates nothing: before `OMNI_EARLIEST_INSTANT`, or later than the batch by more than
  `OMNI_LATEST_AFTER_BATCH_HOURS`. Neither does one outside the window that the file declares: the manifest's
  `start_at`/`end_at` (where they do not select records), or a Hive-style folder such as `dt=2026-04-15`.
- A record that nothing dates counts to the day of the dated record before it in the file (else of the first dated
  one, else of the declared window's first day, else of the batch): a broken line counts where its neighbours are.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts.model import Contract
from lakehouse.kinds import KINDS
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from loaders.events.typing_sql import instant
from loaders.manifests.manifest import Manifest

SELECTING_MODES = ("backfill", "replay")
"""Load modes whose `start_at` and `end_at` select records; under the others they declare what the files hold."""

_HIVE_DAY = re.compile(r"(?:^|/)(?:dt|ds|day|date|event_date|occurred_date)=(\d{4}-\d{2}-\d{2})(?=/)")
_HIVE_PARTS = re.compile(r"(?:^|/)year=(\d{4})/month=(\d{1,2})/day=(\d{1,2})(?=/)")


@dataclass(frozen=True)
class Dating:
    """What dates the records of one file. Instants are UTC; the ends of ranges are outside."""

    earliest: datetime
    latest: datetime
    start_at: datetime | None
    end_at: datetime | None
    fallback: date
    of_batch: date | None = None
    """Day of all records, where the batch dates them."""

    @classmethod
    def of_file(cls, settings: LakehouseSettings, contract: Contract, manifest: Manifest, source_file: str) -> "Dating":
        """The rules for a file of a manifest."""
        declared = manifest.selection_window
        starts, ends = [declared.start_at], [declared.end_at]
        if manifest.load_mode in SELECTING_MODES:
            starts, ends = [None], [None]
        if day := _hive_day(source_file):
            midnight = datetime.combine(day, time(), UTC)
            starts, ends = [*starts, midnight], [*ends, midnight + timedelta(days=1)]
        start_at = max((at for at in starts if at), default=None)
        fallback = start_at or declared.start_at or manifest.created_at
        return cls(
            earliest=datetime.combine(settings.earliest_instant, time(), UTC),
            latest=manifest.created_at + timedelta(hours=settings.latest_after_batch_hours),
            start_at=start_at,
            end_at=min((at for at in ends if at), default=None),
            fallback=fallback.astimezone(UTC).date(),
            of_batch=manifest.snapshot_date if KINDS[contract.declared_asset.kind].is_dated_by_batch else None,
        )

    @property
    def window(self) -> Window | None:
        """Days that the file declares to hold; None where it does not say, or says something empty."""
        if self.of_batch is not None:
            return Window.of_day(self.of_batch)
        if self.start_at is None or self.end_at is None:
            return None
        return Window.touched(self.start_at, self.end_at)

    def day(self, at: str) -> str:
        """SQL: the UTC day that an instant dates a record to; null where it dates none."""
        if self.of_batch is not None:
            return f"date '{self.of_batch}'"
        bad = " or ".join([self.is_implausible(at), *([self.is_outside(at)] if self.declared else [])])
        return f"case when not ({bad}) then cast(timezone('UTC', {at}) as date) end"

    def is_implausible(self, at: str) -> str:
        """SQL: no record can have happened then."""
        if self.of_batch is not None:
            return "false"
        return f"{at} < timestamptz '{self.earliest}' or {at} >= timestamptz '{self.latest}'"

    def is_outside(self, at: str) -> str:
        """SQL: the instant lies outside the window that the file declares."""
        if self.of_batch is not None:
            return "false"
        low = [f"{at} < timestamptz '{self.start_at}'"] if self.start_at else []
        high = [f"{at} >= timestamptz '{self.end_at}'"] if self.end_at else []
        return " or ".join([*low, *high]) or "false"

    def plain_days(self, instants: pa.ChunkedArray) -> pa.ChunkedArray | None:
        """The UTC days that instants date records to, where all of them do; else None. Not for a snapshot."""
        lowest, highest = (pc.min_max(instants)[end].as_py() for end in ("min", "max"))
        if instants.null_count or lowest is None or lowest < max(self.earliest, self.start_at or self.earliest):
            return None
        return instants.cast(pa.date32()) if highest < min(self.latest, self.end_at or self.latest) else None

    @property
    def declared(self) -> str:
        """The window that the file declares, for a person; empty where it declares none."""
        bounds = () if self.of_batch is not None else (("from", self.start_at), ("before", self.end_at))
        return " ".join(f"{word} {at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for word, at in bounds if at)

    def partitioned(self, relation: str) -> str:
        """SQL: a relation with `source_line` and `day`, each row with the `partition` that it counts to."""
        dated = f"(select source_line, day as near from {relation} where day is not null)"
        undated = f"(select * from {relation} where day is null)"
        first = f"(select arg_min(day, source_line) from {relation})"
        return (
            f"select *, day as partition from {relation} where day is not null union all by name "
            f"select u.*, coalesce(d.near, {first}, date '{self.fallback}') as partition "
            f"from {undated} u asof left join {dated} d on u.source_line >= d.source_line"
        )


def first_instant(values: list[str]) -> str:
    """SQL: the first of some texts that is an instant (UTC); null where there are no texts."""
    return f"coalesce({', '.join(map(instant, values))})" if values else "null::timestamptz"


def _hive_day(source_file: str) -> date | None:
    """Day that a Hive-style folder of the file's path names."""
    try:
        if found := _HIVE_DAY.search(source_file):
            return date.fromisoformat(found[1])
        if parts := _HIVE_PARTS.search(source_file):
            return date(*map(int, parts.groups()))
    except ValueError:  # dt=2026-02-31 names no day
        return None
    return None
