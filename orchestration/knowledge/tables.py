"""Rows of assets as their verdicts speak of them: each asset at the snapshot of what is on record of it."""

from datetime import date
from typing import Any

from lakehouse.errors import ConfigurationError
from lakehouse.partitions import WHOLE
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import find_table
from lakehouse.tables.filters import equal_to
from orchestration.readiness.readiness import open_readiness

Row = dict[str, Any]


class JudgedTables:
    """The tables of a lakehouse, and the verdicts of one moment."""

    def __init__(self, settings: LakehouseSettings) -> None:
        """Read the ledger once."""
        self._catalog, self._readiness = open_catalog(settings), open_readiness(settings)

    def rows(self, asset: str, partition: str = WHOLE, **values: str | date) -> list[Row]:
        """Rows of an asset that have these values, at the snapshot that the verdict on a partition speaks for."""
        item = self._readiness.verdict(asset, partition).evidence.materialization
        if item is None or item.readable_snapshot_id is None:
            return []
        scan = find_table(self._catalog, asset).scan(equal_to(**values), snapshot_id=item.readable_snapshot_id)
        rows: list[Row] = scan.to_arrow().to_pylist()
        return rows

    def row(self, asset: str, partition: str = WHOLE, **values: str | date) -> Row:
        """The one row that has them.

        Raises:
            ConfigurationError: there is none, or several: the assets were not built of each other.
        """
        found = self.rows(asset, partition, **values)
        if len(found) != 1:
            named = ", ".join(f"{name} {value}" for name, value in values.items())
            raise ConfigurationError(f"{asset}: found {len(found)} rows of {named}, expected one; next: omni run")
        return found[0]

    def status(self, asset: str) -> str:
        """The verdict on an asset that is not partitioned."""
        return str(self._readiness.verdict(asset, WHOLE).status)

    def days(self, asset: str) -> list[str]:
        """Partitions of an asset that are on record, in order."""
        return sorted(partition for name, partition in self._readiness.materializations if name == asset)
