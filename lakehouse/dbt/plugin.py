"""The dbt-duckdb plugin: dbt's calls, translated for the build (`lakehouse.builds.build`).

In: each table is a view over one Iceberg snapshot, pinned for the invocation, so that one run reads one state while
loads go on. Out: `store` has a model's table built, its rows computed by dbt's own DuckDB. dbt_project/macros call it;
the model's side of the contract is in docs/reference/dbt.md.
"""

from functools import partial
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt.adapters.factory import get_adapter_by_type
from dbt.flags import get_flags
from dbt_common.exceptions import DbtRuntimeError
from dbt_common.invocation import get_invocation_id
from duckdb import DuckDBPyConnection
from pyiceberg.table import Table

from lakehouse.builds.build import Builder
from lakehouse.builds.chunks import Chunk
from lakehouse.builds.model import Model
from lakehouse.builds.staging import Staging
from lakehouse.contracts.registry import bronze_contracts
from lakehouse.dbt.results import record_results
from lakehouse.dbt.unnamed_reads import refuse_unnamed_reads
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import NAMESPACES, QUARANTINE
from lakehouse.settings import load_settings
from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import ensure_table, open_catalog
from lakehouse.tables.duck import load_iceberg_extension, quoted, scan_sql

RESULTS = "results"
"""Format by which the macro of macros/results.sql says that it hands over test results."""


class Plugin(BasePlugin):
    """See the module's docstring; dbt-duckdb looks for a class of this name."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Open catalog and ledger, once per process."""
        self._settings = load_settings()
        self._catalog = open_catalog(self._settings)
        self._ledger = open_ledger(self._settings)
        self._builder: Builder | None = None
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
        self._builder = Builder(self._settings, self._catalog, self._ledger, partial(_show, conn))
        self._pin(self._builder)

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        """Pin anew when a new invocation begins: a process may run dbt more than once.

        Raises:
            DbtRuntimeError: the invocation asks for a part of the data.
        """
        if self._builder is not None:
            self._pin(self._builder)

    def store(self, target_config: TargetConfig) -> None:
        """Replace the window of a model's table and record it; or record the results of an invocation's tests."""
        builder = self._builder
        assert builder is not None  # dbt stores through a connection
        if target_config.location and target_config.location.format == RESULTS:
            record_results(_cursor(), self._ledger, builder.materializations, builder.run_id, target_config.config)
        else:
            model = Model.from_config(target_config.config)
            refuse_unnamed_reads(model, _cursor())
            builder.build(model, _compute)

    def _pin(self, builder: Builder) -> None:
        if builder.invocation_id != get_invocation_id():
            _refuse_a_part()
            builder.pin(get_invocation_id())


def _show(connection: DuckDBPyConnection, table: Table) -> None:
    """Make a view over the table's snapshot."""
    namespace, name = table.name()[-2:]
    connection.cursor().execute(f'create or replace view "{namespace}"."{name}" as select * from {scan_sql(table)}')


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


def _compute(staging: Staging, chunk: Chunk) -> None:
    staging.add(chunk, _execute, _cursor())


def _adapter() -> Any:
    return get_adapter_by_type("duckdb")  # type: ignore[no-untyped-call]  # dbt has no types here


def _cursor() -> Any:
    """DuckDB as this thread's dbt connection sees it, temporary tables included."""
    return _adapter().connections.get_thread_connection().handle.cursor()


def _execute(sql: str) -> None:
    """Run a statement as dbt's own: it is logged, and an error in it is one of the model."""
    _adapter().execute(sql)
