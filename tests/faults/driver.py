"""The process that a fault strikes: it does something at a named point of a real load, such as killing itself.

The product has no hooks. The child wraps functions of the product, dlt and pyiceberg before it imports `loaders`, so
that every `from … import` there gets the wrapped one; then it calls `loaders.ingest.ingest`. Children are forked from
a server that has imported the heavy libraries and nothing of the product: half a second each instead of five.
"""

import functools
import itertools
import multiprocessing
import os
import pkgutil
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2.extensions
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.pool import NullPool

from lakehouse.settings import LakehouseSettings

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["dlt", "duckdb", "pyarrow.parquet", "pyiceberg.catalog.sql", "pyiceberg.io.pyarrow"])


class Point(NamedTuple):
    """Before or after the calls of one function."""

    owner: str
    name: str
    is_before: bool
    calls_before: int = 0
    """Calls that every ingest makes before the first one that is meant."""


POINTS = {
    "read": Point("loaders.sources.files:SourceFile", "open", False),
    "planned": Point("loaders.plans.planning", "plan_load", False),
    "extract": Point("dlt.pipeline.mark", "with_file_import", True),
    "staged": Point("dlt.pipeline.pipeline:Pipeline", "load", True),
    "object": Point("lakehouse.tables.objects", "put_object", False),
    "commit": Point("pyiceberg.catalog.sql:SqlCatalog", "commit_table", True),
    "metadata": Point("pyiceberg.serializers:ToOutputFile", "table_metadata", False),
    # The recovery at the beginning of an ingest is the first to write materializations, mostly none.
    "committed": Point("lakehouse.ledger.ledger:Ledger", "record_materializations", True, 1),
    "recorded": Point("lakehouse.ledger.ledger:Ledger", "record_materializations", False, 1),
}


def kill() -> None:
    """End this process as the kernel does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Fault:
    """What happens at which point of a load: at the `hit`-th call, or before everything at the point `start`."""

    point: str
    action: Callable[[], Any] = kill
    hit: int = 1


@dataclass(frozen=True)
class Outcome:
    """How an ingest ended that was not killed."""

    error: str | None
    """Type and message of what it raised."""
    is_explained: bool
    """Whether that is an error of the project's own: a message for a person, not a traceback."""
    is_complete: bool
    refused: dict[str, str]
    was_struck: bool


def strike(
    settings: LakehouseSettings, asset: str, *faults: Fault, last_table: str = "", most_days: int | None = None
) -> Outcome | None:
    """Ingest an asset in a process of its own that faults strike; None where it was killed.

    Args:
        settings: The lakehouse.
        asset: What to ingest.
        faults: What happens, and when.
        last_table: Table whose files dlt hands over last; it takes them in the order of a directory, which is any.
        most_days: So many days are one commit, instead of as many as usual, which here are all.
    """
    (found,) = run_children([(_ingest, (settings, asset, faults, last_table, most_days))])
    return found


def load_days_in_parallel(settings: LakehouseSettings, orders: Sequence[Sequence[date]]) -> list[str | None]:
    """One process per order of days, each with one ingest per day; what each raised, or how it died."""
    return run_children([(_load_days, (settings, days)) for days in orders])


def run_children(calls: Sequence[tuple[Callable[..., None], tuple[Any, ...]]]) -> list[Any]:
    """Run functions at the same time, each in a process of its own; what each sent, None where it was killed."""
    children = []
    for function, arguments in calls:
        receiver, sender = _processes.Pipe(duplex=False)
        child = _processes.Process(target=function, args=(sender, *arguments))
        child.start()
        sender.close()
        children.append((child, receiver))
    found = []
    for child, receiver in children:
        try:
            found.append(receiver.recv())
        except EOFError:
            found.append(None)
        child.join()
        assert child.exitcode == (-signal.SIGKILL if found[-1] is None else 0), f"exit {child.exitcode}"
    return found


def hold_lock(database: Path, seconds: float) -> None:
    """Lock a SQLite database for writing through a connection of another thread, for a while."""
    is_held = threading.Event()

    def hold() -> None:
        connection = sqlite3.connect(database, isolation_level=None)
        connection.execute("begin exclusive")
        is_held.set()
        time.sleep(seconds)
        connection.rollback()
        connection.close()

    threading.Thread(target=hold).start()
    is_held.wait()


