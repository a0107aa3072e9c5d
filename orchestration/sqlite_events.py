"""Many events of a run at once, for Dagster's storage: a fifteenth of the cost where that is SQLite.

Dagster's SQLite storage opens four connections for each check evaluation, 15 ms of CPU, and its batches are loops over
that. Here each of its files is opened once; what is written, and how, stays Dagster's. Called by `dagster_events` and
`graph_run`.
"""

import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

_BUSY_TIMEOUT_S = 60
_AT_ONCE = 500
"""Events of one transaction, half a second: other processes wait for its end."""


def takes_many(instance: dg.DagsterInstance) -> bool:
    """Whether an event among many costs about 1 ms, not 15."""
    return isinstance(instance.event_log_storage, SqliteEventLogStorage)


def report_events(instance: dg.DagsterInstance, run_id: str, events: Sequence[dg.DagsterEvent]) -> None:
    """Record events of a run that has recorded some already."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        for event in events:
            instance.report_dagster_event(event, run_id=run_id)
        return
    entries = [_entry(run_id, event) for event in events]
    for start in range(0, len(entries), _AT_ONCE):
        with _HeldOpen(str(Path(storage.path_for_shard(run_id)).parent)).opened() as held:
            held.store_event_batch(entries[start : start + _AT_ONCE])


def held_open(home: Path) -> list[sqlite3.Connection]:
    """Idle connections to the files of a Dagster home that each event opens and closes again; hold them for many runs.

    When the last connection to a file closes, SQLite folds its log back in and waits for the disk, event by event. A
    run's own file is none of them: the page follows a run of another process by the changes of that file.
    """
    opened = []
    for path in (home / "history" / "runs.db", home / "history" / "runs" / "index.db"):
        if path.exists():  # none on Postgres
            connection = sqlite3.connect(path, check_same_thread=False)
            connection.execute("select 1 from sqlite_master").fetchone()  # only now is the file open
            opened.append(connection)
    return opened


def _entry(run_id: str, event: dg.DagsterEvent) -> EventLogEntry:
    return EventLogEntry(  # type: ignore[no-untyped-call]  # Dagster's own
        user_message="",
        level=logging.INFO,
        job_name=event.job_name,
        run_id=run_id,
        error_info=None,
        timestamp=time.time(),
        step_key=event.step_key,
        dagster_event=event,
    )


class _HeldOpen(SqliteEventLogStorage):
    """Dagster's storage with one connection, and one transaction, to each of its files."""

    def __init__(self, base_dir: str) -> None:
        super().__init__(base_dir)
        self._connections: dict[str, Connection] = {}
        self._open = ExitStack()

    @contextmanager
    def opened(self) -> Iterator["_HeldOpen"]:
        """Commit at the end, or nothing on an error."""
        with self._open:
            yield self

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        if shard not in self._connections:
            url, timeout = self.conn_string_for_shard(shard), {"timeout": _BUSY_TIMEOUT_S}
            engine = create_engine(url, poolclass=NullPool, connect_args=timeout)
            self._connections[shard] = self._open.enter_context(engine.begin())
        yield self._connections[shard]

    def has_table(self, table_name: str) -> bool:
        """A run has begun in it: its tables are there."""
        return True
