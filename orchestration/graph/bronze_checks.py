"""The checks that the loaders run, of each Bronze asset, as a step of its own: it fails for the days that are not fit.

The days of a range are fit or not one by one. So the step that loads them ends well, and none of these checks blocks:
what is downstream holds back the bad days by itself (`orchestration.readiness.gate`) and builds the others.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.kinds import CHECKS, Severity
from lakehouse.ledger.evidence import CheckResult
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import said_once
from lakehouse.settings import LakehouseSettings
from orchestration.graph.dagster_events import days_refused, nothing_to_check, report_checks, report_failed
from orchestration.graph.partitions import window_of_tags


def checks_step(asset: str) -> str:
    """Name of the step."""
    return f"{asset}_checks"


def lines_of(asset: str, unfit: Mapping[str, str]) -> str:
    """What a step that fails for days says, and why it does."""
    return "\n".join(f"{days}: {why}" for days, why in said_once((asset, *each) for each in sorted(unfit.items())))


def build_bronze_checks(
    settings: LakehouseSettings, name: str, partitions: dg.DailyPartitionsDefinition
) -> dg.AssetChecksDefinition:
    """The step of one asset."""
    severities = bronze_contracts(settings)[name].checks
    specs = [
        dg.AssetCheckSpec(check, asset=name, description=CHECKS[check].description, partitions_def=partitions)
        for check in severities
    ]

    @dg.multi_asset_check(name=checks_step(name), specs=specs, can_subset=True)
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[Any]:
        window = window_of_tags(context.run.tags)
        days = window.keys if window else []
        chosen = {key.name: severities[key.name] for key in context.selected_asset_check_keys}
        refused = days_refused(context, name)
        results = [
            *_found(settings, name, [day for day in days if day not in refused], chosen, context.run.run_id),
            *_of_refused(name, refused, chosen, context.run.run_id),
        ]
        report_checks(context, results)
        failed = [result for result in results if not result.passed]
        bad = {r.partition: r.message for r in failed if r.severity == "error" and r.partition not in refused}
        report_failed(context, name, sorted({*bad, *refused}))
        for check, severity in chosen.items():
            yield dg.AssetCheckResult(
                asset_key=name,
                check_name=check,
                passed=not any(result.check == check for result in failed),
                severity=dg.AssetCheckSeverity(severity.upper()),
                metadata={
                    "days": len(days),
                    "failed": [f"{r.partition}: {r.message}" for r in failed if r.check == check],
                },
            )
        if bad or refused:
            raise dg.Failure(lines_of(name, bad | {day: f"refused: {why}" for day, why in refused.items()}))

    return checks


def _found(
    settings: LakehouseSettings, asset: str, days: list[str], checks: Mapping[str, Severity], run_id: str
) -> Iterator[CheckResult]:
    """What the ledger has on these days: nothing of one that was not loaded, or not looked at, which has not passed."""
    ledger, now = open_ledger(settings), datetime.now(UTC)
    current, coverage = ledger.current_materializations([asset]), ledger.coverage(asset)
    ids = {day: current[asset, day].id for day in days if (asset, day) in current}
    results = ledger.current_checks(ids.values())
    for day in days:
        if day not in ids and (asset, day) not in coverage:
            yield from nothing_to_check(asset, [day], checks, run_id)
            continue
        seen = {result.check: result for result in results.get(ids.get(day, 0), ())}
        for check, severity in checks.items():
            has_not_run = CheckResult(asset, day, check, severity, False, "has not run", 0, now, run_id)
            yield seen.get(check, has_not_run)


def _of_refused(
    asset: str, refused: Mapping[str, str], checks: Mapping[str, Severity], run_id: str
) -> Iterator[CheckResult]:
    """Results for refused days, for Dagster alone: there the last ones, of the old rows, would go on to be shown."""
    now = datetime.now(UTC)
    for day, why in sorted(refused.items()):
        for check, severity in checks.items():
            yield CheckResult(asset, day, check, severity, False, f"refused: {why}", 0, now, run_id)
