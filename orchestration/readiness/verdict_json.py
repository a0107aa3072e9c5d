"""The JSON of a verdict: its one shape, in every command and document. Fields: docs/reference/evidence.md.

Pure over the verdict and the results of its checks: whatever the ledger does not know is null. Snapshot ids are texts:
64 bits are more than the numbers of JavaScript, and of tools made with it, keep.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lakehouse.ledger.acceptances import Acceptance
from lakehouse.ledger.evidence import CheckResult, Materialization
from lakehouse.ledger.ledger import Ledger
from orchestration.readiness.arrivals import Awaited
from orchestration.readiness.asset_graph import AssetGraph
from orchestration.readiness.decisions import decision_on
from orchestration.readiness.mending import next_command
from orchestration.readiness.verdicts import PartitionEvidence, Verdict


def verdict_json(graph: AssetGraph, verdict: Verdict, results: Mapping[int, Sequence[CheckResult]]) -> dict[str, Any]:
    """Everything that is known of one asset partition.

    Args:
        graph: Declares the asset.
        verdict: The answer.
        results: Check results, by the materialization that they speak for.
    """
    item = verdict.evidence.materialization
    return {
        "asset": verdict.asset,
        "layer": graph[verdict.asset].layer,
        "partition": verdict.partition or None,
        "status": verdict.status.value,
        "ready": verdict.is_ready,
        "decision": decision_on(verdict),
        "reasons": list(verdict.reasons),
        "next": next_command(verdict),
        "unchecked": verdict.evidence.unchecked,
        "warnings": list(verdict.evidence.warnings),
        "awaited": [_awaited(each) for each in verdict.evidence.awaited],
        "accepted": _accepted(verdict.evidence.acceptance),
        "rows_expected": verdict.evidence.rows_expected,
        "materialization": None if item is None else _materialization(item),
        "checks": list(_checks(verdict.evidence, results.get(item.id, ()) if item else ())),
    }


def check_results(ledger: Ledger, verdicts: Iterable[Verdict]) -> dict[int, list[CheckResult]]:
    """The results that speak for the materializations of verdicts."""
    return ledger.current_checks([item.id for v in verdicts if (item := v.evidence.materialization)])


def _awaited(each: Awaited) -> dict[str, Any]:
    return {
        "expectation": each.expectation,
        "owner": each.owner,
        "due_at": each.due_at.isoformat(),
        "records": each.records,
        "min_records": each.min_records,
    }


def _materialization(item: Materialization) -> dict[str, Any]:
    rows = item.rows
    return {
        "run_id": item.run_id,
        "started_at": None if item.started_at is None else item.started_at.isoformat(),
        "finished_at": item.committed_at.isoformat(),
        "version": item.version,
        "snapshot_id": _text(item.readable_snapshot_id),
        "written_by_snapshot_id": _text(item.snapshot_id),
        "forced": item.is_forced,
        "batch_ids": list(item.batch_ids),
        "manifests": [
            {"manifest_id": name, "sha256": sha256}
            for name, sha256 in zip(item.manifest_ids, item.manifest_hashes, strict=True)
        ],
        "size_bytes": item.size_bytes,
        "upstream_versions": dict(sorted(item.inputs.items())),
        "rows": {
            "expected": rows.expected,
            "read": rows.read,
            "loaded": rows.loaded,
            "deduplicated": rows.deduplicated,
            "quarantined": rows.quarantined,
        },
    }


def _accepted(acceptance: Acceptance | None) -> dict[str, Any] | None:
    if acceptance is None:
        return None
    return {
        "by": acceptance.accepted_by,
        "at": acceptance.accepted_at.isoformat(),
        "reason": acceptance.reason,
    }


def _text(snapshot_id: int | None) -> str | None:
    return None if snapshot_id is None else str(snapshot_id)


def _checks(evidence: PartitionEvidence, results: Sequence[CheckResult]) -> Iterator[dict[str, Any]]:
    """Every check that the asset requires now, whether or not it has run on the current materialization."""
    found = {result.check: result for result in results if result.check not in evidence.without_result}
    for name, severity in sorted(evidence.required_checks.items()):
        result = found.get(name)
        outcome = "not_run" if result is None else "passed" if result.passed else "failed"
        yield {
            "check": name,
            "severity": severity,
            "outcome": outcome,
            "failures": result.failures if result else None,
            "message": result.message if result else evidence.without_result.get(name),
            "observed_at": result.observed_at.isoformat() if result else None,
            "run_id": result.run_id if result else None,
        }
