"""Which models a graph run builds next, over which days, and what it holds back: a bad day holds back itself only.

dbt skips all days of a model behind a failed test; so the graph runs dbt in steps, and asks again after each one what
can still be built. Pure, over verdicts; `orchestration.graph.dbt_assets` runs the steps.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lakehouse.partitions import WHOLE, said_once
from orchestration.planning.steps import Step, Target, plan_steps
from orchestration.readiness.gate import Gate
from orchestration.readiness.verdicts import Verdict


@dataclass(frozen=True)
class BuildPlan:
    """What is next."""

    steps: list[Step]
    """In order. Only the first one is certain: what it finds may hold back days of the others."""
    held_back: dict[Target, str]
    """What is not built, and why."""


def plan_build(
    gate: Gate, models: Collection[str], done: Collection[Target] = (), broken: Collection[str] = ()
) -> BuildPlan:
    """Plan what is left of a build.

    Args:
        gate: Judges what is read; its window is what is built.
        models: Models to build.
        done: What the build has written already.
        broken: Models that dbt could not build.
    """
    nodes = gate.readiness.graph.nodes
    days = gate.window.keys if gate.window else []
    wanted = [name for name in nodes if name in models]
    todo = {(n, key) for n in wanted for key in (days if nodes[n].is_partitioned else [WHOLE]) if (n, key) not in done}
    held_back: dict[Target, str] = {}
    for name in wanted:
        for key in sorted(key for asset, key in todo if asset == name):
            if reason := _obstacle(gate, name, key, todo, held_back, broken):
                held_back[name, key] = reason
    left = [target for target in todo if target not in held_back]
    return BuildPlan(plan_steps(left, wanted, gate.window), held_back)


def _obstacle(
    gate: Gate, name: str, key: str, todo: set[Target], held_back: dict[Target, str], broken: Collection[str]
) -> str | None:
    if name in broken:
        return "dbt could not build it"

    def is_rebuilt(verdict: Verdict) -> bool:
        return (verdict.asset, verdict.partition) in todo

    found = gate.obstacles(name, key, is_rebuilt)
    if found:
        return f"{found[0].name} is {found[0].status}: {found[0].reasons[0]}"
    reaches = gate.readiness.graph[name].reach
    for upstream, partition in held_back:
        reach = reaches.get(upstream)
        reads = reach == "all" or partition == key or (reach == "up_to_day" and partition < key)
        if reach is not None and reads:
            return f"{upstream} {partition}".strip() + " is held back"
    return None


def held_back_lines(held_back: dict[Target, str]) -> Iterable[str]:
    """What is held back, the days of an asset with the same reason together."""
    said = said_once((asset, key, reason) for (asset, key), reason in sorted(held_back.items()))
    return [f"{partitions} held back: {reason}" for partitions, reason in said]
