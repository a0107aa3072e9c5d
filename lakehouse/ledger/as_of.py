"""The ledger as it was: what it knew at an instant, as a ledger in memory that answers like any other.

So a verdict of then is found by the code that finds those of now. What the ledger never forgets carries the instant at
which it was recorded; what is changed in place leaves what it said before (`lakehouse.ledger.schema.past_of`).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, case, create_engine, false, insert, or_, select
from sqlalchemy.pool import StaticPool

from lakehouse.ledger import schema as t
from lakehouse.ledger.ledger import Ledger

RECORDED_AT: Mapping[str, str] = {
    t.batches.name: "admitted_at",
    t.expectations.name: "recorded_at",
    t.releases.name: "released_at",
    t.materializations.name: "committed_at",
    t.quarantine_actions.name: "acted_at",
    t.backfills.name: "requested_at",
    t.checks.name: "observed_at",
    t.foreign_writes.name: "found_at",
    t.acceptances.name: "accepted_at",
}
"""Table whose rows stay as they were recorded → its instant."""


def ledger_as_of(ledger: Ledger, at: datetime, only: Mapping[str, str | None] | None = None) -> Ledger:
    """What a ledger knew at an instant (UTC), in memory; to be read, not written.

    What was recorded by an earlier version of this project without its instant counts as known from the beginning.

    Args:
        ledger: The record.
        at: The instant.
        only: Assets whose materializations and check results are wanted, and of which partition; None: of all.
    """
    engine = create_engine("sqlite://", poolclass=StaticPool)
    t.metadata.create_all(engine)
    with ledger.engine.connect() as source, engine.begin() as target:
        for table in t.metadata.sorted_tables:
            rows = [row for query in _known(table, at, only) for row in _rows(source, query)]
            if rows:
                target.execute(insert(table), rows)
    return Ledger(engine)


def _rows(connection: Connection, query: Select[Any]) -> Iterator[dict[str, Any]]:
    return (dict(row) for row in connection.execute(query).mappings())


def _known(table: Table, at: datetime, only: Mapping[str, str | None] | None) -> list[Select[Any]]:
    """What to read of a table, and of what it said before."""
    if table.name in RECORDED_AT:
        recorded = select(*_not_yet_undone(table, at)).where(table.c[RECORDED_AT[table.name]] <= at)
        if only is not None and table in (t.materializations, t.checks):
            recorded = recorded.where(_among(table, only))
        return [recorded]
    if table.name in t.past_of:
        past = t.past_of[table.name]
        before = [past.c[column.name] for column in table.columns]
        return [
            select(table).where(_since(table, at)),
            select(*before).where(_since(past, at), past.c.until > at),
        ]
    if table is t.admissions:
        version = [table.c[name] == t.batches.c[name] for name in ("manifest_id", "manifest_sha256")]
        return [select(table).join(t.batches, (version[0]) & (version[1])).where(t.batches.c.admitted_at <= at)]
    if table in t.past_of.values():
        return []
    raise KeyError(table.name)


def _among(table: Table, only: Mapping[str, str | None]) -> ColumnElement[bool]:
    asset, partition = table.c.asset, table.c.partition
    return or_(
        false(),
        *(asset == name if key is None else and_(asset == name, partition == key) for name, key in only.items()),
    )


def _not_yet_undone(table: Table, at: datetime) -> list[ColumnElement[Any]]:
    """Columns of a table; what was taken back later had not been."""
    undone = {name: table.c[name] for name in ("undone_at", "undone_by") if name in table.c}
    if not undone:
        return list(table.c)
    had_been = undone["undone_at"] <= at
    return [case((had_been, column)).label(column.name) if column.name in undone else column for column in table.c]


def _since(table: Table, at: datetime) -> Any:
    return or_(table.c.since.is_(None), table.c.since <= at)
