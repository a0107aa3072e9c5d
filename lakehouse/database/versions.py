"""The metadata that we left of each table: a row per table in the ledger's database, which may be the catalog's.

The row moves in the transaction of our commit, and only from the metadata that the commit was based on. So what another
program commits leaves the two apart, whatever we commit on top of it, until `lakehouse.proof.foreign_writes` has found
what was changed. That is one query, without Iceberg, by SQLAlchemy alone. Where the ledger lies apart from the catalog,
the row lies with the ledger, and moves after the commit (`lakehouse.tables.catalog`): in the catalog's database it
would go back with the tables where an older copy of that is brought back, and the ledger would still call them safe.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column as SqlColumn
from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Insert,
    MetaData,
    String,
    Table,
    Update,
    and_,
    column,
    event,
    exists,
    insert,
    inspect,
    literal,
    null,
    select,
    table,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.exc import OperationalError, ProgrammingError

CATALOG_NAME = "lake"
"""Name of the catalog in its database."""

_TABLES = table(
    "iceberg_tables",
    *map(
        column,
        ("catalog_name", "table_namespace", "table_name", "metadata_location", "previous_metadata_location"),
    ),
)
metadata = MetaData()
_LEFT = Table(
    "omni_table_versions",
    metadata,
    SqlColumn("catalog_name", String(255), primary_key=True),
    SqlColumn("table_namespace", String(255), primary_key=True),
    SqlColumn("table_name", String(255), primary_key=True),
    SqlColumn("metadata_location", String(1000)),
    SqlColumn("moved_at", DateTime, nullable=False),
    comment="One row per table: the metadata that this project left as current; null where it left none.",
)
LOOKS, LOOK_AGAIN_S = 5, 0.1
"""At a row apart from its catalog, which another process of ours may be about to move."""


@dataclass(frozen=True, slots=True)
class TableVersion:
    """The metadata of one table: what we left, and what the catalog names."""

    namespace: str
    name: str
    is_known: bool = False
    """Whether we ever wrote the table, or looked at it."""
    left: str | None = None
    """Location of the metadata that we left; None where we know of none."""
    left_at: datetime | None = None
    """When (UTC)."""
    current: str | None = None
    """Location that the catalog names; None where it has no such table."""

    @property
    def identifier(self) -> str:
        """`namespace.name`."""
        return f"{self.namespace}.{self.name}"

    @property
    def is_ours(self) -> bool:
        """Whether nobody else has written the table since."""
        return self.is_known and self.left == self.current


Written = Callable[[Connection, str], None]
"""Told of the metadata that a commit leaves, in its transaction."""


def keep_versions(engine: Engine, written: Written) -> None:
    """Have the commits through this engine, a `SqlCatalog`'s, move the rows and record what they wrote."""
    create_rows(engine)

    @event.listens_for(engine, "after_execute")
    def _follow(connection: Connection, statement: Any, *_: Any) -> None:
        if isinstance(statement, Insert | Update) and getattr(statement.table, "name", None) == _TABLES.name:
            _move(connection, statement, written)


def _move(connection: Connection, statement: Insert | Update, written: Written) -> None:
    """Follow one write of pyiceberg to its own table; one that is neither creation nor commit leaves the two apart.

    Where another writer was faster, pyiceberg's statement finds no row, and the transaction is rolled back with ours.
    """
    values = statement.compile().params
    if isinstance(statement, Insert):
        names = [values["catalog_name"], values["table_namespace"], values["table_name"]]
        if not _compare_and_move(connection, names, None, values["metadata_location"]):
            _insert_missing(connection, names, values["metadata_location"])
        written(connection, values["metadata_location"])
    elif "previous_metadata_location" in values:  # else it is a renaming
        names = [values["catalog_name_1"], values["table_namespace_1"], values["table_name_1"]]
        _compare_and_move(connection, names, values["previous_metadata_location"], values["metadata_location"])
        written(connection, values["metadata_location"])


def _compare_and_move(connection: Connection, names: list[str], base: str | None, location: str | None) -> bool:
    is_there = (_key(names), _LEFT.c.metadata_location.is_not_distinct_from(base))
    moved = update(_LEFT).where(*is_there).values(metadata_location=location, moved_at=_now())
    return connection.execute(moved).rowcount > 0


def _insert_missing(connection: Connection, names: list[str], location: str | None) -> bool:
    values: list[Any] = [*map(literal, names), literal(location, String), literal(_now(), DateTime)]
    missing = select(*values).where(~exists(select(_LEFT.c.table_name).where(_key(names))))
    return connection.execute(insert(_LEFT).from_select(_LEFT.columns.keys(), missing)).rowcount > 0


def _key(names: list[str]) -> ColumnElement[bool]:
    columns = (_LEFT.c.catalog_name, _LEFT.c.table_namespace, _LEFT.c.table_name)
    return and_(*(each == name for each, name in zip(columns, names, strict=True)))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def read_versions(engine: Engine) -> dict[str, TableVersion] | None:
    """What we left of every table, and what the catalog names, by identifier; None where there is no catalog (yet).

    One statement, so that a commit of ours is seen whole or not at all.
    """
    with engine.connect() as connection:
        try:
            rows: Sequence[Any] = connection.execute(_BOTH).all()
        except (OperationalError, ProgrammingError):
            connection.rollback()
            names = inspect(connection).get_table_names()
            if _TABLES.name not in names:
                return None
            if _LEFT.name in names:
                raise
            rows = connection.execute(_CURRENT).all()
    found: dict[str, dict[str, Any]] = {}
    for is_left, namespace, name, location, moved_at in rows:
        of = found.setdefault(f"{namespace}.{name}", {"namespace": namespace, "name": name})
        if is_left:
            of |= {"is_known": True, "left": location, "left_at": moved_at.replace(tzinfo=UTC)}
        else:
            of["current"] = location
    return {identifier: TableVersion(**values) for identifier, values in found.items()}


