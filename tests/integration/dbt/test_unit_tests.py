"""A unit test that passed on the project as it is does not run again, and speaks for what is built without it."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from lakehouse.dbt.unit_tests import passed_path
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import WHOLE
from lakehouse.settings import PROJECT_ROOT
from orchestration.readiness.readiness import open_readiness
from tests.conftest import ticket_lake
from tests.dbt_shell import dbt
from tests.integration.conftest import run, statuses

FACT, TEST = "ticket_fact", "ticket_fact_is_the_last_event_by_time_then_id"
WITHOUT = ("build", "--select", FACT, "--exclude-resource-type", "unit_test")


@pytest.fixture(scope="module")
def built(tmp_path_factory, parsed_project):
    """A day of tickets after a run which knew nothing of unit tests, and what it remembers of them."""
    settings = ticket_lake(tmp_path_factory.mktemp("lake"), parsed_project, ["2026-04-01"])
    passed_path(settings).unlink()
    run(settings)
    assert len(ran(settings)) > 5
    return settings, passed_path(settings).read_text()


@pytest.fixture
def lake(built):
    """The same, whatever a test before has left of what it remembers."""
    settings, remembered = built
    passed_path(settings).write_text(remembered)
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
    (lake.manifests / "a.jsonl").write_text((lake.manifests / "a.jsonl").read_text().replace('"new"', '"open"'))

    run(lake)

    assert ran(lake) == []
    assert set(statuses(lake).values()) <= {"READY", "EMPTY", "UNKNOWN"}
    (item,) = open_ledger(lake).current_materializations([FACT]).values()
    assert fact(lake)[1] == [(item.run_id, True)]


def test_what_is_built_in_a_shell_without_them_is_unchecked_until_they_have_passed(lake):
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
    assert dbt(lake, *WITHOUT).returncode == 0  # for `dbt test` the model might have been another
    assert str(fact(lake)[0].status) == "UNCHECKED"
    assert dbt(lake, "build", "--select", FACT).returncode == 0
    assert dbt(lake, *WITHOUT).returncode == 0
    assert str(fact(lake)[0].status) == "READY"
    assert len(fact(lake)[1]) == 1


EDITS_WHAT_DBT_HAS_READ = """
import sys
from pathlib import Path
from dbt.cli.main import dbtRunner
from lakehouse.settings import LakehouseSettings, load_settings
from orchestration.dbt_launcher.manifest import ensure_declared

LakehouseSettings.dbt_project_dir = Path.cwd()
model = Path("models/silver/ticket_fact.sql")
text = model.read_text()
if is_edited := "edited" in sys.argv:
    model.write_text(text.replace("min(", "max("))
ensure_declared(load_settings())

def edit(event):
    if event.info.name == "FoundStats" and is_edited:
        model.write_text(text)
        ensure_declared(load_settings())

result = dbtRunner(callbacks=[edit]).invoke(["test", "--select", "resource_type:unit_test,ticket_fact"])
sys.exit(0 if result.result else str(result.exception))
"""


@pytest.mark.parametrize("edited", ["edited", ""])
def test_what_passed_on_sql_that_was_edited_while_dbt_had_it_speaks_for_nothing(lake, tmp_path, edited):
    before = fact(lake)[1]
    project = shutil.copytree(PROJECT_ROOT / "dbt_project", tmp_path / "dbt_project")
    environment = {
        **os.environ, "OMNI_HOME": str(lake.home), "OMNI_MANIFESTS": str(lake.manifests), "PYTHONPATH": str(PROJECT_ROOT),
        "DBT_LOG_PATH": str(lake.home / "logs"), "DBT_TARGET_PATH": str(tmp_path / "target"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", EDITS_WHAT_DBT_HAS_READ, edited],
        cwd=project, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert (fact(lake)[1] == before) is bool(edited)
