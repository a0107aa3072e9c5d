"""Figures that a report reads from the tables themselves: the daily KPIs of Gold, and what quarantine holds.

Reads only. Verdicts and row counts come from the ledger: `orchestration.report.report`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from lakehouse.namespaces import GOLD, QUARANTINE, bronze
from lakehouse.partitions import Window
from lakehouse.tables.catalog import load_table_if_exists
from lakehouse.tables.duck import load_iceberg_extension, scan_sql
from lakehouse.tables.filters import key_filter

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


@dataclass(frozen=True)
class Series:
    """One figure over days."""

    name: str
    asset: str
    """Gold table that it comes from."""
    values: dict[str, float | None]
    """Day → value; days without rows are absent."""


@dataclass(frozen=True)
class HeldCount:
    """Records in quarantine. Grain: asset, reason code."""

    asset: str
    reason_code: str
    held: int
    released: int
    partitions: tuple[str, ...]
    """Days with a record that is still held."""


def kpi_series(catalog: Catalog, window: Window | None) -> tuple[list[Series], list[str]]:
    """Daily figures of Gold, and the tables that do not exist."""
    series: list[Series] = []
    absent: list[str] = []
    for name, figures in ((KPI_TABLE, _KPIS), (BACKLOG_TABLE, _BACKLOG)):
        table = load_table_if_exists(catalog, f"{GOLD}.{name}")
        if table is None or table.current_snapshot() is None:
            absent.append(name)
        else:
            series += _daily(table, name, figures, window)
    return series, absent


def _daily(table: Table, asset: str, figures: dict[str, str], window: Window | None) -> list[Series]:
    where = f"where kpi_date >= date '{window.first}' and kpi_date < date '{window.end}'" if window else ""
    with duckdb.connect() as connection:
        load_iceberg_extension(connection)
        rows = connection.execute(
            f"select kpi_date, {', '.join(figures.values())} from {scan_sql(table)} {where} group by all order by all"
        ).fetchall()
    return [
        Series(
            name, asset, {str(row[0]): None if row[number] is None else round(float(row[number]), 1) for row in rows}
        )
        for number, name in enumerate(figures, start=1)
    ]


def held_counts(catalog: Catalog, days: Sequence[str]) -> list[HeldCount]:
    """What quarantine holds of these days, by asset and reason code, the most frequent first."""
    table = load_table_if_exists(catalog, bronze(QUARANTINE))
    if table is None or not days:
        return []
    scan = table.scan(
        row_filter=key_filter(Window.of_keys(min(days), max(days))),
        selected_fields=("asset", "partition", "reason_code", "released_at"),
    )
    rows = scan.to_arrow()
    rows = pa.table(
        {
            **{name: rows[name] for name in ("asset", "partition", "reason_code")},
            "is_held": pc.is_null(rows["released_at"]),
        }
    )
    counted = rows.group_by(["asset", "reason_code", "is_held", "partition"]).aggregate([([], "count_all")])
    found: dict[tuple[str, str], list[dict[str, object]]] = {}
    for row in counted.to_pylist():
        found.setdefault((row["asset"], row["reason_code"]), []).append(row)
    counts = [_held(asset, code, members) for (asset, code), members in found.items()]
    return sorted(counts, key=lambda count: (-count.held, count.asset, count.reason_code))


def _held(asset: str, code: str, members: list[dict[str, object]]) -> HeldCount:
    def total(is_held: bool) -> int:
        return sum(int(str(member["count_all"])) for member in members if member["is_held"] is is_held)

    held_days = sorted(str(member["partition"]) for member in members if member["is_held"])
    return HeldCount(asset, code, total(True), total(False), tuple(held_days))
