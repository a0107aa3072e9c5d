"""Which unit tests a build may leave out, and for what their results are recorded; with dbt: tests/integration/dbt."""

from dataclasses import replace

import pytest

from lakehouse.dbt import results
from lakehouse.dbt.declared import Declared
from lakehouse.dbt.unit_tests import carry_over, need_not_run, passed_path
from lakehouse.settings import LakehouseSettings

ONE, TWO = "unit_test.omni.fact.sums", "unit_test.omni.kpi.counts"
DECLARED = Declared("stamp", logic={"fact": "l1", "kpi": "l2"}, definitions={ONE: "d1", TWO: "d2", "test.omni.x": "d"})
INPUTS = {ONE: {"silver.events": "a: int"}, TWO: {"silver.fact": "b: int"}}


@pytest.fixture
def settings(tmp_path):
    return LakehouseSettings(home=tmp_path)


def carried(settings, *ran, declared=DECLARED, built=("fact", "kpi"), inputs=INPUTS, definitions=None, logic=None):
    """Names of the tests whose results an invocation records that ran others, each given with its status."""
    found = [{"id": key, "is_unit_test": True, "status": status} for key, status in ran]
    known = dict(DECLARED.definitions) if definitions is None else definitions
    tests = results.Tests(
        {"tests": found}, known, declared.definitions, dict(DECLARED.logic) if logic is None else logic
    )
    return [result["id"] for result in carry_over(settings, declared, tests, built, inputs)]


def test_what_passed_is_carried_over_to_what_the_next_invocation_builds(settings):
    assert carried(settings, (ONE, "pass"), (TWO, "pass")) == []

    assert carried(settings) == [ONE, TWO]
    assert carried(settings, (ONE, "pass")) == [TWO]
    assert carried(settings, built=("kpi",)) == [TWO]
    assert carried(settings) == [ONE, TWO]


def test_a_result_that_is_carried_over_is_that_of_a_test_that_passed(settings):
    carried(settings, (ONE, "pass"))
    tests = results.Tests({"tests": []}, DECLARED.definitions, DECLARED.definitions, DECLARED.logic)

    (result,) = carry_over(settings, DECLARED, tests, ["fact"], INPUTS)

    assert (result["name"], result["asset"], result["status"], result["failures"]) == ("sums", "fact", "pass", 0)


@pytest.mark.parametrize("status", ["fail", "error"])
def test_what_failed_once_is_run_until_it_passes(settings, status):
    carried(settings, (ONE, "pass"), (TWO, "pass"))
    carried(settings, (ONE, status))

    assert carried(settings) == [TWO]
    assert not need_not_run(settings, DECLARED, ["fact"], [])


CHANGED = {
    "another project or another package": {"declared": replace(DECLARED, stamp="another")},
    "another definition": {"definitions": {**DECLARED.definitions, ONE: "another"}},
    "a test that the project has no more": {"declared": replace(DECLARED, definitions={TWO: "d2"})},
    "another logic": {"logic": {"fact": "another", "kpi": "l2"}},
    "a model that cannot be compiled": {"declared": replace(DECLARED, logic={"kpi": "l2"}), "logic": {"kpi": "l2"}},
    "another column of a table that it stands in for": {"inputs": {**INPUTS, ONE: {"silver.events": "a: long"}}},
    "a project of which nothing is known": {"declared": Declared("stamp")},
}


@pytest.mark.parametrize("changed", CHANGED)
def test_nothing_is_carried_over_to_what_is_not_the_same(settings, changed):
    carried(settings, (ONE, "pass"))

    assert carried(settings, **CHANGED[changed]) == []
    assert not need_not_run(settings, DECLARED, ["fact"], [])  # nor by the next one, before it has run again


@pytest.mark.parametrize("changed", CHANGED)
def test_what_passed_on_something_else_is_not_remembered(settings, changed):
    carried(settings, (ONE, "pass"), **CHANGED[changed])

    assert carried(settings) == []


def test_what_passed_beside_a_build_of_other_models_is_not_remembered(settings):
    carried(settings, (ONE, "pass"), (TWO, "pass"), built=("kpi",))  # its SQL may be another for that command

    assert carried(settings) == [TWO]


def test_tests_need_not_run_where_all_of_the_models_have_passed_on_the_project_as_it_is(settings):
    assert not need_not_run(settings, DECLARED, ["fact"], [])
    carried(settings, (ONE, "pass"))

    assert need_not_run(settings, DECLARED, ["fact"], ["sums_up"])
    assert not need_not_run(settings, DECLARED, ["fact", "kpi"], [])
    assert not need_not_run(settings, DECLARED, ["fact"], ["sums"])  # somebody wants to see it run
    assert not need_not_run(settings, replace(DECLARED, stamp="another"), ["fact"], [])
    assert not need_not_run(settings, None, ["fact"], [])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stamp": "stamp", "passed": []}', '{"stamp": "stamp", "tests": []}'])
def test_a_file_that_cannot_be_read_is_none(settings, text):
    carried(settings, (ONE, "pass"))
    passed_path(settings).write_text(text)

    assert not need_not_run(settings, DECLARED, ["fact"], [])
    assert carried(settings) == []
