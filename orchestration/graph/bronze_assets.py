"""Manifests and Bronze as Dagster assets: thin shells around the loaders, which write the evidence themselves."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.namespaces import BRONZE
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import bronze_table
from orchestration.graph.bronze_checks import checks_step, lines_of
from orchestration.graph.dagster_events import OWNERS, WRITES, done, is_in_run, refused, report_failed, step_of
from orchestration.graph.dbt_assets import DBT_MODELS
from orchestration.graph.retries import retried
from orchestration.instance.mirror import mirror
from orchestration.readiness.asset_graph import AssetGraph

if TYPE_CHECKING:  # engines are imported by the assets that use them: to draw the graph takes none
    from loaders.seed_loader import AdmissionReport

_SHOWN_FILES = 50


class LoadConfig(dg.Config):
    """What an operator may change per run."""

    reload_unchanged: bool = True
    """Load partitions again whose sources have not changed since."""


def build_seed_manifests(settings: LakehouseSettings) -> dg.AssetsDefinition:
    """The asset of the manifest folder: what is declared, judged and recorded."""

    @dg.asset(
        name="seed_manifests",
        group_name="manifests",
        kinds={"json"},
        owners=OWNERS,
        description="Source manifests, judged: which sources may load, which not, and why.",
        check_specs=[
            dg.AssetCheckSpec(
                "all_manifests_valid",
                asset="seed_manifests",
                description="No manifest is unreadable or rejected.",
            )
        ],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def seed_manifests(context: dg.AssetExecutionContext) -> Iterator[Any]:
        from loaders.ingest import refresh

        earlier = context.instance.get_latest_materialization_event(context.asset_key)
        since = datetime.fromtimestamp(earlier.timestamp, UTC) if earlier else None
        with retried():
            report, ledger = refresh(settings, context.log.info).admission, open_ledger(settings)
        refused = {file.path.name: [str(breach) for breach in file.breaches] for file in report.refused}
        yield dg.MaterializeResult(metadata=_manifest_metadata(ledger, report, since))
        # After the materialization: Dagster takes an older evaluation for one of the version before.
        yield dg.AssetCheckResult(
            passed=not refused,
            check_name="all_manifests_valid",
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"refused": refused, "unreadable": [f.path.name for f in report.refused if not f.is_readable]},
        )

    return seed_manifests


def _manifest_metadata(ledger: Ledger, report: "AdmissionReport", since: datetime | None) -> dict[str, Any]:
    """What is declared, how it was judged, what it covers, and which files came or changed since the last time."""
    manifests = [file.manifest for file in report.files if file.manifest]
    days = sorted({partition for _, partition in ledger.coverage()})
    arrived = ledger.files_looked_at_since(since)
    return {
        "manifests": len(report.files),
        "sources": report.judgments,
        "held_back": {" ".join(a.key): list(a.reasons) for a in report.admissions if not a.is_admitted},
        "batch_ids": sorted({manifest.batch_id for manifest in manifests}),
        "manifest_sha256": {file.manifest_id: file.sha256 for file in report.files if file.manifest_id},
        "changed_manifests": report.changes,
        "coverage_from": days[0] if days else None,
        "coverage_to": days[-1] if days else None,
        "arrivals": len(arrived),
        "arrived_files": [file.source_file for file in arrived[:_SHOWN_FILES]],
        "unreadable_files": [file.problem for file in arrived if file.problem],
    }


def build_bronze_asset(
    settings: LakehouseSettings, graph: AssetGraph, name: str, partitions: dg.DailyPartitionsDefinition
) -> dg.AssetsDefinition:
    """A Bronze table as a partitioned asset; a range of days is one run.

    A day that is refused is not written, and has no event but that it was refused. The step ends well all the same, so
    that the other days go on; that of its checks fails for it.
    """
    definition, contract = bronze_table(settings, name), bronze_contracts(settings)[name]
    columns = [
        dg.TableColumn(field.name, str(field.field_type), description=field.doc) for field in definition.schema.fields
    ]

    @dg.asset(
        name=name,
        group_name=BRONZE,
        kinds={"dlt", "iceberg"},
        owners=OWNERS,
        tags={"layer": BRONZE},
        description=definition.description,
        deps=["seed_manifests"],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        metadata={
            "dagster/table_name": definition.identifier,
            "dagster/column_schema": dg.TableSchema(columns=columns),
        },
        code_version=contract.sha256[:12],
        pool=WRITES,
    )
    def bronze(context: dg.AssetExecutionContext, config: LoadConfig) -> Iterator[Any]:
        from loaders.ingest import ingest

        window = Window.of_keys(context.partition_key_range.start, context.partition_key_range.end)
        with retried():
            report = ingest(
                settings,
                assets=[name],
                window=window,
                reload_unchanged=config.reload_unchanged,
                run_id=context.run_id,
                progress=context.log.info,
            )
        (load,) = report.loads
        context.log.info(load.summary())
        if load.loaded or load.refused or not is_in_run(context, DBT_MODELS):  # else that step shows what is known
            mirror(settings, graph, context.instance, step_of(context), [name])
        yield done(name)
        yield from (refused(name, day, why) for day, why in sorted(load.refused.items()))
        if load.refused and not is_in_run(context, checks_step(name)):
            report_failed(context, name, sorted(load.refused))
            raise dg.Failure(lines_of(name, {day: f"refused: {why}" for day, why in load.refused.items()}))

    return bronze
