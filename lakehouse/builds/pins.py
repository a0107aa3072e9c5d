"""What one dbt invocation reads: versions and snapshots, the same from its beginning to its end."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.inputs import AssetVersions


@dataclass
class Pinned:
    """The ledger's materializations, then the tables' snapshots, in this order.

    A load that commits in between makes what is built here stale; the other order could call it fresh.
    """

    invocation_id: str = ""
    materializations: dict[tuple[str, str], Materialization] = field(default_factory=dict)
    metadata_locations: dict[str, str] = field(default_factory=dict)
    """Asset → the metadata file that its view reads."""
    snapshot_ids: dict[str, int] = field(default_factory=dict)
    """Asset → the snapshot in it; nothing for a table that was never written."""

    def versions(self, asset: str) -> AssetVersions:
        """Versions of an asset's partitions."""
        return AssetVersions(item for (name, _), item in self.materializations.items() if name == asset)

    def partitions(self, asset: str) -> set[str]:
        """Partitions of an asset that were ever written."""
        return {partition for name, partition in self.materializations if name == asset}

    def rows_of_day(self, assets: Iterable[str]) -> dict[str, int]:
        """Rows of some daily assets together, by partition; partitions without rows are left out."""
        wanted = set(assets)
        rows: dict[str, int] = {}
        for (name, partition), item in self.materializations.items():
            if name in wanted and partition and item.rows.loaded:
                rows[partition] = rows.get(partition, 0) + item.rows.loaded
        return rows
