"""The dbt-duckdb plugin: Iceberg tables in and out of dbt's in-memory DuckDB, and the evidence of every write.

In: each table is a view over one Iceberg snapshot, pinned for the invocation, so that one run reads one state while
loads go on. Out: `store` replaces the window of a model's table in one commit; the rows are computed in chunks of days.
dbt_project/macros call it; the model's side of the contract is in docs/reference/dbt.md.
"""

import tempfile
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt.adapters.factory import get_adapter_by_type
from dbt.flags import get_flags
from dbt_common.exceptions import DbtRuntimeError
from dbt_common.invocation import get_invocation_id
from duckdb import DuckDBPyConnection
from pyiceberg.table import Table

from lakehouse.builds.chunks import Chunk, chunks_of, has_marks
from lakehouse.builds.commit_evidence import snapshot_evidence
from lakehouse.builds.model import Model
from lakehouse.builds.pins import Pinned
from lakehouse.builds.staging import Staging
from lakehouse.contracts.registry import bronze_contracts
from lakehouse.dbt.results import record_results
from lakehouse.ledger.evidence import Materialization, RowCounts
from lakehouse.ledger.inputs import derived_version
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import NAMESPACES, QUARANTINE
from lakehouse.partitions import WHOLE
from lakehouse.settings import load_settings
from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import ensure_table, list_tables, load_table_if_exists, open_catalog
from lakehouse.tables.commits import replace_window
from lakehouse.tables.duck import load_iceberg_extension, quoted, scan_sql
from lakehouse.tables.filters import ALWAYS, time_filter

RESULTS = "results"
"""Format by which the macro of macros/results.sql says that it hands over test results."""


