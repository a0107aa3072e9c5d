"""Acceptances: a person's word that what an older logic computed may stand, for the logic that its model has by then.

One row per materialization and logic. A later edit is another logic, which nobody has accepted; a partition that is
built again is another materialization. A row that was taken back stays, and does not count.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from lakehouse.ledger import schema as t
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import WHOLE, day_ranges


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One materialization that was accepted."""

    materialization_id: int
    asset: str
    partition: str
    accepted_logic: str | None
    """The logic that it was computed by; None where that is not on record."""
    current_logic: str
    """The model's, when it was accepted."""
    reason: str
    accepted_by: str
    accepted_at: datetime
    undone_by: str | None = None
    undone_at: datetime | None = None

    @property
    def word(self) -> str:
        """Whose it is, since when (UTC), and why: for whoever is shown the verdict."""
        return f"by {self.accepted_by} at {self.accepted_at:%Y-%m-%dT%H:%M:%SZ}: {self.reason}"


@dataclass(frozen=True)
class AcceptedTogether:
    """Partitions of one asset that stand on the word of one person, for one reason."""

    asset: str
    partitions: list[str]
    latest: Acceptance

    @property
    def said(self) -> str:
        """One line: which, how many, whose word, why."""
        if self.partitions == [WHOLE]:
            return f"{self.asset}, {self.latest.word}"
        number = "" if len(self.partitions) == 1 else f" ({len(self.partitions)} partitions)"
        return f"{self.asset} {day_ranges(self.partitions)}{number}, {self.latest.word}"


def accepted_together(items: Iterable[Acceptance]) -> list[AcceptedTogether]:
    """Acceptances by asset, person and reason, in the order in which they are first met."""
    found: dict[tuple[str, str, str], list[Acceptance]] = {}
    for item in items:
        found.setdefault((item.asset, item.accepted_by, item.reason), []).append(item)
    return [
        AcceptedTogether(asset, sorted(item.partition for item in of), max(of, key=lambda item: item.accepted_at))
        for (asset, _, _), of in found.items()
    ]


def record_acceptances(ledger: Ledger, items: Iterable[Acceptance]) -> None:
    """Record what a person accepted."""
    rows = [{name: getattr(item, name) for name in Acceptance.__slots__} for item in items]
    if rows:
        with ledger.engine.begin() as connection:
            connection.execute(insert(t.acceptances), rows)


def undo_acceptances(ledger: Ledger, items: Iterable[Acceptance], by: str, at: datetime) -> None:
    """Take acceptances back."""
    a = t.acceptances
    with ledger.engine.begin() as connection:
        for item in items:
            where = (a.c.materialization_id == item.materialization_id, a.c.undone_at.is_(None))
            connection.execute(update(a).where(*where).values(undone_by=by, undone_at=at))


def acceptances(ledger: Ledger) -> dict[int, Acceptance]:
    """What is accepted, by materialization: the last word on each that was not taken back."""
    a = t.acceptances
    query = select(*(a.c[name] for name in Acceptance.__slots__)).where(a.c.undone_at.is_(None)).order_by(a.c.id)
    with ledger.engine.connect() as connection:
        rows: Iterable[Any] = connection.execute(query)
        return {item.materialization_id: item for item in (Acceptance(*row) for row in rows)}
