"""What steps say in Dagster beside what the mirror shows: the checks of a run, and the days that it failed."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.events import AssetMaterializationPlannedData

from lakehouse.ledger.evidence import CheckResult
from orchestration.instance.mirror import Step

OWNERS = ["team:data-platform"]

WRITES = "lakehouse_writes"
"""Pool of the steps that write tables."""

_REFUSED = "refused"
"""Metadata of the events of `refused`, that tells them from other observations."""

Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext

_MOST_EVALUATIONS, _MOST_AT_ONCE = 400, 4_000
"""About 5 s of CPU: of events one by one, and where the storage takes many at once."""


def nothing_to_check(asset: str, partitions: Iterable[str], checks: Iterable[str], run_id: str) -> list[CheckResult]:
    """Results for days on which nothing is expected, for Dagster alone: there a day without one is not passed."""
    now, why = datetime.now(UTC), "nothing is expected on this day"
    days_and_checks = ((day, check) for day in partitions for check in checks)
    return [CheckResult(asset, day, check, "error", True, why, 0, now, run_id) for day, check in days_and_checks]


def refused(asset: str, partition: str, why: str) -> dg.AssetObservation:
    """The event of a day that was refused: Dagster keeps no message of a failed day."""
    return dg.AssetObservation(asset, partition=partition, description=f"refused: {why}", metadata={_REFUSED: why})


def days_refused(context: dg.AssetCheckExecutionContext, asset: str) -> dict[str, str]:
    """The days of an asset that the step before has refused in this run, and why."""
    entries = context.instance.all_logs(context.run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    seen = [entry.asset_observation for entry in entries if entry.asset_observation]
    mine = [each for each in seen if each.asset_key == dg.AssetKey(asset) and _REFUSED in each.metadata]
    return {each.partition or "": str(each.metadata[_REFUSED].value) for each in mine}


def done(asset: str) -> dg.MaterializeResult[Any]:
    """The output of an asset whose partitions the mirror shows one by one, so that what depends on it may run.

    By itself a result marks every day of a range as materialized, also those on which there is nothing or that were
    refused. The key, which Dagster reads in the same place as it does for observable sources, keeps it from that. It is
    not exported. The public way is a run for each day; `test_graph` (a refused day has no event) fails without the key.
    """
    return dg.MaterializeResult(asset_key=asset, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def step_of(context: Context) -> Step:
    """The step that runs."""
    return Step(context.run.run_id, context.get_step_execution_context().step.key)


def is_in_run(context: Context, step: str) -> bool:
    """Whether the run has that step, too."""
    chosen = context.run.step_keys_to_execute
    return step in (chosen if chosen is not None else [node.name for node in context.job_def.nodes])


def report_failed(context: Context, asset: str, partitions: Sequence[str]) -> None:
    """Let the partitions page draw partitions as failed: refused, or what was written did not pass its checks.

    Dagster draws what a failed run planned and did not materialize; so they are planned once more, after what the
    mirror has shown of them. A later materialization clears it. Not a public event, but no public one, of a failure or
    an observation, colours a day; `test_graph` fails without it (a day that fails its check is drawn as failed).
    """
    for partition in partitions:
        event = dg.DagsterEvent.build_asset_materialization_planned_event(
            context.run.job_name,
            step_of(context).key,
            AssetMaterializationPlannedData(dg.AssetKey(asset), partition=partition),
        )
        context.instance.report_dagster_event(event, run_id=context.run.run_id)


def report_checks(context: Context, results: Sequence[CheckResult]) -> None:
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
            job_name=context.run.job_name,
            event_specific_data=evaluation,
            message=f"{result.asset} {result.partition} {result.check}: {result.message or 'passed'}",
        )
        events.append(event)
    report_events(context.instance, context.run.run_id, events)


def _targets(context: Context, results: Iterable[CheckResult]) -> dict[tuple[str, str], Target]:
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
