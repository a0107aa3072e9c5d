"""The one asset graph: manifests → Bronze → Silver → Gold, with its checks and its jobs.

`definitions` is what `dagster dev` and `dg` load; `build_definitions` is the same for any settings, for tests.
"""

import warnings

import dagster as dg

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings, load_settings
from orchestration.dbt_launcher.forks import end_servers
from orchestration.graph.arrivals_sensor import build_arrivals_sensor
from orchestration.graph.bronze_assets import build_bronze_asset, build_seed_manifests
from orchestration.graph.bronze_checks import build_bronze_checks
from orchestration.graph.code_references import with_code_references
from orchestration.graph.dbt_assets import build_dbt_assets
from orchestration.graph.maintenance_job import build_maintenance
from orchestration.graph.partitions import daily_partitions
from orchestration.graph.schedules import build_mirror_sensor, build_schedules
from orchestration.graph.verdict_checks import build_verdict_checks, build_verdicts
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.report.notifications import build_notifications_sensor

INGEST_ALL_JOB = "ingest_all_job"


def build_definitions(
    settings: LakehouseSettings, loggers: dict[str, dg.LoggerDefinition] | None = None
) -> dg.Definitions:
    """Assemble the graph of one lakehouse."""
    # Partitioned checks and backfill policies carry a label; a person who runs the job cannot act on it.
    warnings.simplefilter("ignore", dg.BetaWarning)
    warnings.simplefilter("ignore", dg.PreviewWarning)
    partitions = daily_partitions(settings, open_ledger(settings))
    graph = load_asset_graph(settings)
    verdicts, verdict_checks = build_verdicts(settings, graph, partitions), build_verdict_checks(settings, graph)
    of_no_run = dg.AssetSelection.checks(verdicts, verdict_checks)
    job = dg.define_asset_job(
        INGEST_ALL_JOB,
        selection=dg.AssetSelection.all() - of_no_run,
        description="The whole daily chain: manifests, Bronze, Silver, Gold and all their checks.",
    )
    maintenance, nightly = build_maintenance(settings)
    return dg.Definitions(
        assets=with_code_references(
            settings,
            [
                build_seed_manifests(settings),
                *(build_bronze_asset(settings, graph, name, partitions) for name in bronze_contracts(settings)),
                build_dbt_assets(settings, graph, partitions),
            ],
        ),
        asset_checks=[
            *(build_bronze_checks(settings, name, partitions) for name in bronze_contracts(settings)),
            verdicts,
            verdict_checks,
        ],
        jobs=[job, maintenance],
        schedules=[nightly, *build_schedules(job, verdict_checks)],
        sensors=[
            build_arrivals_sensor(settings, job, partitions),
            build_mirror_sensor(settings),
            *build_notifications_sensor(settings),
        ],
        loggers=loggers,
        executor=dg.in_process_executor,
    )


@dg.definitions
def definitions() -> dg.Definitions:
    """The graph of the lakehouse that the environment names."""
    built = build_definitions(load_settings())
    end_servers()  # a code server lives on, and may have parsed the dbt project for this once
    return built
