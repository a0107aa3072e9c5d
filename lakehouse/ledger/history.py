"""What changed: every materialization beside the one that it replaced. Read from the ledger in one query."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import func, or_, select

from lakehouse.ledger import schema as t
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import ONE_DAY, WHOLE, Window


@dataclass(frozen=True, slots=True)
class Change:
    """One materialization, and what was there before. Grain: one commit of one asset partition."""

    asset: str
    partition: str
    run_id: str
    committed_at: datetime
    version: str
    rows_loaded: int
    version_before: str | None
    """None for the first materialization of the partition."""
    rows_before: int | None

    @property
    def kind(self) -> Literal["new", "changed", "repeated"]:
        """Whether it was the first, had other content than the one before, or was computed from the same."""
        if self.version_before is None:
            return "new"
        return "repeated" if self.version == self.version_before else "changed"


def first_loads(ledger: Ledger, asset: str, partition: str) -> dict[int, datetime]:
    """Records that a partition was read with → the instant (UTC) of the first commit that read so many."""
    m = t.materializations.c
    query = select(m.rows_read, func.min(m.committed_at)).where(m.asset == asset, m.partition == partition)
    with ledger.engine.connect() as connection:
        rows: Iterable[Any] = connection.execute(query.group_by(m.rows_read))
        return dict(map(tuple, rows))


def changes(ledger: Ledger, *, run_id: str | None = None, window: Window | None = None) -> list[Change]:
    """Materializations in the order of their commits: of one run, of the days of a window, or all.

    A window leaves in what is not partitioned.
    """
    m = t.materializations
    partition = (m.c.asset, m.c.partition)
    every = select(
        m.c.id,
        m.c.asset,
        m.c.partition,
        m.c.run_id,
        m.c.committed_at,
        m.c.version,
        m.c.rows_loaded,
        func.lag(m.c.version).over(partition_by=partition, order_by=m.c.id).label("version_before"),
        func.lag(m.c.rows_loaded).over(partition_by=partition, order_by=m.c.id).label("rows_before"),
    ).subquery()
    query = select(*(column for column in every.c if column.name != "id")).order_by(every.c.id)
    if run_id is not None:
        query = query.where(every.c.run_id == run_id)
    if window is not None:
        first, last = window.first.isoformat(), (window.end - ONE_DAY).isoformat()
        query = query.where(or_(every.c.partition == WHOLE, every.c.partition.between(first, last)))
    with ledger.engine.connect() as connection:
        return [Change(**row) for row in connection.execute(query).mappings()]
