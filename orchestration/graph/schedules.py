"""The schedules of the daily chain and of arrivals, both off until somebody turns them on, as maintenance is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:  # what Dagster's own builders return: not exported, and no public name stands for it
    from dagster._core.definitions.partitions.partitioned_schedule import UnresolvedPartitionedAssetScheduleDefinition
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

    Schedule = dg.ScheduleDefinition | UnresolvedPartitionedAssetScheduleDefinition

DAILY_SCHEDULE = "daily_schedule"
ARRIVALS_JOB = "arrivals_job"


def build_schedules(
    ingest_all: "UnresolvedAssetJobDefinition", arrivals: Sequence[dg.AssetChecksDefinition]
) -> "list[Schedule]":
    """Yesterday, every night; and every hour, whether a day is late."""
    daily = dg.build_schedule_from_partitioned_job(
        ingest_all,
        name=DAILY_SCHEDULE,
        description="Computes yesterday (UTC), whole, whether or not anything new has arrived.",
        hour_of_day=3,
        minute_of_hour=15,
    )
    if not arrivals:
        return [daily]
    job = dg.define_asset_job(
        ARRIVALS_JOB,
        selection=dg.AssetSelection.checks(*arrivals),
        description="Says which asset lacks a day that should have arrived by now.",
    )
    return [daily, dg.ScheduleDefinition(job=job, cron_schedule="5 * * * *", execution_timezone="UTC")]
