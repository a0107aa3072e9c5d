"""The life of a quarantined record: released once what stood against it is mended, or discarded.

A record is released by computing its partition again from its sources: what the contract, the mapping or the source now
lets through is loaded like any other. The record itself stays in the quarantine table, with the instant of its release.
A discarded record stays held and no longer counts against its partition. Who did it, and why, is in the ledger.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table

from lakehouse.ledger.evidence import QuarantineAction
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import QUARANTINE, bronze
from lakehouse.partitions import contiguous_windows
from lakehouse.proof.foreign_writes import find_foreign_writes
from lakehouse.scratch import scratch_folder
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import QUARANTINE_COLUMNS
from lakehouse.tables.catalog import load_table_if_exists, open_catalog
from lakehouse.tables.commits import replace_window
from lakehouse.tables.filters import NOTHING
from loaders.bronze.checks import check_partitions
from loaders.bronze.held_records import HeldRecord, Selection, held_records
from loaders.bronze.pipelines import new_run_id
from loaders.errors import RecordNotHeld
from loaders.ingest import ingest


@dataclass(frozen=True)
class ReleaseReport:
    """What came of a release."""

    released: list[HeldRecord]
    still_held: list[HeldRecord]
    problems: list[str]
    """Partitions that could not be computed again, and why."""


def release_records(settings: LakehouseSettings, selection: Selection, *, reason: str, by: str) -> ReleaseReport:
    """Compute the partitions of some held records again, and record those that are no longer held as released.

    A record whose source was changed and that breaks a rule still, in its new words, is still held.

    Raises:
        RecordNotHeld: no held record is meant.
    """
    catalog, ledger = open_catalog(settings), open_ledger(settings)
    wanted = _wanted(catalog, selection)
    problems: list[str] = []
    for asset in sorted({record.asset for record in wanted}):
        for window in contiguous_windows(record.partition for record in wanted if record.asset == asset):
            (load,) = ingest(settings, assets=[asset], window=window).loads
            problems += [f"{asset} {key}: {why}" for key, why in load.refused.items()]
    held = {record.place: record for record in held_records(catalog)}
    released = [record for record in wanted if record.place not in held]
    _keep_released(settings, catalog, released)
    ledger.record_quarantine_actions([_action("released", record, reason, by) for record in released])
    return ReleaseReport(released, [held[r.place] for r in wanted if r.place in held], problems)


def discard_records(settings: LakehouseSettings, selection: Selection, *, reason: str, by: str) -> list[HeldRecord]:
    """Record that some held records are not wanted, and judge their partitions anew without them.

    Raises:
        RecordNotHeld: no held record is meant.
    """
    catalog, ledger = open_catalog(settings), open_ledger(settings)
    find_foreign_writes(catalog, ledger)  # else a check would speak for rows that somebody may take back
    wanted = _wanted(catalog, selection)
    ledger.record_quarantine_actions([_action("discarded", record, reason, by) for record in wanted])
    for asset in {record.asset for record in wanted}:
        partitions = {record.partition for record in wanted if record.asset == asset}
        check_partitions(settings, catalog, ledger, asset, partitions, new_run_id())
    return wanted


def _wanted(catalog: Catalog, selection: Selection) -> list[HeldRecord]:
    found = [] if selection.is_empty else held_records(catalog, selection)
    missing = selection.record_ids - {record.record_id for record in found}
    if not found or missing:
        what = ", ".join(sorted(missing)) or "no record is meant"
        raise RecordNotHeld(f"not in quarantine: {what}; next: omni quarantine list")
    return found


def _keep_released(settings: LakehouseSettings, catalog: Catalog, records: Iterable[HeldRecord]) -> None:
    """Keep released records in the table, which lost them with the load of their partition."""
    table = load_table_if_exists(catalog, bronze(QUARANTINE))
    partitions: dict[tuple[str, str], list[HeldRecord]] = {}
    for record in records:
        partitions.setdefault((record.asset, record.partition), []).append(record)
    if table is not None and partitions:
        with scratch_folder(settings) as folder:
            files = [_written(table, some, folder / f"{n}.parquet") for n, some in enumerate(partitions.values())]
            replace_window(table, NOTHING, files, {})


def _written(table: Table, records: Iterable[HeldRecord], file: Path) -> Path:
    """Records of one partition as a file, released at this instant."""
    names, now = [name for name, _, _ in QUARANTINE_COLUMNS], datetime.now(UTC)
    rows = [{**{name: getattr(record, name) for name in names}, "released_at": now} for record in records]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema_to_pyarrow(table.schema(), include_field_ids=False)), file)
    return file


def _action(action: str, record: HeldRecord, reason: str, by: str) -> QuarantineAction:
    return QuarantineAction(
        record_id=record.record_id,
        action=action,
        asset=record.asset,
        partition=record.partition,
        source_file=record.source_file,
        source_line=record.source_line,
        reason_code=record.reason_code,
        reason=reason,
        acted_by=by,
        acted_at=datetime.now(UTC),
    )
