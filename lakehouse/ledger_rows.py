"""The ledger's values as rows of its tables, and back. Called by `lakehouse.ledger` alone.

Rows are read by position: verdicts are computed from tens of thousands of them.
"""

from dataclasses import fields
from typing import Any

from lakehouse import ledger_tables as t
from lakehouse.evidence import CheckResult, Materialization, RowCounts

_COUNTS = tuple(field.name for field in fields(RowCounts))
_PLAIN = tuple(field.name for field in fields(Materialization) if field.name != "rows")
_LISTS = ("batch_ids", "manifest_ids", "manifest_hashes", "source_files")
MATERIALIZATION = [*(t.materializations.c[name] for name in _PLAIN)] + [
    t.materializations.c[f"rows_{name}"] for name in _COUNTS
]
_CHECK_COLUMNS = {field.name: "check_name" if field.name == "check" else field.name for field in fields(CheckResult)}
CHECK = [t.checks.c[column] for column in _CHECK_COLUMNS.values()]
"""Columns in the order of the fields of `CheckResult`."""


def materialization_row(item: Materialization) -> dict[str, Any]:
    """What is inserted; the database gives the id."""
    counts = {f"rows_{name}": getattr(item.rows, name) for name in _COUNTS}
    lists = {name: list(getattr(item, name)) for name in _LISTS}
    return {name: getattr(item, name) for name in _PLAIN if name != "id"} | counts | lists


def read_materialization(row: Any) -> Materialization:
    """A row of the columns `MATERIALIZATION`."""
    values = dict(zip(_PLAIN, row, strict=False))
    for name in _LISTS:
        values[name] = tuple(values[name])
    values["read_snapshots"] = values["read_snapshots"] or {}  # null in rows of earlier versions
    values["is_forced"] = bool(values["is_forced"])
    return Materialization(**values, rows=RowCounts(*row[len(_PLAIN) :]))


def check_row(result: CheckResult) -> dict[str, Any]:
    """What is inserted."""
    return {column: getattr(result, name) for name, column in _CHECK_COLUMNS.items()}
