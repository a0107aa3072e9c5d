"""The main job from the command line: what has arrived, which days that touches, `ingest_all_job` over exactly these.

A run computes the partitions that are not ready and that a run can mend, in ranges of days, each range in one Dagster
run in this process. Nothing to mend: nothing is written.
"""

import logging
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass

import dagster as dg

from lakehouse.assets import BRONZE_ASSETS
from lakehouse.ledger import open_ledger
from lakehouse.partitions import WHOLE, Window, contiguous_windows
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
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
    problems = refresh(settings, progress).problems
    windows = [window] if window else _windows_to_mend(settings)
    if not windows:
        done = "nothing to do: every partition that can be computed is up to date; no data changed"
        return RunOutcome([*problems, done], not problems)
    instance = dg.DagsterInstance.from_config(dagster_environment(settings)["DAGSTER_HOME"])
    job = build_definitions(settings, loggers={"progress": progress_logger(progress)}).resolve_job_def(INGEST_ALL_JOB)
    lines, is_complete = problems, not problems
    log = settings.home / "dbt" / "logs" / "last-run.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    for each in windows:
        progress(f"{INGEST_ALL_JOB} {each}")
        with (
            log.open("a", encoding="utf-8") as stream,
            redirect_stdout(stream),
        ):  # dagster-dbt echoes all of dbt's output
            result = job.execute_in_process(
                instance=instance,
                tags=range_tags(each),
                run_config=dg.RunConfig(
                    ops={name: LoadConfig(reload_unchanged=window is not None) for name in BRONZE_ASSETS},
                    loggers={"progress": {}},
                ),
                raise_on_error=False,
            )
        is_complete = is_complete and result.success
        lines.append(f"{INGEST_ALL_JOB} {each}: {'succeeded' if result.success else 'failed'} (run {result.run_id})")
        lines += [f"  {event.step_key}: {_cause(event)}" for event in result.get_step_failure_events()]
    return RunOutcome(lines, is_complete)


def dagster_environment(settings: LakehouseSettings) -> dict[str, str]:
    """Environment that makes Dagster's own commands use the instance under OMNI_HOME, prepared on first use."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text((PROJECT_ROOT / "infra" / "dagster" / "dagster.yaml").read_text("utf-8"), "utf-8")
    return {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "true"}


def _cause(event: dg.DagsterEvent) -> str:
    """The innermost message of a step's failure."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "failed"


def progress_logger(progress: Callable[[str], None]) -> dg.LoggerDefinition:
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


def _windows_to_mend(settings: LakehouseSettings) -> list[Window]:
    readiness = Readiness(load_asset_graph(settings), open_ledger(settings))
    mendable = [verdict.partition for verdict in readiness.mendable()]
    days = [key for key in mendable if key != WHOLE] or (readiness.days()[-1:] if mendable else [])
    # Days on which nothing is expected cost nothing inside a range; a range of its own would cost a dbt process.
    return contiguous_windows(days, apart=readiness.days_with_data(), bridged_days=7)
