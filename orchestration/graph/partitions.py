"""The one daily partitions definition, and the tags of a run over a range of its days."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from lakehouse.ledger.declarations import declarations
from lakehouse.ledger.foreign_writes import standing_foreign_writes
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import ONE_DAY, Window
from lakehouse.settings import LakehouseSettings
from loaders.manifests.expectation_files import expectations_in_force
from orchestration.readiness.arrivals import scheduled_days
from orchestration.readiness.horizon import Horizon, known_horizons, span, with_scheduled

_WITHOUT_HORIZON_DAYS = 30
_PARTITION = "dagster/partition"
_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"


def daily_partitions(settings: LakehouseSettings, ledger: Ledger) -> dg.DailyPartitionsDefinition:
    """UTC days of the horizon: from OMNI_PARTITION_START, else its first day, to its last.

    A day that someone else has written counts, too: a run must be able to write it anew. Where an expectation goes on,
    the days do, up to yesterday or the last day of the horizon; so they do before anything is known.
    """
    now, expectations = datetime.now(UTC), expectations_in_force(settings, ledger)
    known = known_horizons(ledger.coverage(), declarations(ledger))
    foreign = Horizon.spanning(each.partition for each in standing_foreign_writes(ledger) if each.partition)
    horizon = span([*with_scheduled(known, scheduled_days(expectations, known, now)).values(), foreign])
    today = now.date()
    if horizon is None:
        first = settings.partition_start or today - timedelta(days=_WITHOUT_HORIZON_DAYS)
        return dg.DailyPartitionsDefinition(start_date=first.isoformat(), timezone="UTC")
    goes_on = any(each.until is None for each in expectations)
    first = settings.partition_start or horizon.first
    return dg.DailyPartitionsDefinition(
        start_date=first.isoformat(),
        end_date=None if goes_on else max(horizon.end, first + ONE_DAY).isoformat(),
        end_offset=max(0, (horizon.end - today).days),
        timezone="UTC",
    )


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
