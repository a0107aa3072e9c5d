"""The verdicts' half of what someone else wrote: which tables may hold it, and which partitions do.

Asks the catalog for its tables (`lakehouse.ledger.catalog_versions`) and the ledger for what was found; imports no
engine. Where the settings say that verdicts do not ask a REST catalog, what the last look found is told.
"""

from collections.abc import Mapping

from lakehouse.database.versions import TableVersion
from lakehouse.ledger.catalog_versions import versions_for_verdicts
from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.foreign_writes import ForeignWrites
from lakehouse.ledger.ledger import Ledger
from orchestration.readiness.asset_graph import AssetNode


class WrittenElsewhere:
    """What someone else has written, or may have, as of one reading."""

    def __init__(self, ledger: Ledger) -> None:
        """Read the catalog's rows, then what was found: this is recorded before a row moves."""
        found = versions_for_verdicts(ledger)
        self._versions = None if found is None else {(each.namespace, each.name): each for each in found.values()}
        self._found = ForeignWrites(ledger)

    def is_unsettled(self, node: AssetNode) -> bool:
        """Whether someone else has written the table, and which partitions is not known."""
        version = self._version(node)
        return version is not None and not version.is_ours

    def change(self, node: AssetNode, partition: str, item: Materialization | None) -> str | None:
        """What a verdict says of a partition with this materialization; None where only we have written it."""
        version = self._version(node)
        if version is not None and not version.is_ours:
            return _suspicion(version)
        if found := self._found.of(node.name, partition, item):
            return found.reason
        has_rows = item is not None and item.snapshot_id is not None and item.rows.loaded > 0
        is_gone = self._versions is not None and version is None and has_rows
        return "dropped by someone else: the catalog has no such table" if is_gone else None

    def partitions(self, asset: str, written: Mapping[str, Materialization]) -> set[str]:
        """Partitions that someone else has written, whether or not we ever did."""
        return {key for key in self._found.partitions(asset) if self._found.of(asset, key, written.get(key))}

    def _version(self, node: AssetNode) -> TableVersion | None:
        return None if self._versions is None else self._versions.get((node.layer, node.name))


def _suspicion(version: TableVersion) -> str:
    if not version.is_known:
        return "its table was never compared with the ledger: someone else may have written it"
    since = f" since {version.left_at:%Y-%m-%d %H:%M} UTC" if version.left_at else ""
    deed = "written" if version.current else "dropped"
    return f"its table was {deed} by someone else{since}: which partitions have changed is not known"
