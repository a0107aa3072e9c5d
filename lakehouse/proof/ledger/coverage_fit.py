"""Does the coverage say what Bronze was loaded from? By the ledger alone: fingerprints, records, and since when.

What a look at the sources has changed since the load is no disagreement: the verdict is STALE, and a load mends it.
Called by `lakehouse.proof.verification`.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from lakehouse.ledger import schema as t
from lakehouse.ledger.evidence import Coverage, Materialization, coverage_version
from lakehouse.ledger.ledger import Ledger
from lakehouse.proof.partition_comparison import Finding

_STEP = "look who changed the ledger, then: omni run, which looks at the sources again"


def coverage_findings(
    ledger: Ledger, current: dict[tuple[str, str], Materialization], assets: Collection[str]
) -> Iterator[Finding]:
    """Partitions of Bronze assets whose coverage, unchanged since they were loaded, is not that of their version."""
    coverage = {key: rows for asset in assets for key, rows in ledger.coverage(asset).items()}
    changed_at = _changed_at(ledger)
    for (asset, partition), item in sorted(current.items()):
        rows = coverage.get((asset, partition), [])
        changed = changed_at.get((asset, partition))
        if asset not in assets or (changed is not None and changed > (item.started_at or item.committed_at)):
            continue
        if problem := _problem(item, rows):
            yield Finding("coverage_differs", asset, partition, *problem, _STEP)


def _problem(item: Materialization, rows: Sequence[Coverage]) -> tuple[str, str] | None:
    if (found := coverage_version(rows)) != item.version:
        return f"coverage of {len(rows)} files, version {found[:12]}", f"version {item.version[:12]}, as loaded"
    counts = [row.rows_expected for row in rows]
    if None not in counts and (total := sum(each or 0 for each in counts)) != item.rows.expected:
        return f"{total} records by coverage", f"{item.rows.expected}, as loaded"
    return None


def _changed_at(ledger: Ledger) -> dict[tuple[str, str], datetime]:
    """When a look at the sources last changed the coverage of a partition."""
    c, past = t.coverage.c, t.past_of[t.coverage.name].c
    found: dict[tuple[str, str], datetime] = {}
    with ledger.engine.connect() as connection:
        for of, at in ((c, c.since), (past, past.until)):
            rows: Sequence[Any] = connection.execute(
                select(of.asset, of.partition, func.max(at)).group_by(of.asset, of.partition)
            ).all()
            for asset, partition, changed in rows:
                if changed is not None:
                    found[asset, partition] = max(changed, found.get((asset, partition), changed))
    return found
