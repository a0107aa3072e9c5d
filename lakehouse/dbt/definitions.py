"""How a test of dbt's is defined: what its result depends on, beside the rows, as a hash.

A result speaks for the definition that it ran with and for no other. Whether a failure blocks (`severity`) is no part
of it: that is decided when a verdict is asked for, and the outcome is the same, unless the two thresholds differ.
"""

import re
from collections.abc import Mapping
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from lakehouse.builds.chunks import Chunk, with_bounds_of, without_bounds
from lakehouse.builds.logic import canonical_sql, definition_of

_UPPER = re.compile(r"\s*(!=\s*0|<>\s*0|>=?\s*\d+)\s*")
"""Thresholds that fewer failing rows cannot pass over."""
_COUNTED = ("fail_calc", "limit", "warn_if", "error_if")


def data_test_definition(sql: str, config: Mapping[str, Any], ran: Chunk | None = None) -> str:
    """Definition of a data test.

    Args:
        sql: Compiled, with its window markers; the test's `where` is in it.
        config: The test's.
        ran: The window that it ran in; None where it did not run. Had its macros other bounds, it is another test.
    """
    sql = sql if ran is None else with_bounds_of(sql, ran)
    thresholds = {name: config.get(name) for name in _COUNTED}
    severity = config.get("severity") if thresholds["warn_if"] != thresholds["error_if"] else None
    return definition_of({"sql": canonical_sql(sql), "severity": severity and str(severity).lower(), **thresholds})


def unit_test_definition(test: Mapping[str, Any]) -> str:
    """Definition of a unit test: its rows. The logic that it judged is the model's, and stands with what was built."""
    return definition_of({name: test.get(name) for name in ("given", "expect", "overrides")})


def depends_on_how_many_days(sql: str, config: Mapping[str, Any]) -> bool:
    """Whether a data test may pass on several days together, and on one of them alone not.

    One that counts failing rows may not: of fewer days there are no more of them. One that misses rows may, such as
    "no fewer than ten": by an aggregate of all rows, or a threshold other than "no more than".
    """
    counts = (config.get("fail_calc") or "count(*)").replace(" ", "").lower() == "count(*)"
    is_upper = all(_UPPER.fullmatch(str(config.get(name) or "!= 0")) for name in ("warn_if", "error_if"))
    if not (counts and is_upper):
        return True
    try:
        tree = parse_one(without_bounds(sql), read="duckdb")
    except (SqlglotError, RecursionError):
        return True
    return any(map(_is_of_all_rows, tree.find_all(exp.Select)))


def _is_of_all_rows(select: exp.Select) -> bool:
    """Whether a select puts all of its rows together, and does not say by what."""
    aggregates = any(each.find(exp.AggFunc) for each in select.expressions)
    return not select.args.get("group") and bool(aggregates or select.args.get("having"))
