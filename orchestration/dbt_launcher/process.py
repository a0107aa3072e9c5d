"""One invocation of dbt for a run of the graph, its events as they come.

Not dagster-dbt's `DbtCliResource`: before dbt starts, that one asks `dbt --version` and loads the adapter, 5 seconds of
each run. Not in this process, because dbt keeps state in the process and Dagster's may run for days.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from typing import Any

from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from orchestration.dbt_launcher.forks import invoke_dbt
from orchestration.dbt_launcher.manifest import dbt_environment

Event = dict[str, Any]
"""A line of dbt's JSON log: `info` and `data`."""


@dataclass(frozen=True)
class DbtOutcome:
    """What an invocation came to."""

    succeeded: bool
    broken: frozenset[str]
    """Models that ended with an error."""


def run_dbt(
    settings: LakehouseSettings,
    arguments: Sequence[str],
    *,
    window: Window | None,
    run_id: str,
    on_event: Callable[[Event], None],
    environment: Mapping[str, str] | None = None,
) -> DbtOutcome:
    """Run dbt on a lakehouse, for a run; all it says goes to `OMNI_HOME/dbt/logs/dbt.log`, too.

    `environment` leads it elsewhere than to production.
    """
    bounds = ["--event-time-start", str(window.first), "--event-time-end", str(window.end)] if window else []
    variables = {**dbt_environment(settings), "OMNI_RUN_ID": run_id, **(environment or {})}
    broken, log = set[str](), _log_file(settings)

    def note(line: str) -> None:
        event = _parsed(line)
        log.emit(logging.LogRecord("dbt", logging.INFO, "", 0, f"{run_id} {event['info']['msg']}", None, None))
        if event["info"]["name"] == "LogModelResult" and event["data"]["status"] == "error":
            broken.add(event["data"]["node_info"]["node_name"])
        on_event(event)

    try:
        status = invoke_dbt(["--log-format", "json", "--no-use-colors", *arguments, *bounds], variables, note)
    finally:
        log.close()
    return DbtOutcome(status == 0, frozenset(broken))


def _log_file(settings: LakehouseSettings) -> RotatingFileHandler:
    path = settings.home / "dbt" / "logs" / "dbt.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return RotatingFileHandler(path, maxBytes=2 << 20, backupCount=1, encoding="utf-8")


def _parsed(line: str) -> Event:
    """An event; a line that is none (a traceback, a library's print) becomes one, so that nothing is lost."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if isinstance(event, dict) and "info" in event:
        return event
    return {"info": {"name": "Output", "level": "error", "msg": line.rstrip()}, "data": {}}
