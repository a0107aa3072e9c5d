"""The figures: what is measured, against what, and the reach that the project has set itself.

CPU seconds of one machine say nothing on another, so a figure is a ratio wherever there is something to divide by: the
floor (DuckDB alone copies the same files to Parquet, run before and after), or the same work at another size.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from statistics import mean
from typing import Literal

from tests.bench.measuring import Sample, fresh

DAYS = 30

PEERS = ("dlt_default", "dlt_arrow", "pyiceberg_append", "polars_append", "duckdb_copy")
"""Jobs of `tests.bench.peers`, which nobody imports who measures."""


@dataclass(frozen=True)
class Figure:
    """One measured value and its reach."""

    name: str
    measured: float
    unit: Literal["x", "s", "MB"]
    reach: float | None
    """None: it is reported, and has none."""
    details: str
    cpu_s: float
    """Of the process that did the work, its imports included."""
    peak_mb: float
    at_least: bool = False
    """The reach is a lower bound."""

    @property
    def is_reached(self) -> bool:
        """Whether the value is within its reach."""
        if self.reach is None:
            return True
        return self.measured >= self.reach if self.at_least else self.measured <= self.reach


def admission(events: int) -> Iterator[Figure]:
    """One manifest of 10,000 sources, into an empty ledger."""
    sources = 10_000
    sample = fresh("jobs.admit", fresh("sources.declared", sources).value, sources)
    cpu_s, beyond_mb = sample.value
    details = f"{sources} sources in one manifest; beyond the imports"
    yield Figure("admission: CPU", cpu_s, "s", 2, details, sample.cpu_s, sample.peak_mb)
    yield Figure("admission: memory", beyond_mb, "MB", 200, details, sample.cpu_s, sample.peak_mb)


def coverage(events: int) -> Iterator[Figure]:
    """Coverage of new files, and of files that have not changed."""
    folder = _daily_files(events)
    floors, sample = _between_floors("jobs.cover_twice", folder, events)
    first_s, again_s = sample.value
    yield _to_floor("coverage: new files", first_s, floors, 0.6, sample)
    yield _to_floor("coverage: unchanged files", again_s, floors, 0.02, sample)


def bronze(events: int) -> Iterator[Figure]:
    """From files to committed, checked Bronze, imports included: CPU against a COPY of each file, wall against one."""
    folder, is_large = _daily_files(events), events >= 10_000_000
    at_once = [fresh("jobs.copy_at_once", folder).value]
    floors, sample = _between_floors("jobs.load", folder, events)
    at_once.append(fresh("jobs.copy_at_once", folder).value)
    yield _to_floor("bronze: CPU", sample.cpu_s, floors, 1.5 if is_large else 2.0, sample)
    base = "one COPY: {:.2f} s before, {:.2f} s after".format(*at_once)
    yield _ratio("bronze: wall", sample.wall_s, mean(at_once), base, 1.8 if is_large else 2.5, sample)
    processes = fresh("jobs.processes").value
    together = sample.peak_mb + processes * sample.beside_mb
    details = f"{sample.peak_mb:.0f} MB and {processes} workers of {sample.beside_mb:.0f} MB at most"
    yield Figure("bronze: memory", together, "MB", 350 + processes * 250, details, sample.cpu_s, sample.peak_mb)


def workers(events: int) -> Iterator[Figure]:
    """How much of a second worker is gained: the wall of one to twice that of two."""
    one, two = (fresh("jobs.load", _daily_files(events), events, number) for number in (1, 2))
    details = f"one {one.wall_s:.1f} s, two {two.wall_s:.1f} s; CPU {one.cpu_s:.1f} s, {two.cpu_s:.1f} s"
    gained = one.wall_s / (2 * two.wall_s)
    yield Figure("a second worker", gained, "x", 0.85, details, two.cpu_s, two.peak_mb, at_least=True)


def small_days(events: int) -> Iterator[Figure]:
    """Days of 50 events in one load: 1,000 of them, and 3,000."""
    few, many = (fresh("jobs.load", _daily_files(50 * days, days), 50 * days) for days in (1_000, 3_000))
    yield Figure("1,000 small days: CPU", few.cpu_s, "s", 25, f"{few.wall_s:.1f} s wall", few.cpu_s, few.peak_mb)
    metadata_mb, data_mb = few.value["metadata"] / 1e6, few.value["data"] / 1e6
    details = f"{metadata_mb:.0f} MB / {data_mb:.0f} MB of data"
    yield Figure("the same: metadata", metadata_mb / data_mb, "x", 1, details, few.cpu_s, few.peak_mb)
    yield _ratio("3,000 small days", many.cpu_s, few.cpu_s, "1,000", 3.2, many)


def reload_day(events: int) -> Iterator[Figure]:
    """One day again, on a history of all days and on one of a tenth of them; the day has the same size in both."""
    short = fresh("jobs.reload_day", _daily_files(events // 10, DAYS // 10))
    long = fresh("jobs.reload_day", _daily_files(events))
    yield _ratio("reload of a day", long.value, short.value, f"the same on {DAYS // 10} days", 1.1, long)


def commits(events: int) -> Iterator[Figure]:
    """A year of daily commits, with maintenance every 30: what the last ones cost against the first ones."""
    sample = fresh("jobs.commit_days", 365, 100)
    # The first commit creates the table.
    first, last = mean(sample.value[1:31]), mean(sample.value[-30:])
    yield _ratio("commits of a year", last, first, "first 30 after the table's creation", 1.3, sample)


def memory(events: int) -> Iterator[Figure]:
    """Peak memory of a load of many files, against a tenth of them of the same size."""
    few = fresh("jobs.load", _daily_files(events // 10, DAYS // 10), events // 10)
    many = fresh("jobs.load", _daily_files(events), events)
    details = f"{many.peak_mb:.0f} MB with {DAYS} files / {few.peak_mb:.0f} MB with {DAYS // 10}"
    yield Figure("memory: growth", many.peak_mb / few.peak_mb, "x", 1.3, details, many.cpu_s, many.peak_mb)
    yield Figure("memory: peak", many.peak_mb, "MB", 500, f"{events} events in {DAYS} files", many.cpu_s, many.peak_mb)


def peers(events: int) -> Iterator[Figure]:
    """What others take for the same files, against ours; all with their imports. What each checks: the documentation."""
    folder = _daily_files(events)
    ours = fresh("jobs.load", folder, events)
    processes = f"{ours.peak_mb:.0f} MB and {fresh('jobs.processes').value} workers of {ours.beside_mb:.0f} MB at most"
    for name in PEERS:
        peer = fresh(f"peers.{name}", folder, events)
        reach = (10, 15) if name == "dlt_default" else (None, None)
        for what, used, own, least in zip(
            ("CPU", "wall"), (peer.cpu_s, peer.wall_s), (ours.cpu_s, ours.wall_s), reach, strict=True
        ):
            details = f"{used:.1f} s / ours {own:.1f} s ({processes})"
            yield Figure(f"{name}: {what}", used / own, "x", least, details, peer.cpu_s, peer.peak_mb, at_least=True)


def documents(events: int) -> Iterator[Figure]:
    """A snapshot of which nearly all documents are in the object store, against the first one."""
    count = 50_000
    folder = fresh("documents.snapshot_folders", count, 5_000, 100).value
    sample = fresh("jobs.load_snapshots", folder, count)
    first_s, second_s = sample.value
    yield _ratio("documents: 1 % changed", second_s, first_s, f"first snapshot of {count}", 0.35, sample)


def dbt_day(events: int) -> Iterator[Figure]:
    """One day built and tested in a running process, on a history of all days and on one of a tenth of them."""
    short = fresh("dbt_jobs.build_day", _built(events // 10, DAYS // 10)[0], "2026-04-03")
    long = fresh("dbt_jobs.build_day", _built(events, DAYS)[0], "2026-04-30")
    base = f"the same on {DAYS // 10} days"
    yield _ratio("dbt: a day", long.value["daily"], short.value["daily"], base, 1.15, long)
    # These are rebuilt whole, so they follow the history: no reach but the history's own ratio.
    yield _ratio("dbt: models built whole", long.value["whole"], short.value["whole"], base, 10, long)


def dbt_range(events: int) -> Iterator[Figure]:
    """All days in one run, against as many runs of a day."""
    sample = fresh("dbt_jobs.build_range", _built(events, DAYS)[0], "2026-04-01", DAYS)
    days_s = DAYS * sample.value["day"]
    yield _ratio(f"dbt: {DAYS} days in one run", sample.value["range"], days_s, f"{DAYS} x one day", 0.4, sample)


def dbt_floor(events: int) -> Iterator[Figure]:
    """A day built and tested, against its models' SQL in DuckDB alone. Reported; the reach is a guard."""
    sample = fresh("dbt_jobs.day_and_floor", _built(events, DAYS)[0], "2026-04-30")
    yield _ratio("dbt: a day to its SQL", sample.value["day"], sample.value["floor"], "the SQL alone", 10, sample)


