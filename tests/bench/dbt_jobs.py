"""dbt builds to measure: of the whole history, of a day in a process that is warm, of a range of days, and the SQL alone.

Each works on a lakehouse that `fill` has filled before, named by its folder.
"""

import json
import os
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import duckdb

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import list_tables, open_catalog
from lakehouse.tables.duck import load_iceberg_extension, scan_sql
from loaders.ingest import ingest
from tests.bench.measuring import cpu_seconds

_ONLY_DAILY = ("--exclude", "config.meta.omni.partitioned:whole")
_ONLY_WHOLE = ("--select", "config.meta.omni.partitioned:whole")


def fill(home: str, folder: str) -> None:
    """Load a manifest folder into a lakehouse, which from then on finds it beside itself."""
    manifests_of(home).symlink_to(folder)
    settings = LakehouseSettings(_env_file=None, home=Path(home), manifests=manifests_of(home))
    if not ingest(settings).is_complete:
        raise RuntimeError(f"{folder}: not loaded whole; next: find the bug before the cost")


def manifests_of(home: str) -> Path:
    """The manifest folder of a lakehouse that `fill` has filled: what is expected of it is declared there."""
    return Path(home, "manifests")


def build_history(home: str) -> None:
    """Build and test everything, without a window."""
    _build(home)


def build_day(home: str, day: str) -> dict[str, float]:
    """Build and test a day three times after a first time: CPU seconds of the median, daily and whole models apart."""
    window = _window(day, 1)
    _build(home, *window)
    return {
        name: median(_build(home, *window, *models) for _ in range(3))
        for name, models in (("daily", _ONLY_DAILY), ("whole", _ONLY_WHOLE))
    }


def build_range(home: str, first: str, days: int) -> dict[str, float]:
    """Build and test the first day, then a range in one run: CPU seconds of each (the day's is the median of three)."""
    _build(home, *_window(first, 1))
    day = median(_build(home, *_window(first, 1), *_ONLY_DAILY) for _ in range(3))
    return {"day": day, "range": _build(home, *_window(first, days), *_ONLY_DAILY)}


def day_and_floor(home: str, day: str) -> dict[str, float]:
    """Build and test a day; then its models' SQL in DuckDB alone, over the same tables, each into one Parquet file."""
    _build(home, *_window(day, 1))
    spent = median(_build(home, *_window(day, 1), *_ONLY_DAILY) for _ in range(3))
    manifest = json.loads(Path(home, "dbt", "target", "manifest.json").read_text("utf-8"))
    models = [node["compiled_code"] for node in manifest["nodes"].values() if _is_daily(node)]
    return {"day": spent, "floor": median(_alone(home, models) for _ in range(3))}


def _is_daily(node: dict[str, object]) -> bool:
    meta = node["config"]["meta"].get("omni", {})  # type: ignore[index]  # as dbt writes it
    return node["resource_type"] == "model" and meta.get("partitioned") == "daily"


def _alone(home: str, models: list[str]) -> float:
    catalog = open_catalog(LakehouseSettings(_env_file=None, home=Path(home)))
    with duckdb.connect(config={"threads": 2}) as connection:
        load_iceberg_extension(connection, {})
        for namespace in ("bronze", "silver", "gold"):
            connection.execute(f"create schema if not exists {namespace}")
            for identifier in list_tables(catalog, namespace):
                scan = scan_sql(catalog.load_table(identifier))
                connection.execute(f"create view {identifier} as select * from {scan}")
        started = cpu_seconds()
        for sql in models:
            target = Path(home, "floor.parquet")
            connection.execute(f"copy ({sql}) to '{target}' (format parquet, compression zstd)")
        return cpu_seconds() - started


def _window(first: str, days: int) -> tuple[str, ...]:
    end = date.fromisoformat(first) + timedelta(days=days)
    return ("--event-time-start", first, "--event-time-end", str(end))


def _build(home: str, *arguments: str) -> float:
    """One `dbt build` in this process: its CPU seconds, without the imports."""
    os.environ |= {
        "OMNI_HOME": home,
        "OMNI_MANIFESTS": str(manifests_of(home)),
        "DBT_LOG_PATH": str(Path(home, "logs")),
    }
    from dbt.cli.main import dbtRunner  # after OMNI_HOME: the plugin reads its settings once per process

    project = str(PROJECT_ROOT / "dbt_project")
    started = cpu_seconds()
    done = dbtRunner().invoke(["--quiet", "build", "--project-dir", project, "--profiles-dir", project, *arguments])
    if not done.success:
        raise RuntimeError(f"dbt build {' '.join(arguments)} failed; next: find the bug before the cost")
    return cpu_seconds() - started