def compare_versions(
    rows: Engine, look: Callable[[], Mapping[str, str | None] | None]
) -> dict[str, TableVersion] | None:
    """What we left of every table, and what a catalog apart names, by identifier; None where there is no catalog (yet).

    A commit of ours that lands meanwhile would be seen by halves, so where the two differ both are read again.

    Args:
        rows: The ledger's database.
        look: Finds the metadata of every table by identifier, or that there is no catalog.
    """
    for number in range(LOOKS):
        time.sleep(LOOK_AGAIN_S if number else 0)
        found = joined_versions(left_versions(rows), look())
        if found is None or all(version.is_ours for version in found.values()):
            break
    return found


def joined_versions(
    left: Mapping[str, TableVersion], current: Mapping[str, str | None] | None
) -> dict[str, TableVersion] | None:
    """What we left of every table, together with the metadata that a catalog names; None where there is no catalog."""
    if current is None:
        return None
    found = dict(left)
    for identifier, location in current.items():
        namespace, _, name = identifier.rpartition(".")
        found[identifier] = replace(found.get(identifier) or TableVersion(namespace, name), current=location)
    return found


def current_locations(engine: Engine) -> dict[str, str | None] | None:
    """The metadata that a catalog's database names of each table, by identifier; None where it holds no catalog."""
    with engine.connect() as connection:
        try:
            rows: Sequence[Any] = connection.execute(_CURRENT).all()
        except (OperationalError, ProgrammingError):
            connection.rollback()
            if _TABLES.name in inspect(connection).get_table_names():
                raise
            return None
    return {f"{namespace}.{name}": location for _, namespace, name, location, _ in rows}


def left_versions(engine: Engine) -> dict[str, TableVersion]:
    """What we left of every table, by identifier, whatever the catalog names."""
    if not inspect(engine).has_table(_LEFT.name):
        return {}
    with engine.connect() as connection:
        rows: Sequence[Any] = connection.execute(_OURS).all()
    return {
        f"{namespace}.{name}": TableVersion(namespace, name, True, location, moved_at.replace(tzinfo=UTC))
        for _, namespace, name, location, moved_at in rows
    }


def create_rows(engine: Engine) -> None:
    """Make the table of the rows where it is missing."""
    metadata.create_all(engine)


def follow_commit(engine: Engine, namespace: str, name: str, base: str | None, location: str) -> bool:
    """Move a row after a commit of ours that took the place of `base`; False where we had left other metadata."""
    names = [CATALOG_NAME, namespace, name]
    with engine.begin() as connection:
        if _compare_and_move(connection, names, base, location):
            return True
        return base is None and _insert_missing(connection, names, location)


def adopt_version(engine: Engine, seen: TableVersion) -> bool:
    """Take what the catalog named when it was looked at for ours; False where another process was faster."""
    names = [CATALOG_NAME, seen.namespace, seen.name]
    create_rows(engine)
    with engine.begin() as connection:
        if seen.is_known:
            return _compare_and_move(connection, names, seen.left, seen.current)
        return _insert_missing(connection, names, seen.current)


def name_metadata(engine: Engine, seen: TableVersion, location: str) -> bool:
    """Have the catalog name other metadata of a table, or the table; False where another process was faster.

    What we left of it stays, so that the table counts as someone else's until it was looked at.

    Args:
        engine: Of a SQL catalog; one whose commits move no rows (`keep_versions`).
        seen: What the catalog named.
        location: What it is to name.
    """
    names = {"catalog_name": CATALOG_NAME, "table_namespace": seen.namespace, "table_name": seen.name}
    moved = {"metadata_location": location, "previous_metadata_location": seen.current}
    is_named = [_TABLES.c[name] == of for name, of in names.items()]
    with engine.begin() as connection:
        if seen.current is None:
            is_there = exists(select(_TABLES.c.table_name).where(*is_named))
            row: dict[str, Any] = {**names, **moved}
            values = select(*(literal(value, String) for value in row.values())).where(~is_there)
            return connection.execute(insert(_TABLES).from_select(list(row), values)).rowcount > 0
        where = [*is_named, _TABLES.c.metadata_location == seen.current]
        return connection.execute(update(_TABLES).where(*where).values(moved)).rowcount > 0


_CURRENT = select(
    literal(0),
    _TABLES.c.table_namespace,
    _TABLES.c.table_name,
    _TABLES.c.metadata_location,
    type_coerce(null(), DateTime),
).where(_TABLES.c.catalog_name == CATALOG_NAME)
_OURS = select(
    literal(1),
    _LEFT.c.table_namespace,
    _LEFT.c.table_name,
    _LEFT.c.metadata_location,
    _LEFT.c.moved_at,
).where(_LEFT.c.catalog_name == CATALOG_NAME)
_BOTH = union_all(_OURS, _CURRENT)
