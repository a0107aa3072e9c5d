"""Rows of two tables that differ, per partition."""

from datetime import date

import pyarrow as pa
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import DateType, LongType, NestedField, StringType

from lakehouse.partitions import WHOLE
from lakehouse.proof.row_differences import RowDifference, row_differences
from lakehouse.tables.catalog import ensure_table, open_catalog

ONE, TWO, THREE = "2026-04-15", "2026-04-16", "2026-04-17"


@pytest.fixture
def table(settings):
    """Make a table of rows (day, name, number), by day or whole; a column more where it is named."""

    def make(name, rows, partition_by=None, extra=None):
        fields = [("day", DateType()), ("name", StringType()), ("number", LongType())]
        fields += [(extra, LongType())] if extra else []
        schema = Schema(*(NestedField(at, field, kind) for at, (field, kind) in enumerate(fields, 1)))
        made = ensure_table(open_catalog(settings), f"silver.{name}", schema, partition_by or {})
        names = [field for field, _ in fields]
        values = [dict(zip(names, (date.fromisoformat(day), *rest), strict=True)) for day, *rest in rows]
        made.append(pa.Table.from_pylist(values, schema=made.schema().as_arrow()))
        return made

    return make


def test_rows_that_come_go_and_change_are_told_by_their_key_and_equal_days_are_left_out(table):
    daily = {"day": "day"}
    before = table("old", [(ONE, "a", 1), (ONE, "b", 2), (ONE, None, 3), (TWO, "a", 1), (THREE, "a", 1)], daily)
    after = table("new", [(ONE, "a", 1), (ONE, None, 4), (ONE, "c", 2), (TWO, "a", 1), (THREE, "a", 9)], daily)

    found = row_differences(before, after, ["day", "name"], [ONE, TWO])

    (difference,) = found
    assert difference == RowDifference(ONE, 1, 1, 1, difference.examples)
    assert difference.examples == (
        "removed 2026-04-15, b",
        "changed 2026-04-15, None: number 3 → 4",
        "added 2026-04-15, c",
    )


def test_of_many_rows_three_are_shown(table):
    before = table("old", [(ONE, str(n), n) for n in range(50)])
    after = table("new", [(ONE, str(n), n + 1) for n in range(50)])

    (difference,) = row_differences(before, after, ["name"], [WHOLE])

    assert (difference.partition, difference.changed, len(difference.examples)) == (WHOLE, 50, 3)


def test_without_a_key_a_changed_row_goes_and_comes(table):
    before, after = table("old", [(ONE, "a", 1), (ONE, "b", 2)]), table("new", [(ONE, "a", 1), (ONE, "b", 3)])

    (difference,) = row_differences(before, after, [], [WHOLE])

    assert (difference.added, difference.removed, difference.changed) == (1, 1, 0)


def test_a_column_more_changes_each_row(table):
    before, after = table("old", [(ONE, "a", 1)]), table("new", [(ONE, "a", 1, 5)], extra="more")

    (difference,) = row_differences(before, after, ["name"], [WHOLE])

    assert difference.examples == ("changed a: more not there → 5",)


def test_a_table_that_was_never_written_has_no_rows(table):
    rows = table("new", [(ONE, "a", 1)])

    assert row_differences(None, rows, ["name"], [WHOLE])[0].added == 1
    assert row_differences(rows, None, ["name"], [WHOLE])[0].removed == 1
    assert row_differences(rows, rows, ["name"], [WHOLE]) == []
