"""The sensor that looks for new and changed manifests and source files, and asks for runs over exactly their days.

It looks as `omni run` does, and wants what `omni run` would compute. A state of a range is asked for once: where a run
has failed and changed nothing, another one would, too. Off until somebody turns it on.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from lakehouse.unicode_text import escaped
from orchestration.graph.bronze_assets import LoadConfig
from orchestration.graph.partitions import range_tags, window_of_tags
from orchestration.instance.live_runs import fail_dead_runs
from orchestration.readiness.mending import state_of, windows_to_mend
from orchestration.readiness.readiness import open_readiness

if TYPE_CHECKING:  # what `dg.define_asset_job` returns: not exported, and no public name stands for it
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

ARRIVALS_SENSOR = "arrivals_sensor"

RUN_KEY_TAG = "dagster/run_key"
"""Tag by which Dagster knows which request a run was made for."""

_RELOAD = "next: reload the code location (an earlier OMNI_PARTITION_START spares it), or: omni run"
_INTERVAL_SECONDS = 120
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_arrivals_sensor(
    settings: LakehouseSettings, job: "UnresolvedAssetJobDefinition", partitions: dg.DailyPartitionsDefinition
) -> dg.SensorDefinition:
    """The sensor of one lakehouse; `partitions` are the days that Dagster knew when it loaded the code."""

    @dg.sensor(
        name=ARRIVALS_SENSOR,
        job=job,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Looks for new and changed manifests and files; runs the days that they touch.",
    )
    def arrivals_sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        from loaders.ingest import refresh  # engines are imported by what uses them: to draw the graph takes none

        fail_dead_runs(context.instance, settings.dagster_home)
        problems = refresh(settings).problems
        for problem in problems:
            context.log.warning(escaped(problem))
        readiness = open_readiness(settings)
        windows = windows_to_mend(readiness)
        waiting, requests = list[str](), list[dg.RunRequest]()
        for window in windows:
            known = _known_days(partitions, window)
            if known != window:
                waiting.append(f"{window}: not all of these days are partitions that Dagster has loaded; {_RELOAD}")
            if known is None:
                continue
            key = f"{known}:{state_of(readiness, known)}"
            if reason := _obstacle(context.instance, known, key):
                waiting.append(f"{known}: {reason}")
            else:
                requests.append(_request(bronze_contracts(settings), known, key))
        yield from requests
        if not requests:
            nothing_new = ["nothing new: every partition that can be computed is up to date"]
            yield dg.SkipReason("; ".join([*(waiting or nothing_new), *problems]))
        else:
            for line in waiting:
                context.log.info(line)

    return arrivals_sensor


def _known_days(partitions: dg.DailyPartitionsDefinition, window: Window) -> Window | None:
    """The days of a window that Dagster takes: its partitions begin and end where they did when it loaded the code."""
    known = set(partitions.get_partition_keys()) & set(window.keys)
    return Window.of_keys(min(known), max(known)) if known else None


def _request(assets: Iterable[str], window: Window, key: str) -> dg.RunRequest:
    ops = {name: LoadConfig(reload_unchanged=False) for name in assets}
    tags: Mapping[str, str] = {**range_tags(window), "omni/requested_by": ARRIVALS_SENSOR}
    return dg.RunRequest(run_key=key, run_config=dg.RunConfig(ops=dict(ops)), tags=tags)


def _obstacle(instance: dg.DagsterInstance, window: Window, key: str) -> str | None:
    """Why no run is asked for: one is at work on these days, or this state was asked for before."""
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        theirs = window_of_tags(run.tags)
        if theirs is not None and theirs.overlaps(window):
            return f"run {run.run_id} is {run.status.value.lower().replace('_', ' ')}"
    earlier = instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: key}), limit=1)
    if earlier:
        ended = earlier[0].status.value.lower()
        return f"asked for in this state before, run {earlier[0].run_id}: {ended}; next: look at it, then: omni run"
    return None
