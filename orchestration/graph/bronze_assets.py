"""Manifests and Bronze as Dagster assets: thin shells around the loaders, which write the evidence themselves."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.kinds import CHECKS, Severity
from lakehouse.ledger.evidence import CheckResult
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.namespaces import BRONZE, bronze
from lakehouse.partitions import Window, said_once
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import bronze_table
from orchestration.graph.dagster_events import (
    OWNERS,
    WRITES,
    done,
    materialized,
    nothing,
    nothing_to_check,
    partition_metadata,
    report_checks,
    report_failed,
    unfit,
)
from orchestration.graph.dbt_assets import DBT_MODELS
from orchestration.graph.retries import retried

if TYPE_CHECKING:  # engines are imported by the assets that use them: to draw the graph takes none
    from loaders.bronze.pipelines import LoadReport
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
    settings: LakehouseSettings, name: str, partitions: dg.DailyPartitionsDefinition
) -> dg.AssetsDefinition:
    """A Bronze table as a partitioned asset; a range of days is one run."""
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
        check_specs=[
            dg.AssetCheckSpec(
                check,
                asset=name,
                description=CHECKS[check].description,
                blocking=severity == "error",
                partitions_def=partitions,
            )
            for check, severity in contract.checks.items()
        ],
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
        yield from _events(context, report.loads[0], settings, contract.checks, window)

    return bronze


def _events(
    context: dg.AssetExecutionContext,
    load: "LoadReport",
    settings: LakehouseSettings,
    checks: Mapping[str, Severity],
    window: Window,
) -> Iterator[Any]:
    """Per day: its own metadata and check results; for the run: one result per check.

    A refused day is not written: it has no materialization event, fails every check, and is drawn as failed.

    A failed result stops everything downstream in the run, so where dbt comes next it is a warning: that step holds
    back the bad days by itself, builds and tests the others, and then fails for them.
    """
    ledger = open_ledger(settings)
    current, coverage = ledger.current_materializations([load.asset]), ledger.coverage(load.asset)
    days = [key for key in window.keys if key not in load.refused]
    items = [current[load.asset, key] for key in days if (load.asset, key) in current]
    for item in items:
        about = partition_metadata(item, bronze(item.asset), coverage.get((item.asset, item.partition), ()))
        yield materialized(item, about, context.run_id)
    known = current.keys() | coverage.keys()
    empty = [key for key in days if (load.asset, key) not in known]
    yield from (nothing(load.asset, key) for key in empty)
    context.log.info(load.summary())
    yield done(load.asset)
    # After the materialization: Dagster takes an older evaluation for one of the version before.
    is_dbt_next = _is_dbt_next(context)
    results = [result for found in ledger.current_checks([item.id for item in items]).values() for result in found]
    if is_dbt_next:  # which runs its own tests again
        results = [result for result in results if result.check in checks]
    results += _refused_by_all_checks(load, checks, context.run_id)
    failed = [result for result in results if not result.passed]
    reasons = {result.partition: result.message for result in failed if result.severity == "error"}
    yield from (unfit(load.asset, partition, why) for partition, why in sorted(reasons.items()))
    report_failed(context, load.asset, sorted(reasons))
    own = [result for result in results if result.check in checks]
    report_checks(context, own + nothing_to_check(load.asset, empty, checks, context.run_id))
    for check, severity in checks.items():
        bad = [f"{result.partition}: {result.message}" for result in failed if result.check == check]
        yield dg.AssetCheckResult(
            passed=not bad,
            check_name=check,
            severity=dg.AssetCheckSeverity("WARN" if is_dbt_next else severity.upper()),
            metadata={"days": len(items), "failed": bad},
        )
    if reasons and not is_dbt_next:
        said = said_once((load.asset, partition, why) for partition, why in sorted(reasons.items()))
        raise dg.Failure("\n".join(f"{partitions}: {why}" for partitions, why in said))


def _refused_by_all_checks(load: "LoadReport", checks: Mapping[str, Severity], run_id: str) -> list[CheckResult]:
    """Results for refused days, for Dagster alone: there the last ones, of the old rows, would go on to be shown."""
    now = datetime.now(UTC)
    return [
        CheckResult(load.asset, day, check, severity, False, f"refused: {why}", 0, now, run_id)
        for day, why in sorted(load.refused.items())
        for check, severity in checks.items()
    ]


def _is_dbt_next(context: dg.AssetExecutionContext) -> bool:
    """Whether dbt's step comes after this one, if only to test what was loaded."""
    chosen = context.run.step_keys_to_execute
    return DBT_MODELS in (chosen if chosen is not None else [node.name for node in context.job_def.nodes])
