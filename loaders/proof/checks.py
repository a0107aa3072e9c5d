"""The loaders' checks, asked again of the partitions as they are. Called by `orchestration.runs.proof`."""

from collections.abc import Callable, Collection, Iterator

from pyiceberg.catalog import Catalog

from lakehouse.ledger.ledger import Ledger
from lakehouse.proof.ledger.check_comparison import check_findings
from lakehouse.proof.partition_comparison import Finding
from lakehouse.settings import LakehouseSettings
from loaders.bronze.checks import check_partitions
from loaders.events.checks import CONTRACT_DRIFT

NOT_ASKED = f"{CONTRACT_DRIFT} is asked of records while they are loaded, and not again"


def claimed_checks(
    settings: LakehouseSettings,
    catalog: Catalog,
    ledger: Ledger,
    copy: Ledger,
    partitions: Collection[tuple[str, str]],
    progress: Callable[[str], None],
) -> Iterator[Finding]:
    """Results that the ledger claims and that are others when the checks run again, which the copy records.

    Args:
        settings: Where the contracts are.
        catalog: Where the tables are.
        ledger: What is claimed.
        copy: A copy of it, to be written.
        partitions: Bronze assets and their partitions, of tables that can be read.
        progress: Told which asset is asked about.
    """
    for asset in sorted({asset for asset, _ in partitions}):
        progress(f"checks of {asset}")
        keys = [key for of, key in partitions if of == asset]
        yield from check_findings(ledger, check_partitions(settings, catalog, copy, asset, keys, "proof"))
