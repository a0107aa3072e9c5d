"""What dbt's own documentation says of the lake, made once by a full parse: tables, owners, who reads them."""

import json
import re

import pytest

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.namespaces import QUARANTINE
from orchestration.graph.dagster_events import OWNERS
from tests.dbt_shell import dbt


@pytest.fixture(scope="module")
def generated(filled_sample, tmp_path_factory):
    """What `dbt docs generate` printed, and its folder; without SQL, which is not asked for here."""
    folder = tmp_path_factory.mktemp("dbt docs")
    done = dbt(filled_sample, "docs", "generate", "--no-compile", "--target-path", str(folder))
    assert done.returncode == 0, done.stdout
    return done.stdout, folder


@pytest.fixture(scope="module")
def catalog(generated):
    found = json.loads((generated[1] / "catalog.json").read_text("utf-8"))
    return {table["metadata"]["name"]: table for table in (*found["nodes"].values(), *found["sources"].values())}


@pytest.fixture(scope="module")
def manifest(filled_sample):
    return json.loads(filled_sample.dbt_manifest.read_text("utf-8"))


@pytest.fixture(scope="module")
def tables(manifest):
    """Name → node, of every table that dbt reads or writes."""
    nodes = (*manifest["nodes"].values(), *manifest["sources"].values())
    return {node["name"]: node for node in nodes if node["resource_type"] in ("model", "source")}


def test_dbt_warns_of_nothing(generated):
    said, _ = generated

    assert "Catalog written" in said
    assert not re.search(r"WARNING|[Dd]eprecat", said), said


def test_every_table_of_the_lake_is_a_table_with_the_columns_that_are_described(catalog, tables, filled_sample):
    assert {*bronze_contracts(filled_sample), QUARANTINE} < catalog.keys() == tables.keys()
    assert {table["metadata"]["type"] for table in catalog.values()} == {"BASE TABLE"}
    for name, node in tables.items():
        assert catalog[name]["columns"].keys() == node["columns"].keys(), name
        assert all(column["type"] for column in catalog[name]["columns"].values())


def test_dbt_and_dagster_name_the_same_owner(catalog, tables, manifest):
    (group,) = manifest["groups"].values()
    models = [node for node in tables.values() if node["resource_type"] == "model"]

    assert {node["group"] for node in models} == {group["name"]}
    assert {f"team:{table['metadata']['owner']}" for table in catalog.values()} == set(OWNERS)
    assert [f"team:{group['owner']['name']}"] == OWNERS


def test_every_table_of_gold_has_a_reader(manifest, tables):
    read = {key for exposure in manifest["exposures"].values() for key in exposure["depends_on"]["nodes"]}

    assert {node["unique_id"] for node in tables.values() if node["schema"] == "gold"} <= read
    assert all(exposure["owner"]["name"] and exposure["description"] for exposure in manifest["exposures"].values())


def test_the_overview_is_ours_and_leads_to_what_there_is(manifest):
    text = manifest["docs"]["doc.omni.__overview__"]["block_contents"]
    led_to = re.findall(r"\(#!/(?:model|exposure)/([^)]+)\)", text)

    assert "omni ready support_kpi_daily" in text
    assert set(led_to) <= {*manifest["nodes"], *manifest["exposures"]}
    assert set(manifest["exposures"]) < set(led_to)
