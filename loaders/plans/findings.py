"""What the checks of Bronze partitions are given, and what they find: between `loaders.bronze.checks` and the kinds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyiceberg.catalog import Catalog

from lakehouse.contracts.model import Contract
from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.ledger import Ledger
from lakehouse.settings import LakehouseSettings

Finding = tuple[str, int]
"""Message, number of failures."""

Found = tuple[Materialization, str, Finding]
"""Partition, check, what it found."""


@dataclass(frozen=True)
class Inspection:
    """Partitions of one asset that are to be judged."""

    settings: LakehouseSettings
    catalog: Catalog
    ledger: Ledger
    contract: Contract
    items: Sequence[Materialization]
    """Current materializations, in the order of their days."""
    days_with_rows: Sequence[str]
    """Of all partitions of the asset."""
    held: Mapping[str, Sequence[str]]
    """Partition → ids of its records in quarantine."""
    unknown_fields: Mapping[str, Mapping[str, str]] | None
    """Partition → fields that the contract does not name, as a load has just seen them; None without a load."""
