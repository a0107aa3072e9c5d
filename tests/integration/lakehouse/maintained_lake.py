"""A lakehouse that maintenance looks after: what its tests ask of it."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest, find_table
from lakehouse.tables.filters import day_filter
from lakehouse.upkeep.maintenance import maintain
from tests.conftest import TICKET_EVENTS

DAY = timedelta(days=1)
SOON = timedelta(hours=25)


def maintained(settings, later=SOON, dry_run=False, keep_snapshots=1, table=None, now=None):
    """Maintenance with an age limit of a day, at an instant from now or at a given one."""
    return maintain(
        open_catalog(settings),
        open_ledger(settings),
        settings,
        older_than=DAY,
        dry_run=dry_run,
        now=now or datetime.now(UTC) + later,
        keep_snapshots=keep_snapshots,
        table=table,
    )


def of(report, name):
    return next(table for table in report.tables if table.table == f"bronze.{name}")


def has_done_nothing(report):
    return not (
        report.objects
        or report.leftovers
        or report.problems
        or any(table.snapshots_expired or table.compacted or table.removed for table in report.tables)
    )


def warehouse_files(settings):
    return {str(path) for path in (settings.home / "warehouse").rglob("*") if path.is_file()}


def digests(settings, *tables):
    return [content_digest(find_table(open_catalog(settings), table)) for table in tables]


def folder_of(settings, name):
    return Path(find_table(open_catalog(settings), name).location().removeprefix("file://"))


def files_of_day(settings, name=TICKET_EVENTS, day="2026-04-01"):
    table = find_table(open_catalog(settings), name)
    return list(table.scan(row_filter=day_filter(table, Window.of_keys(day, day))).plan_files())


def one_row(table, number):
    day = date(2026, 4, 1 + number % 2)
    row = {"event_id": f"e{number}", "occurred_at": datetime(day.year, day.month, day.day, 10, tzinfo=UTC)}
    return pa.Table.from_pylist([row], schema=table.schema().as_arrow())
