"""Whether a data test may pass on several days together, and on one of them alone not.

One that counts failing rows may not: of fewer days there are no more of them. One that misses rows may, such as "no
fewer than ten". Told from its SQL, one-sidedly: one too many costs a query per day, one too few a day that passes
unseen. What is put together or joined by the day itself is the same in a window of that day alone.
"""

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from lakehouse.builds.chunks import window_columns, without_bounds

_UPPER = re.compile(r"\s*(!=\s*0|<>\s*0|>=?\s*\d+)\s*")
"""Thresholds that fewer failing rows cannot pass over."""


def depends_on_how_many_days(sql: str, config: Mapping[str, Any]) -> bool:
    """Judge a data test.

    Args:
        sql: Compiled, with its window markers.
        config: The test's: its `fail_calc` and its thresholds.
    """
    counts = (config.get("fail_calc") or "count(*)").replace(" ", "").lower() == "count(*)"
    is_upper = all(_UPPER.fullmatch(str(config.get(name) or "!= 0")) for name in ("warn_if", "error_if"))
    if not (counts and is_upper):
        return True
    try:
        tree = parse_one(without_bounds(sql), read="duckdb")
    except (SqlglotError, RecursionError):
        return True
    return any(_misses_rows(tree, _days(tree, window_columns(sql))))


def _misses_rows(tree: exp.Expr, days: Set[str]) -> Iterator[bool]:
    """Of each part by which a row may be given since another one lacks: whether it is such a part.

    Args:
        tree: The test.
        days: Names of columns that hold the day of a row.
    """
    yield tree.find(exp.Except, exp.All, exp.Window) is not None
    yield from (part.find(exp.Exists, exp.Query) is not None for part in tree.find_all(exp.Not))
    outer = (join for join in tree.find_all(exp.Join) if join.side or join.kind == "ANTI")
    yield from (not _is_by_day(join, days) for join in outer)
    measures = _measures(tree, days)
    for condition in tree.find_all(exp.Where, exp.Join, exp.Having):
        yield any(column.name.lower() in measures for column in condition.find_all(exp.Column))
        yield any(isinstance(each, exp.Query) and each.find(exp.AggFunc) for each in condition.walk())
    for select in tree.find_all(exp.Select):
        if having := select.args.get("having"):
            yield not _is_per_day(select, days) and not _counts_too_many(having.this)


def _days(tree: exp.Expr, columns: Set[str]) -> Set[str]:
    """The columns of the windows, and what one of these is called as a date."""
    found = {each.lower() for each in columns}
    return found | {each.alias.lower() for each in tree.find_all(exp.Alias) if _is_day(each.this, found)}


def _is_by_day(join: exp.Join, days: Set[str]) -> bool:
    """Whether the rows of a join are of one day: its condition says so of both sides."""
    using = {each.name.lower() for each in join.args.get("using") or ()}
    condition = join.args.get("on")
    every = condition.flatten() if isinstance(condition, exp.And) else [condition]
    equal = [each for each in every if isinstance(each, exp.EQ)]
    return bool(using & days) or any(_is_day(each.left, days) and _is_day(each.right, days) for each in equal)


def _is_per_day(select: exp.Select, days: Set[str]) -> bool:
    """Whether a select puts together rows of one day at a time."""
    group = select.args.get("group")
    return group is not None and any(_is_day(each, days) for each in group.expressions)


def _is_day(expression: exp.Expr, days: Set[str]) -> bool:
    is_date = isinstance(expression, exp.Cast) and expression.to.is_type("date")
    inner = expression.this if is_date else expression
    return isinstance(inner, exp.Column) and inner.name.lower() in days


def _measures(tree: exp.Expr, days: Set[str]) -> Set[str]:
    """Names of columns that are computed from rows of several days, and of what is computed from these."""
    aggregates = {
        id(each) for select in tree.find_all(exp.Select) if not _is_per_day(select, days) for each in select.expressions
    }
    found: set[str] = set()
    while True:
        more = {
            each.alias_or_name.lower()
            for select in tree.find_all(exp.Select)
            for each in select.expressions
            if (id(each) in aggregates and each.find(exp.AggFunc))
            or any(column.name.lower() in found for column in each.find_all(exp.Column))
        }
        if more <= found:
            return found
        found |= more


def _counts_too_many(condition: exp.Expr) -> bool:
    """Whether a group is given for having more rows than a number, as a key that is not unique."""
    is_more = isinstance(condition, exp.GT | exp.GTE) and isinstance(condition.expression, exp.Literal)
    return is_more and isinstance(condition.this, exp.Count)
