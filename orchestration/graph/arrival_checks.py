"""Arrivals in Dagster: a check that warns, on each asset that anything is expected of.

Evaluated by a job of its own (`orchestration.graph.schedules`): the question is most urgent when nothing arrives and no
run starts. Judged by the verdicts, since a load from a shell counts as much as a run here; Dagster's own freshness
checks know of its own runs only.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings
from loaders.manifests.expectation_files import expectations_in_force, load_expectations
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import Readiness

ARRIVALS_CHECK = "arrivals"
_SHOWN = 20


def build_arrival_checks(
    settings: LakehouseSettings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[dg.AssetChecksDefinition]:
    """One check per asset that an expectation names.

    Raises:
        ConfigurationError: a file of expectations is none.
    """
    return [_check(settings, asset, clock) for asset in sorted({each.asset for each in load_expectations(settings)})]


def _check(settings: LakehouseSettings, asset: str, clock: Callable[[], datetime]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=ARRIVALS_CHECK,
        description="No day lacks that an expectation says is due, and no file is unreadable whose days nobody knows.",
    )
    def arrivals() -> dg.AssetCheckResult:
        ledger = open_ledger(settings)
        expectations = expectations_in_force(settings, ledger)
        readiness = Readiness(load_asset_graph(settings), ledger, clock(), expectations)
        awaited = [
            (verdict.partition, each)
            for verdict in readiness.verdicts(asset).values()
            for each in verdict.evidence.awaited
        ]
        due = [f"{day}: {each.reason}" for day, each in awaited if each.is_due]
        undated = readiness.warnings.get(asset, ())
        return dg.AssetCheckResult(
            passed=not due and not undated,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "due": due[-_SHOWN:],
                "days_due": len(due),
                "pending": [f"{day}: {each.reason}" for day, each in awaited if not each.is_due][:_SHOWN],
                "unreadable": list(undated),
            },
        )

    return arrivals
