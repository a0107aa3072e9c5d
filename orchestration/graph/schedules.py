"""The schedules of the daily chain and of the verdicts' checks, off until somebody turns them on, as maintenance is."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:  # what Dagster's own builders return: not exported, and no public name stands for it
    from dagster._core.definitions.partitions.partitioned_schedule import UnresolvedPartitionedAssetScheduleDefinition
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

    Schedule = dg.ScheduleDefinition | UnresolvedPartitionedAssetScheduleDefinition

DAILY_SCHEDULE = "daily_schedule"
ARRIVALS_JOB = "arrivals_job"


def build_schedules(
    ingest_all: "UnresolvedAssetJobDefinition", verdict_checks: dg.AssetChecksDefinition
) -> "list[Schedule]":
    """Yesterday, every night; and every hour, what the verdicts say beside their status."""
    daily = dg.build_schedule_from_partitioned_job(
        ingest_all,
        name=DAILY_SCHEDULE,
        description="Computes yesterday (UTC), whole, whether or not anything new has arrived.",
        hour_of_day=3,
        minute_of_hour=15,
    )
    job = dg.define_asset_job(
        ARRIVALS_JOB,
        selection=dg.AssetSelection.checks(verdict_checks),
        description="Says of which assets a day has not come, a file cannot be read, or a person let something stand.",
    )
    return [daily, dg.ScheduleDefinition(job=job, cron_schedule="5 * * * *", execution_timezone="UTC")]
