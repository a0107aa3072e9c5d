"""Which days a test's result speaks for, over a hand-made table and a real ledger; dbt's own side: tests/integration/dbt."""

from datetime import UTC, datetime

import duckdb
import pytest

from lakehouse.dbt import results
from lakehouse.dbt.missed_rows import depends_on_how_many_days
from lakehouse.ledger.check_outcomes import current_outcomes
from lakehouse.ledger.evidence import Materialization, RowCounts
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings

AT = datetime(2026, 5, 1, tzinfo=UTC)
DAYS = ["2026-04-14", "2026-04-15", "2026-04-16"]
WINDOW = "/*window:day:date*/ day is not null /*end window*/"
FEW = f"select count(*) as n from (select * from t where {WINDOW}) as w having count(*) < 2"
ROWS = f"select * from t where {WINDOW}"


@pytest.fixture
def failed(tmp_path):
    """Record the result of a test of days with two rows, one row and none; the days that it fails."""
    ledger = open_ledger(LakehouseSettings(home=tmp_path))
    ledger.record_materializations(
        [Materialization("a", day, "v", 1, AT, "run", RowCounts(loaded=2), logic="l") for day in DAYS]
    )

    def record(sql, status, failures, is_unit_test=False, **config):
        test = {
            "id": "x",
            "is_unit_test": is_unit_test,
            "name": "x",
            "asset": "a",
            "severity": "error",
            "message": "IO Error" if status == "error" else None,
        }
        counted = {"severity": "error", "fail_calc": "count(*)", "limit": None, "warn_if": "!= 0", "error_if": "!= 0"}
        given = {"config": {**counted, **config}, "status": status, "failures": failures, "sql": sql}
        tests = results.Tests(
            {"lo": DAYS[0], "hi": "2026-04-17", "tests": [{**test, **given}]}, {"x": "d"}, {}, {"a": "l"}
        )
        with duckdb.connect() as connection:
            connection.execute(f"create table t as select unnest([date '{DAYS[0]}', '{DAYS[0]}', '{DAYS[1]}']) as day")
            results.record_results(connection.cursor(), ledger, ledger.current_materializations(), "run", tests)
        return [each.partition for found in ledger.current_checks().values() for each in found if not each.passed]

    return record


def test_a_test_that_misses_rows_passes_in_no_window_for_a_day_that_it_would_not_pass_alone(failed):
    assert failed(FEW, "pass", 0) == DAYS[1:]


@pytest.mark.parametrize("bound", ["< 2", "not between 2 and 9"])
def test_a_threshold_that_fewer_rows_may_not_meet_is_asked_of_each_day(failed, bound):
    assert failed(ROWS, "pass", 3, warn_if=bound, error_if=bound) == DAYS[1:]


def test_a_measure_of_its_own_is_asked_of_each_day_and_so_are_its_limit_and_its_failure(failed):
    assert failed(ROWS, "fail", 3, fail_calc="count(distinct day)", error_if="= 0", warn_if="= 0", limit=1) == DAYS[2:]


def test_what_no_day_fails_alone_fails_all_of_them(failed):
    assert failed(ROWS, "fail", 3, fail_calc="count(day)", error_if="> 2", warn_if="> 2") == DAYS


def test_a_test_that_counts_failing_rows_passes_for_each_day_and_fails_those_that_have_any(failed):
    assert failed(ROWS.replace("where", "where false and"), "pass", 0) == []
    assert failed(ROWS, "fail", 3) == DAYS[:2]


def test_a_unit_test_brings_rows_of_its_own_and_is_asked_of_no_day(failed):
    assert failed(FEW, "pass", 0, is_unit_test=True) == []


def test_one_that_ended_in_an_error_has_found_nothing_whatever_it_found_before(failed, tmp_path):
    failed(ROWS.replace("where", "where false and"), "pass", 0)
    assert failed("select no_such_column", "error", None) == DAYS

    for outcomes in current_outcomes(open_ledger(LakehouseSettings(home=tmp_path))).values():
        assert outcomes.without_result({"x": "d"}) == {"x": "ended in an error: IO Error"}


READ = "(select * from t where /*window:at:timestamp*/ at is not null /*end window*/)"


@pytest.mark.parametrize(
    ("sql", "depends"),
    [
        ("select a, count(*) as n from t group by a having count(*) > 1", False),
        ("select a from t union all select b from u", False),
        ("with n as (select count(*) as n from t) select n from n where n < 5", True),
        ("select 1 from t having max(a) < 5", True),
        ("select 'cut off", True),
        ("select a from t where b not in ('x', 'y') and not (c in (1, 2))", False),
        ("select a from t join u using (a) where u.b", False),
        ("select a from t group by a having count(*) < 10", True),
        ("select a from t group by a having count(*) > 1 and sum(b) < 5", True),
        ("with n as (select a, count(*) as n from t group by a) select a, n from n where a not in ('x')", False),
        (
            "with n as (select a, count(*) as n from t group by a), m as (select a, n as m from n) select 1 from m where m < 2",
            True,
        ),
        ("select a from t where b < (select avg(b) from t)", True),
        ("select a from (select a, sum(b) as b from t group by a) t join u on t.a = u.a and t.b <> u.b", True),
        (f"select cast(at as date) as d, sum(b) from {READ} group by cast(at as date) having sum(b) < 5", False),
        (
            f"with n as (select cast(at as date) as d, sum(b) as b from {READ} group by 1) select d from n where b < 5",
            True,
        ),
        (f"select l.b from {READ} l full join {READ} r on l.at = r.at where l.b is null", False),
        (f"select l.b from {READ} l full join {READ} r on l.at < r.at where l.b is null", True),
        (f"select cast(at as time) as d, sum(b) from {READ} group by cast(at as time) having sum(b) < 5", True),
        ("select a from v where a not in (select a from t)", True),
        ("select a from v where not exists (select 1 from t where t.a = v.a)", True),
        ("select a from v except select a from t", True),
        ("select v.a from v left join t using (a) where t.a is null", True),
        ("select a from v anti join t using (a)", True),
        ("select a from t where b > all (select b from u)", True),
        ("select a from (select a, row_number() over (order by a) as n from t) where n = 1 and a <> 1", True),
    ],
)
def test_what_misses_rows_depends_on_how_many_days_it_sees_and_what_counts_them_does_not(sql, depends):
    assert depends_on_how_many_days(sql, {}) is depends
