"""dbt's test results as check results in the ledger, each for the partitions that it speaks for.

A pass over a window is a pass for each of its days, unless it depends on how many days it sees. A failure is attributed
to the days that hold the failing rows: the compiled test runs again for each day, with the text between its window
markers (macros/window.sql) narrowed to the day.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from duckdb import DuckDBPyConnection

from lakehouse.builds.chunks import Chunk, depends_on_window, has_marks, narrowed
from lakehouse.dbt.definitions import data_test_definition
from lakehouse.dbt.missed_rows import depends_on_how_many_days
from lakehouse.ledger.evidence import CheckResult, Materialization
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import WHOLE, Window, parse_day

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tests:
    """The tests of one invocation, with what dbt's results do not say of them."""

    results: dict[str, Any]
    """See macros/results.sql: the window, and per test its asset, status, failures and compiled SQL."""
    unit_tests: Mapping[str, str]
    """Unit test → its definition."""
    declared: Mapping[str, str]
    """Test → the definition that the project says; empty where that is not known."""
    logic: Mapping[str, str]
    """Model → the logic that its unit tests judged, as far as it is known."""

    def judged(self, item: Materialization) -> bool:
        """Whether a unit test of its model judged what a partition was computed by: an edited model was another one."""
        return item.logic is not None and item.logic == self.logic.get(item.asset)


def record_results(
    cursor: DuckDBPyConnection,
    ledger: Ledger,
    materializations: Mapping[tuple[str, str], Materialization],
    run_id: str,
    tests: "Tests",
) -> None:
    """Record the results of one invocation.

    Args:
        cursor: Reads the tables as the invocation did.
        ledger: Where the results go.
        materializations: What the invocation read and wrote: a result speaks for these and for nothing newer.
        run_id: The run that dbt worked for.
        tests: What ran.
    """
    checks: list[CheckResult] = []
    results = tests.results
    window = Window(parse_day(results["lo"]), parse_day(results["hi"])) if results["lo"] else None
    ran = Chunk(window.first, window.end) if window else Chunk(None, None)
    for test in results["tests"]:
        items = {key: item for (asset, key), item in materializations.items() if asset == test["asset"]}
        if window and WHOLE not in items:
            items = {key: item for key, item in items.items() if parse_day(key) in window}
        elif window and depends_on_window(test["sql"]) and test["status"] == "pass":
            continue  # of what is replaced whole it has seen a part
        definition = tests.unit_tests.get(test["id"])
        has_run = test["status"] != "error"
        if test["is_unit_test"]:
            items = {key: item for key, item in items.items() if tests.judged(item)}
        else:
            definition = data_test_definition(test["sql"], test["config"], ran)
            if tests.declared and definition != tests.declared.get(test["id"]):
                logger.warning("test %s: its SQL depends on this run; its result counts for no verdict", test["name"])
        failing = _failing_partitions(cursor, test, sorted(items)) if has_run else {}
        for key, item in items.items():
            failures = failing.get(key, 0) if has_run else None
            checks.append(_check(test, item, failures, run_id, definition))
    ledger.record_checks(checks)


def _failing_partitions(cursor: DuckDBPyConnection, test: dict[str, Any], partitions: list[str]) -> dict[str, int]:
    """Failures per partition; a failure that no single day shows (a key twice across days) counts for all of them."""
    everywhere = dict.fromkeys(partitions, test["failures"] or 1)
    is_by_day = WHOLE not in partitions and has_marks(test["sql"])
    is_data_test = not test["is_unit_test"]
    if is_by_day and is_data_test and len(partitions) > 1 and depends_on_how_many_days(test["sql"], test["config"]):
        alone = [key for key in partitions if _fails_alone(cursor, test, key)]
        return dict.fromkeys(alone, test["failures"] or 1) if alone or test["status"] == "pass" else everywhere
    if test["status"] == "pass":
        return {}
    if not is_by_day:
        return everywhere
    counts = {key: _count(cursor, test["sql"], key) for key in partitions}
    failing = {key: count for key, count in counts.items() if count}
    return failing or everywhere


def _fails_alone(cursor: DuckDBPyConnection, test: dict[str, Any], partition: str) -> bool:
    """Whether a test would not pass in a window of one day, by its own measure; as dbt asks it."""
    config, day = test["config"], Window.of_day(parse_day(partition))
    calc, limit = config.get("fail_calc") or "count(*)", config.get("limit")
    asked = ("warn_if",) if test["severity"].lower() == "warn" else ("warn_if", "error_if")
    bounds = [f"coalesce({calc} {config.get(name) or '!= 0'}, false)" for name in asked]
    sql = narrowed(test["sql"], Chunk(day.first, day.end)) + (f"\nlimit {limit}" if limit else "")
    row = cursor.execute(f"select {' or '.join(bounds)} from ({sql}\n) as failing").fetchone()
    return bool(row and row[0])


def _count(cursor: DuckDBPyConnection, sql: str, partition: str) -> int:
    day = Window.of_day(parse_day(partition))
    sql = narrowed(sql, Chunk(day.first, day.end))
    row = cursor.execute(f"select count(*) from ({sql}) as failing").fetchone()
    return int(row[0]) if row else 0


def _check(
    test: dict[str, Any], item: Materialization, failures: int | None, run_id: str, definition: str | None
) -> CheckResult:
    """The result of a test; with no number of failures that of one which ended in an error, before it found any."""
    message = test["message"] if failures is None else f"{failures} failing rows" if failures else "passed"
    return CheckResult(
        asset=item.asset,
        partition=item.partition,
        check=test["name"],
        severity="warn" if test["severity"].lower() == "warn" else "error",
        passed=failures == 0,
        message=message or "an error",
        materialization_id=item.id,
        observed_at=datetime.now(UTC),
        run_id=run_id,
        failures=failures or 0,
        definition=None if failures is None else definition,
    )
