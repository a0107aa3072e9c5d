"""The dbt-duckdb plugin: dbt's calls, translated for the build (`lakehouse.builds.build`).

In: each table is a view over one Iceberg snapshot, pinned for the invocation, so that one run reads one state while
loads go on. Out: `store` has a model's table built, its rows computed by dbt's own DuckDB. dbt_project/macros call it;
the model's side of the contract is in docs/reference/dbt.md.
"""

import threading
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt.adapters.events.logging import AdapterLogger
from dbt.adapters.factory import get_adapter_by_type
from dbt.flags import get_flags
from dbt_common.exceptions import DbtRuntimeError
from dbt_common.invocation import get_invocation_id, get_invocation_started_at
from duckdb import DuckDBPyConnection
from sqlalchemy.exc import SQLAlchemyError

from lakehouse.builds.chunks import Chunk
from lakehouse.builds.model import Model
from lakehouse.builds.staging import Staging
from lakehouse.contracts.registry import bronze_contracts
from lakehouse.database.failures import describe
from lakehouse.dbt.declared import Declared, has_changed_since, read_declared, stamp_of
from lakehouse.dbt.definitions import unit_test_definition
from lakehouse.dbt.doors.kept_models import refuse_a_model, refuse_what_no_table_keeps
from lakehouse.dbt.doors.session import Session
from lakehouse.dbt.doors.unnamed_reads import refuse_unnamed_reads
from lakehouse.dbt.doors.unrepeatable_sql import refuse_unrepeatable_sql
from lakehouse.dbt.doors.unstable_logic import refuse_another_logic
from lakehouse.dbt.doors.ways_in import (
    BUILDING,
    DEVELOPMENT,
    PRODUCTION,
    TESTING,
    Invocation,
    refuse_a_record,
    refuse_a_wrong_door,
)
from lakehouse.dbt.lake import Lake
from lakehouse.dbt.lake_views import LakeViews
from lakehouse.dbt.results import Tests
from lakehouse.dbt.unit_tests import carry_over
from lakehouse.errors import ConfigurationError, OmniError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import QUARANTINE
from lakehouse.scratch import scratch_root
from lakehouse.settings import load_settings
from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import ensure_table, open_catalog
from lakehouse.tables.duck import load_iceberg_extension, quoted

SELECTION, RESULTS, DROP = "selection", "results", "drop"
"""Formats by which the macros of macros/doors.sql and macros/results.sql say what they hand over."""

_FEW_ROWS = 500_000
"""Rows of all tables below which DuckDB takes one thread: to hand so few to others costs a sixth of a build's CPU."""

logger = AdapterLogger("lakehouse")


