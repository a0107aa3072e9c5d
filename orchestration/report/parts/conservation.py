"""Conservation of Bronze as a report shows it: what was read is what was loaded, deduplicated or quarantined.

Reads the ledger.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lakehouse.ledger.evidence import RowCounts
from lakehouse.ledger.ledger import Ledger
from orchestration.readiness.verdicts import Verdict


@dataclass(frozen=True)
class Kept:
    """Conservation of one Bronze partition."""

    partition: str
    rows: RowCounts
    expected_now: int | None
    """By coverage as it is now; None while a file cannot be read."""

    @property
    def is_conserved(self) -> bool:
        """Nothing was dropped in silence, and nothing has come since."""
        return self.rows.is_conserved and self.expected_now == self.rows.expected

    @property
    def outcome(self) -> str:
        """The same in words."""
        if self.is_conserved:
            return "adds up"
        return "other records now" if self.rows.is_conserved else "does not add up"


@dataclass(frozen=True)
class KeptAsset:
    """Conservation of one Bronze asset."""

    asset: str
    partitions: list[Kept]
    sums: RowCounts

    @property
    def broken(self) -> list[Kept]:
        """Partitions that do not add up."""
        return [kept for kept in self.partitions if not kept.is_conserved]


def kept_asset(ledger: Ledger, asset: str, verdicts: Sequence[Verdict]) -> KeptAsset:
    """Conservation of an asset, on those partitions of some verdicts for which anything is expected or there."""
    coverage = ledger.coverage(asset)
    partitions = []
    sums: Counter[str] = Counter()
    for verdict in verdicts:
        item, rows = verdict.evidence.materialization, coverage.get((asset, verdict.partition), [])
        if verdict.asset != asset or (item is None and not rows):
            continue
        counts = item.rows if item else RowCounts()
        known = [row.rows_expected for row in rows if row.rows_expected is not None]
        partitions.append(Kept(verdict.partition, counts, sum(known) if len(known) == len(rows) else None))
        for name in ("expected", "read", "loaded", "deduplicated", "quarantined"):
            sums[name] += getattr(counts, name)
    return KeptAsset(asset, partitions, RowCounts(**sums))
