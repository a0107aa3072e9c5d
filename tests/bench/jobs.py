"""The work that is measured. Each function runs in a process of its own, see `tests.bench.measuring`.

A job that comes out wrong (a record lost, a check failed) raises: a wrong result has no cost worth knowing.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow

from lakehouse.contracts.registry import load_contract
from lakehouse.ledger.evidence import Materialization, RowCounts
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import open_catalog
from lakehouse.upkeep.maintenance import maintain
from loaders.bronze.coverage import refresh_coverage
from loaders.bronze.destination import Sink, write_carrier
from loaders.ingest import IngestReport, ingest
from loaders.plans.plan import StagedDay
from loaders.plans.staged_files import write_staged
from loaders.seed_loader import admit_manifests
from loaders.workers import Workers, usable_cores
from tests.bench.measuring import cpu_seconds, peak_mb
from tests.conftest import DOC_ASSETS, TICKET_EVENTS

_FLOOR_TYPES = {"timestamp": "timestamptz", "string": "varchar", "list<string>": "varchar[]", "long": "bigint"}

_COMMITS_PER_MAINTENANCE = 30


def copy_to_parquet(folder: str) -> float:
    """The floor, CPU seconds without imports: DuckDB alone copies each file to Parquet, typed, unjudged, unproven."""
    with _lakehouse(folder) as settings, duckdb.connect() as connection:
        started = cpu_seconds()
        for file in sorted(Path(folder).glob("*.jsonl.gz")):
            connection.execute(_copy(settings, str(file), settings.home / f"{file.stem}.parquet"))
        return cpu_seconds() - started


def _copy(settings: LakehouseSettings, files: str, target: Path) -> str:
    fields = load_contract(settings, "ticket_event").fields
    columns = {field.name: _FLOOR_TYPES.get(field.type, field.type) for field in fields}
    rows = f"select * from read_json('{files}', format = 'newline_delimited', columns = {columns})"
    return f"copy ({rows}) to '{target}' (format parquet, compression zstd)"


def admit(folder: str, sources: int) -> tuple[float, float]:
    """Admit a manifest folder: CPU seconds and megabytes beyond what the imports used."""
    with _lakehouse(folder) as settings:
        ledger = open_ledger(settings)
        started, imports_mb = cpu_seconds(), peak_mb()
        report = admit_manifests(settings, ledger)
        spent = cpu_seconds() - started, peak_mb() - imports_mb
        _expect("admitted sources", sum(a.is_admitted for a in report.admissions), sources)
        return spent


def cover_twice(folder: str, events: int) -> tuple[float, float]:
    """Coverage of new files, and again of the same files: CPU seconds of each."""
    with _lakehouse(folder) as settings:
        ledger = open_ledger(settings)
        admissions = admit_manifests(settings, ledger).admissions
        spent = []
        for _ in range(2):
            started = cpu_seconds()
            refresh_coverage(settings, ledger, TICKET_EVENTS, admissions, Workers(1))
            spent.append(cpu_seconds() - started)
        covered = (row for rows in ledger.coverage(TICKET_EVENTS).values() for row in rows)
        _expect("covered events", sum(row.rows_expected or 0 for row in covered), events)
        return spent[0], spent[1]


def copy_at_once(folder: str) -> float:
    """The floor in wall: one COPY of all files, typed, unjudged, unproven, with all cores; seconds without imports."""
    with _lakehouse(folder) as settings, duckdb.connect() as connection:
        started = time.monotonic()
        connection.execute(_copy(settings, f"{folder}/*.jsonl.gz", settings.home / "all.parquet"))
        return time.monotonic() - started


def processes() -> int:
    """Workers of a load, where no number is given."""
    return usable_cores()


def load(folder: str, events: int, workers: int | None = None) -> dict[str, float]:
    """From files to committed, checked Bronze; bytes of the table's metadata and data on disk."""
    with _lakehouse(folder) as settings:
        _expect_loaded(ingest(settings.model_copy(update={"workers": workers})), events)
        table = settings.home / "warehouse" / "bronze" / TICKET_EVENTS
        sizes = {part: [file.stat().st_size for file in (table / part).rglob("*")] for part in ("metadata", "data")}
        return {part: sum(found) for part, found in sizes.items()}