class Plugin(BasePlugin):
    """See the module's docstring; dbt-duckdb looks for a class of this name."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Open catalog and ledger, once per process.

        Raises:
            DbtRuntimeError: they cannot be opened, in one line; dbt would show others with all that led to them.
        """
        try:
            self._open()
        except SQLAlchemyError as error:
            raise DbtRuntimeError(describe(error)) from error
        except OmniError as error:
            raise DbtRuntimeError(str(error)) from error

    def _open(self) -> None:
        self._settings = load_settings()
        self._catalog = open_catalog(self._settings)
        self._ledger = open_ledger(self._settings)
        self._connection: DuckDBPyConnection | None = None
        self._lake: Lake | None = None
        named = self.creds.plugins if self.creds else None
        self._session = Session([plugin.module for plugin in named or []])
        self._lock = threading.RLock()  # dbt opens its first connections from several threads
        for name in (*bronze_contracts(self._settings), QUARANTINE):
            definition = bronze_table(self._settings, name)
            ensure_table(self._catalog, definition.identifier, definition.schema, definition.partition_by)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Prepare the process's DuckDB."""
        load_iceberg_extension(conn, properties := self._settings.plain_catalog_properties)
        if properties:
            self._session.keep_secrets(conn)
        # What does not fit goes to disk; without it, the order of the rows would be kept in memory, too.
        spill = quoted(str(scratch_root(self._settings) / "duckdb"))
        conn.execute(f"set global temp_directory = {spill}")
        conn.execute(f"set global memory_limit = {quoted(self._settings.dbt_memory)}")
        conn.execute("set global preserve_insertion_order = false")
        (self._threads,) = conn.execute("select current_setting('threads')").fetchone() or (1,)
        self._connection = conn

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        """Pin anew when a new invocation begins: a process may run dbt more than once, and on another target.

        Raises:
            DbtRuntimeError: the invocation came in by a door that is shut, or found other rows in the lake's place.
        """
        if self._connection is None:
            return
        target, invocation_id = _adapter().config.target_name, get_invocation_id()
        with self._lock:
            if self._lake is None or self._lake.target != target or self._lake.builder.invocation_id != invocation_id:
                _refuse_a_wrong_door(target)
                if self._lake is None or self._lake.target != target:
                    views = self._views(self._connection)
                    self._lake = Lake(target, self._settings, self._catalog, self._ledger, views)
                project = self._settings.dbt_project_dir
                # dbt has read the project before; edited since, it is not the one that ran.
                was_edited = has_changed_since(project, get_invocation_started_at().replace(tzinfo=UTC))
                self._stamp = "" if was_edited else stamp_of(project)
                self._lake.builder.pin(invocation_id)
                rows = sum(item.rows.loaded for item in self._lake.builder.materializations.values())
                self._connection.execute(f"set threads = {1 if rows < _FEW_ROWS else self._threads}")
            is_for_a_node = "." in _adapter().connections.get_thread_connection().name
            self._refuse_other_rows(cursor, self._lake, made=not is_for_a_node)

    def store(self, target_config: TargetConfig) -> None:
        """Replace the window of a model's table and record it; or what else a macro hands over."""
        lake, config = self._lake, target_config.config
        assert lake is not None  # dbt stores through a connection
        cursor, command = self._cursor(), _flags()["WHICH"]
        self._refuse_other_rows(cursor, lake, made=True)
        handed_over = target_config.location.format if target_config.location else None
        if handed_over == SELECTION:
            (database,) = cursor.execute("select current_database()").fetchone()
            refuse_what_no_table_keeps(config["nodes"], config["sources"], config["selected"], database)
        elif handed_over == RESULTS:
            refuse_a_record(command, TESTING, "results of tests")
            said = self._said_from_the_start()
            built = lake.builder.built
            tests = Tests(config, _unit_tests(), said.definitions, {**said.logic, **built})
            if lake.target == PRODUCTION:
                config["tests"] += carry_over(self._settings, said, tests, built, _inputs(lake.views.schemas))
            lake.record(self._reader(cursor), tests)
        elif handed_over == DROP:
            logger.info("dropped {}", ", ".join(lake.drop()) or "nothing: no table was built")
        else:
            refuse_a_record(command, BUILDING, "rows")
            for node in (config["node"], *config["upstream"]):
                refuse_a_model(node)
            model = self._model(config, cursor)
            if lake.target != DEVELOPMENT:  # where variables may be tried
                refuse_another_logic(model, self._declared())
            lake.build(model, self._compute)

    def _model(self, config: dict[str, Any], cursor: DuckDBPyConnection) -> Model:
        """The model that is to be built, which asks for nothing that nobody knows of."""
        model = Model.from_config(config)
        refuse_unnamed_reads(model, cursor)
        refuse_unrepeatable_sql(model, cursor)
        return model

    def _compute(self, staging: Staging, chunk: Chunk) -> None:
        staging.add(chunk, self._make, self._cursor())

    def _make(self, table: str, sql: str) -> None:
        """Make a temporary table of what SQL gives, as dbt's own: it is logged, and an error in it is the model's."""
        _adapter().execute(f"create or replace temporary table {table} as (\n{sql}\n)")

    def _cursor(self) -> Any:
        """DuckDB as this thread's dbt connection sees it, temporary tables included."""
        return _adapter().connections.get_thread_connection().handle.cursor()

    def _views(self, connection: DuckDBPyConnection) -> LakeViews:
        """What the tables are read by."""
        return LakeViews(connection)

    def _reader(self, cursor: DuckDBPyConnection) -> Any:
        """Runs the SQL of tests that failed, as they ran."""
        return cursor

    def _refuse_other_rows(self, cursor: DuckDBPyConnection, lake: Lake, *, made: bool) -> None:
        """Stop where a profile, hook, macro or test has made the tables, or what SQL makes of them, others.

        Functions and types are looked for where `made`: not on the connections of the nodes, which are many.

        Raises:
            DbtRuntimeError: it has.
        """
        lake.views.refuse_others(cursor)
        if _flags()["WHICH"] in {*BUILDING, *TESTING}:
            try:
                self._session.refuse_others(cursor, made=made)
            except ConfigurationError as error:
                raise DbtRuntimeError(str(error)) from error

    def _declared(self) -> Declared | None:
        """What the project says, where it is this one that runs, and as it is now."""
        is_ours = Path(_flags()["PROJECT_DIR"]).resolve() == self._settings.dbt_project_dir
        return read_declared(self._settings) if is_ours else None

    def _said_from_the_start(self) -> Declared:
        """What the project says, where it has not changed since the invocation began; else nothing."""
        declared = self._declared()
        return declared if declared and declared.stamp == self._stamp else Declared(self._stamp)


def _refuse_a_wrong_door(target: str) -> None:
    """At the door of the database, since no hook, macro or model can step past it."""
    flags = _flags()
    try:
        refuse_a_wrong_door(Invocation(flags["WHICH"], target, flags))
    except ConfigurationError as error:
        raise DbtRuntimeError(str(error)) from error  # dbt's own: printed without a traceback


def _flags() -> dict[str, Any]:
    return dict(vars(get_flags()))  # type: ignore[no-untyped-call]  # dbt has no types here


def _unit_tests() -> dict[str, str]:
    """Unit test → its definition, as this invocation has parsed it."""
    tests = _adapter().get_macro_resolver().unit_tests
    return {key: unit_test_definition(test.to_dict()) for key, test in tests.items()}


def _inputs(schemas: Mapping[tuple[str, str], str]) -> dict[str, dict[str, str]]:
    """Unit test → of each table that its model reads, the schema."""
    manifest = _adapter().get_macro_resolver()
    known, found = {**manifest.nodes, **manifest.sources}, {}
    for key, test in manifest.unit_tests.items():
        tables = [known[name] for model in test.depends_on.nodes[:1] for name in known[model].depends_on.nodes]
        found[key] = {f"{t.schema}.{t.identifier}": schemas.get((t.schema, t.identifier), "") for t in tables}
    return found


def _adapter() -> Any:
    return get_adapter_by_type("duckdb")  # type: ignore[no-untyped-call]  # dbt has no types here
