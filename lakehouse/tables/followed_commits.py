"""The catalogs through which we commit, and what follows a commit that has landed.

A failure is believed when the table does not have the commit; the row of what we left moves; the files that were
written are recorded; a commit to a database is marked beside the metadata. Opened by `lakehouse.tables.catalog`.
"""

import logging
import time
import uuid
from functools import partial

from pydantic import SecretStr
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io import FileIO, load_file_io
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    AssertCreate,
    SetPropertiesUpdate,
    TableRequirement,
    TableUpdate,
)
from sqlalchemy import Connection, Engine

from lakehouse.database.commit_marks import mark_location, number_of
from lakehouse.database.engines import look_after, open_engine
from lakehouse.database.versions import LOOK_AGAIN_S, LOOKS, create_rows, follow_commit, keep_versions
from lakehouse.database.written_files import known_files, record_files
from lakehouse.tables.stored_files import new_files

logger = logging.getLogger(__name__)

_MARK = "omni.commit"
"""Property of a table of a catalog apart: our last commit to it."""


class _LandedCommits(Catalog):
    """A catalog that takes a commit whose snapshots are on the table for one that succeeded, whatever it was told.

    The answer may be lost on its way. pyiceberg 0.12 deletes the manifest list of a commit that is reported as refused
    on the last of its attempts: where it had landed, nobody could read the table again.
    """

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit; an error is raised where the snapshots are not there, or nobody says whether they are."""
        try:
            return super().commit_table(table, requirements, updates)  # type: ignore[safe-super]  # the catalog's own
        except Exception as error:  # whatever it is called
            if (landed := self._landed(table, updates)) is None:
                raise
            logger.warning("%s: committed, though the answer was: %s", ".".join(table.name()), error)
            return landed

    def _landed(self, table: Table, updates: tuple[TableUpdate, ...]) -> CommitTableResponse | None:
        """The table as it is, where it has the snapshots of a commit; the id of each is its own."""
        added = {update.snapshot.snapshot_id for update in updates if isinstance(update, AddSnapshotUpdate)}
        if not added:
            return None
        found = self.load_table(table.name())
        if not added <= {snapshot.snapshot_id for snapshot in found.snapshots()}:
            return None
        return CommitTableResponse.model_construct(metadata=found.metadata, metadata_location=found.metadata_location)


class _MarkedSqlCatalog(_LandedCommits, SqlCatalog):
    """A catalog in a database, which may be lost or brought back from an older copy: its commits are marked."""

    @property
    def engine(self) -> Engine:
        """Its connections: to a server those that the process has; what listens to them stays its own."""
        return self._engine

    @engine.setter
    def engine(self, made: Engine) -> None:
        """Take what pyiceberg makes, which has not connected yet."""
        if made.dialect.name == "sqlite":
            look_after(made)
            self._engine = made
        else:
            self._engine = open_engine(SecretStr(made.url.render_as_string(hide_password=False))).execution_options()

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit; then, since it has landed, mark it beside the table's metadata."""
        response: CommitTableResponse = super().commit_table(table, requirements, updates)
        is_new = any(isinstance(each, AssertCreate) for each in requirements)
        try:
            mark_commit(table.io, response.metadata.location, response.metadata_location, is_new)
        except Exception as error:  # raised here, the commit would pass for one that failed
            logger.warning("%s: committed, and not marked (%s); the next commit is", table.name(), error)
        return response


class _ApartFromLedger(_LandedCommits):
    """A catalog apart from the ledger, through which every commit moves the row of its table, after it has landed.

    From the metadata that it says it replaced: what someone else committed in between stays apart. So does a commit of
    ours whose process died before its row moved, until `lakehouse.proof.foreign_writes` has recognised it; and so does
    everything that one of the two has and the other has not, once it was brought back from an older copy.
    """

    rows: Engine | None = None
    """The ledger's database."""

    def follow(self, rows: Engine) -> None:
        """Follow every commit."""
        create_rows(rows)
        self.rows = rows

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
        except Exception as error:  # as above
            logger.warning("%s: committed, and not noted as ours (%s); next: omni verify", table.name(), error)
        return response

    def _follow(self, table: Table, base: str | None, location: str) -> None:
        """Move the row; the one before it, of another process of ours, may be on its way."""
        *namespace, name = table.name()
        for _ in range(LOOKS):
            if self.rows is None or follow_commit(self.rows, ".".join(namespace), name, base, location):
                return
            time.sleep(LOOK_AGAIN_S)


class SqlCatalogWithLedger(_MarkedSqlCatalog):
    """A catalog in the ledger's database: one transaction commits, and moves the row."""

    def follow(self, rows: Engine) -> None:
        """Follow every commit; `rows` is the same database."""
        keep_versions(self.engine, partial(_record_written, self.properties))


class SqlCatalogApart(_ApartFromLedger, _MarkedSqlCatalog):
    """A catalog in a database of its own."""


class RestCatalogApart(_ApartFromLedger, RestCatalog):
    """A catalog behind an HTTP address; to keep it is its server's."""


FollowedCatalog = SqlCatalogWithLedger | SqlCatalogApart | RestCatalogApart
"""What `lakehouse.tables.catalog` opens."""


def _record_written(properties: dict[str, str], connection: Connection, location: str) -> None:
    """Record the files that a commit wrote, whose metadata these are."""
    found = new_files(load_file_io(properties, location), location, partial(known_files, connection))
    record_files(connection, found)


def mark_commit(io: FileIO, table_location: str, metadata_location: str, is_final: bool) -> None:
    """Name the metadata file of a table that was committed last; a writer that is late names no earlier one.

    Args:
        io: Where the table's files are.
        table_location: Folder of the table.
        metadata_location: What was committed.
        is_final: What the mark says so far does not count: the table was made anew, or taken back to an earlier state.
    """
    location, name = mark_location(table_location), metadata_location.rpartition("/")[2]
    try:
        with io.new_input(location).open() as stream:
            marked = number_of(stream.read().decode())
    except FileNotFoundError:
        marked = -1
    if is_final or marked < number_of(name):
        with io.new_output(location).create(overwrite=True) as stream:
            stream.write(f"{name}\n".encode())
