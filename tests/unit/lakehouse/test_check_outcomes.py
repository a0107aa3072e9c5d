"""Outcomes as the verdicts read them, against the results that the ledger holds, over a real SQLite file."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from lakehouse.ledger import schema
from lakehouse.ledger.check_outcomes import current_outcomes, last_definitions
from lakehouse.ledger.evidence import CheckOutcomes, CheckResult, Materialization
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings

AT = datetime(2026, 5, 1, tzinfo=UTC)
DAYS = ("2026-04-01", "2026-04-02")


@pytest.fixture
def ledger(tmp_path):
    return open_ledger(LakehouseSettings(home=tmp_path))


def write(ledger, day=DAYS[0]):
    (key,) = ledger.record_materializations([Materialization("asset", day, "v", 1, AT, "run")])
    return key


def check(key, name, passed=True, run="run", day=DAYS[0], definition=None):
    message, failures = f"{name} {passed}", 0 if passed else 3
    return CheckResult("asset", day, name, "error", passed, message, key, AT, run, failures, definition)


def test_what_passed_is_named_with_its_run_and_what_failed_is_read_in_full(ledger):
    key = write(ledger)
    failed = check(key, "conservation", passed=False, run="load")
    ledger.record_checks([failed, check(key, "unique", run="build"), check(key, "not_null", run="build")])

    found = current_outcomes(ledger)

    assert found == {key: CheckOutcomes({"unique": "build", "not_null": "build"}, (failed,))}
    assert found[key].names == {"conservation", "unique", "not_null"}
    assert (found[key].of_run("load"), found[key].of_run("build")) == ({"conservation"}, {"unique", "not_null"})


def test_the_last_result_of_a_check_that_ran_in_two_runs_counts_whichever_run_sorts_first(ledger):
    key = write(ledger)
    ledger.record_checks([check(key, "unique", run="b"), check(key, "unique", run="a")])

    assert current_outcomes(ledger) == {key: CheckOutcomes({"unique": "a"})}


@pytest.mark.parametrize("runs", [("run", "run"), ("a", "b"), ("b", "a")])
def test_the_definition_of_the_last_result_counts(ledger, runs):
    key = write(ledger)
    for definition, run in zip(("z", "a"), runs, strict=True):
        ledger.record_checks([check(key, "unique", run=run, definition=definition)])

    found = current_outcomes(ledger)[key]

    assert found.definitions == {"unique": "a"}
    assert found.without_result({"unique": "a"}) == {}
    assert found.without_result({"unique": "z"}) == {"unique": "is defined otherwise since it ran"}
    assert last_definitions(ledger, "asset", "unique") == {key: "a"}


def test_a_result_whose_definition_is_not_known_is_of_another(ledger):
    key = write(ledger)
    ledger.record_checks([check(key, "unique"), check(key, "not_null"), check(key, "sound", passed=False)])

    found = current_outcomes(ledger)[key]

    without = found.without_result({"unique": "a", "sound": "a"})
    assert without.keys() == {"unique", "sound"}
    assert found.names - without.keys() == {"not_null"}


def test_a_materialization_that_is_not_current_any_more_has_no_outcomes(ledger):
    ledger.record_checks([check(write(ledger), "unique")])

    write(ledger)

    assert current_outcomes(ledger) == {}


def test_outcomes_of_some_checks_leave_out_the_others_passed_or_failed():
    outcomes = CheckOutcomes.of([check(1, "unique"), check(1, "not_null"), check(1, "retired", passed=False)])

    assert outcomes.only({"unique"}) == CheckOutcomes({"unique": "run"})
    assert outcomes.only({"retired"}).failed == outcomes.failed


WRITES = st.tuples(st.just("write"), st.sampled_from(DAYS))
CHECKS = st.tuples(st.sampled_from(DAYS), st.sampled_from("xyz"), st.booleans(), st.sampled_from(["r1", "r2", "r3"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WRITES | CHECKS, max_size=12))
def test_whatever_was_written_and_checked_outcomes_say_what_the_last_results_say(ledger, history):
    with ledger.engine.begin() as connection:
        for table in (schema.checks, schema.materializations):
            connection.execute(delete(table))
    keys = {day: write(ledger, day) for day in DAYS}
    for what, *rest in history:
        if what == "write":
            keys[rest[0]] = write(ledger, rest[0])
        else:
            name, passed, run = rest
            ledger.record_checks([check(keys[what], name, passed, run, what)])

    expected = {key: CheckOutcomes.of(results) for key, results in ledger.current_checks().items()}

    assert current_outcomes(ledger) == expected
