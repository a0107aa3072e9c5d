"""The daily figures of Gold, read from the tables: what a tile shows of each, beside the days that are not ready."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from lakehouse.namespaces import GOLD
from lakehouse.partitions import Window
from lakehouse.tables.catalog import load_table_if_exists
from lakehouse.tables.duck import load_iceberg_extension, scan_sql

KPI_TABLE, BACKLOG_TABLE = "support_kpi_daily", "support_backlog_daily"

_KPIS = {
    "events": "sum(events)",
    "tickets created": "sum(tickets_created)",
    "P1 created": "sum(p1_created)",
    "resolved": "sum(tickets_resolved)",
    "reopened": "sum(tickets_reopened)",
    "escalated": "sum(tickets_escalated)",
    "SLA breaches": "sum(sla_breaches)",
    "hours to resolve, mean": "sum(resolution_minutes_sum) / nullif(sum(resolution_count), 0) / 60",
    "minutes to first response, mean": "sum(first_response_minutes_sum) / nullif(sum(first_response_count), 0)",
}
_BACKLOG = {"open tickets at the end of the day": "sum(open_tickets)"}
_TREND_DAYS = 7


@dataclass(frozen=True)
class Series:
    """One figure over days."""

    name: str
    asset: str
    """Gold table that it comes from."""
    values: dict[str, float | None]
    """Day → value; days without rows are absent."""
    untrusted: frozenset[str]
    """Days with a value whose partition is not ready."""

    @property
    def known(self) -> dict[str, float]:
        """Day → value, of the days that are ready."""
        return {day: v for day, v in self.values.items() if v is not None and day not in self.untrusted}

    @property
    def last_day(self) -> str | None:
        """The latest day whose value is to be trusted."""
        return max(self.known, default=None)

    @property
    def later(self) -> list[str]:
        """Days after it whose values are not."""
        return sorted(day for day in self.untrusted if day > (self.last_day or ""))

    @property
    def trend(self) -> float | None:
        """Mean of the last seven days to be trusted, over that of the seven before, less one; None where unknown."""
        values = [value for _, value in sorted(self.known.items())]
        now, before = values[-_TREND_DAYS:], values[-2 * _TREND_DAYS : -_TREND_DAYS]
        if len(before) < _TREND_DAYS or not sum(before):
            return None
        return sum(now) / sum(before) - 1


def kpi_series(
    catalog: Catalog, window: Window | None, not_ready: Mapping[str, Collection[str]]
) -> tuple[list[Series], list[str]]:
    """Daily figures of Gold, and the tables that do not exist.

    Args:
        catalog: Where Gold is.
        window: Days to read; None: all.
        not_ready: Asset → days that are not ready.
    """
    series: list[Series] = []
    absent: list[str] = []
    for name, figures in ((KPI_TABLE, _KPIS), (BACKLOG_TABLE, _BACKLOG)):
        table = load_table_if_exists(catalog, f"{GOLD}.{name}")
        if table is None or table.current_snapshot() is None:
            absent.append(name)
        else:
            series += _daily(table, name, figures, window, not_ready.get(name, ()))
    return series, absent


def _daily(
    table: Table, asset: str, figures: dict[str, str], window: Window | None, not_ready: Collection[str]
) -> list[Series]:
    where = f"where kpi_date >= date '{window.first}' and kpi_date < date '{window.end}'" if window else ""
    with duckdb.connect() as connection:
        load_iceberg_extension(connection, table.io.properties)
        rows = connection.execute(
            f"select kpi_date, {', '.join(figures.values())} from {scan_sql(table)} {where} group by all order by all"
        ).fetchall()
    found = []
    for number, name in enumerate(figures, start=1):
        values = {str(row[0]): None if row[number] is None else round(float(row[number]), 1) for row in rows}
        found.append(Series(name, asset, values, frozenset(day for day in values if day in not_ready)))
    return found
