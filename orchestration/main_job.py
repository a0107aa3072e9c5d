"""The main job from the command line: what has arrived, which days that touches, `ingest_all_job` over exactly these.

A run computes the partitions that are not ready and that a run can mend, in ranges of days, each range in one Dagster
run in this process. Nothing to mend: nothing is written.
"""

from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg

from lakehouse.ledger import open_ledger
from lakehouse.partitions import WHOLE, Window, contiguous_windows
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables import BRONZE_ASSETS
from loaders.ingest import refresh
from orchestration.asset_graph import load_asset_graph
from orchestration.bronze_assets import LoadConfig
from orchestration.definitions import INGEST_ALL_JOB, build_definitions
from orchestration.partitions import range_tags
from orchestration.readiness import Readiness


@dataclass(frozen=True)
class RunOutcome:
    """What the main job did."""

    lines: list[str]
    is_complete: bool
    """Whether every run succeeded and no declared data is missing."""


def run_main_job(settings: LakehouseSettings, window: Window | None, progress: Callable[[str], None]) -> RunOutcome:
    """Run the main job over a window, or over what is not ready and can be mended."""
    problems = refresh(settings, progress)
    windows = [window] if window else _windows_to_mend(settings)
    if not windows:
        done = "nothing to do: every partition that can be computed is up to date; no data changed"
        return RunOutcome([*problems, done], not problems)
    instance = dg.DagsterInstance.from_config(dagster_environment(settings)["DAGSTER_HOME"])
    job = build_definitions(settings).resolve_job_def(INGEST_ALL_JOB)
    lines, is_complete = problems, not problems
    for each in windows:
        progress(f"{INGEST_ALL_JOB} {each}")
        result = job.execute_in_process(
            instance=instance,
            tags=range_tags(each),
            run_config=dg.RunConfig(
                ops={name: LoadConfig(reload_unchanged=window is not None) for name in BRONZE_ASSETS}
            ),
            raise_on_error=False,
        )
        is_complete = is_complete and result.success
        lines.append(f"{INGEST_ALL_JOB} {each}: {'succeeded' if result.success else 'failed'} (run {result.run_id})")
    return RunOutcome(lines, is_complete)


def dagster_environment(settings: LakehouseSettings) -> dict[str, str]:
    """Environment that makes Dagster's own commands use the instance under OMNI_HOME, prepared on first use."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text((PROJECT_ROOT / "infra" / "dagster" / "dagster.yaml").read_text("utf-8"), "utf-8")
    return {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "true"}


def _windows_to_mend(settings: LakehouseSettings) -> list[Window]:
    readiness = Readiness(load_asset_graph(settings), open_ledger(settings))
    mendable = [verdict.partition for verdict in readiness.mendable()]
    days = [key for key in mendable if key != WHOLE] or (readiness.days()[-1:] if mendable else [])
    return contiguous_windows(days)
