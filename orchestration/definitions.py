"""The one asset graph: manifests → Bronze → Silver → Gold, with its checks, its job and its resources.

`definitions` is what `dagster dev` and `dg` load; `build_definitions` is the same for any settings, for tests.
"""

import dagster as dg
from dagster_dbt import DbtCliResource

from lakehouse.ledger import open_ledger
from lakehouse.settings import LakehouseSettings, load_settings
from lakehouse.tables import BRONZE_ASSETS
from orchestration.asset_graph import load_asset_graph
from orchestration.bronze_assets import build_bronze_asset, build_seed_manifests
from orchestration.dbt_assets import build_dbt_assets
from orchestration.partitions import daily_partitions

INGEST_ALL_JOB = "ingest_all_job"


def build_definitions(settings: LakehouseSettings) -> dg.Definitions:
    """Assemble the graph of one lakehouse."""
    partitions = daily_partitions(settings, open_ledger(settings))
    job = dg.define_asset_job(
        INGEST_ALL_JOB,
        selection=dg.AssetSelection.all(),
        description="The whole daily chain: manifests, Bronze, Silver, Gold and all their checks.",
    )
    return dg.Definitions(
        assets=[
            build_seed_manifests(settings),
            *(build_bronze_asset(settings, name, partitions) for name in BRONZE_ASSETS),
            build_dbt_assets(settings, load_asset_graph(settings), partitions),
        ],
        jobs=[job],
        resources={"dbt": DbtCliResource(str(settings.dbt_project_dir), profiles_dir=str(settings.dbt_project_dir))},
        executor=dg.in_process_executor,
    )


@dg.definitions
def definitions() -> dg.Definitions:
    """The graph of the lakehouse that the environment names."""
    return build_definitions(load_settings())
