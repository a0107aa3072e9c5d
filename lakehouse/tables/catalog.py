"""The Iceberg catalog and how a table comes to be in it.

Called by the Bronze sink, the dbt plugin, recovery and digests. Tables are described in `lakehouse.tables.bronze`.
"""

import contextlib
import logging
import time
import uuid
from functools import partial

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
)
from pyiceberg.io import load_file_io
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableResponse, Table, TableProperties
from pyiceberg.table.update import AssertCreate, SetPropertiesUpdate, TableRequirement, TableUpdate
from pyiceberg.transforms import parse_transform
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from lakehouse.database import BUSY_TIMEOUT_S, open_engine, refuse_lost_catalog
from lakehouse.errors import ConfigurationError
from lakehouse.namespaces import NAMESPACES
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.commits import LandedCommits
from lakehouse.tables.schema_changes import compare, refuse_conflicts, set_name_mapping
from lakehouse.tables.stored_files import new_files
from lakehouse.tables.versions import (
    CATALOG_NAME,
    LOOK_AGAIN_S,
    LOOKS,
    TableVersion,
    compare_versions,
    create_rows,
    follow_commit,
    keep_versions,
    known_files,
    record_files,
)

TABLE_PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    # Writers of other days commit in between: try again on top of them.
    "commit.retry.num-retries": "20",
    # Keep the metadata of a table with many small daily commits small. A manifest of some 50 files is full: with
    # iceberg's 8 MB, every tenth commit would write the entries of all days again.
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "10",
    "commit.manifest.target-size-bytes": "32768",
    # A reader holds on to a metadata file while its run lasts: `lakehouse.upkeep.maintenance` removes old ones by age.
    "write.metadata.delete-after-commit.enabled": "false",
    "write.metadata.previous-versions-max": "20",
}

logger = logging.getLogger(__name__)

_MARK = "omni.commit"
"""Property of a table of a catalog apart: our last commit to it."""


# Two first runs may both create the catalog's own tables; the second look finds them there.
@retry(
    retry=retry_if_exception_type((OperationalError, ProgrammingError, IntegrityError)),
    stop=stop_after_attempt(5),
    wait=wait_random(0.05, 0.3),
    reraise=True,
)
def open_catalog(settings: LakehouseSettings) -> Catalog:
    """Open the catalog that the settings name, creating an embedded one on first use.

    What is committed through it counts as ours (`lakehouse.tables.versions`).

    Raises:
        ConfigurationError: the file of an embedded catalog is gone, and its warehouse holds tables.
    """
    uri = settings.catalog_url.get_secret_value()
    if settings.catalog_type == "sql" and uri.startswith("sqlite"):
        refuse_lost_catalog(settings)
        open_engine(settings.catalog_url).connect().close()  # makes the folder and sets write-ahead logging
        uri += f"{'&' if '?' in uri else '?'}timeout={BUSY_TIMEOUT_S}"
    kind: type[LandedCommits] = FollowedRestCatalog
    if settings.catalog_type == "sql":
        kind = LandingSqlCatalog if settings.is_ledger_in_catalog else FollowedSqlCatalog
    own = {"py-catalog-impl": f"{__name__}.{kind.__name__}", "uri": uri, "warehouse": settings.warehouse_url}
    catalog = load_catalog(CATALOG_NAME, **{**own, **settings.plain_catalog_properties})
    if isinstance(catalog, LandingSqlCatalog):
        keep_versions(catalog.engine, partial(_record_written, catalog.properties))
    elif isinstance(catalog, _FollowedCatalog):
        catalog.rows = open_engine(settings.ledger_url)
        create_rows(catalog.rows)
    return catalog


class LandingSqlCatalog(LandedCommits, SqlCatalog):
    """A catalog in the ledger's database; its commits move the rows of their tables by `keep_versions`."""


