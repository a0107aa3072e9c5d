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
from lakehouse.partitions import WHOLE, parse_day
from loaders.manifests.expectation_files import expectations_on_record
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
    graph: AssetGraph, ledger: Ledger, asset: str, partition: str, now: datetime, most: int
) -> list[Moment]:
    """Verdicts on a partition, the oldest first, one for each change of status or reasons.

    Args:
        graph: The assets, and what they must pass, as declared now.
        ledger: The record.
        asset: Name of the asset.
        partition: Its day, or empty.
        now: The instant (UTC).
        most: Instants to look at, the latest; those of one run count as one.
    """
    found: list[Moment] = []
    reads = _reads(graph, asset, partition)
    above = AssetGraph({name: node for name, node in graph.nodes.items() if name in reads})
    for at in _instants(ledger, sorted(reads), partition, now)[-most:]:
        known = ledger_as_of(ledger, at, reads)
        verdict = Readiness(above, known, at, expectations_on_record(known)).verdict(asset, partition)
        if not found or _said(found[-1].verdict) != _said(verdict):
            found.append(Moment(at, verdict))
    return found


def _said(verdict: Verdict) -> tuple[str, tuple[str, ...]]:
    return verdict.status, verdict.reasons


def _reads(graph: AssetGraph, asset: str, partition: str | None) -> dict[str, str | None]:
    """What a verdict hangs on: asset → the one partition of it; None where more of them."""
    found: dict[str, str | None] = {asset: partition}
    for upstream, reach in graph[asset].reach.items():
        for name, key in _reads(graph, upstream, partition if reach == "same_day" else None).items():
            found[name] = key if found.get(name, key) == key else None
    return found


def _instants(ledger: Ledger, assets: Sequence[str], partition: str, now: datetime) -> list[datetime]:
    """When anything was learned of some assets: the end of each run, each look at their sources; or a day fell due."""
    with ledger.engine.connect() as connection:
        learned = {row[0] for query in _queries(assets) for row in connection.execute(query)}
    found = {at for at in learned if at}  # none: of a row of an earlier version
    if partition != WHOLE:
        day = parse_day(partition)
        expected = [each for each in expectations_on_record(ledger) if each.asset in assets]
        found |= {each.due_at(day) for each in expected if day in each.scheduled(now, day)}
    return sorted(at for at in found if at <= now)


def _queries(assets: Sequence[str]) -> Iterator[Select[Any]]:
    m, c = t.materializations.c, t.checks.c
    ended = union_all(
        select(m.run_id, m.committed_at.label("at")).where(m.asset.in_(assets)),
        select(c.run_id, c.observed_at.label("at")).where(c.asset.in_(assets)),
    ).subquery()
    yield select(func.max(ended.c.at)).group_by(ended.c.run_id)
    yield select(t.expectations.c.recorded_at)
    for name, past in t.past_of.items():
        current = t.metadata.tables[name]
        yield select(current.c.since).where(current.c.asset.in_(assets)).distinct()
        yield select(past.c.since).where(past.c.asset.in_(assets)).distinct()
        yield select(past.c.until).where(past.c.asset.in_(assets)).distinct()
