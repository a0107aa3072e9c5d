"""What the edits of the dbt project and of thresholds make of the verdicts, beside what they would be without.

Pure, over verdicts. Called by `omni plan`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from orchestration.readiness.asset_graph import AssetGraph
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.verdicts import Status


@dataclass
class Touched:
    """Partitions of one asset that an edit brings from one status to another, for the same reason."""

    asset: str
    before: Status
    after: Status
    reason: str
    partitions: list[str] = field(default_factory=list)
    """In order."""


def unedited(graph: AssetGraph) -> AssetGraph:
    """The graph as if every materialization were computed and checked as the project says today."""
    plain = {
        name: replace(node, logic=None, logic_problem=None, definitions={}, unchecked=node.unchecked or "not asked")
        for name, node in graph.nodes.items()
    }
    return AssetGraph(plain)


def touched(before: Readiness, after: Readiness) -> Iterator[Touched]:
    """What differs between the verdicts of an unedited graph and those of today's, upstream first."""
    for asset in after.graph.nodes:
        found: dict[tuple[Status, Status, str], Touched] = {}
        for key, verdict in after.verdicts(asset).items():
            was = before.verdict(asset, key).status
            if was is not verdict.status:
                reason = verdict.reasons[0] if verdict.status is not Status.BLOCKED else "waits for what it reads"
                group = (was, verdict.status, reason)
                found.setdefault(group, Touched(asset, *group)).partitions.append(key)
        yield from found.values()