class _FollowedCatalog(LandedCommits):
    """A catalog apart from the ledger, through which every commit moves the row of its table, after it has landed.

    From the metadata that it says it replaced: what someone else committed in between stays apart. So does a commit of
    ours whose process died before its row moved, until `lakehouse.proof.foreign_writes` has recognised it; and so does
    everything that one of the two has and the other has not, once it was brought back from an older copy.
    """

    rows: Engine | None = None
    """The ledger's database."""

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit, under a mark of its own, then move the row.

        The mark makes each commit a change: a server answers one that changes nothing with what is there, and that may
        be what someone else has committed.
        """
        mark = SetPropertiesUpdate(updates={_MARK: uuid.uuid4().hex})
        response: CommitTableResponse = super().commit_table(table, requirements, (*updates, mark))  # its retries
        is_new = any(isinstance(each, AssertCreate) for each in requirements)
        log = response.metadata.metadata_log
        base = None if is_new else log[-1].metadata_file if log else table.metadata_location
        try:
            self._follow(table, base, response.metadata_location)
            if self.rows is not None:
                with self.rows.begin() as connection:
                    _record_written(self.properties, connection, response.metadata_location)
        except (SQLAlchemyError, OSError) as error:  # raised here, the commit would pass for one that failed
            logger.warning("%s: committed, and not noted as ours (%s); next: omni verify", table.name(), error)
        return response

    def _follow(self, table: Table, base: str | None, location: str) -> None:
        """Move the row; the one before it, of another process of ours, may be on its way."""
        *namespace, name = table.name()
        for _ in range(LOOKS):
            if self.rows is None or follow_commit(self.rows, ".".join(namespace), name, base, location):
                return
            time.sleep(LOOK_AGAIN_S)


class FollowedSqlCatalog(_FollowedCatalog, SqlCatalog):
    """A catalog in a database of its own."""


class FollowedRestCatalog(_FollowedCatalog, RestCatalog):
    """A catalog behind an HTTP address."""


def _record_written(properties: dict[str, str], connection: Connection, location: str) -> None:
    """Record the files that a commit wrote, whose metadata these are."""
    found = new_files(load_file_io(properties, location), location, partial(known_files, connection))
    record_files(connection, found)


def ask_versions(settings: LakehouseSettings) -> dict[str, TableVersion]:
    """What we left of every table of a layer, and what a REST catalog names, by identifier.

    Raises:
        ConfigurationError: the catalog does not answer.
    """
    try:
        catalog = open_catalog(settings)
        return compare_versions(open_engine(settings.ledger_url), lambda: _current_locations(catalog)) or {}
    except (RESTError, OSError) as error:
        raise ConfigurationError(
            f"the catalog does not say which metadata its tables have ({error}), so nobody knows whether someone else "
            "has written them; next: mend it, or OMNI_VERDICTS_ASK_CATALOG=false to answer by the last look"
        ) from error


def _current_locations(catalog: Catalog) -> dict[str, str | None]:
    """Metadata of every table of a layer, by identifier."""
    identifiers = [each for namespace in NAMESPACES for each in list_tables(catalog, namespace)]
    tables = ((each, load_table_if_exists(catalog, each)) for each in identifiers)
    return {identifier: table.metadata_location if table else None for identifier, table in tables}


def load_table_if_exists(catalog: Catalog, identifier: str) -> Table | None:
    """Load a table, or None where it (or its namespace) does not exist."""
    try:
        return catalog.load_table(identifier)
    except (NoSuchTableError, NoSuchNamespaceError):
        return None


def list_tables(catalog: Catalog, namespace: str) -> list[str]:
    """Identifiers of the tables of a namespace; none where it does not exist."""
    try:
        return [".".join(identifier) for identifier in catalog.list_tables(namespace)]
    except NoSuchNamespaceError:
        return []


def ensure_table(catalog: Catalog, identifier: str, schema: Schema | pa.Schema, partition_by: dict[str, str]) -> Table:
    """Load a table, creating it where it does not exist.

    Args:
        catalog: Where the table is or goes.
        identifier: `namespace.name`.
        schema: Columns of a new table; an existing one takes what is new or wider in it
            (`lakehouse.tables.schema_changes`).
        partition_by: Column → Iceberg transform (`day`, `identity`).

    Raises:
        IncompatibleSchema: a column has a type that the table can neither hold nor widen to.
    """
    table = load_table_if_exists(catalog, identifier) or _create_table(catalog, identifier, schema, partition_by)
    change = compare(table, schema)
    refuse_conflicts(identifier, change, "give the field another name in the contract; the old column stays")
    if change.has_news:
        with table.transaction() as transaction:
            with transaction.update_schema() as update:
                update.union_by_name(schema)
            set_name_mapping(transaction)
    return table


def _create_table(catalog: Catalog, identifier: str, schema: Schema | pa.Schema, partition_by: dict[str, str]) -> Table:
    with contextlib.suppress(NamespaceAlreadyExistsError, IntegrityError):  # or another process was faster
        catalog.create_namespace(identifier.rpartition(".")[0])
    properties = {**TABLE_PROPERTIES, **_bounds(partition_by)}
    try:
        with catalog.create_table_transaction(identifier, schema=schema, properties=properties) as transaction:
            with transaction.update_spec() as spec:
                for column, transform in partition_by.items():
                    name = column if transform == "identity" else f"{column}_{transform}"
                    spec.add_field(column, parse_transform(transform), name)
            set_name_mapping(transaction)
    except (TableAlreadyExistsError, CommitFailedException):  # another process was faster
        pass
    return catalog.load_table(identifier)


def _bounds(partition_by: dict[str, str]) -> dict[str, str]:
    """Of a table of days, the bounds of the time column alone: DuckDB plans a scan from those of all columns and files.

    At 300 files of 33 columns that is 23 ms a scan, with one column 9; and what is looked for by another column is
    seldom in few days.
    """
    days = [column for column, transform in partition_by.items() if transform == "day"]
    columns = {f"{TableProperties.METRICS_MODE_COLUMN_CONF_PREFIX}.{column}": "full" for column in days}
    return {TableProperties.DEFAULT_WRITE_METRICS_MODE: "none", **columns} if days else {}
