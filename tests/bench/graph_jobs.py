"""What verdicts and runs of the graph cost. Each function runs in a process of its own, see `tests.bench.measuring`."""

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from lakehouse.evidence import CheckResult, Coverage, Materialization, RowCounts, SourceFileRecord, coverage_version
from lakehouse.ledger import Ledger, open_ledger
from lakehouse.lineage import AssetVersions, derived_version
from lakehouse.settings import LakehouseSettings
from orchestration.asset_graph import AssetGraph, AssetNode
from orchestration.readiness import Readiness
from tests.bench.measuring import cpu_seconds

_BRONZE = "raw_ticket_events"
_CHECKS = ("conservation", "key_unique", "key_not_null", "values_known", "counts_consistent")


def judge(assets: int, days: int) -> float:
    """Verdicts on every partition of a chain of daily assets: CPU seconds without imports and without filling it."""
    names = [_BRONZE, *(f"asset_{number}" for number in range(1, assets))]
    nodes = {name: AssetNode(name, "bronze" if name == _BRONZE else "silver", True) for name in names}
    for upstream, name in zip(names, names[1:], strict=False):
        nodes[name].inputs[upstream] = "same_day"
    for node in nodes.values():
        node.checks.update(dict.fromkeys(_CHECKS, "error"))
    with tempfile.TemporaryDirectory() as home:
        ledger = open_ledger(LakehouseSettings(_env_file=None, home=_made(home)))
        _fill(ledger, names, [str(date(2024, 1, 1) + timedelta(days=n)) for n in range(days)])
        started = cpu_seconds()
        readiness = Readiness(AssetGraph(nodes), ledger)
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
