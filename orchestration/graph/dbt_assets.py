"""Silver and Gold as Dagster assets, with the checks that dbt runs: its tests and unit tests; evidence from the ledger.

dbt itself writes the tables and the ledger, from the graph as from a shell. What is reported here per day is read from
the ledger. A range is built in as few invocations of dbt as hold back the bad days and nothing else
(`orchestration.planning.build_plan`).
"""

from collections.abc import Iterator, Set
from typing import Any

import dagster as dg

from lakehouse.dbt.declared import read_declared
from lakehouse.dbt.unit_tests import need_not_run
from lakehouse.ledger.evidence import CheckResult
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.namespaces import BRONZE
from lakehouse.partitions import ONE_DAY, WHOLE, Window, parse_day
from lakehouse.settings import LakehouseSettings
from orchestration.dbt_launcher.process import DbtOutcome, Event, run_dbt
from orchestration.graph.dagster_events import (
    WRITES,
    done,
    is_in_run,
    nothing_to_check,
    report_checks,
    report_failed,
    step_of,
)
from orchestration.graph.dbt_specs import OmniDbtTranslator, model_specs
from orchestration.graph.verdict_checks import VERDICTS
from orchestration.instance.mirror import mirror
from orchestration.planning.build_plan import BuildPlan, held_back_lines, plan_build
from orchestration.planning.steps import Step
from orchestration.readiness.asset_graph import AssetGraph
from orchestration.readiness.gate import Gate
from orchestration.readiness.readiness import readiness_now

DBT_MODELS = "dbt_models"
"""Name of the step that runs dbt."""


class BuildConfig(dg.Config):
    """What an operator may change per run."""

    force: bool = False
    """Build upon what is not ready, too; what is built says so."""


def build_dbt_assets(
    settings: LakehouseSettings, graph: AssetGraph, partitions: dg.DailyPartitionsDefinition
) -> dg.AssetsDefinition:
    """All dbt models as one subsettable definition."""

    @dg.multi_asset(
        name=DBT_MODELS,
        specs=model_specs(settings, OmniDbtTranslator(graph, partitions)),
        check_specs=list(_check_specs(graph, partitions)),
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        allow_arbitrary_check_specs=True,  # those of sources
        pool=WRITES,
    )
    def dbt_models(context: dg.AssetExecutionContext, config: BuildConfig) -> Iterator[Any]:
        window = _window(context)
        build = _Build(context, settings, graph, window, config.force)
        build.run()
        yield from _events(context, settings, graph, window)
        if build.problems or not is_in_run(context, VERDICTS):  # else that step does, which comes after this one
            mirror(settings, graph, context.instance, step_of(context))
        if build.problems:
            raise dg.Failure("\n".join(build.problems))

    return dbt_models


class _Build:
    """One run's build: dbt, again, until nothing is left that can be built."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        settings: LakehouseSettings,
        graph: AssetGraph,
        window: Window | None,
        is_forced: bool,
    ) -> None:
        self._context, self._settings, self._graph, self._window = context, settings, graph, window
        self._is_forced = is_forced
        self._models = {key.to_user_string() for key in context.selected_asset_keys}
        self._checks: dict[str, list[str]] = {}
        for key in context.selected_asset_check_keys:
            self._checks.setdefault(key.asset_key.to_user_string(), []).append(key.name)
        self.problems: list[str] = []

    def run(self) -> None:
        """Build step after step, and plan anew after each: what it found may hold back days of the next."""
        ledger, broken, tried = open_ledger(self._settings), set[str](), list[Step]()
        plan = self._plan(ledger, broken)
        if not self._models:
            plan = BuildPlan([Step((), self._window)], {})
        while (step := next((step for step in plan.steps if step not in tried), None)) is not None:
            tried.append(step)
            outcome = self._invoke(step)
            broken |= outcome.broken
            if not outcome.succeeded:
                self.problems[:] = ["dbt build failed; the checks and the log above say where"]
            plan = self._plan(ledger, broken)
        self.problems += held_back_lines(plan.held_back)

    def _plan(self, ledger: Ledger, broken: set[str]) -> BuildPlan:
        readiness = readiness_now(self._settings, self._graph, ledger)
        done = {target for target, item in readiness.materializations.items() if item.run_id == self._context.run_id}
        gate = Gate(readiness, self._window, self._checks, self._context.run_id, self._is_forced)
        return plan_build(gate, self._models, done, broken)

    def _invoke(self, step: Step) -> DbtOutcome:
        elsewhere = [name for asset, names in self._checks.items() if asset not in self._models for name in names]
        arguments = ["build", "--select", *step.assets, *elsewhere]
        if need_not_run(self._settings, read_declared(self._settings), step.assets, elsewhere):
            arguments += ["--exclude-resource-type", "unit_test"]
        if self._is_forced:
            arguments += ["--vars", "force: true"]
        return run_dbt(self._settings, arguments, window=step.window, run_id=self._context.run_id, on_event=self._log)

    def _log(self, event: Event) -> None:
        """Pass on dbt's news: what it built, and what went wrong. Each line is a row in Dagster's database."""
        info, data = event["info"], event.get("data", {})
        if info["level"] in ("warn", "error"):
            self._context.log.warning(info["msg"])
        elif info["name"] == "LogModelResult":
            self._context.log.info("%s built in %.1f s", data["node_info"]["node_name"], data["execution_time"])


def _check_specs(graph: AssetGraph, partitions: dg.DailyPartitionsDefinition) -> Iterator[dg.AssetCheckSpec]:
    """Dbt's tests and unit tests, of models and of sources."""
    for node in graph.nodes.values():
        for name, severity in node.checks.items():
            if name not in node.loader_checks:
                yield dg.AssetCheckSpec(
                    name,
                    asset=node.name,
                    description=node.check_descriptions[name],
                    blocking=severity == "error",
                    partitions_def=partitions if node.is_partitioned else None,
                )


