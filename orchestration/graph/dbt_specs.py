"""Specs of dbt models as Dagster assets: dagster-dbt makes them from dbt's manifest."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from lakehouse.settings import LakehouseSettings
from orchestration.dbt_launcher.manifest import ensure_dbt_manifest
from orchestration.graph.dagster_events import OWNERS
from orchestration.readiness.asset_graph import AssetGraph


@contextmanager
def _without_dbt_core() -> Iterator[None]:
    """Let dagster-dbt load as it does where dbt-core is not installed, which it supports.

    It needs dbt-core to select nodes and to read what dbt prints; the specs come out of the manifest alone. It saves
    2.3 s of CPU (3.5 → 1.2) of each process that loads the definitions. One that has imported dbt-core keeps it. There
    is no setting for it; `test_dbt_specs` fails where dagster-dbt looks in another way, or makes other specs then.
    """
    name = "dbt.version"  # what dagster_dbt.compat looks for
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # Python's own way to say that there is no such module
    try:
        yield
    finally:
        del sys.modules[name]


with _without_dbt_core():
    from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject


def dbt_project(settings: LakehouseSettings) -> DbtProject:
    """The project, in dagster-dbt's words."""
    return DbtProject(settings.dbt_project_dir, target_path=settings.dbt_target_dir)


def model_specs(settings: LakehouseSettings, translator: "OmniDbtTranslator") -> list[dg.AssetSpec]:
    """A spec for each model, with a reference to its SQL."""
    manifest = json.loads(ensure_dbt_manifest(settings).read_text("utf-8"))
    project = dbt_project(settings)
    specs = [
        translator.get_asset_spec(manifest, unique_id, project)
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model"
    ]
    return [spec.replace_attributes(kinds={"dbt", "iceberg"}) for spec in specs]


class OmniDbtTranslator(DagsterDbtTranslator):
    """dbt nodes in the words of this project: an asset is named by its table, whatever its schema.

    Dagster allows one partition mapping per upstream asset of a definition, and all models are one definition, so that
    one dbt process builds them. Dagster therefore draws same-day edges where a model reads every day up to its own;
    the verdicts know better (`lakehouse.builds.reach`).
    """

    def __init__(self, graph: AssetGraph, partitions: dg.DailyPartitionsDefinition) -> None:
        """Take the partitions from the asset graph, so that Dagster and the verdicts agree."""
        super().__init__(DagsterDbtTranslatorSettings(enable_code_references=True))
        self._graph, self._partitions = graph, partitions

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """The table's name."""
        return dg.AssetKey(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The schema: silver or gold."""
        return str(dbt_resource_props["schema"])

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """The team that answers for all of it."""
        return OWNERS

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """The layer and the engine, beside dbt's own tags."""
        own = {"layer": str(dbt_resource_props["schema"]), "engine": "duckdb"}
        return {**super().get_tags(dbt_resource_props), **own}

    def get_metadata(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, Any]:
        """The Iceberg table that is written; in the engine's own database there is only a view of it."""
        table = f"{dbt_resource_props['schema']}.{dbt_resource_props['name']}"
        return {**super().get_metadata(dbt_resource_props), "dagster/table_name": table}

    def get_partitions_def(self, dbt_resource_props: Mapping[str, Any]) -> dg.PartitionsDefinition[str] | None:
        """The one daily definition, for models that are partitioned."""
        node = self._graph.nodes.get(dbt_resource_props["name"])
        return self._partitions if node is not None and node.is_partitioned else None
