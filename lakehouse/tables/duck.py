"""DuckDB connections that read the lakehouse's Iceberg tables, offline: the extensions come as Python wheels."""

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from lakehouse.errors import ConfigurationError

if TYPE_CHECKING:  # a process that stages files names nothing but texts here
    from pyiceberg.table import Table


def load_iceberg_extension(connection: duckdb.DuckDBPyConnection, properties: Mapping[str, str]) -> None:
    """Load the Iceberg reader, with the way to the store that holds the tables, and set the session to UTC.

    Args:
        connection: The one that is to read.
        properties: Those of the catalog or of a table's files, as pyiceberg names them.

    Raises:
        ConfigurationError: the extension wheels do not fit the installed DuckDB.
    """
    is_stored = any(name.startswith("s3.") for name in properties)
    for name in ("avro", "iceberg", *(["httpfs"] if is_stored else [])):
        load_extension(connection, name)
    if is_stored:
        # Of the secrets that a person keeps for DuckDB, one that fits better would lead to another store.
        connection.execute("set global allow_persistent_secrets = false")
        connection.execute(f"create or replace secret store ({', '.join(_of_secret(properties))})")
    # Global: dbt's threads work on cursors, which do not inherit a session's settings.
    connection.execute("set global timezone = 'UTC'")


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension: from its wheel, else from where DuckDB keeps those that a person has installed.

    Raises:
        ConfigurationError: its wheel does not fit the installed DuckDB.
    """
    has_wheel = importlib.util.find_spec(f"duckdb_extension_{name}") is not None
    connection.execute(f"load {quoted(str(_extension_file(name)))}" if has_wheel else f"load {name}")


def _of_secret(properties: Mapping[str, str]) -> Iterator[str]:
    """Parts of DuckDB's secret for a store that speaks S3; the store's address says whether it is asked in TLS."""
    yield "type s3"
    for name, part in _PARTS_OF_SECRET.items():
        if name in properties:
            yield f"{part} {quoted(properties[name])}"
    if "s3.endpoint" in properties:
        scheme, _, address = properties["s3.endpoint"].rpartition("://")
        yield f"endpoint {quoted(address.rstrip('/'))}"
        yield f"use_ssl {scheme != 'http'}"
        # As pyarrow asks it: the bucket is a part of the path.
        is_virtual = properties.get("s3.force-virtual-addressing", "").lower() == "true"
        yield f"url_style {quoted('vhost' if is_virtual else 'path')}"


_PARTS_OF_SECRET = {
    "s3.access-key-id": "key_id",
    "s3.secret-access-key": "secret",
    "s3.session-token": "session_token",
    "s3.region": "region",
}
"""Property of pyiceberg's → what DuckDB calls it."""


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
