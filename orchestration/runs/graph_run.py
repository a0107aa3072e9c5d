"""Runs of the graph in this process, on the Dagster instance under OMNI_HOME: the page shows them like any other."""

import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from orchestration.definitions import INGEST_ALL_JOB, build_definitions
from orchestration.graph.bronze_assets import LoadConfig
from orchestration.graph.dbt_assets import DBT_MODELS, BuildConfig
from orchestration.graph.partitions import range_tags
from orchestration.instance.home import dagster_environment
from orchestration.instance.live_runs import LiveProcess, fail_dead_runs
from orchestration.instance.mirror import mirror
from orchestration.instance.sqlite_events import open_instance
from orchestration.readiness.asset_graph import load_asset_graph

_OF_THE_REPOSITORY = {".dagster/repository": "__repository__@orchestration.definitions"}
"""Tag by which Dagster's pages count a run for a job of a code location: it gives it to the runs that it launches."""


@dataclass(frozen=True)
class RunResult:
    """What one run came to."""

    run_id: str
    succeeded: bool
    failures: list[str]
    """Step and innermost cause, each line of it."""


class GraphRunner:
    """Runs `ingest_all_job`, or a part of it, over windows; the definitions are built once."""

    def __init__(self, settings: LakehouseSettings, progress: Callable[[str], None]) -> None:
        """Open the instance; `progress` is told what the assets themselves say."""
        self._bronze = bronze_contracts(settings).keys()
        dagster_environment(settings)
        self._instance = open_instance(settings.dagster_home)
        weakref.finalize(self, self._instance.dispose)  # at the end of the process at the latest
        fail_dead_runs(self._instance, settings.dagster_home)
        self._process = LiveProcess(settings.dagster_home)
        self._settings, self._graph = settings, load_asset_graph(settings)
        mirror(settings, self._graph, self._instance)
        definitions = build_definitions(settings, loggers={"progress": _progress_logger(progress)})
        self._job = definitions.resolve_job_def(INGEST_ALL_JOB)

    def run(
        self,
        window: Window | None,
        assets: Sequence[str] | None = None,
        *,
        reload_unchanged: bool = True,
        is_forced: bool = False,
        tags: Mapping[str, str] | None = None,
    ) -> RunResult:
        """Run the assets, or all of them, over a window; a failure is an answer, not an exception."""
        configs: dict[str, dg.Config] = {name: LoadConfig(reload_unchanged=reload_unchanged) for name in self._bronze}
        configs[DBT_MODELS] = BuildConfig(force=is_forced)
        if assets is not None:
            is_dbt = not set(assets) <= self._bronze
            configs = {name: c for name, c in configs.items() if name in assets or (name == DBT_MODELS and is_dbt)}
        result = self._job.execute_in_process(
            instance=self._instance,
            tags={**_OF_THE_REPOSITORY, **self._process.tags, **(range_tags(window) if window else {}), **(tags or {})},
            run_config=dg.RunConfig(ops=configs, loggers={"progress": {}}),
            asset_selection=[dg.AssetKey(name) for name in assets] if assets is not None else None,
            raise_on_error=False,
        )
        if assets is not None or not result.success:  # else the last step has, and nothing is written after it
            mirror(self._settings, self._graph, self._instance)
        failed = [(event.step_key, _cause(event)) for event in result.get_step_failure_events()]
        failures = [f"{step}: {line}" for step, cause in failed for line in cause.splitlines()]
        return RunResult(result.run_id, result.success, failures)


def _cause(event: dg.DagsterEvent) -> str:
    """The innermost message of a step's failure."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip().removeprefix("dagster._core.definitions.events.Failure: ") if error else "failed"


def _progress_logger(progress: Callable[[str], None]) -> dg.LoggerDefinition:
    """A Dagster logger that passes on what the assets themselves say, and none of Dagster's own events."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            meta = getattr(record, "dagster_meta", {})
            if meta.get("dagster_event") is None and meta.get("step_key"):
                progress(str(meta["orig_message"]))

    def make(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("omni.progress", logging.INFO)
        logger.addHandler(Handler())
        return logger

    return dg.LoggerDefinition(make)
