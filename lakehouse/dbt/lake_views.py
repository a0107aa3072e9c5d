"""The views by which dbt's DuckDB reads the lake, and the proof that they are what is read.

A hook, macro or test may run any SQL on the database. What it puts in the place of a view is found before a model is
built, before results are recorded, and when dbt begins its next node.
"""

import threading
from collections import defaultdict

from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection
from pyiceberg.table import Table

from lakehouse.namespaces import NAMESPACES
from lakehouse.tables.duck import scan_sql

_FOUND = """
select schema_name, view_name, sql from duckdb_views() where not internal
union all
select schema_name, table_name, sql from duckdb_tables() where not internal and not temporary
"""


class LakeViews:
    """Views over snapshots, made and looked after."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        """Start with none: a connection may have served another target."""
        for namespace in NAMESPACES:
            connection.execute(f'drop schema if exists "{namespace}" cascade')
            connection.execute(f'create schema "{namespace}"')
        self._connection = connection
        self._lock = threading.RLock()
        self._made: dict[tuple[str, str], set[str]] = defaultdict(set)
        """What DuckDB says of each view that was made; a thread may still see the one before the last."""
        self.schemas: dict[tuple[str, str], str] = {}
        """Of the table behind each view."""

    def show(self, table: Table, schema: str) -> None:
        """Make a view over the table's snapshot, or replace it."""
        name = table.name()[-1]
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute(f'create or replace view "{schema}"."{name}" as select * from {scan_sql(table)}')
            made = "select sql from duckdb_views() where schema_name = ? and view_name = ?"
            self.schemas[schema, name] = str(table.schema())
            self._made[schema, name].update(sql for (sql,) in cursor.execute(made, [schema, name]).fetchall())

    def refuse_others(self, cursor: DuckDBPyConnection) -> None:
        """Stop where anything stands in the place of a view.

        Raises:
            DbtRuntimeError: it does.
        """
        with self._lock:
            found = cursor.execute(_FOUND).fetchall()
            others = sorted(
                f"{schema}.{name}"
                for schema, name, sql in found
                if (schema, name) in self._made and sql not in self._made[schema, name]
            )
        if others:
            raise DbtRuntimeError(
                f"{', '.join(others)}: found other rows in its place, put there by a hook, macro or test of this run; "
                "expected the lake's own; nothing is built or recorded upon it; next: take that SQL out"
            )