class Plugin(BasePlugin):
    """See the module's docstring; dbt-duckdb looks for a class of this name."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Open catalog and ledger, once per process."""
        self._settings = load_settings()
        self._catalog = open_catalog(self._settings)
        self._ledger = open_ledger(self._settings)
        self._lock = threading.RLock()
        self._pinned = Pinned()
        self._connection: DuckDBPyConnection | None = None
        for name in (*bronze_contracts(self._settings), QUARANTINE):
            definition = bronze_table(self._settings, name)
            ensure_table(self._catalog, definition.identifier, definition.schema, definition.partition_by)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Prepare the process's DuckDB."""
        load_iceberg_extension(conn)
        for namespace in NAMESPACES:
            conn.execute(f'create schema if not exists "{namespace}"')
        # What does not fit goes to disk; without it, the order of the rows would be kept in memory, too.
        spill = quoted(str(self._settings.home / "scratch" / "duckdb"))
        conn.execute(f"set global temp_directory = {spill}")
        conn.execute(f"set global memory_limit = {quoted(self._settings.dbt_memory)}")
        conn.execute("set global preserve_insertion_order = false")
        self._connection = conn
        self._pinned = Pinned()
        self._pin()

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        """Pin anew when a new invocation begins: a process may run dbt more than once.

        Raises:
            DbtRuntimeError: the invocation asks for a part of the data.
        """
        if self._connection is not None:
            self._pin()

    def store(self, target_config: TargetConfig) -> None:
        """Replace the window of a model's table and record it; or record the results of an invocation's tests."""
        if target_config.location and target_config.location.format == RESULTS:
            run_id = self._settings.run_id or get_invocation_id()
            record_results(_cursor(), self._ledger, self._pinned.materializations, run_id, target_config.config)
            return
        started_at = datetime.now(UTC)
        model = Model.from_config(target_config.config)
        scratch = self._settings.home / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            staging = Staging(model, load_table_if_exists(self._catalog, model.identifier), Path(folder))
            for chunk in self._chunks(model):
                staging.add(chunk, _execute, _cursor())
            self._commit(model, staging, started_at)

    def _chunks(self, model: Model) -> list[Chunk]:
        if not model.is_partitioned or not has_marks(model.sql):
            return [Chunk(model.window.first, model.window.end) if model.window else Chunk(None, None)]
        with self._lock:
            rows = self._pinned.rows_of_day(name for name, reach in model.reach.items() if reach != "all")
        return chunks_of(model.window, rows, self._settings.dbt_chunk_rows)

    def _commit(self, model: Model, staged: Staging, started_at: datetime) -> None:
        """One commit, whatever the number of chunks: a reader sees all of the build or nothing of it."""
        partition_by = {model.time_column: "day"} if model.time_column else {}
        table = ensure_table(self._catalog, model.identifier, staged.lasting_schema, partition_by)
        items = self._materializations(model, staged, started_at)
        if items:  # none: an empty lakehouse built whole
            window = ALWAYS
            if model.window is not None and model.time_column is not None:
                window = time_filter(model.time_column, model.window, staged.is_by_date)
            snapshot_id = replace_window(table, window, staged.files, snapshot_evidence(items), staged.retyped)
            self._remember(items, snapshot_id)
        self._register(table)

    def _materializations(self, model: Model, staged: Staging, started_at: datetime) -> list[Materialization]:
        """One per partition that the build covers, with what each was built from."""
        with self._lock:  # another thread may be recording its model
            versions = {name: self._pinned.versions(name) for name in model.reach}
            snapshots = {name: at for name in model.reach if (at := self._pinned.snapshot_ids.get(name)) is not None}
            partitions = self._partitions(model, staged.rows_of)
        run_id = self._settings.run_id or get_invocation_id()
        found = []
        for partition in partitions:
            inputs = {name: of.input_version(model.reach[name], partition) for name, of in versions.items()}
            rows = staged.rows_of.get(partition, 0)
            found.append(
                Materialization(
                    asset=model.name,
                    partition=partition,
                    version=derived_version(model.checksum, inputs),
                    snapshot_id=None,
                    committed_at=datetime.now(UTC),
                    run_id=run_id,
                    rows=RowCounts(expected=rows, read=rows, loaded=rows),
                    inputs=inputs,
                    is_forced=model.is_forced,
                    read_snapshots=snapshots,
                    started_at=started_at,
                    size_bytes=staged.bytes_of.get(partition, 0),
                )
            )
        return found

    def _partitions(self, model: Model, rows_of: dict[str, int]) -> list[str]:
        if not model.is_partitioned:
            return [WHOLE]
        if model.window:
            return model.window.keys
        daily = [name for name, reach in model.reach.items() if reach != "all"]
        return sorted({*rows_of, *self._pinned.partitions(model.name)}.union(*map(self._pinned.partitions, daily)))

    def _remember(self, items: list[Materialization], snapshot_id: int | None) -> None:
        """Record what was committed, and let the models after it read its new version."""
        ids = self._ledger.record_materializations(replace(item, snapshot_id=snapshot_id) for item in items)
        with self._lock:
            for item, key in zip(items, ids, strict=True):
                self._pinned.materializations[item.asset, item.partition] = replace(
                    item, id=key, snapshot_id=snapshot_id
                )

    def _pin(self) -> None:
        with self._lock:
            if self._pinned.invocation_id == get_invocation_id():
                return
            _refuse_a_part()
            self._pinned = Pinned(
                get_invocation_id(),
                self._ledger.current_materializations(),
                self._pinned.metadata_locations,
                self._pinned.snapshot_ids,
            )
            for namespace in NAMESPACES:
                for identifier in list_tables(self._catalog, namespace):
                    if (table := load_table_if_exists(self._catalog, identifier)) is not None:
                        self._register(table)

    def _register(self, table: Table) -> None:
        """Make the table's current snapshot the one that dbt reads."""
        namespace, name = table.name()[-2:]
        with self._lock:
            if self._pinned.metadata_locations.get(name) != table.metadata_location and self._connection is not None:
                view = f'create or replace view "{namespace}"."{name}" as select * from {scan_sql(table)}'
                self._connection.cursor().execute(view)
                self._pinned.metadata_locations[name] = table.metadata_location
                if (snapshot := table.current_snapshot()) is not None:
                    self._pinned.snapshot_ids[name] = snapshot.snapshot_id


def _refuse_a_part() -> None:
    """Stop an invocation that would build or test on a part of its inputs; `dbt compile` only shows their SQL.

    At the door of the database, since no hook, macro or model can step past it.
    """
    flags = get_flags()  # type: ignore[no-untyped-call]  # dbt has no types here
    options = {"--empty": getattr(flags, "EMPTY", False), "--sample": getattr(flags, "SAMPLE", None) is not None}
    if flags.WHICH == "compile" or not any(options.values()):
        return
    found = " and ".join(name for name, is_set in options.items() if is_set)
    raise DbtRuntimeError(  # dbt's own: printed without a traceback
        f"dbt {flags.WHICH} with {found}: it would read a part of its inputs, and a table stands for all of them; "
        f"nothing was built, tested or recorded; next: leave out {found} (DBT_EMPTY and DBT_SAMPLE set it, too), or "
        "build a few days: --event-time-start DAY --event-time-end DAY"
    )


def _adapter() -> Any:
    return get_adapter_by_type("duckdb")  # type: ignore[no-untyped-call]  # dbt has no types here


def _cursor() -> Any:
    """DuckDB as this thread's dbt connection sees it, temporary tables included."""
    return _adapter().connections.get_thread_connection().handle.cursor()


def _execute(sql: str) -> None:
    """Run a statement as dbt's own: it is logged, and an error in it is one of the model."""
    _adapter().execute(sql)
