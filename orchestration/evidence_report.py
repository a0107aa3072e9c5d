"""Evidence of asset partitions as JSON values, in the form of docs/reference/evidence.schema.json.

Pure over the verdicts: whatever the ledger does not know is null. Called by `omni report`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from lakehouse.evidence import CheckResult, Materialization
from lakehouse.partitions import WHOLE
from orchestration.asset_graph import AssetGraph
from orchestration.decisions import decision_on
from orchestration.readiness import Readiness, next_command
from orchestration.verdicts import PartitionEvidence, Verdict

FORMAT = "omni_evidence_v1"


def verdicts_on(readiness: Readiness, days: Iterable[str]) -> list[Verdict]:
    """Verdicts on every asset: on these days, and on the assets that are not partitioned."""
    days = list(days)
    return [
        readiness.verdict(name, key)
        for name, node in readiness.graph.nodes.items()
        for key in (days if node.is_partitioned else [WHOLE])
    ]


def evidence_document(
    graph: AssetGraph,
    verdicts: list[Verdict],
    results: Mapping[int, Sequence[CheckResult]],
    *,
    generated_at: datetime,
    run_id: str | None = None,
) -> dict[str, Any]:
    """The whole document.

    Args:
        graph: Declares the assets.
        verdicts: What to report on.
        results: Check results, by the materialization that they speak for.
        generated_at: The clock (UTC).
        run_id: The run whose partitions these are; None for a range of days.
    """
    partitions = [partition_evidence(graph, verdict, results) for verdict in verdicts]
    days = sorted(verdict.partition for verdict in verdicts if verdict.partition)
    return {
        "format": FORMAT,
        "generated_at": generated_at.isoformat(),
        "run_id": run_id,
        "first_day": days[0] if days else None,
        "last_day": days[-1] if days else None,
        "decisions": dict(sorted(Counter(item["decision"] for item in partitions).items())),
        "partitions": partitions,
    }


def partition_evidence(
    graph: AssetGraph, verdict: Verdict, results: Mapping[int, Sequence[CheckResult]]
) -> dict[str, Any]:
    """Everything that is known of one asset partition."""
    item = verdict.evidence.materialization
    return {
        "asset": verdict.asset,
        "layer": graph[verdict.asset].layer,
        "partition": verdict.partition or None,
        "status": verdict.status.value,
        "decision": decision_on(verdict),
        "reasons": list(verdict.reasons),
        "next": next_command(verdict),
        "materialization": None if item is None else _materialization(item),
        "checks": list(_checks(verdict.evidence, results.get(item.id, ()) if item else ())),
    }


def _materialization(item: Materialization) -> dict[str, Any]:
    rows = item.rows
    return {
        "run_id": item.run_id,
        "started_at": None if item.started_at is None else item.started_at.isoformat(),
        "finished_at": item.committed_at.isoformat(),
        "version": item.version,
        # A string: 64 bits are more than the numbers of JavaScript, and of tools made with it, keep.
        "snapshot_id": None if item.snapshot_id is None else str(item.snapshot_id),
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


def _checks(evidence: PartitionEvidence, results: Sequence[CheckResult]) -> Iterator[dict[str, Any]]:
    """Every check that the asset requires now, whether or not it has run on the current materialization."""
    found = {result.check: result for result in results}
    for name, severity in sorted(evidence.required_checks.items()):
        result = found.get(name)
        outcome = "not_run" if result is None else "passed" if result.passed else "failed"
        yield {
            "check": name,
            "severity": severity,
            "outcome": outcome,
            "failures": result.failures if result else None,
            "message": result.message if result else None,
            "observed_at": result.observed_at.isoformat() if result else None,
            "run_id": result.run_id if result else None,
        }
