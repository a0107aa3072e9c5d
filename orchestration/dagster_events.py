"""Evidence from the ledger as Dagster metadata and check evaluations, per partition."""

from typing import Any

import dagster as dg

from lakehouse.evidence import CheckResult, Materialization

OWNERS = ["team:data-platform"]

WRITES = "lakehouse_writes"
"""Pool of the steps that write tables."""


def report_check(context: dg.AssetExecutionContext, result: CheckResult) -> None:
    """Record a check result of one partition in Dagster, as an event of this run.

    An `AssetCheckResult` has no partition. A runless evaluation has one, but Dagster 1.13 takes only one per partition
    (its unique index knows the run, which is empty then).
    """
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(result.asset),
        check_name=result.check,
        passed=result.passed,
        metadata={"message": dg.MetadataValue.text(result.message)},
        severity=dg.AssetCheckSeverity[result.severity.upper()],
        partition=result.partition,
    )
    event = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
        job_name=context.job_name,
        event_specific_data=evaluation,
        message=f"{result.asset} {result.partition} {result.check}: {'passed' if result.passed else result.message}",
    )
    context.instance.report_dagster_event(event, run_id=context.run_id)


def partition_metadata(item: Materialization) -> dict[str, Any]:
    """What a person asks of a partition: its rows, its batches, its snapshot, what it was built from."""
    rows = item.rows
    return {
        "dagster/partition_row_count": rows.loaded,
        "rows_expected": rows.expected,
        "rows_read": rows.read,
        "rows_deduplicated": rows.deduplicated,
        "rows_quarantined": rows.quarantined,
        "batch_ids": list(item.batch_ids),
        "manifest_ids": list(item.manifest_ids),
        "manifest_sha256": list(item.manifest_hashes),
        "source_files": list(item.source_files),
        "inputs": item.inputs,
        "run_id": item.run_id,
        "snapshot_id": str(item.snapshot_id),
        "version": item.version,
    }
