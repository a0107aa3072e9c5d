"""Verdicts as checks: `verdict` of each partition; and what they say beside their status, of each asset.

`verdict` is evaluated by the mirror, without a run, whenever it is another one. A person who executes it all the same,
alone or with its asset, asks for that at once.

What has not come or cannot be read, and what was accepted, are checks that warn, evaluated by a job of its own
(`orchestration.graph.schedules`): the question is most urgent when nothing arrives and no run starts, and a person's
word is given at any time. Judged by the verdicts, since a load from a shell counts as much as a run here; Dagster's own
freshness checks know of its own runs only.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from lakehouse.ledger.acceptances import accepted_together
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import BRONZE
from lakehouse.partitions import WHOLE
from lakehouse.settings import LakehouseSettings
from loaders.manifests.expectation_files import expectations_in_force
from orchestration.graph.dagster_events import step_of
from orchestration.graph.partitions import window_of_tags
from orchestration.instance.ledger_events import VERDICT_CHECK, verdict_evaluation
from orchestration.instance.mirror import mirror
from orchestration.readiness.asset_graph import AssetGraph, load_asset_graph
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.verdicts import Verdict

ARRIVALS_CHECK, ACCEPTANCES_CHECK = "arrivals", "acceptances"
VERDICT_CHECKS, VERDICTS = "verdict_checks", "verdicts"
"""Names of the steps that evaluate them, and that show verdicts on demand."""

_SAFE = "It is safe to consume: its verdict is READY or EMPTY. As `omni ready` says."

_DESCRIPTIONS = {
    ARRIVALS_CHECK: "No day lacks that an expectation says is due, and no file is unreadable whose days nobody knows.",
    ACCEPTANCES_CHECK: "No partition stands on a person's word that what an older logic computed may.",
}
_SHOWN = 20


def build_verdict_checks(
    settings: LakehouseSettings, graph: AssetGraph, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> dg.AssetChecksDefinition:
    """One check per asset: `arrivals` of what sources fill, `acceptances` of what a logic computes."""
    specs = [
        dg.AssetCheckSpec(check, asset=node.name, description=_DESCRIPTIONS[check])
        for node in graph.nodes.values()
        for check in [ARRIVALS_CHECK if node.layer == BRONZE else ACCEPTANCES_CHECK]
    ]

    @dg.multi_asset_check(name=VERDICT_CHECKS, specs=specs, can_subset=True)
    def verdict_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        ledger = open_ledger(settings)
        expectations = expectations_in_force(settings, ledger)
        readiness = Readiness(load_asset_graph(settings), ledger, clock(), expectations)
        for key in sorted(context.selected_asset_check_keys):
            judge = _arrivals if key.name == ARRIVALS_CHECK else _acceptances
            yield judge(readiness, key.asset_key.to_user_string())

    return verdict_checks


def _arrivals(readiness: Readiness, asset: str) -> dg.AssetCheckResult:
    awaited = [(v.partition, each) for v in readiness.verdicts(asset).values() for each in v.evidence.awaited]
    due = [f"{day}: {each.reason}" for day, each in awaited if each.is_due]
    undated = readiness.warnings.get(asset, ())
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=ARRIVALS_CHECK,
        passed=not due and not undated,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "due": due[-_SHOWN:],
            "days_due": len(due),
            "pending": [f"{day}: {each.reason}" for day, each in awaited if not each.is_due][:_SHOWN],
            "unreadable": list(undated),
        },
    )


def _acceptances(readiness: Readiness, asset: str) -> dg.AssetCheckResult:
    found = [word for v in readiness.verdicts(asset).values() if (word := v.evidence.acceptance)]
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=ACCEPTANCES_CHECK,
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"accepted": [each.said for each in accepted_together(found)], "partitions_accepted": len(found)},
    )


def build_verdicts(
    settings: LakehouseSettings, graph: AssetGraph, partitions: dg.DailyPartitionsDefinition
) -> dg.AssetChecksDefinition:
    """The check `verdict` of every asset."""
    specs = [
        dg.AssetCheckSpec(
            VERDICT_CHECK,
            asset=node.name,
            description=_SAFE,
            partitions_def=partitions if node.is_partitioned else None,
        )
        for node in graph.nodes.values()
    ]

    @dg.multi_asset_check(name=VERDICTS, specs=specs, can_subset=True)
    def verdicts(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        window = window_of_tags(context.run.tags)
        days = window.keys if window else []
        readiness = mirror(settings, graph, context.instance, step_of(context), again=[WHOLE, *days]).readiness
        for asset in sorted(key.asset_key.to_user_string() for key in context.selected_asset_check_keys):
            keys = days if graph[asset].is_partitioned else [WHOLE]
            yield _together(graph, [readiness.verdict(asset, key) for key in keys])

    return verdicts


def _together(graph: AssetGraph, verdicts: list[Verdict]) -> dg.AssetCheckResult:
    """The result of a run: of one partition its verdict, of several those that are not safe."""
    told = [verdict_evaluation(graph, verdict, None) for verdict in verdicts]
    failed = [each for each in told if not each.passed]
    is_wrong = any(each.severity is dg.AssetCheckSeverity.ERROR for each in failed)
    not_safe: dict[str, Any] = {"not_safe": [f"{each.partition}: {each.description}" for each in failed]}
    return dg.AssetCheckResult(
        asset_key=verdicts[0].asset,
        check_name=VERDICT_CHECK,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if is_wrong else dg.AssetCheckSeverity.WARN,
        metadata=told[0].metadata if len(told) == 1 else not_safe,
        description=told[0].description if len(told) == 1 else f"{len(failed)} of {len(told)} are not safe to consume",
    )
