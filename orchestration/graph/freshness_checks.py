"""Freshness in Dagster: a check that warns, on each asset with a rhythm.

Evaluated by a job of its own (`orchestration.graph.schedules`): the question is most urgent when nothing arrives and no
run starts. Judged by the ledger, since a load from a shell counts as much as a run here; Dagster's own freshness checks
know of its own runs only.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings
from orchestration.readiness.freshness import expected_hours, read_freshness

FRESHNESS_CHECK = "freshness"


def build_freshness_checks(
    settings: LakehouseSettings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[dg.AssetChecksDefinition]:
    """One check per asset that OMNI_EXPECTED_WITHIN_HOURS names."""
    return [_check(settings, asset, hours, clock) for asset, hours in expected_hours(settings).items()]


def _check(
    settings: LakehouseSettings, asset: str, hours: int, clock: Callable[[], datetime]
) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=FRESHNESS_CHECK,
        description=f"No day lacks that ended {hours} hours ago (OMNI_EXPECTED_WITHIN_HOURS).",
    )
    def freshness() -> dg.AssetCheckResult:
        found = [each for each in read_freshness(settings, open_ledger(settings), clock()) if each.asset == asset]
        if not found:
            text = "nothing has ever arrived"
            return dg.AssetCheckResult(passed=True, severity=dg.AssetCheckSeverity.WARN, metadata={"message": text})
        judged = found[0]
        return dg.AssetCheckResult(
            passed=not judged.is_late,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "message": judged.message,
                "expected_day": judged.due.isoformat(),
                "latest_arrived": judged.arrived.isoformat(),
                "latest_loaded": judged.loaded.isoformat() if judged.loaded else None,
            },
        )

    return freshness
