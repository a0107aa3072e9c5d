"""What DuckDB makes of the same SQL: settings, functions, types and variables that a profile, hook or macro sets.

No logic and no definition of a test has them, so none may be another than it is in a DuckDB of the lakehouse's own.
Called by `lakehouse.dbt.plugin` when dbt begins a node, before a model is built and before results are recorded.
"""

import duckdb
from duckdb import DuckDBPyConnection

from lakehouse.errors import ConfigurationError

_SETTINGS = (
    "Calendar",
    "TimeZone",
    "binary_as_string",
    "default_collation",
    "default_null_order",
    "default_order",
    "disable_timestamptz_casts",
    "file_search_path",
    "ieee_floating_point_ops",
    "integer_division",
    "lambda_syntax",
    "old_implicit_casting",
    "order_by_non_integer_literal",
    "preserve_identifier_case",
    "scalar_subquery_error_on_multiple_rows",
)
"""By which the same SQL gives other rows. The others are of memory, speed, files and what is shown."""

_MADE = """
select distinct 'function ' || function_name from duckdb_functions() where not internal
union all
select 'type ' || type_name from duckdb_types() where not internal
union all
select 'variable ' || name from duckdb_variables()
order by all
"""


class Session:
    """DuckDB as the lakehouse sets it up."""

    def __init__(self) -> None:
        """Ask a DuckDB that nobody else has touched."""
        with duckdb.connect() as untouched:
            untouched.execute("set timezone = 'UTC'")
            self._settings = _settings(untouched)

    def refuse_others(self, cursor: DuckDBPyConnection) -> None:
        """Stop where SQL would give other rows than it gives elsewhere.

        Raises:
            ConfigurationError: a setting is another, or SQL may call or name what no model says.
        """
        others = (f"{name} = {value}" for name, value in _settings(cursor).items() if value != self._settings[name])
        made = (str(each) for (each,) in cursor.execute(_MADE).fetchall())
        if found := [*others, *made]:
            raise ConfigurationError(
                f"DuckDB: found {', '.join(found)}, set by the profile or by a hook or macro of this run; expected "
                "DuckDB's own, in UTC: rows would depend on what no model says; nothing is built or recorded upon it; "
                "next: take it out, and write a function as a macro of dbt's"
            )


def _settings(connection: DuckDBPyConnection) -> dict[str, str]:
    asked = "select name, value from duckdb_settings() where list_contains(?, name)"
    return dict(connection.execute(asked, [_SETTINGS]).fetchall())