def _window(context: dg.AssetExecutionContext) -> Window | None:
    if not context.has_partition_key and not context.has_partition_key_range:
        return None
    keys = context.partition_key_range
    return Window(parse_day(keys.start), parse_day(keys.end) + ONE_DAY)


def _events(
    context: dg.AssetExecutionContext,
    settings: LakehouseSettings,
    graph: AssetGraph,
    window: Window | None,
) -> Iterator[Any]:
    """Report what this run recorded: per day its metadata and check results, per asset one result that blocks."""
    ledger = open_ledger(settings)
    names = [key.to_user_string() for key in context.selected_asset_keys]
    selected = {(key.asset_key.to_user_string(), key.name) for key in context.selected_asset_check_keys}
    current = ledger.current_materializations({*names, *(asset for asset, _ in selected)})
    checks = ledger.current_checks([item.id for item in current.values()])
    readiness = mirror(settings, graph, context.instance, step_of(context), names).readiness
    written = {asset for (asset, _), item in current.items() if item.run_id == context.run_id}
    yield from (done(name) for name in graph.nodes if name in names and name in written)
    inside = {*(window.keys if window else ()), WHOLE}
    # Of this run only: where dbt ended early, an older result says nothing of what was written now.
    own = (r for found in checks.values() for r in found if r.run_id == context.run_id and r.partition in inside)
    results = [r for r in own if (r.asset, r.check) in selected]
    empty = _nothing_to_check(context, graph, ledger, window, current.keys(), selected)
    report_checks(context, [result for result in results if result.partition] + empty)
    for asset in names:
        failed = {r.partition for r in results if r.asset == asset and not r.passed and r.severity == "error"}
        report_failed(context, asset, sorted(failed - {WHOLE}))
    days = window.keys if window else []
    for asset, check in sorted(selected):
        keys = days if graph[asset].is_partitioned else [WHOLE]
        is_void = all(readiness.verdict(asset, key).is_void for key in keys)
        yield _check_result(asset, check, [r for r in results if (r.asset, r.check) == (asset, check)], is_void)


def _nothing_to_check(
    context: dg.AssetExecutionContext,
    graph: AssetGraph,
    ledger: Ledger,
    window: Window | None,
    written: Set[tuple[str, str]],
    selected: Set[tuple[str, str]],
) -> list[CheckResult]:
    """Dbt's tests of Bronze on the days of the window on which nothing is expected there and nothing is."""
    found: list[CheckResult] = []
    for asset in {asset for asset, _ in selected if graph[asset].layer == BRONZE}:
        known = written | ledger.coverage(asset).keys()
        empty = [day for day in (window.keys if window else ()) if (asset, day) not in known]
        found += nothing_to_check(asset, empty, [check for a, check in selected if a == asset], context.run_id)
    return found


def _check_result(asset: str, check: str, results: list[CheckResult], is_void: bool) -> dg.AssetCheckResult:
    """The result of one check over the run, which blocks downstream; one that has not run warns, unless on nothing."""
    if not results:
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=check,
            passed=is_void,
            severity=dg.AssetCheckSeverity.WARN,
            description="nothing is expected on these days" if is_void else "has not run",
        )
    failed = [f"{result.partition}: {result.message}".strip(": ") for result in results if not result.passed]
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=check,
        passed=not failed,
        severity=dg.AssetCheckSeverity[results[0].severity.upper()],
        metadata={"partitions": len(results), "failed": failed},
    )
