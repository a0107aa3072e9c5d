"""DuckDB connections that read the lakehouse's Iceberg tables, offline: the extensions come as Python wheels."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from lakehouse.errors import ConfigurationError

if TYPE_CHECKING:  # a process that stages files names nothing but texts here
    from pyiceberg.table import Table


def load_iceberg_extension(connection: duckdb.DuckDBPyConnection) -> None:
    """Load the Iceberg reader and set the session to UTC.

    Raises:
        ConfigurationError: the extension wheels do not fit the installed DuckDB.
    """
    for name in ("avro", "iceberg"):
        file = _extension_file(name)
        connection.execute(f"load {quoted(str(file))}")
    # Global: dbt's threads work on cursors, which do not inherit a session's settings.
    connection.execute("set global timezone = 'UTC'")


def scan_sql(table: "Table") -> str:
    """SQL relation over the table's current snapshot; prunes partitions and honours delete files."""
    return f"iceberg_scan({quoted(table.metadata_location.removeprefix('file://'))})"


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _extension_file(name: str) -> Path:
    package = Path(str(importlib.import_module(f"duckdb_extension_{name}").__file__)).parent
    file = package / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not file.exists():
        raise ConfigurationError(
            f"DuckDB {duckdb.__version__} has no matching {name} extension in {package}; "
            f"next: install duckdb and duckdb-extension-{name} in the versions of requirements.lock"
        )
    return file
