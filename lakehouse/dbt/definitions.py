"""How a test of dbt's is defined: what its result depends on, beside the rows, as a hash.

A result speaks for the definition that it ran with and for no other. Whether a failure blocks (`severity`) is no part
of it: that is decided when a verdict is asked for, and the outcome is the same, unless the two thresholds differ.
"""

from collections.abc import Mapping
from typing import Any

from lakehouse.builds.chunks import Chunk, with_bounds_of
from lakehouse.builds.logic import canonical_sql, definition_of

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
