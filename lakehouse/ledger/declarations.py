"""What the last look at the manifests found declared, of sources and of what should come; and files of no known day.

Read for the verdicts (`orchestration.readiness`), in a few queries.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import exists, insert, select

from lakehouse.ledger import schema as t
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import Window


@dataclass(frozen=True, slots=True)
class Declaration:
    """What an admitted source's manifest says of it, in its latest version. Grain: asset, manifest, source."""

    asset: str
    manifest_id: str
    source_id: str
    window: Window | None
    """UTC days that the declared window touches; None where none is declared."""
    collection: str | None
    """What its listings speak of, where it lists anything."""
    owner: str | None
    """Who answers for the source."""


def declarations(ledger: Ledger) -> list[Declaration]:
    """Declarations of every source that the last look at the manifests found admitted."""
    s, b = t.source_files.c, t.batches.c
    with ledger.engine.connect() as connection:
        sources: Iterable[Any] = connection.execute(select(s.asset, s.manifest_id, s.source_id).distinct()).all()
        versions: Iterable[Any] = connection.execute(select(b.manifest_id, b.declared).order_by(b.admitted_at)).all()
    latest: dict[str, dict[str, Any]] = {manifest_id: declared or {} for manifest_id, declared in versions}
    said = {
        manifest_id: (_window(declared), _collection(declared), declared.get("owner"))
        for manifest_id, declared in latest.items()
    }
    return [
        Declaration(asset, manifest_id, source_id, *said.get(manifest_id, (None, None, None)))
        for asset, manifest_id, source_id in sources
    ]


def record_expectations(ledger: Ledger, declared: Sequence[dict[str, Any]]) -> None:
    """Record the expectations that a look at the manifests found, as JSON objects, where they differ from before."""
    if list(declared) != recorded_expectations(ledger):
        row = {"declared": list(declared), "recorded_at": datetime.now(UTC)}
        with ledger.engine.begin() as connection:
            connection.execute(insert(t.expectations).values(row))


def recorded_expectations(ledger: Ledger) -> list[dict[str, Any]]:
    """The expectations that the last look at the manifests found, as JSON objects."""
    query = select(t.expectations.c.declared).order_by(t.expectations.c.id.desc()).limit(1)
    with ledger.engine.connect() as connection:
        found: list[dict[str, Any]] = connection.execute(query).scalar() or []
    return found


def undated_problems(ledger: Ledger) -> dict[str, tuple[str, ...]]:
    """Asset → why files of it cannot be read of which no partition is known: neither declared, nor covered before."""
    s, c = t.source_files.c, t.coverage.c
    same = (getattr(c, name) == getattr(s, name) for name in ("asset", "manifest_id", "source_id", "source_file"))
    query = (
        select(s.asset, s.problem).where(s.problem.is_not(None), ~exists().where(*same)).order_by(s.asset, s.problem)
    )
    found: dict[str, tuple[str, ...]] = {}
    with ledger.engine.connect() as connection:
        rows: Iterable[Any] = connection.execute(query.distinct())
        for asset, problem in rows:
            found[asset] = (*found.get(asset, ()), problem)
    return found


def _window(declared: dict[str, Any]) -> Window | None:
    given = declared.get("selection_window") or {}
    start_at, end_at = given.get("start_at"), given.get("end_at")
    if not start_at or not end_at:
        return None
    return Window.touched(datetime.fromisoformat(start_at), datetime.fromisoformat(end_at))


def _collection(declared: dict[str, Any]) -> str | None:
    return declared.get("collection") or declared.get("source_type")
