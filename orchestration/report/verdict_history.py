"""What was said of an asset partition before: its verdict at each instant at which the ledger learned something of it.

Called by `omni explain --history`. Reads the ledger alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select, union_all

from lakehouse.ledger import schema as t
from lakehouse.ledger.as_of import ledger_as_of
from lakehouse.ledger.ledger import Ledger
from loaders.manifests.expectations import Expectation
from orchestration.readiness.asset_graph import AssetGraph
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.verdicts import Verdict


@dataclass(frozen=True)
class Moment:
    """A verdict, and since when it was said."""

    since: datetime
    """UTC."""
    verdict: Verdict


def verdict_history(
    graph: AssetGraph, ledger: Ledger, expectations: Sequence[Expectation], asset: str, partition: str, most: int
) -> list[Moment]:
    """Verdicts on a partition, the oldest first, one for each change of status or reasons.

    Args:
        graph: The assets, and what they must pass, as declared now.
        ledger: The record.
        expectations: What should come, as declared now.
        asset: Name of the asset.
        partition: Its day, or empty.
        most: Instants to look at, the latest; those of one run count as one.
    """
    found: list[Moment] = []
    for at in _instants(ledger, sorted(_built_from(graph, asset)))[-most:]:
        verdict = Readiness(graph, ledger_as_of(ledger, at), at, expectations).verdict(asset, partition)
        if not found or _said(found[-1].verdict) != _said(verdict):
            found.append(Moment(at, verdict))
    return found


def _said(verdict: Verdict) -> tuple[str, tuple[str, ...]]:
    return verdict.status, verdict.reasons


def _built_from(graph: AssetGraph, asset: str) -> set[str]:
    """An asset and all that it is built from."""
    return {asset}.union(*(_built_from(graph, upstream) for upstream in graph[asset].reach))


def _instants(ledger: Ledger, assets: Sequence[str]) -> list[datetime]:
    """When anything was learned of some assets: the end of each run, each look at their sources."""
    with ledger.engine.connect() as connection:
        found = {row[0] for query in _queries(assets) for row in connection.execute(query)}
    return sorted(at for at in found if at)  # none: of a row of an earlier version


def _queries(assets: Sequence[str]) -> Iterator[Select[Any]]:
    m, c = t.materializations.c, t.checks.c
    ended = union_all(
        select(m.run_id, m.committed_at.label("at")).where(m.asset.in_(assets)),
        select(c.run_id, c.observed_at.label("at")).where(c.asset.in_(assets)),
    ).subquery()
    yield select(func.max(ended.c.at)).group_by(ended.c.run_id)
    for name, past in t.past_of.items():
        current = t.metadata.tables[name]
        yield select(current.c.since).where(current.c.asset.in_(assets)).distinct()
        yield select(past.c.since).where(past.c.asset.in_(assets)).distinct()
        yield select(past.c.until).where(past.c.asset.in_(assets)).distinct()
