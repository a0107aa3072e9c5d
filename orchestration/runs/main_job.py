"""The main job from the command line: what has arrived, which days that touches, `ingest_all_job` over exactly these.

A run computes the partitions that are not ready and that a run can mend, in ranges of days, each range in one Dagster
run in this process; then those that it finds to be computed only by what it has built, such as the days without
tickets of a feed of documents. Nothing to mend: nothing is written.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lakehouse.counted import counted
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from loaders.ingest import refresh
from orchestration.dbt_launcher.forks import begin_server
from orchestration.definitions import INGEST_ALL_JOB
from orchestration.readiness.mending import windows_to_mend
from orchestration.readiness.readiness import Readiness, open_readiness
from orchestration.runs.graph_run import GraphRunner


@dataclass(frozen=True)
class RunOutcome:
    """What the main job did."""

    lines: list[str]
    is_complete: bool
    """Whether every run succeeded and no declared data is missing."""


def run_main_job(settings: LakehouseSettings, window: Window | None, progress: Callable[[str], None]) -> RunOutcome:
    """Run the main job over a window, or over what is not ready and can be mended."""
    problems = refresh(settings, progress).problems
    readiness = open_readiness(settings)
    windows = [window] if window else windows_to_mend(readiness)
    if not windows:
        return RunOutcome([*problems, _nothing_done(readiness)], not problems)
    begin_server()
    runner = GraphRunner(settings, progress)
    results = [_run(runner, each, progress, reload_unchanged=window is not None) for each in windows]
    if window is None:
        asked = {verdict.name for verdict in readiness.mendable()}
        more = windows_to_mend(open_readiness(settings), asked)
        results += [_run(runner, each, progress, reload_unchanged=False) for each in more]
    lines = [line for found, _ in results for line in found]
    return RunOutcome([*problems, *lines], not problems and all(succeeded for _, succeeded in results))


def _nothing_done(readiness: Readiness) -> str:
    verdicts = (verdict for name in readiness.graph.nodes for verdict in readiness.verdicts(name).values())
    left = sum(verdict.is_problem for verdict in verdicts)
    if not left:
        return "nothing to do: every partition that can be computed is up to date; no data changed"
    what = f"{counted(left, 'partition')} {'is' if left == 1 else 'are'} not ready"
    return f"{what}, and no run can mend that: below is why, and who can; no data changed"


def _run(
    runner: GraphRunner, window: Window, progress: Callable[[str], None], *, reload_unchanged: bool
) -> tuple[list[str], bool]:
    """One run of the graph: what it came to, for a person, and whether it succeeded."""
    progress(f"{INGEST_ALL_JOB} {window}")
    result = runner.run(window, reload_unchanged=reload_unchanged)
    ended = "succeeded" if result.succeeded else "failed"
    lines = [f"{INGEST_ALL_JOB} {window}: {ended} (run {result.run_id})", *(f"  {each}" for each in result.failures)]
    return lines, result.succeeded
