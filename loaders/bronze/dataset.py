"""Bronze as dlt reads it, `dlt.attach("ticket_events").dataset()`: a DuckDB in memory over the Iceberg tables.

What is read is what lies in the tables when first asked; whether it may be used says a verdict. Nothing written to that
DuckDB reaches the lake. Called by dlt, through `loaders.bronze.destination`.
"""

from functools import cached_property
from typing import Any

import dlt
import duckdb
from dlt.dataset import lineage
from dlt.destinations import duckdb as duckdb_destination
from dlt.destinations.impl.destination.destination import DestinationClient
from dlt.destinations.sql_client import SqlClientBase, WithSqlClient
from sqlglot.optimizer.qualify import qualify

from lakehouse.namespaces import BRONZE
from lakehouse.settings import load_settings
from lakehouse.tables.catalog import list_tables, open_catalog
from lakehouse.tables.duck import load_iceberg_extension, scan_sql


class BronzeClient(DestinationClient, WithSqlClient):
    """dlt's client of a custom destination, and a SQL client beside it."""

    @cached_property
    def sql_client(self) -> SqlClientBase[Any]:
        """Reads the snapshots that are current when it is first asked for."""
        setattr(lineage, "qualify", _qualify)  # noqa: B010  # not exported
        return dlt.dataset(duckdb_destination(_open_views()), BRONZE, self.schema).sql_client

    @property
    def sql_client_class(self) -> type[SqlClientBase[Any]]:
        """Of DuckDB."""
        return type(self.sql_client)


def _open_views() -> duckdb.DuckDBPyConnection:
    """A view of each table of Bronze, by its name."""
    catalog, connection = open_catalog(load_settings()), duckdb.connect()
    load_iceberg_extension(connection, catalog.properties)
    connection.execute(f"create schema {BRONZE}")
    for identifier in list_tables(catalog, BRONZE):
        connection.execute(f"create view {identifier} as select * from {scan_sql(catalog.load_table(identifier))}")
    return connection


def _qualify(expression: Any, infer_schema: Any = None, **how: Any) -> Any:
    """sqlglot's, without the argument that dlt 1.31 gives and sqlglot 30 has no more: it goes by the schema itself.

    Without it every relation of a dataset ends with a TypeError; `test_dlt_dataset` fails where dlt no longer needs it.
    """
    return qualify(expression, **how)
