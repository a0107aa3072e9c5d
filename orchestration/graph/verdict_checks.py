"""What verdicts say beside their status, as checks that warn: what has not come or cannot be read, what was accepted.

Evaluated by a job of its own (`orchestration.graph.schedules`): the question is most urgent when nothing arrives and no
run starts, and a person's word is given at any time. Judged by the verdicts, since a load from a shell counts as much
as a run here; Dagster's own freshness checks know of its own runs only.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import dagster as dg

from lakehouse.ledger.acceptances import accepted_together
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import BRONZE
from lakehouse.settings import LakehouseSettings
from loaders.manifests.expectation_files import expectations_in_force
from orchestration.readiness.asset_graph import AssetGraph, load_asset_graph
from orchestration.readiness.readiness import Readiness

ARRIVALS_CHECK, ACCEPTANCES_CHECK = "arrivals", "acceptances"
VERDICT_CHECKS = "verdict_checks"
"""Name of the step that evaluates them."""

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
