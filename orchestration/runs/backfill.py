"""Backfill: a bounded re-materialization of named partitions of named assets, planned before it runs, and recorded.

The plan is pure, over verdicts. Running it computes exactly the plan, upstream first, in one process; what was
interrupted resumes where it stopped. Called by `omni backfill`.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.evidence import Backfill
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.partitions import WHOLE, Window, parse_day
from lakehouse.settings import LakehouseSettings
from orchestration.planning.steps import Step, Target, plan_steps
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import Readiness, readiness_now
from orchestration.readiness.verdicts import Status, Verdict


@dataclass(frozen=True)
class Selection:
    """What a backfill is asked for."""

    assets: tuple[str, ...] = ()
    """None: all."""
    window: Window | None = None
    statuses: frozenset[Status] = frozenset()
    """Only partitions in one of these states; none: whatever the window and the assets name."""
    with_downstream: bool = False

    def refuse_unbounded(self) -> None:
        """Refuse what names nothing.

        Raises:
            ConfigurationError: neither assets, nor days, nor states are named.
        """
        if not (self.assets or self.window or self.statuses):
            raise ConfigurationError("a backfill is bounded; next: name assets, days, or --missing, --stale, --failed")


@dataclass(frozen=True)
class Touched:
    """An asset that reads what a backfill computes and is not part of it."""

    asset: str
    partitions: int
    rows: int
    """Rows that these partitions hold now, and that may change."""


@dataclass(frozen=True)
class BackfillPlan:
    """What a backfill would compute."""

    verdicts: list[Verdict]
    """As they are now, upstream first."""
    touched: list[Touched]

    @property
    def targets(self) -> tuple[Target, ...]:
        """Asset and partition of each."""
        return tuple((verdict.asset, verdict.partition) for verdict in self.verdicts)


def plan_backfill(readiness: Readiness, wanted: Selection) -> BackfillPlan:
    """Plan a backfill.

    Raises:
        UnknownAsset: an asset is not declared.
        ConfigurationError: neither assets, nor days, nor states are named.
    """
    wanted.refuse_unbounded()
    graph = readiness.graph
    named = [graph[name].name for name in wanted.assets] or list(graph.nodes)
    chosen = {(v.asset, v.partition) for name in named for v in _chosen(readiness, name, wanted)}
    below = _downstream(readiness, chosen)
    if wanted.with_downstream:
        chosen, below = chosen | below, set()
    order = list(graph.nodes)
    targets = sorted(chosen, key=lambda target: (order.index(target[0]), target[1]))
    return BackfillPlan([readiness.verdict(*target) for target in targets], list(_touched(readiness, below)))


def _chosen(readiness: Readiness, name: str, wanted: Selection) -> Iterator[Verdict]:
    for key, verdict in readiness.verdicts(name).items():
        is_inside = wanted.window is None or (
            parse_day(key) in wanted.window if key != WHOLE else bool(wanted.statuses or wanted.assets)
        )
        is_wanted = verdict.status in wanted.statuses if wanted.statuses else not verdict.is_void
        if is_inside and is_wanted:
            yield verdict


def _downstream(readiness: Readiness, chosen: set[Target]) -> set[Target]:
    """Partitions that read one of these, or read one that does."""
    reached = set(chosen)
    for node in readiness.graph.nodes.values():
        for up, reach in node.reach.items():
            keys = {key for asset, key in reached if asset == up}
            for key, verdict in readiness.verdicts(node.name).items() if keys else ():
                reads = key in keys or reach == "all" or (reach == "up_to_day" and min(keys) <= key)
                if reads and not verdict.is_void:
                    reached.add((node.name, key))
    return reached - chosen


def _touched(readiness: Readiness, below: set[Target]) -> Iterator[Touched]:
    for name in readiness.graph.nodes:
        mine = [target for target in below if target[0] == name]
        if mine:
            items = (readiness.materializations.get(target) for target in mine)
            yield Touched(name, len(mine), sum(item.rows.loaded for item in items if item))


@dataclass(frozen=True)
class BackfillResult:
    """How a backfill ended."""

    backfill: Backfill
    lines: list[str]
    not_ready: list[Verdict]


def request_backfill(ledger: Ledger, plan: BackfillPlan, reason: str, by: str, is_forced: bool) -> Backfill:
    """Record that a plan is to be run."""
    backfill = Backfill(uuid4().hex[:12], plan.targets, reason, by, datetime.now(UTC), is_forced)
    ledger.record_backfill(backfill)
    return backfill


def find_unfinished(ledger: Ledger, backfill_id: str) -> Backfill:
    """A backfill that was interrupted.

    Raises:
        ConfigurationError: there is none with that id.
    """
    unfinished = [each for each in ledger.backfills() if each.finished_at is None]
    for each in unfinished:
        if each.id == backfill_id:
            return each
    known = ", ".join(each.id for each in unfinished) or "none"
    raise ConfigurationError(
        f"backfill {backfill_id}: not among the unfinished ones ({known}); next: omni backfill --list"
    )


def run_backfill(settings: LakehouseSettings, backfill: Backfill, progress: Callable[[str], None]) -> BackfillResult:
    """Compute what a backfill still lacks; a partition that it has written, from the sources of now, is done."""
    from lakehouse.proof.foreign_writes import find_foreign_writes  # engines are opened by those who run, not by
    from lakehouse.tables.catalog import open_catalog  # those who plan
    from orchestration.runs.graph_run import GraphRunner

    ledger, graph = open_ledger(settings), load_asset_graph(settings)
    find_foreign_writes(open_catalog(settings), ledger)
    readiness = readiness_now(settings, graph, ledger)
    left = [target for target in backfill.targets if not _is_done(readiness, target, backfill.requested_at)]
    if len(left) < len(backfill.targets):
        progress(f"backfill {backfill.id}: {len(backfill.targets) - len(left)} of {len(backfill.targets)} were done")
    lines = []
    steps = _steps(readiness, left)
    runner = GraphRunner(settings, progress) if steps else None
    for number, step in enumerate(steps, 1):
        assert runner is not None  # there are steps
        progress(f"step {number} of {len(steps)}: {', '.join(step.assets)} {step.window or ''}".rstrip())
        tags = {"omni/backfill": backfill.id, "omni/requested_by": backfill.requested_by}
        result = runner.run(step.window, step.assets, is_forced=backfill.is_forced, tags=tags)
        lines += [f"{step.window or step.assets}: {failure}" for failure in result.failures]
    readiness = readiness_now(settings, graph, ledger)
    not_ready = [v for target in backfill.targets if not (v := readiness.verdict(*target)).is_ready]
    ledger.finish_backfill(backfill.id, "incomplete" if not_ready else "ready", datetime.now(UTC))
    return BackfillResult(backfill, lines, not_ready)


def _steps(readiness: Readiness, left: Collection[Target]) -> list[Step]:
    graph = readiness.graph

    def is_free(target: Target) -> bool:
        return graph[target[0]].is_partitioned and readiness.verdict(*target).is_void

    return plan_steps(set(left), list(graph.nodes), is_free=is_free)


def _is_done(readiness: Readiness, target: Target, since: datetime) -> bool:
    item = readiness.materializations.get(target)
    evidence = readiness.verdict(*target).evidence
    is_outdated = bool(evidence.changed_inputs or evidence.changed_logic or evidence.foreign_write)
    return item is not None and item.committed_at >= since and not is_outdated
