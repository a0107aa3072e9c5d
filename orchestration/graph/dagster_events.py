"""Evidence from the ledger as Dagster events, per partition: materializations with metadata, check evaluations."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.events import AssetMaterializationPlannedData

from lakehouse.ledger.evidence import CheckResult, Coverage, Materialization
from lakehouse.partitions import ONE_DAY, parse_day, said_once

OWNERS = ["team:data-platform"]

WRITES = "lakehouse_writes"
"""Pool of the steps that write tables."""

_UNFIT = "unfit"
"""Metadata of the events of `unfit`, that tells them from other observations."""

_MOST_EVALUATIONS, _MOST_AT_ONCE = 400, 4_000
"""About 5 s of CPU: of events one by one, and where the storage takes many at once."""


def materialized(item: Materialization, metadata: dict[str, Any], run_id: str) -> dg.AssetMaterialization:
    """The event of one partition. Its data version is the ledger's: equal versions hold equal content.

    What another run wrote and this one found unchanged has its event, too, and says so: without one Dagster draws the
    day as failed where the run fails for another day, and a backfill that asked for it does not end.

    It carries no code version: with one, but without the versions of all inputs, Dagster draws it as unsynced. What is
    stale is the verdict's to say.
    """
    written = f"not written in this run: unchanged since run {item.run_id}" if item.run_id != run_id else None
    return dg.AssetMaterialization(
        item.asset,
        description=written,
        partition=item.partition or None,
        metadata=metadata,
        tags={"dagster/data_version": item.version},
    )


def nothing(asset: str, partition: str) -> dg.AssetMaterialization:
    """The event of a day that was looked at and on which nothing is expected: a backfill that asked for it can end."""
    return dg.AssetMaterialization(asset, partition=partition, description="nothing is expected on this day")


def nothing_to_check(asset: str, partitions: Iterable[str], checks: Iterable[str], run_id: str) -> list[CheckResult]:
    """Results for days on which nothing is expected, for Dagster alone: there a day without one is not passed."""
    now, why = datetime.now(UTC), "nothing is expected on this day"
    days_and_checks = ((day, check) for day in partitions for check in checks)
    return [CheckResult(asset, day, check, "error", True, why, 0, now, run_id) for day, check in days_and_checks]


def unfit(asset: str, partition: str, why: str) -> dg.AssetObservation:
    """The event of a day that was refused, or written and found failing: Dagster keeps no message of a failed day."""
    return dg.AssetObservation(asset, partition=partition, description=why, metadata={_UNFIT: why})


def found_unfit(context: dg.AssetExecutionContext) -> list[str]:
    """The days that earlier steps of this run found unfit and left to a later one to fail for."""
    entries = context.instance.all_logs(context.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    seen = [entry.asset_observation for entry in entries if entry.asset_observation]
    found = [o for o in seen if _UNFIT in o.metadata]
    said = said_once((o.asset_key.to_user_string(), str(o.partition), str(o.description)) for o in found)
    return [f"{partitions}: {why}" for partitions, why in said]


def done(asset: str) -> dg.MaterializeResult[Any]:
    """The output of an asset whose partitions were reported one by one, so that what depends on it may run.

    By itself a result marks every day of a range as materialized, also those on which there is nothing or that were
    refused. The key, which Dagster reads in the same place as it does for observable sources, keeps it from that. It is
    not exported. The public way is a run for each day; `test_graph` (a refused day has no event) fails without the key.
    """
    return dg.MaterializeResult(asset_key=asset, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def report_failed(context: dg.AssetExecutionContext, asset: str, partitions: Sequence[str]) -> None:
    """Let the partitions page draw partitions as failed: refused, or what was written did not pass its checks.

    Dagster draws what a failed run planned and did not materialize; so it is planned once more. A later
    materialization clears it. Not a public event, but no public one, of a failure or an observation, colours a day;
    `test_graph` fails without it (a day that fails its check is drawn as failed).
    """
    for partition in partitions:
        event = dg.DagsterEvent.build_asset_materialization_planned_event(
            context.job_name,
            context.get_step_execution_context().step.key,
            AssetMaterializationPlannedData(dg.AssetKey(asset), partition=partition),
        )
        context.instance.report_dagster_event(event, run_id=context.run_id)


def report_checks(context: dg.AssetExecutionContext, results: Sequence[CheckResult]) -> None:
    """Record check results of single partitions in Dagster, as events of this run.

    An `AssetCheckResult` has no partition in a run over a range. A runless evaluation has one, but Dagster 1.13 takes
    only one per partition (its unique index knows the run, which is empty then). Call it after the materializations:
    an evaluation that names no materialization, or an older one, counts for nothing.

    Beyond `_MOST_EVALUATIONS` (`_MOST_AT_ONCE`) only the checks that failed on some day are recorded per day; the rest
    have their one result over the run, and Dagster's graph counts a check whose days have none as not passed.
    """
    # Here, not above: a storage brings Alembic in, half a second of each load of the definitions.
    from orchestration.instance.sqlite_events import report_events, takes_many

    if len(results) > (_MOST_AT_ONCE if takes_many(context.instance) else _MOST_EVALUATIONS):
        failed = {(result.asset, result.check) for result in results if not result.passed}
        results = [result for result in results if (result.asset, result.check) in failed]
    targets = _targets(context, results)
    events = []
    for result in results:
        evaluation = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(result.asset),
            check_name=result.check,
            passed=result.passed,
            metadata={"message": dg.MetadataValue.text(result.message)} if result.message else {},
            target_materialization_data=targets.get((result.asset, result.partition)),
            severity=dg.AssetCheckSeverity[result.severity.upper()],
            partition=result.partition,
        )
        event = dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
            job_name=context.job_name,
            event_specific_data=evaluation,
            message=f"{result.asset} {result.partition} {result.check}: {result.message or 'passed'}",
        )
        events.append(event)
    report_events(context.instance, context.run_id, events)


def partition_metadata(item: Materialization, table: str, coverage: Sequence[Coverage] = ()) -> dict[str, Any]:
    """What a person asks of a partition: its rows, its batches, its snapshot, what it was built from, where to look.

    Args:
        item: What was written.
        table: Identifier of its Iceberg table.
        coverage: What the sources say of it.
    """
    rows = item.rows
    first, last = [c.first_at for c in coverage if c.first_at], [c.last_at for c in coverage if c.last_at]
    found: dict[str, Any] = {
        "dagster/partition_row_count": rows.loaded,
        "rows_expected": rows.expected,
        "rows_read": rows.read,
        "rows_loaded": rows.loaded,
        "rows_deduplicated": rows.deduplicated,
        "rows_quarantined": rows.quarantined,
        "batch_ids": list(item.batch_ids),
        "manifest_ids": list(item.manifest_ids),
        "manifest_sha256": list(item.manifest_hashes),
        "source_files": list(item.source_files),
        "inputs": item.inputs,
        "input_snapshots": {name: str(snapshot) for name, snapshot in item.read_snapshots.items()},
        "run_id": item.run_id,
        "iceberg_table": table,
        "snapshot_id": str(item.readable_snapshot_id),
        "look_at_snapshot": dg.MetadataValue.md(_reading_code(item, table)),
        "version": item.version,
        "forced": item.is_forced,
        "committed_at": dg.MetadataValue.timestamp(item.committed_at),
        "ask": f"omni ready {item.asset} {item.partition}".rstrip(),
    }
    if item.size_bytes is not None:
        found["size_bytes"] = item.size_bytes
    if item.started_at is not None:
        found["seconds_from_start_to_commit"] = (item.committed_at - item.started_at).total_seconds()
    if item.partition:
        found["window"] = f"{item.partition}T00:00:00Z up to {parse_day(item.partition) + ONE_DAY}T00:00:00Z"
    found = {name: value for name, value in found.items() if value not in ([], {})}
    if first and last:
        found["first_record_at"] = dg.MetadataValue.timestamp(min(first))
        found["last_record_at"] = dg.MetadataValue.timestamp(max(last))
    return found


def _reading_code(item: Materialization, table: str) -> str:
    """How to read a partition: by the snapshot that the ledger cites then, since the one of this event may expire."""
    return (
        "```python\nfrom lakehouse.tables.catalog import open_catalog\nfrom lakehouse.settings import load_settings\n"
        "from orchestration.readiness.readiness import open_readiness\n\n"
        f'item = open_readiness().materializations["{item.asset}", "{item.partition}"]\n'
        f'open_catalog(load_settings()).load_table("{table}").scan(snapshot_id=item.readable_snapshot_id)\n```'
    )


def _targets(context: dg.AssetExecutionContext, results: Iterable[CheckResult]) -> dict[tuple[str, str], Target]:
    """The last materialization of each partition that was checked, as Dagster knows it."""
    partitions: dict[str, set[str]] = {}
    for result in results:
        partitions.setdefault(result.asset, set()).add(result.partition)
    found = {}
    for asset, keys in partitions.items():
        ids = context.instance.event_log_storage.get_latest_storage_id_by_partition(
            dg.AssetKey(asset), dg.DagsterEventType.ASSET_MATERIALIZATION, keys
        )
        wanted = dg.AssetRecordsFilter(dg.AssetKey(asset), storage_ids=list(ids.values()))
        for record in context.instance.fetch_materializations(wanted, limit=len(ids)).records if ids else []:
            target = Target(storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp)
            found[asset, record.partition_key or ""] = target
    return found
