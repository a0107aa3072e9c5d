"""Are the rows of the ledger as they were recorded? Each can be read, and hashes to its seal.

Called by `orchestration.runs.proof`.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Table, select

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.errors import OmniError
from lakehouse.ledger import schema as t
from lakehouse.ledger.declarations import declarations, recorded_expectations
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import WHOLE
from lakehouse.proof.partition_comparison import Finding
from lakehouse.settings import LakehouseSettings

_BATCH_ROWS = 5_000
_PLACE = ("asset", "partition", "manifest_id", "source_id", "check_name", "id")
"""Columns that say which row it is, for a person."""


class LedgerUnreadable(OmniError):
    """A row of the ledger holds what nothing of ours wrote."""


def changed_rows(ledger: Ledger, settings: LakehouseSettings) -> Iterator[Finding]:
    """Read all that the ledger holds, as whoever judges by it does; rows that are not as they were recorded.

    Raises:
        LedgerUnreadable: a row cannot be read.
    """
    for table in t.metadata.sorted_tables:
        try:
            with ledger.engine.connect() as connection:
                for row in connection.execute(select(table).execution_options(yield_per=_BATCH_ROWS)).mappings():
                    if row.get(t.SEAL) not in (None, t.seal_of(table, dict(row)) if t.SEAL in row else None):
                        yield _changed(table, row)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise _unreadable(table.name, error) from error
    try:
        ledger.current_materializations()
        ledger.current_checks()
        ledger.coverage()
        for asset in bronze_contracts(settings):
            ledger.known_files(asset)
        ledger.manifest_versions()
        ledger.every_source_admission()
        ledger.backfills()
        declarations(ledger)
        recorded_expectations(ledger)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _unreadable("the ledger", error) from error


def _changed(table: Table, row: Any) -> Finding:
    place = " ".join(str(row[name]) for name in _PLACE if name in row)
    return Finding(
        "ledger_differs",
        str(row.get("asset", table.name)),
        str(row.get("partition", WHOLE)),
        f"{table.name}: a row ({place}) that hashes to another seal",
        "the row as it was recorded",
        "look who changed the ledger, and bring the row back from a copy",
    )


def _unreadable(where: str, error: Exception) -> LedgerUnreadable:
    return LedgerUnreadable(
        f"{where}: a row cannot be read ({error}); expected what this project writes; next: bring the ledger back from "
        "a copy, or mend the row"
    )
