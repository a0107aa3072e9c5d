"""Dagster's event storage, where it is SQLite, for who writes many events: a run of the graph, the results of checks.

Dagster opens a connection for each statement, up to four for an event; when it closes the last one to a file, SQLite
folds its log back in and waits for the disk. Here files stay open; what is written, and how, is Dagster's own. It saves
10 to 14 ms of CPU an event: 14 → 3 for a materialization, 17 → 3 for a check, 2.5 among many. Public ways save little:
`store_event_batch` costs 16, a connection held open beside Dagster's 14. Called by `graph_run`, `mirror` and
`dagster_events`.

The private parts are `_connect`, `_db_lock`, `_initdb`, `_initialized_dbs`, and classes that Dagster does not export;
`test_sqlite_events` holds them, and what they do.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqlEventLogStorageTable, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, create_engine, func, select
from sqlalchemy.pool import NullPool

_BUSY_TIMEOUT_S = 60
_AT_ONCE = 500
"""Events of one transaction, half a second: other processes wait for its end."""
_FILES = 4
"""Files kept open: the index, and the runs of now."""


def open_instance(home: Path) -> dg.DagsterInstance:
    """The instance of a Dagster home as its `dagster.yaml` says, for a process that runs the graph."""
    instance = dg.DagsterInstance.from_config(str(home))
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return instance
    instance.dispose()
    folder = Path(storage.path_for_shard("index")).parent
    kept_open = ConfigurableClassData(__name__, KeptOpen.__name__, json.dumps({"base_dir": str(folder)}))
    # Without the storage that is all in one, Dagster takes its parts.
    return dg.DagsterInstance.from_ref(instance.get_ref()._replace(storage_data=None, event_storage_data=kept_open))


def takes_many(instance: dg.DagsterInstance) -> bool:
    """Whether an event among many costs about 1 ms, not 15."""
    return isinstance(instance.event_log_storage, SqliteEventLogStorage)


def report_events(
    instance: dg.DagsterInstance, run_id: str, events: Sequence[dg.DagsterEvent], at: Sequence[datetime] = ()
) -> None:
    """Record events of a run, or of none where its id is empty.

    Args:
        instance: Records them.
        run_id: The run.
        events: In order.
        at: When each came about (UTC); by default they come about as they are recorded.
    """
    storage = instance.event_log_storage
    times = [each.timestamp() for each in at] or [time.time()] * len(events)
    if not isinstance(storage, SqliteEventLogStorage):
        for event, timestamp in zip(events, times, strict=True):
            instance.report_dagster_event(event, run_id=run_id, timestamp=timestamp)
        return
    entries = [_entry(run_id, event, timestamp) for event, timestamp in zip(events, times, strict=True)]
    for start in range(0, len(entries), _AT_ONCE):
        at_once = _AtOnce(str(Path(storage.path_for_shard(run_id)).parent))
        at_once._initialized_dbs = storage._initialized_dbs  # to ask a file for its version takes 40 ms of CPU
        with at_once.committed() as batch:
            batch.store_event_batch(entries[start : start + _AT_ONCE])


def _entry(run_id: str, event: dg.DagsterEvent, timestamp: float) -> EventLogEntry:
    return EventLogEntry(  # type: ignore[no-untyped-call]  # Dagster's own
        user_message="",
        level=logging.INFO,
        job_name=event.job_name,
        run_id=run_id,
        error_info=None,
        timestamp=timestamp,
        step_key=event.step_key,
        dagster_event=event,
    )


class KeptOpen(SqliteEventLogStorage):
    """Dagster's storage, the connections of which wait for the next event."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Keep events under a folder; nothing is open yet."""
        self._kept: dict[str, Connection] = {}
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "KeptOpen":
        """As Dagster makes it from `dagster.yaml`."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            connection = self._opened(shard)
            with connection.begin():
                yield connection

    def _opened(self, shard: str) -> Connection:
        connection = self._kept.pop(shard, None)
        if connection is None:
            while len(self._kept) >= _FILES:
                self._kept.pop(next(iter(self._kept))).close()
            options = {"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False}
            engine = create_engine(self.conn_string_for_shard(shard), poolclass=NullPool, connect_args=options)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            connection = engine.connect()
        self._kept[shard] = connection  # last: it was used last
        return connection

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, and show it to the page, which follows a run by the changes of its file."""
        super().store_event(event)
        os.utime(self.path_for_shard(event.run_id))

    def dispose(self) -> None:
        """Close what is open, so that SQLite folds its logs in."""
        with self._db_lock:
            while self._kept:
                self._kept.popitem()[1].close()
        super().dispose()

    def has_table(self, table_name: str) -> bool:
        """It has them all: a file gets its tables when it is first opened."""
        return True


class _AtOnce(KeptOpen):
    """One transaction to each file."""

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        connection = self._opened(shard)
        if not connection.in_transaction():  # Dagster would begin one for each event, and commit it
            connection.begin()
        yield connection

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """As `store_event` one by one, of one run, with the rows of a table written together."""
        run_id, shard = events[0].run_id, self.path_for_shard(events[0].run_id)
        may_be_planned, insert = Path(shard).exists(), SqlEventLogStorageTable.insert()
        rows = [self._event_to_row(event) for event in events]
        with self.run_connection(run_id) as connection:
            connection.execute(insert, rows)
        with self.index_connection() as connection:
            connection.execute(insert, rows)
            last: Any = connection.execute(select(func.max(SqlEventLogStorageTable.c.id))).scalar_one()
            stored = list(zip(range(last - len(rows) + 1, last + 1), events, strict=True))  # nobody wrote in between
            self._store_assets(connection, stored)
        for key, event in stored:
            if may_be_planned:
                self.store_asset_check_event(event, key)
            elif event.dagster_event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                self._store_runless_asset_check_evaluation(event, key)
        os.utime(shard)

    def _store_assets(self, connection: Connection, stored: Iterable[tuple[int, EventLogEntry]]) -> None:
        """The tags of materializations, and the last one of each asset."""
        found = [(key, e) for key, e in stored if e.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION]
        self._store_asset_event_tags(connection, [event for _, event in found], [key for key, _ in found])
        for key, event in {e.get_dagster_event().asset_key: (key, e) for key, e in found}.values():
            self._store_asset_event(connection, event, key)

    @contextmanager
    def committed(self) -> Iterator["_AtOnce"]:
        """Commit at the end, or nothing on an error."""
        try:
            yield self
            for connection in self._kept.values():
                connection.commit()
        finally:
            for connection in self._kept.values():
                connection.close()
