"""`omni maintain` as a Dagster job with a daily schedule, off until somebody turns it on."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings

MAINTENANCE_JOB = "maintenance_job"
_AGE_LIMIT = timedelta(hours=24)


def build_maintenance(settings: LakehouseSettings) -> tuple[dg.JobDefinition, dg.ScheduleDefinition]:
    """The job of one lakehouse, and its schedule."""

    @dg.op(description="Compact days, expire snapshots, remove files that nothing refers to.")
    def maintain_tables(context: dg.OpExecutionContext) -> None:
        from lakehouse.proof.foreign_writes import find_foreign_writes
        from lakehouse.tables.catalog import open_catalog
        from lakehouse.upkeep.maintenance import maintain

        catalog, ledger = open_catalog(settings), open_ledger(settings)
        find_foreign_writes(catalog, ledger)
        report = maintain(
            catalog,
            ledger,
            settings,
            older_than=_AGE_LIMIT,
            dry_run=False,
            now=datetime.now(UTC),
        )
        for line in report.lines():
            context.log.info(line)
        if report.problems:
            raise dg.Failure("; ".join(report.problems))

    @dg.job(name=MAINTENANCE_JOB, description="Keeps the tables healthy; safe beside running loads.")
    def maintenance() -> None:
        maintain_tables()

    schedule = dg.ScheduleDefinition(job=maintenance, cron_schedule="30 2 * * *", execution_timezone="UTC")
    return maintenance, schedule
