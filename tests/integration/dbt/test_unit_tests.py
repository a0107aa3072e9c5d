"""A unit test that passed on the project as it is does not run again, and speaks for what is built without it."""

import json

import pytest

from lakehouse.dbt.unit_tests import passed_path
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import WHOLE
from orchestration.readiness.readiness import open_readiness
from tests.conftest import ticket_lake
from tests.dbt_shell import dbt
from tests.integration.conftest import run, statuses

FACT, TEST = "ticket_fact", "ticket_fact_is_the_last_event_by_time_then_id"
WITHOUT = ("build", "--select", FACT, "--exclude-resource-type", "unit_test")


@pytest.fixture
def lake(tmp_path, parsed_project):
    """A day of tickets, of whose unit tests nothing is known."""
    settings = ticket_lake(tmp_path, parsed_project, ["2026-04-01"])
    passed_path(settings).unlink()
    return settings


def ran(settings):
    """Unit tests that the last invocation ran."""
    results = json.loads((settings.dbt_target_dir / "run_results.json").read_text())["results"]
    return [result["unique_id"] for result in results if result["unique_id"].startswith("unit_test.")]


def fact(settings):
    """The verdict of the model, and the runs that its unit test has results of."""
    (item,) = open_ledger(settings).current_materializations([FACT]).values()
    results = open_ledger(settings).current_checks([item.id]).get(item.id, [])
    return open_readiness(settings).verdict(FACT, WHOLE), [(r.run_id, r.passed) for r in results if r.check == TEST]


def test_a_run_leaves_out_what_passed_in_the_run_before_and_all_is_ready(lake):
    run(lake)
    assert len(ran(lake)) > 5
    (lake.manifests / "a.jsonl").write_text((lake.manifests / "a.jsonl").read_text().replace('"new"', '"open"'))

    run(lake)

    assert ran(lake) == []
    assert set(statuses(lake).values()) <= {"READY", "EMPTY", "UNKNOWN"}
    (item,) = open_ledger(lake).current_materializations([FACT]).values()
    assert fact(lake)[1] == [(item.run_id, True)]


def test_what_is_built_in_a_shell_without_them_is_unchecked_until_they_have_passed(lake):
    run(lake)
    passed_path(lake).unlink()
    assert dbt(lake, *WITHOUT).returncode == 0

    verdict, results = fact(lake)

    assert (str(verdict.status), verdict.reasons, results) == (
        "UNCHECKED",
        (f"check {TEST} has not run on this materialization",),
        [],
    )
    assert dbt(lake, "test", "--select", TEST).returncode == 0
    assert str(fact(lake)[0].status) == "READY"
    assert dbt(lake, *WITHOUT).returncode == 0  # what `dbt test` saw pass counts as well
    assert str(fact(lake)[0].status) == "READY"
    assert len(fact(lake)[1]) == 1
