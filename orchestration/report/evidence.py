"""The evidence document: verdicts on assets and days as JSON, in the form of docs/reference/evidence.schema.json.

Pure over the verdicts. Called by `omni report`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from lakehouse.ledger.evidence import CheckResult
from lakehouse.partitions import WHOLE
from orchestration.readiness.asset_graph import AssetGraph
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.verdict_json import verdict_json
from orchestration.readiness.verdicts import Verdict
from orchestration.report.news import News, Told, news

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
    told: News | None = None,
    *,
    generated_at: datetime,
    run_id: str | None = None,
) -> dict[str, Any]:
    """The whole document.

    Args:
        graph: Declares the assets.
        verdicts: What to report on.
        results: Check results, by the materialization that they speak for.
        told: What is new; default: everything, as nothing was said before.
        generated_at: The clock (UTC).
        run_id: The run whose partitions these are; None for a range of days.
    """
    partitions = [verdict_json(graph, verdict, results) for verdict in verdicts]
    days = sorted(verdict.partition for verdict in verdicts if verdict.partition)
    return {
        "format": FORMAT,
        "generated_at": generated_at.isoformat(),
        "run_id": run_id,
        "first_day": days[0] if days else None,
        "last_day": days[-1] if days else None,
        "statuses": dict(sorted(Counter(item["status"] for item in partitions).items())),
        "decisions": dict(sorted(Counter(item["decision"] for item in partitions).items())),
        "news": _news(told or news(verdicts, None)),
        "partitions": partitions,
    }


def _news(told: News) -> dict[str, Any]:
    kinds = ("unsafe", "waiting", "overdue", "safe_again", "arrived")
    since = told.since and told.since.isoformat()
    return {"since": since, **{kind: [_told(each) for each in getattr(told, kind)] for kind in kinds}}


def _told(each: Told) -> dict[str, Any]:
    days = [partition for partition in each.partitions if partition]
    return {"asset": each.asset, "status": each.status.value, "partitions": days or None, "reason": each.reason or None}
