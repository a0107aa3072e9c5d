"""The graph from dbt's manifest: names that stand twice."""

import pytest

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.errors import ConfigurationError
from orchestration.readiness.asset_graph import read_asset_graph


def model(name, *reads):
    node = {"unique_id": f"model.omni.{name}", "resource_type": "model", "name": name, "schema": "silver"}
    return {**node, "config": {"meta": {}}, "depends_on": {"nodes": list(reads)}}


def graph_of(settings, *nodes):
    """The graph of a project with these models."""
    found = {
        kind: {node["unique_id"]: node for node in nodes if (node["resource_type"] == "source") is (kind == "sources")}
        for kind in ("nodes", "sources")
    }
    return read_asset_graph(found, bronze_contracts(settings))


def test_a_model_named_as_a_bronze_asset_is_refused(settings):
    with pytest.raises(
        ConfigurationError, match=r"model\.omni\.raw_doc_assets: found .* bronze, expected .*; next: rename"
    ):
        graph_of(settings, model("raw_doc_assets"))