def dbt_memory(events: int) -> Iterator[Figure]:
    """Peak memory of a build of the whole history."""
    sample = _built(events, DAYS)[1]
    details = f"{events} events in {DAYS} days, built and tested"
    yield Figure("dbt: memory of a history", sample.peak_mb, "MB", 1500, details, sample.cpu_s, sample.peak_mb)


def verdicts(events: int) -> Iterator[Figure]:
    """The verdict matrix, and `omni ready` from a shell."""
    sample = fresh("graph_jobs.judge", 12, 1_000)
    details = "12 assets x 1,000 days, 5 checks each"
    yield Figure("verdict matrix: CPU", sample.value, "s", 0.3, details, sample.cpu_s, sample.peak_mb)
    home = _built(events // 10, DAYS // 10)[0]
    cold = fresh("graph_jobs.ready", home, "raw_ticket_events", "2026-04-02")
    yield Figure("omni ready: CPU", cold.value, "s", 1.5, "cold, from a shell", cold.cpu_s, cold.peak_mb)


def definitions(events: int) -> Iterator[Figure]:
    """Loading Dagster's definitions, imports included."""
    sample = fresh("graph_jobs.load_definitions", _built(events // 10, DAYS // 10)[0])
    yield Figure("definitions: CPU", sample.value, "s", 3, "imports included", sample.cpu_s, sample.peak_mb)


def backfill(events: int) -> Iterator[Figure]:
    """A year of small days from files to Gold through the graph, beyond the load and dbt themselves."""
    days = 365
    folder = _daily_files(100 * days, days)
    work, whole = fresh("graph_jobs.work_of_backfill", folder, days), fresh("graph_jobs.backfill", folder, days)
    beyond = (whole.cpu_s - work.cpu_s) / days
    details = f"{whole.cpu_s:.1f} s, of which load and dbt {work.cpu_s:.1f} s; {days} days"
    yield Figure("backfill: graph, a day", beyond, "s", 0.06, details, whole.cpu_s, whole.peak_mb)


def graph_day(events: int) -> Iterator[Figure]:
    """Everything of one day in a warm run of the graph, beyond its load and its dbt build. Reported, with the parts."""
    folder, times = _daily_files(events // 100, DAYS // 10), 4
    idle, run, load, build = (
        fresh("graph_jobs.day", folder, "2026-04-03", *(times if part == n else 0 for n in (1, 2, 3)))
        for part in range(4)
    )
    run_s, load_s, dbt_s = ((sample.cpu_s - idle.cpu_s) / times for sample in (run, load, build))
    base = f"load {load_s:.2f} s, dbt build {dbt_s:.2f} s"
    yield _ratio("graph: a day to its work", run_s, load_s + dbt_s, base, 3, run)


FIGURES: dict[str, Callable[[int], Iterator[Figure]]] = {
    function.__name__: function
    for function in (
        admission,
        coverage,
        bronze,
        workers,
        small_days,
        reload_day,
        commits,
        memory,
        peers,
        documents,
        dbt_memory,
        dbt_day,
        dbt_range,
        dbt_floor,
        verdicts,
        definitions,
        graph_day,
        backfill,
    )
}


def _daily_files(events: int, days: int = DAYS) -> str:
    return str(fresh("events.daily_files", events, days).value)


@cache
def _built(events: int, days: int) -> tuple[str, Sample]:
    """A lakehouse with all events, and everything built once; the figures of a run share it."""
    home = tempfile.mkdtemp(prefix=f"lake-{events}-", dir=os.environ["HOME"])  # the run's own, removed at its end
    fresh("dbt_jobs.fill", home, _daily_files(events, days))
    return home, fresh("dbt_jobs.build_history", home)


def _between_floors(job: str, folder: str, events: int) -> tuple[tuple[float, float], Sample]:
    """Run a job between two runs of the floor: how far these are apart says how busy the machine was."""
    before = fresh("jobs.copy_to_parquet", folder).value
    sample = fresh(job, folder, events)
    return (before, fresh("jobs.copy_to_parquet", folder).value), sample


def _to_floor(name: str, cpu_s: float, floors: tuple[float, float], reach: float, sample: Sample) -> Figure:
    base = "floor: {:.2f} s before, {:.2f} s after".format(*floors)
    return _ratio(name, cpu_s, mean(floors), base, reach, sample)


def _ratio(name: str, cpu_s: float, base_s: float, base: str, reach: float, sample: Sample) -> Figure:
    details = f"{cpu_s:.3f} s / {base_s:.3f} s ({base})"
    return Figure(name, cpu_s / base_s, "x", reach, details, sample.cpu_s, sample.peak_mb)
