"""The main job from the command line: what has arrived, which days that touches, `ingest_all_job` over exactly these.

A run computes the partitions that are not ready and that a run can mend, in ranges of days, each range in one Dagster
run in this process. Nothing to mend: nothing is written.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from loaders.ingest import refresh
from orchestration.definitions import INGEST_ALL_JOB
from orchestration.readiness.mending import windows_to_mend
from orchestration.readiness.readiness import open_readiness
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
    windows = [window] if window else windows_to_mend(open_readiness(settings))
    if not windows:
        done = "nothing to do: every partition that can be computed is up to date; no data changed"
        return RunOutcome([*problems, done], not problems)
    runner = GraphRunner(settings, progress)
    lines, is_complete = problems, not problems
    for each in windows:
        progress(f"{INGEST_ALL_JOB} {each}")
        result = runner.run(each, reload_unchanged=window is not None)
        is_complete = is_complete and result.succeeded
        lines.append(f"{INGEST_ALL_JOB} {each}: {'succeeded' if result.succeeded else 'failed'} (run {result.run_id})")
        lines += [f"  {failure}" for failure in result.failures]
    return RunOutcome(lines, is_complete)
