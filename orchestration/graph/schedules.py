"""The schedules of the daily chain and of the verdicts' checks, off until somebody turns them on, as maintenance is.

And the sensor of the mirror: it starts nothing and writes no table, so it is on.
"""

from typing import TYPE_CHECKING

import dagster as dg

from lakehouse.settings import LakehouseSettings
from orchestration.instance.mirror import mirror
from orchestration.readiness.asset_graph import load_asset_graph

if TYPE_CHECKING:  # what Dagster's own builders return: not exported, and no public name stands for it
    from dagster._core.definitions.partitions.partitioned_schedule import UnresolvedPartitionedAssetScheduleDefinition
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

    Schedule = dg.ScheduleDefinition | UnresolvedPartitionedAssetScheduleDefinition

MIRROR_SENSOR = "ledger_mirror"
DAILY_SCHEDULE = "daily_schedule"
ARRIVALS_JOB = "arrivals_job"

_MIRRORED_EVERY_SECONDS = 60


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


def build_mirror_sensor(settings: LakehouseSettings) -> dg.SensorDefinition:
    """What keeps the mirror of one lakehouse up to date while nothing runs here."""

    @dg.sensor(
        name=MIRROR_SENSOR,
        minimum_interval_seconds=_MIRRORED_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Shows what the ledger knows, whoever did the work: materializations, and the check `verdict`.",
    )
    def ledger_mirror(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        shown = mirror(settings, load_asset_graph(settings), context.instance)
        return dg.SkipReason(
            f"{shown.materializations} materializations and {shown.verdicts} verdicts were not shown yet"
        )

    return ledger_mirror
