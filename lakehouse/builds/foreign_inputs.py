"""What of the pinned tables someone else wrote: a build that reads it does not read the version that the ledger knows.

Were it recorded as that version, the result would pass for current as soon as the input is computed again, which gives
the same version. Called by `lakehouse.builds.build`.
"""

from collections.abc import Mapping

from lakehouse.database.versions import TableVersion
from lakehouse.ledger.catalog_versions import catalog_versions
from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.foreign_writes import ForeignWrites
from lakehouse.ledger.inputs import Reach, reads
from lakehouse.ledger.ledger import Ledger


class ForeignInputs:
    """What someone else wrote of the tables that one invocation pins."""

    def __init__(self, ledger: Ledger) -> None:
        """Read the catalog's rows, before the tables are opened."""
        self._ledger = ledger
        self._before = self._read()
        self._found = ForeignWrites(ledger)
        self._tables: set[str] = set()

    def compare(self, read: Mapping[str, str]) -> None:
        """Compare metadata that is to be read (identifier → location) with what we left, before and by now.

        What a build has committed is read by the next one: it, too, may stand on what someone else committed meanwhile.
        """
        after = self._read()
        for identifier, location in read.items():
            left = {each.left for of in (self._before, after) if (each := of.get(identifier)) is not None}
            if left and location not in left:
                self._tables.add(identifier.rpartition(".")[2])
        self._found = ForeignWrites(self._ledger)  # recorded before a row moves

    def mark(self, asset: str, reach: Reach, partition: str, written: Mapping[tuple[str, str], Materialization]) -> str:
        """What to add to the version of what a partition reads of an asset; empty where all of that is ours."""
        is_foreign = asset in self._tables or any(
            self._found.of(asset, key, written.get((asset, key)))
            for key in self._found.partitions(asset)
            if reads(reach, partition, key)
        )
        return " and what someone else wrote" if is_foreign else ""

    def _read(self) -> Mapping[str, TableVersion]:
        return catalog_versions(self._ledger) or {}
