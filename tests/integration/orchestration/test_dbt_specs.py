"""Specs of the dbt models as Dagster assets, as a process of its own loads them."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import {first}
from lakehouse.settings import load_settings
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.graph.dbt_specs import OmniDbtTranslator, model_specs
from orchestration.graph.partitions import daily_partitions
from lakehouse.ledger.ledger import open_ledger

settings = load_settings()
partitions = daily_partitions(settings, open_ledger(settings))
specs = model_specs(settings, OmniDbtTranslator(load_asset_graph(settings), partitions))
objects = ("dagster_dbt/manifest", "dagster_dbt/dagster_dbt_translator", "dagster_dbt/project")
said = [
    {{
        "key": spec.key.to_user_string(),
        "deps": sorted((dep.asset_key.to_user_string(), repr(dep.metadata)) for dep in spec.deps),
        "about": [spec.description, spec.group_name, spec.code_version, spec.owners, dict(spec.tags), sorted(spec.kinds)],
        "metadata": {{name: repr(value) for name, value in spec.metadata.items() if name not in objects}},
    }}
    for spec in specs
]
print(json.dumps({{"specs": said, "has_dbt": "dbt.adapters.base" in sys.modules, "left": "dbt.version" in sys.modules}}))
"""


@pytest.fixture
def load(settings):
    def run(first):
        environment = {**os.environ, "OMNI_HOME": str(settings.home)}
        command = [sys.executable, "-c", PROGRAM.format(first=first)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return run


def test_specs_are_the_same_without_dbt_core_which_is_not_imported_for_them(load):
    without, after = load("dagster"), load("dbt.version")

    assert (without["has_dbt"], without["left"], after["has_dbt"]) == (False, False, True)
    assert without["specs"] == after["specs"]
    assert {"ticket_events", "support_kpi_daily"} <= {spec["key"] for spec in without["specs"]}
