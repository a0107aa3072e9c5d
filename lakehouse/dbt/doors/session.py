"""What DuckDB makes of the same SQL: settings, functions, types and variables that a profile, hook or macro sets.

No logic and no definition of a test has them, so none may be another than it is in a DuckDB of the lakehouse's own.
Called by `lakehouse.dbt.plugin`: what a connection sets, on each; what was made for all of them, before and after the
nodes, and before a model is built, since DuckDB takes 20 ms to list its functions.
"""

import re
from collections.abc import Iterable, Set
from functools import cache

import duckdb
from duckdb import DuckDBPyConnection

from lakehouse.errors import ConfigurationError
from lakehouse.tables.duck import load_extension

_SETTINGS = (
    "Calendar",
    "TimeZone",
    "binary_as_string",
    "default_collation",
    "default_null_order",
    "default_order",
    "disable_timestamptz_casts",
    "file_search_path",
    "http_proxy",
    "ieee_floating_point_ops",
    "integer_division",
    "lambda_syntax",
    "old_implicit_casting",
    "order_by_non_integer_literal",
    "preserve_identifier_case",
    "scalar_subquery_error_on_multiple_rows",
)
"""By which the same SQL gives other rows. The others are of memory, speed, files and what is shown."""

OFFERED_BY = "orchestration.dbt_documents"
OFFERED = frozenset({"document_passages", "document_sections", "unresolved_anchors"})
"""Functions of the project's own, and the plugin that makes them; a model says which version of each it asks for."""

_FUNCTIONS = "select distinct function_name, internal from duckdb_functions() order by all"
"""Those that a plugin makes of Python are internal, as DuckDB says."""
_EXTENSIONS = "select extension_name from duckdb_extensions() where loaded and install_mode <> 'STATICALLY_LINKED'"
_TYPES = "select 'type ' || type_name from duckdb_types() where not internal order by all"
_SECRETS = "select secret_string from duckdb_secrets() order by all"
"""What keys and secrets there are is not shown; which store they lead to is."""
_VARIABLES = "select 'variable ' || name from duckdb_variables() order by all"


class Session:
    """DuckDB as the lakehouse sets it up."""

    def __init__(self, plugins: Iterable[str]) -> None:
        """Ask a DuckDB that nobody else has touched.

        Args:
            plugins: Modules of the plugins that the profile names.
        """
        self._offered: Set[str] = OFFERED if OFFERED_BY in plugins else frozenset()
        with duckdb.connect() as untouched:
            untouched.execute("set timezone = 'UTC'")
            self._settings = _settings(untouched)
        self._secrets: list[tuple[str]] = []

    def keep_secrets(self, connection: DuckDBPyConnection) -> None:
        """Remember how the store of the tables is reached; where they lie in a folder, by none."""
        self._secrets = connection.execute(_SECRETS).fetchall()

    def refuse_others(self, cursor: DuckDBPyConnection, *, made: bool) -> None:
        """Stop where SQL would give other rows than it gives elsewhere.

        Args:
            cursor: The connection that is asked.
            made: Whether to look for functions, types and secrets, too.

        Raises:
            ConfigurationError: a setting is another, or SQL may call or name what no model says.
        """
        found = [f"{name} = {value}" for name, value in _settings(cursor).items() if value != self._settings[name]]
        for query in (_TYPES, _VARIABLES) if made else (_VARIABLES,):
            found += _names(cursor, query)
        found += [f"function {name}" for name in self._made(cursor)] if made else []
        if made and self._secrets and cursor.execute(_SECRETS).fetchall() != self._secrets:
            found.append("another secret, by which other files would be read")
        if found:
            raise ConfigurationError(
                f"DuckDB: found {', '.join(found)}, set by the profile or by a hook or macro of this run; expected "
                "DuckDB's own, in UTC: rows would depend on what no model says; nothing is built or recorded upon it; "
                "next: take it out, and write a function as a macro of dbt's"
            )

    def _made(self, cursor: DuckDBPyConnection) -> list[str]:
        """Functions that neither DuckDB, nor an extension that it has loaded, nor the project has."""
        functions = cursor.execute(_FUNCTIONS).fetchall()
        own = _functions_of(frozenset(_names(cursor, _EXTENSIONS))) | self._offered
        return [name for name, is_internal in functions if not is_internal or name not in own]


def asks_python(sql: str) -> bool:
    """Whether SQL calls one of the project's own functions, which DuckDB alone has."""
    return _CALL.search(sql) is not None


_CALL = re.compile(rf"\b(?:{'|'.join(sorted(OFFERED))})\(")


def _settings(connection: DuckDBPyConnection) -> dict[str, object]:
    asked = ", ".join(f"current_setting('{name}')" for name in _SETTINGS)
    return dict(zip(_SETTINGS, connection.execute(f"select {asked}").fetchone() or (), strict=True))


def _names(cursor: DuckDBPyConnection, query: str) -> list[str]:
    return [str(name) for (name,) in cursor.execute(query).fetchall()]


@cache
def _functions_of(extensions: Set[str]) -> Set[str]:
    """Functions of a DuckDB that has loaded these extensions, and nothing else."""
    with duckdb.connect() as untouched:
        for extension in sorted(extensions):  # avro before iceberg, which would fetch it
            load_extension(untouched, extension)
        return frozenset(name for name, _ in untouched.execute(_FUNCTIONS).fetchall())
