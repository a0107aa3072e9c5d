"""Every asset of the graph says where its code is."""

from pathlib import Path

import dagster as dg
import pytest

from lakehouse.settings import PROJECT_ROOT
from orchestration.definitions import build_definitions


def references(settings):
    """Asset → the files or pages that it refers to."""
    graph = build_definitions(settings).resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.materializable_asset_keys]
    return {
        node.key.to_user_string(): [reference.source for reference in found.value.code_references]
        for node in nodes
        if (found := node.metadata.get("dagster/code_references"))
    }


def test_assets_lead_to_the_function_that_materializes_them_and_models_to_their_sql_first(settings):
    found = references(settings)

    assert set(found) >= {"seed_manifests", "raw_ticket_events", "raw_doc_assets", "ticket_events", "ticket_fact"}
    assert found["ticket_events"][0] == str(PROJECT_ROOT / "dbt_project/models/silver/ticket_events.sql")
    for asset, sources in found.items():
        files = [Path(source.rpartition(":")[0] or source) for source in sources]
        assert all(file.is_file() for file in files), asset
        assert files[-1].is_relative_to(PROJECT_ROOT / "orchestration"), asset


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://github.com/team/lake", "https://github.com/team/lake/tree/release/"),
        ("https://gitlab.com/team/lake", "https://gitlab.com/team/lake/-/tree/release/"),
    ],
)
def test_with_a_repository_named_they_lead_to_its_pages(settings, url, page):
    settings = settings.model_copy(update={"git_url": url, "git_branch": "release"})

    found = references(settings)

    assert found["ticket_events"][0] == f"{page}dbt_project/models/silver/ticket_events.sql"
    assert all(source.startswith(page) for sources in found.values() for source in sources)
    assert found["raw_doc_assets"][0].startswith(f"{page}orchestration/graph/bronze_assets.py#L")


def test_every_asset_that_is_materialized_has_references_and_every_table_its_columns_described(settings):
    graph = build_definitions(settings).resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.materializable_asset_keys}

    assert set(references(settings)) == keys
    for name in keys - {"seed_manifests"}:
        columns = graph.get(dg.AssetKey(name)).metadata["dagster/column_schema"].columns
        assert columns and all(column.description for column in columns), name
