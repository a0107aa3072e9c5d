"""Which rows of a table are meant: filters as expressions, never as text, which pyiceberg would parse.

A table says itself what its partitions are: days of a time column, or (the quarantine) assets and their days.
"""

import functools
from datetime import date, datetime

from pyiceberg.expressions import (
    AlwaysFalse,
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    IsNull,
    LessThan,
    Reference,
)
from pyiceberg.expressions.literals import literal
from pyiceberg.table import Table
from pyiceberg.types import DateType

from lakehouse.namespaces import QUARANTINE
from lakehouse.partitions import Window

ALWAYS: BooleanExpression = AlwaysTrue()
"""Every row."""

NOTHING: BooleanExpression = AlwaysFalse()
"""No row."""

HELD: BooleanExpression = IsNull(term=Reference("released_at"))
"""The records of the quarantine table that are held still."""


def rows_of(table: Table, asset: str, window: Window) -> BooleanExpression:
    """The rows of a Bronze table that a load of an asset over a window replaces."""
    if table.name()[-1] == QUARANTINE:  # what was released stays, whatever is loaded again
        return And(HELD, asset_filter(asset), key_filter(window))
    return day_filter(table, window)


def day_filter(table: Table, window: Window) -> BooleanExpression:
    """Rows of a table of days whose time lies in the window."""
    column = time_column(table)
    assert column is not None, table.name()
    return time_filter(column, window, isinstance(table.schema().find_type(column), DateType))


def time_column(table: Table) -> str | None:
    """Column that the table is partitioned by day of; None where it is not."""
    for field in table.spec().fields:
        if str(field.transform) == "day":
            return table.schema().find_column_name(field.source_id)
    return None


def asset_filter(asset: str) -> BooleanExpression:
    """The records of the quarantine table that were meant for an asset."""
    return equal_to(asset=asset)


def key_filter(window: Window) -> BooleanExpression:
    """The records of the quarantine table whose partition lies in the window."""
    return _between("partition", str(window.first), str(window.end))


def time_filter(column: str, window: Window, is_date: bool) -> BooleanExpression:
    """Rows whose time column, a calendar date or an instant (UTC), lies in the window."""
    low, high = (window.first, window.end) if is_date else (window.start_at, window.end_at)
    return _between(column, low, high)


def _between(column: str, low: str | date | datetime, high: str | date | datetime) -> BooleanExpression:
    """`low` inside and `high` outside; by keywords, since mypy knows no others of these classes."""
    of = Reference(column)
    return And(GreaterThanOrEqual(term=of, value=literal(low)), LessThan(term=of, value=literal(high)))


def equal_to(**values: str | date) -> BooleanExpression:
    """The rows that have each of these values in the column of its name."""
    found: list[BooleanExpression] = [EqualTo(term=Reference(each), value=literal(values[each])) for each in values]
    return functools.reduce(And, found, ALWAYS)
