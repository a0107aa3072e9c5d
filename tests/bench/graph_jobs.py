"""What verdicts and runs of the graph cost. Each function runs in a process of its own, see `tests.bench.measuring`."""

import os
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from lakehouse.ledger.evidence import (
    CheckResult,
    Coverage,
    Materialization,
    RowCounts,
    SourceFileRecord,
    coverage_version,
)
from lakehouse.ledger.inputs import AssetVersions, derived_version
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from loaders.ingest import ingest, refresh
from orchestration.dbt_launcher.forks import end_servers
from orchestration.dbt_launcher.manifest import ensure_dbt_manifest
from orchestration.dbt_launcher.process import run_dbt
from orchestration.planning.steps import plan_steps
from orchestration.readiness.asset_graph import AssetGraph, AssetNode
from orchestration.readiness.readiness import Readiness, open_readiness
from orchestration.readiness.verdicts import Status
from orchestration.runs.backfill import Selection, plan_backfill, request_backfill, run_backfill
from orchestration.runs.main_job import run_main_job
from tests.bench.dbt_jobs import manifests_of
from tests.bench.measuring import cpu_seconds

_BRONZE = "raw_ticket_events"
_CHECKS = ("conservation", "key_unique", "key_not_null", "values_known", "counts_consistent")


def judge(assets: int, days: int) -> float:
    """Verdicts on every partition of a chain of daily assets: CPU seconds without imports and without filling it."""
    names = [_BRONZE, *(f"asset_{number}" for number in range(1, assets))]
    nodes = {name: AssetNode(name, "bronze" if name == _BRONZE else "silver", True) for name in names}
    for upstream, name in zip(names, names[1:], strict=False):
        nodes[name].reach[upstream] = "same_day"
    for node in nodes.values():
        node.checks.update(dict.fromkeys(_CHECKS, "error"))
    with tempfile.TemporaryDirectory() as home:
        ledger = open_ledger(LakehouseSettings(_env_file=None, home=_made(home)))
        _fill(ledger, names, [str(date(2024, 1, 1) + timedelta(days=n)) for n in range(days)])
        started = cpu_seconds()
        readiness = Readiness(AssetGraph(nodes), ledger, datetime.now(UTC), [])
        spent = cpu_seconds() - started
        ready = sum(verdict.is_ready for name in names for verdict in readiness.verdicts(name).values())
        if ready != assets * days:
            raise RuntimeError(f"{ready} partitions are ready, expected {assets * days}; next: mend the bench")
        return spent


def _made(home: str) -> Path:
    path = Path(home) / "home"
    path.mkdir()
    return path


def _fill(ledger: Ledger, names: list[str], days: list[str]) -> None:
    now = datetime.now(UTC)
    covered = [Coverage(_BRONZE, day, "m", "s", f"{day}.jsonl", 100, f"f{day}") for day in days]
    files = [SourceFileRecord(_BRONZE, "m", "s", f"{day}.jsonl", "stamp") for day in days]
    ledger.replace_file_coverage(files, covered)
    versions = {row.partition: coverage_version([row]) for row in covered}
    before: AssetVersions | None = None
    for name, upstream in zip(names, ["", *names], strict=False):
        items = []
        for day in days:
            inputs = {} if before is None else {upstream: before.input_version("same_day", day)}
            version = versions[day] if before is None else derived_version("code", inputs)
            items.append(Materialization(name, day, version, 1, now, "run", RowCounts(100, 100, 100), inputs))
        ids = ledger.record_materializations(items)
        ledger.record_checks(
            [
                CheckResult(name, item.partition, check, "error", True, "passed", key, now, "run")
                for item, key in zip(items, ids, strict=True)
                for check in _CHECKS
            ]
        )
        before = AssetVersions(items)


def backfill(folder: str, days: int) -> None:
    """From files to Gold through the graph: a backfill of every day, in this process."""
    with tempfile.TemporaryDirectory() as home:
        settings = LakehouseSettings(_env_file=None, home=_made(home), manifests=Path(folder))
        refresh(settings)
        plan = plan_backfill(open_readiness(settings), Selection(statuses=frozenset({Status.MISSING})))
        request = request_backfill(open_ledger(settings), plan, "bench", "bench", is_forced=False)
        result = run_backfill(settings, request, lambda _: None)
        if result.not_ready or len(plan.verdicts) < days:
            raise RuntimeError(f"{len(plan.verdicts)} planned, {len(result.not_ready)} not ready: {result.lines}")
    end_servers()  # and count what they used


def work_of_backfill(folder: str, days: int) -> None:
    """The same without the graph: the load, and dbt over the same windows."""
    with tempfile.TemporaryDirectory() as home:
        settings = LakehouseSettings(_env_file=None, home=_made(home), manifests=Path(folder))
        if not ingest(settings).is_complete:
            raise RuntimeError(f"{folder}: not loaded whole; next: find the bug before the cost")
        ensure_dbt_manifest(settings)
        loaded = [key for asset, key in open_ledger(settings).current_materializations() if asset == _BRONZE]
        for step in plan_steps({(_BRONZE, key) for key in loaded}, [_BRONZE]):
            if not run_dbt(settings, ["build"], window=step.window, run_id="bench", on_event=lambda _: None).succeeded:
                raise RuntimeError(f"dbt build of {step.window} failed")
    end_servers()


def day(folder: str, day: str, runs: int, loads: int, builds: int) -> None:
    """One day, over and over, after a run of all days: runs of the graph, loads alone, dbt builds alone."""
    with tempfile.TemporaryDirectory() as home:
        settings = LakehouseSettings(_env_file=None, home=_made(home), manifests=Path(folder))
        window = Window.of_keys(day, day)
        for each in [None, *[window] * runs]:
            if not (outcome := run_main_job(settings, each, lambda _: None)).is_complete:
                raise RuntimeError(f"{outcome.lines}; next: find the bug before the cost")
        for _ in range(loads):
            ingest(settings, window=window)
        for _ in range(builds):
            if not run_dbt(settings, ["build"], window=window, run_id="bench", on_event=lambda _: None).succeeded:
                raise RuntimeError(f"dbt build of {day} failed; next: find the bug before the cost")
    end_servers()  # and count what they used


def ready(home: str, asset: str, partition: str) -> float:
    """`omni ready`, as a shell starts it: CPU seconds."""
    return _process(home, str(Path(sys.executable).with_name("omni")), "ready", asset, partition)


def load_definitions(home: str) -> float:
    """The graph and its jobs, as each of Dagster's processes loads them, with warm caches: CPU seconds."""
    program = "from orchestration.definitions import definitions as d; d().get_repository_def().get_all_jobs()"
    _process(home, sys.executable, "-c", program)
    return _process(home, sys.executable, "-c", program)


def _process(home: str, *command: str) -> float:
    """CPU seconds of a process alone: this one has imported much more."""
    started = cpu_seconds()
    named = {"OMNI_HOME": home, "OMNI_MANIFESTS": str(manifests_of(home))}
    subprocess.run(command, env={**os.environ, **named}, check=True, stdout=subprocess.DEVNULL)
    return cpu_seconds() - started
