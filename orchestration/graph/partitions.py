"""The one daily partitions definition, and the tags of a run over a range of its days."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from lakehouse.ledger.foreign_writes import standing_foreign_writes
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import ONE_DAY, Window
from lakehouse.settings import LakehouseSettings

_WITHOUT_COVERAGE_DAYS = 30
_PARTITION = "dagster/partition"
_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"


def daily_partitions(settings: LakehouseSettings, ledger: Ledger) -> dg.DailyPartitionsDefinition:
    """UTC days from OMNI_PARTITION_START, else the first covered day, up to yesterday or the last covered day.

    A day that someone else has written counts as covered: a run must be able to write it anew.
    """
    foreign = standing_foreign_writes(ledger)
    days = {partition for _, partition in ledger.coverage()} | {each.partition for each in foreign if each.partition}
    covered = sorted(map(date.fromisoformat, days))
    today = datetime.now(UTC).date()
    first = settings.partition_start or (covered[0] if covered else today - timedelta(days=_WITHOUT_COVERAGE_DAYS))
    ahead = (covered[-1] - today).days + 1 if covered else 0
    return dg.DailyPartitionsDefinition(start_date=first.isoformat(), end_offset=max(0, ahead), timezone="UTC")


def range_tags(window: Window) -> dict[str, str]:
    """Tags that make one Dagster run materialize all days of a window."""
    return {
        _RANGE_START: window.first.isoformat(),
        _RANGE_END: (window.end - ONE_DAY).isoformat(),
    }


def window_of_tags(tags: Mapping[str, str]) -> Window | None:
    """Days that a run materializes, by its tags; None for a run without partitions."""
    day = tags.get(_PARTITION)
    first, last = tags.get(_RANGE_START, day), tags.get(_RANGE_END, day)
    return Window.of_keys(first, last) if first and last else None