def reload_day(folder: str) -> float:
    """Load everything, then the second day again, three times: CPU seconds of the median."""
    with _lakehouse(folder) as settings:
        (everything,) = ingest(settings, assets=[TICKET_EVENTS]).loads
        day = everything.loaded[1]
        window = Window.of_keys(day.partition, day.partition)
        spent = []
        for _ in range(3):
            started = cpu_seconds()
            _expect_loaded(ingest(settings, assets=[TICKET_EVENTS], window=window), day.rows.loaded)
            spent.append(cpu_seconds() - started)
        return median(spent)


def commit_days(days: int, rows: int) -> list[float]:
    """Commit small days one after another, as the Bronze sink does, with maintenance now and then.

    Returns:
        CPU seconds of each commit; maintenance is not in them.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = LakehouseSettings(_env_file=None, home=Path(folder))
        sink = Sink(settings, open_catalog(settings), open_ledger(settings))
        spent = []
        for number in range(days):
            day = _stage_day(settings, date(2025, 1, 1) + timedelta(days=number), rows, Path(folder))
            started = cpu_seconds()
            sink.take(write_carrier(settings, TICKET_EVENTS, [day], Path(folder)))
            sink.commit()
            spent.append(cpu_seconds() - started)
            if (number + 1) % _COMMITS_PER_MAINTENANCE == 0:
                now = datetime.now(UTC)
                maintain(sink.catalog, sink.ledger, settings, older_than=timedelta(), dry_run=False, now=now)
        return spent


def load_snapshots(folder: str, documents: int) -> list[float]:
    """Declare and load the snapshots of a folder one after another: CPU seconds of each."""
    spent = []
    with tempfile.TemporaryDirectory() as scratch:
        manifests = Path(scratch, "manifests")
        manifests.mkdir()
        settings = LakehouseSettings(
            _env_file=None, home=Path(scratch, "home"), manifests=manifests, source_root=Path(folder)
        )
        for manifest in sorted(Path(folder).glob("*.json")):
            (manifests / manifest.name).write_bytes(manifest.read_bytes())
            started = cpu_seconds()
            _expect_loaded(ingest(settings, assets=[DOC_ASSETS]), documents)
            spent.append(cpu_seconds() - started)
    return spent


@contextmanager
def _lakehouse(manifests: str) -> Iterator[LakehouseSettings]:
    """An empty lakehouse over a manifest folder, for a while."""
    with tempfile.TemporaryDirectory() as home:
        yield LakehouseSettings(_env_file=None, home=Path(home), manifests=Path(manifests))


def _stage_day(settings: LakehouseSettings, day: date, rows: int, folder: Path) -> StagedDay:
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    events = [{"event_id": f"{day}-{n}", "ticket_id": f"t{n}", "occurred_at": at} for n in range(rows)]
    schema = schema_to_pyarrow(bronze_table(settings, TICKET_EVENTS).schema, include_field_ids=False)
    written = Materialization(
        asset=TICKET_EVENTS,
        partition=str(day),
        version="1",
        snapshot_id=None,
        committed_at=datetime.now(UTC),
        run_id="bench",
        rows=RowCounts(rows, rows, rows),
    )
    return StagedDay(written, write_staged(pa.Table.from_pylist(events, schema=schema), folder))


def _expect_loaded(report: IngestReport, rows: int) -> None:
    if not report.is_complete:
        raise RuntimeError("\n".join(report.lines()))
    _expect("loaded rows", sum(item.rows.loaded for load in report.loads for item in load.loaded), rows)


def _expect(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise RuntimeError(f"{what}: found {found}, expected {expected}; next: find the bug before the cost")
