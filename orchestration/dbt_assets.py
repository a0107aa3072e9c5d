"""Silver and Gold as Dagster assets: specs, checks and selection from dagster-dbt, evidence from the ledger.

dbt itself writes the tables and the ledger, from the graph as from a shell. Over a range of days dagster-dbt would
stamp the range's totals on every day, so what is reported here per day is read from the ledger.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, dbt_assets

from lakehouse.evidence import CheckResult, Materialization
from lakehouse.ledger import open_ledger
from lakehouse.partitions import ONE_DAY, WHOLE, Window, parse_day
from lakehouse.settings import LakehouseSettings
from orchestration.asset_graph import AssetGraph, dbt_environment, ensure_dbt_manifest
from orchestration.dagster_events import OWNERS, partition_metadata, report_check


class OmniDbtTranslator(DagsterDbtTranslator):
    """dbt nodes in the words of this project: an asset is named by its table, whatever its schema.

    Dagster allows one partition mapping per upstream asset of a definition, and all models are one definition, so that
    one dbt process builds them. Dagster therefore draws same-day edges where a model reads every day up to its own;
    the verdicts know better (`lakehouse.lineage`).
    """

    def __init__(self, graph: AssetGraph, partitions: dg.DailyPartitionsDefinition) -> None:
        """Take the partitions from the asset graph, so that Dagster and the verdicts agree."""
        super().__init__(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True))
        self._graph, self._partitions = graph, partitions

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """The table's name."""
        return dg.AssetKey(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The schema: silver or gold."""
        return str(dbt_resource_props["schema"])

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """The team that answers for all of it."""
        return OWNERS

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """The layer, beside dbt's own tags."""
        return {**super().get_tags(dbt_resource_props), "layer": str(dbt_resource_props["schema"])}

    def get_partitions_def(self, dbt_resource_props: Mapping[str, Any]) -> dg.PartitionsDefinition[str] | None:
        """The one daily definition, for models that are partitioned."""
        node = self._graph.nodes.get(dbt_resource_props["name"])
        return self._partitions if node is not None and node.is_partitioned else None


def build_dbt_assets(
    settings: LakehouseSettings, graph: AssetGraph, partitions: dg.DailyPartitionsDefinition
) -> dg.AssetsDefinition:
    """All dbt models as one subsettable definition; a range of days is one dbt run."""

    @dbt_assets(
        manifest=ensure_dbt_manifest(settings),
        dagster_dbt_translator=OmniDbtTranslator(graph, partitions),
        backfill_policy=dg.BackfillPolicy.single_run(),
        name="dbt_models",
    )
    def dbt_models(context: dg.AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
        window = _window(context)
        arguments = ["build"]
        if window is not None:
            arguments += ["--event-time-start", str(window.first), "--event-time-end", str(window.end)]
        # dbt runs in a process of its own; the plugin there records what it writes under this run.
        with _environment(dbt_environment(settings) | {"OMNI_RUN_ID": context.run_id}):
            invocation = dbt.cli(arguments, context=context, raise_on_error=False, target_path=settings.dbt_target_dir)
        for event in invocation.stream_raw_events():
            _log(context, event.raw_event)
        yield from _events(context, settings, graph, window)
        if not invocation.is_successful():
            raise dg.Failure("dbt build failed; the checks and the log above say where")

    return dbt_models


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for a process that is started inside, and put the old ones back."""
    old = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(old)


def _log(context: dg.AssetExecutionContext, event: Mapping[str, Any]) -> None:
    """Pass on dbt's news: what it built, and what went wrong. Each line is a row in Dagster's database."""
    info, data = event["info"], event.get("data", {})
    if "Deprecat" in info["name"]:  # of dbt_project.yml, where docs/reference/dbt.md says why
        return
    if info["level"] in ("warn", "error"):
        context.log.warning(info["msg"])
    elif info["name"] == "LogModelResult":
        context.log.info("%s built in %.1f s", data["node_info"]["node_name"], data["execution_time"])


def _window(context: dg.AssetExecutionContext) -> Window | None:
    if not context.has_partition_key and not context.has_partition_key_range:
        return None
    keys = context.partition_key_range
    return Window(parse_day(keys.start), parse_day(keys.end) + ONE_DAY)


def _events(
    context: dg.AssetExecutionContext, settings: LakehouseSettings, graph: AssetGraph, window: Window | None
) -> Iterator[Any]:
    """Report what this run recorded: per day its metadata and check results, per asset one result that blocks."""
    ledger = open_ledger(settings)
    names = [key.to_user_string() for key in context.selected_asset_keys]
    selected = {(key.asset_key.to_user_string(), key.name) for key in context.selected_asset_check_keys}
    current = ledger.current_materializations({*names, *(asset for asset, _ in selected)})
    checks = ledger.current_checks([item.id for item in current.values()])
    for name in [name for name in graph.nodes if name in names]:
        keys = window.keys if window and graph[name].is_partitioned else [WHOLE]
        items = [current[name, key] for key in keys if (name, key) in current]
        written = [item for item in items if item.run_id == context.run_id]
        for item in written:
            if item.partition:
                context.add_asset_metadata(partition_metadata(item), asset_key=name, partition_key=item.partition)
        if written:
            whole = partition_metadata(written[0]) if written[0].partition == WHOLE else {}
            yield dg.MaterializeResult(asset_key=name, metadata=whole)
    by_asset = _by_asset(current, checks)
    for asset, check in sorted(selected):
        # Of this run only: where dbt ended early, an older result says nothing of what was written now.
        results = [r for r in by_asset.get(asset, []) if r.check == check and r.run_id == context.run_id]
        yield from _check_events(context, asset, check, results, window)


def _by_asset(
    current: dict[tuple[str, str], Materialization], checks: dict[int, list[CheckResult]]
) -> dict[str, list[CheckResult]]:
    found: dict[str, list[CheckResult]] = {}
    for (asset, _), item in current.items():
        found.setdefault(asset, []).extend(checks.get(item.id, []))
    return found


def _check_events(
    context: dg.AssetExecutionContext, asset: str, check: str, results: list[CheckResult], window: Window | None
) -> Iterator[Any]:
    """Evaluations of one check: one per day that fails, and one for the run, which blocks downstream."""
    wanted = set(window.keys) | {WHOLE} if window else None
    results = [result for result in results if wanted is None or result.partition in wanted]
    if not results:
        return
    for result in results:
        if result.partition and not result.passed:
            report_check(context, result)
    failed = [f"{result.partition}: {result.message}".strip(": ") for result in results if not result.passed]
    yield dg.AssetCheckResult(
        asset_key=asset,
        check_name=check,
        passed=not failed,
        severity=dg.AssetCheckSeverity[results[0].severity.upper()],
        metadata={"partitions": len(results), "failed": failed},
    )
