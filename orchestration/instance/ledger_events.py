"""What the ledger says of a partition, as Dagster's own events: its materialization, its verdict as a check.

Pure: `orchestration.instance.mirror` collects what is to be said, and records it.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)
from dagster._core.events import StepMaterializationData

from lakehouse.ledger.evidence import Materialization
from orchestration.readiness.asset_graph import AssetGraph
from orchestration.readiness.verdict_json import verdict_json
from orchestration.readiness.verdicts import Verdict

VERDICT_CHECK = "verdict"
"""Name of the check by which each partition shows its verdict."""


def materialization(item: Materialization, metadata: Mapping[str, Any]) -> dg.AssetMaterialization:
    """What the ledger says was written. Its data version is the ledger's: equal versions hold equal content.

    It carries no code version: with one, but without the versions of all inputs, Dagster draws it as unsynced. What is
    stale is the verdict's to say.
    """
    return dg.AssetMaterialization(
        item.asset,
        partition=item.partition or None,
        metadata=dict(metadata),
        tags={"dagster/data_version": item.version},
    )


def nothing(verdict: Verdict) -> dg.AssetMaterialization:
    """What a run planned and found nothing for: a backfill that asked for the day can end, and it is no failed one."""
    why = "nothing is expected on this day"
    return dg.AssetMaterialization(verdict.asset, partition=verdict.partition or None, description=why)


def as_event(found: dg.AssetMaterialization | dg.AssetCheckEvaluation, job: str, step: str | None) -> dg.DagsterEvent:
    """The event that Dagster's storage takes."""
    name, kind = found.asset_key.to_user_string(), dg.DagsterEventType.ASSET_CHECK_EVALUATION
    data: StepMaterializationData | dg.AssetCheckEvaluation
    if isinstance(found, dg.AssetMaterialization):
        kind, data = dg.DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(found)
        message = f"Materialized {name} {found.partition or ''}".rstrip()
    else:
        data, message = found, f"{name} {found.partition or ''} {found.check_name}: {found.description or 'passed'}"
    return dg.DagsterEvent(
        event_type_value=kind.value, job_name=job, step_key=step, event_specific_data=data, message=message
    )


def verdict_evaluation(graph: AssetGraph, verdict: Verdict, target: Target | None) -> dg.AssetCheckEvaluation:
    """The verdict on a partition: passed where it is safe, an error where something is wrong.

    Of a day that nothing is known of, or that is not due yet, it warns: not safe, and nothing to mend.
    """
    told = verdict_json(graph, verdict, {})
    shown = ("status", "reasons", "next", "accepted", "warnings", "unchecked")
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(verdict.asset),
        check_name=VERDICT_CHECK,
        passed=verdict.is_ready,
        metadata={**{name: told[name] for name in shown if told[name]}, "ask": f"omni explain {verdict.name}"},
        target_materialization_data=target,
        severity=dg.AssetCheckSeverity.ERROR if verdict.is_problem else dg.AssetCheckSeverity.WARN,
        description=": ".join([verdict.status, *verdict.reasons[:1]]),
        partition=verdict.partition or None,
    )
