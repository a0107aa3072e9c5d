"""Which assets wait for which, of what is not ready: a tree from what stands in the way down to the last that waits.

Pure over verdicts.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestration.readiness.verdicts import Status, Verdict


@dataclass(frozen=True)
class Branch:
    """An asset that is not ready on some partitions, and what waits for it."""

    asset: str
    statuses: dict[Status, int]
    partitions: list[str]
    also: list[str]
    """Other assets that it waits for."""
    below: list["Branch"]


def lineage(verdicts: Sequence[Verdict]) -> list[Branch]:
    """Trees of what is wrong; an asset that waits for several stands below the one that is farthest down."""
    wrong: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.is_problem:
            wrong[verdict.asset].append(verdict)
    waits_for = {name: _waits_for(name, found, wrong) for name, found in wrong.items()}
    depth: dict[str, int] = {}
    for name in wrong:  # in the order of the graph: what is read comes first
        depth[name] = 1 + max((depth[above] for above in waits_for[name]), default=0)
    parent = {name: max(above, key=lambda each: depth[each]) for name, above in waits_for.items() if above}
    below: dict[str | None, list[str]] = defaultdict(list)
    for name in wrong:
        below[parent.get(name)].append(name)
    return [_branch(name, wrong, waits_for, below) for name in below[None]]


def _waits_for(name: str, verdicts: Sequence[Verdict], wrong: Mapping[str, object]) -> list[str]:
    blockers = (blocker.asset for verdict in verdicts for blocker in verdict.evidence.blockers)
    return list(dict.fromkeys(asset for asset in blockers if asset != name and asset in wrong))


def _branch(
    name: str,
    wrong: Mapping[str, list[Verdict]],
    waits_for: Mapping[str, list[str]],
    below: Mapping[str | None, list[str]],
) -> Branch:
    children = [_branch(each, wrong, waits_for, below) for each in below.get(name, ())]
    found = wrong[name]
    statuses = {status: sum(v.status is status for v in found) for status in Status}
    return Branch(
        name,
        {status: number for status, number in statuses.items() if number},
        [verdict.partition for verdict in found],
        [each for each in waits_for[name] if name not in below.get(each, ())],
        children,
    )
