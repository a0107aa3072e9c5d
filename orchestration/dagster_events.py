"""Evidence from the ledger as Dagster metadata and check evaluations, per partition."""

from typing import Any

import dagster as dg

from lakehouse.evidence import CheckResult, Materialization

OWNERS = ["team:data-platform"]


def check_evaluation(result: CheckResult) -> dg.AssetCheckEvaluation:
    """A check result of one partition, as Dagster records it beside a run."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(result.asset),
        check_name=result.check,
        passed=result.passed,
        metadata={"message": dg.MetadataValue.text(result.message)},
        severity=dg.AssetCheckSeverity[result.severity.upper()],
        partition=result.partition,
    )


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