def move_away(folder: Path, seconds: float) -> None:
    """Move a folder away for a while, as a disk that is not mounted; what was put in its place then goes."""
    away = folder.with_name(f"{folder.name}.away")
    folder.rename(away)

    def put_back() -> None:
        time.sleep(seconds)
        shutil.rmtree(folder, ignore_errors=True)
        away.rename(folder)

    threading.Thread(target=put_back).start()


def lose_answer(number: int, told: Path) -> None:
    """Let a commit to a database succeed and its answer be lost: the `number`-th of this process; `told` says so then.

    A server's connection is gone with it, as where the server, or the way to it, ends at that moment.
    """
    commits = itertools.count(1)

    def commit_of(connection: type[Any], lost: type[Exception]) -> type[Any]:
        class Losing(connection):  # type: ignore[misc]  # whichever driver
            def commit(self) -> None:
                super().commit()
                if next(commits) == number:
                    told.touch()
                    if connection is not sqlite3.Connection:
                        self.close()
                    raise lost("server closed the connection unexpectedly")

        return Losing

    @event.listens_for(Engine, "do_connect")
    def _connect(dialect: Any, _record: Any, _args: Any, options: dict[str, Any]) -> None:
        if dialect.name == "sqlite":
            options["factory"] = commit_of(sqlite3.Connection, sqlite3.OperationalError)
        else:
            options["connection_factory"] = commit_of(psycopg2.extensions.connection, psycopg2.OperationalError)


def end_connections(url: str) -> None:
    """End everybody's connections to a database of Postgres, as its server does when it is started anew."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        others = "datname = current_database() and pid <> pg_backend_pid()"
        connection.execute(text(f"select pg_terminate_backend(pid) from pg_stat_activity where {others}"))


def set_clock(offset: timedelta) -> None:
    """Let this process live in another time: the product's modules, and whoever asks `time.time`."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + offset

    real = time.time
    time.time = lambda: real() + offset.total_seconds()
    for name, module in list(sys.modules.items()):
        if name.startswith(("lakehouse.", "loaders.")) and getattr(module, "datetime", None) is datetime:
            module.datetime = Clock  # type: ignore[attr-defined]


def _ingest(
    sender: Connection,
    settings: LakehouseSettings,
    asset: str,
    faults: Sequence[Fault],
    last_table: str,
    most_days: int | None,
) -> None:
    struck: set[Fault] = set()
    _order_jobs(last_table)
    for fault in faults:
        if fault.point != "start":
            _install(fault, struck)
    from lakehouse.errors import OmniError
    from loaders.bronze import pipelines
    from loaders.ingest import ingest

    pipelines.MOST_DAYS = most_days or pipelines.MOST_DAYS
    for fault in faults:
        if fault.point == "start":
            fault.action()
            struck.add(fault)
    try:
        report = ingest(settings, assets=[asset])
    except Exception as error:  # whatever it is: the test judges it
        text = f"{type(error).__name__}: {error}"
        sender.send(Outcome(text, isinstance(error, OmniError), False, {}, len(struck) == len(faults)))
        return
    refused = {partition: why for load in report.loads for partition, why in load.refused.items()}
    sender.send(Outcome(None, True, report.is_complete, refused, len(struck) == len(faults)))


def _order_jobs(last_table: str) -> None:
    """Make dlt take its files in one of the orders in which a directory may list them."""
    from dlt.load import load

    real = load.filter_new_jobs
    load.filter_new_jobs = lambda names, *rest: real(
        sorted(names, key=lambda name: (Path(name).name.startswith(f"{last_table}."), name)), *rest
    )


def _install(fault: Fault, struck: set[Fault]) -> None:
    point = POINTS[fault.point]
    owner = pkgutil.resolve_name(point.owner)
    real = getattr(owner, point.name)
    calls = 0

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        is_hit = calls == point.calls_before + fault.hit
        if is_hit and point.is_before:
            struck.add(fault)
            fault.action()
        result = real(*args, **kwargs)
        if is_hit and not point.is_before:
            struck.add(fault)
            fault.action()
        return result

    setattr(owner, point.name, wrapped)


def _load_days(sender: Connection, settings: LakehouseSettings, days: Sequence[date]) -> None:
    from lakehouse.partitions import Window
    from loaders.ingest import ingest

    try:
        for day in days:
            report = ingest(settings, window=Window.of_day(day))
            assert report.is_complete, report.lines()
    except Exception as error:
        sender.send(f"{type(error).__name__}: {error}")
        return
    sender.send("done")
