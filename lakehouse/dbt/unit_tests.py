"""Unit tests that need not run again: those that passed on the dbt project as it is.

A unit test brings its own rows. What comes of it follows from its definition, its model's logic, the columns of the
tables that it stands in for, and the packages that run it: where these are the same, so is the result. A build that
leaves such tests out has their results recorded for what it wrote, as if they had run.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lakehouse.builds.logic import definition_of
from lakehouse.dbt.declared import Declared
from lakehouse.dbt.results import Tests
from lakehouse.settings import LakehouseSettings
from lakehouse.whole_files import replace_file


@dataclass(frozen=True)
class _Passed:
    """The unit tests that passed, and on what."""

    stamp: str
    """Of the dbt project and of the packages (`lakehouse.dbt.declared.stamp_of`)."""
    tests: Mapping[str, str]
    """Unique id → a hash of the schemas of the tables that the test stands in for."""


def passed_path(settings: LakehouseSettings) -> Path:
    """Where they are kept."""
    return settings.home / "dbt" / "unit_tests.json"


def need_not_run(
    settings: LakehouseSettings, declared: Declared | None, models: Collection[str], checks: Collection[str]
) -> bool:
    """Whether all unit tests of some models have passed on the project as it is, and none is asked for by its name.

    Args:
        settings: Those of the lakehouse.
        declared: What the project says; None where that is not known.
        models: Those that are built.
        checks: Names of tests of other models that run beside.
    """
    known = _read(settings)
    if declared is None or known is None or known.stamp != declared.stamp:
        return False
    is_asked_for = any(_is_unit_test(key) and _name(key) in checks for key in declared.definitions)
    return not is_asked_for and {key for key in declared.definitions if _is_of(key, models)} <= known.tests.keys()


def carry_over(
    settings: LakehouseSettings,
    declared: Declared,
    tests: Tests,
    built: Collection[str],
    inputs: Mapping[str, Mapping[str, str]],
) -> list[dict[str, Any]]:
    """Results of the unit tests of what an invocation built that did not run in it, and of which it is known.

    Those that did run are remembered, of what it built: by that its SQL is known to be the one that the project says. A
    model may compile otherwise for `dbt test`, or with a variable.

    Args:
        settings: Those of the lakehouse.
        declared: What the project said from the invocation's start to its end.
        tests: Those that ran.
        built: Models that the invocation built.
        inputs: Of each unit test, the schema of each table that it stands in for.
    """
    seen = {key: definition_of(schemas) for key, schemas in inputs.items() if _is_as_declared(key, declared, tests)}
    ran = {test["id"]: test["status"] for test in tests.results["tests"] if test["is_unit_test"]}
    known = _read(settings)
    passed = known.tests if known and known.stamp == declared.stamp else {}
    same = {key for key, value in seen.items() if key not in ran and passed.get(key) == value}
    good = {key for key in seen if ran.get(key) == "pass" and _is_of(key, built)}
    now = _Passed(declared.stamp, {key: seen[key] for key in sorted(same | good)})
    if now != known:
        replace_file(passed_path(settings), json.dumps(asdict(now)))
    return [_result(key) for key in sorted(same) if _is_of(key, built)]


def _is_unit_test(key: str) -> bool:
    """Whether a unique id is one of a unit test, `unit_test.<project>.<model>.<name>`."""
    return key.startswith("unit_test.")


def _is_of(key: str, models: Collection[str]) -> bool:
    return _is_unit_test(key) and _model(key) in models


def _model(key: str) -> str:
    return key.split(".")[2]


def _name(key: str) -> str:
    return key.split(".")[3]


def _is_as_declared(key: str, declared: Declared, tests: Tests) -> bool:
    """Whether the invocation knew test and model as the project declares them."""
    said = declared.definitions.get(key), declared.logic.get(_model(key))
    return None not in said and said == (tests.unit_tests.get(key), tests.logic.get(_model(key)))


def _result(key: str) -> dict[str, Any]:
    """As `macros/results.sql` hands over one that passed."""
    given = {"id": key, "is_unit_test": True, "name": _name(key), "asset": _model(key), "severity": "error"}
    return {**given, "config": {}, "status": "pass", "failures": 0, "message": None, "sql": ""}


def _read(settings: LakehouseSettings) -> _Passed | None:
    try:
        found = _Passed(**json.loads(passed_path(settings).read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # none, or one of another version
        return None
    return found if isinstance(found.tests, dict) else None
