"""The Bronze sink: staged files, each of one partition, committed many days at once, then the ledger.

dlt carries no rows: its files name the staged ones of a group of days, and say what of. It hands them over unread.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from dlt.destinations import destination
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import Or
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table

from lakehouse.builds.commit_evidence import read_evidence, snapshot_evidence
from lakehouse.contracts.registry import load_contracts
from lakehouse.errors import WindowConflict
from lakehouse.kinds import FORMS
from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.foreign_writes import Write
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import QUARANTINE
from lakehouse.partitions import contiguous_windows
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import ensure_table
from lakehouse.tables.commits import replace_window
from lakehouse.tables.filters import rows_of
from loaders.plans.plan import StagedDay
from loaders.plans.staged_files import new_file

_FILES = "omni.staged-files"
"""Metadata of a carrier: partition → the file of its rows, and that of its held records."""


def tables_of(settings: LakehouseSettings, asset: str) -> tuple[str, ...]:
    """Tables that a load of an asset writes, in the order of their commits.

    Were the asset first, a process that dies before the quarantine would leave a partition that is recorded as whole
    without the records that it holds back.
    """
    form = FORMS[load_contracts(settings).of_asset(asset).form]
    return (QUARANTINE, asset) if form.is_quarantined else (asset,)


def write_carrier(settings: LakehouseSettings, table: str, days: Sequence[StagedDay], folder: Path) -> Path:
    """Write what dlt carries to a table: its columns, no rows, and as metadata what was staged of these days."""
    files = {day.item.partition: [file and str(file) for file in (day.rows, day.held)] for day in days}
    evidence = {"omni.table": table, _FILES: json.dumps(files), **snapshot_evidence([day.item for day in days])}
    schema = schema_to_pyarrow(bronze_table(settings, table).schema, include_field_ids=False)
    pq.write_table(schema.with_metadata(evidence).empty_table(), carrier := new_file(folder))
    return carrier


def rows_carried(table: str, days: Sequence[StagedDay]) -> int:
    """How many rows a carrier stands for."""
    return sum(day.item.rows.quarantined if table == QUARANTINE else day.item.rows.loaded for day in days)


@dataclass(frozen=True)
class Sink:
    """Where the days of a load go: handed over by dlt, then committed together.

    dlt hands over its files in any order, and does again what fails with one of them, which must not hide that others
    failed with it: so it commits nothing. The days come with the asset's carrier; what is carried to the quarantine
    does nothing by itself.
    """

    settings: LakehouseSettings
    catalog: Catalog
    ledger: Ledger
    _taken: dict[str, StagedDay] = field(default_factory=dict)

    def take(self, carrier: Path) -> None:
        """Take the days of a carrier."""
        properties = {k.decode(): v.decode() for k, v in pq.read_metadata(carrier).metadata.items()}
        if properties["omni.table"] == QUARANTINE:
            return
        files = json.loads(properties[_FILES])
        for item in read_evidence(properties, None):
            rows, held = (file and Path(file) for file in files[item.partition])
            self._taken[item.partition] = StagedDay(item, rows, held)

    def commit(self) -> list[WindowConflict]:
        """Replace the partitions that were taken by their rows, and record them.

        Returns:
            The conflicts of those that other writers kept replacing; all others are committed.
        """
        return [*self._replace_each([self._taken.pop(key) for key in sorted(self._taken)])]

    def _replace_each(self, days: Sequence[StagedDay]) -> Iterator[WindowConflict]:
        """Replace days together; one by one where others keep writing one, so that it holds back no other."""
        try:
            self._replace(days)
        except WindowConflict as error:
            if len(days) == 1:
                yield error
            else:
                for day in days:
                    yield from self._replace_each([day])

    def _replace(self, days: Sequence[StagedDay]) -> None:
        """Between the commits of the quarantine and of the asset the days are in doubt, also where a process dies.

        Should its sources be put back meanwhile, their old rows would pass for current beside the new held records.
        """
        asset, run_id = days[0].item.asset, days[0].item.run_id
        write = Write(self.ledger, asset, [day.item.partition for day in days], run_id)
        *before, last = tables_of(self.settings, asset)
        for name in before:
            self._commit(name, days, write)
        items, table = self._commit(last, days, write)
        write.record(items, (snapshot.snapshot_id for snapshot in table.snapshots()))
        write.end()

    def _commit(self, name: str, days: Sequence[StagedDay], write: Write) -> tuple[list[Materialization], Table]:
        definition = bronze_table(self.settings, name)
        table = ensure_table(self.catalog, definition.identifier, definition.schema, definition.partition_by)
        files = [day.held if name == QUARANTINE else day.rows for day in days]
        now, began = datetime.now(UTC), min(day.item.started_at or day.item.committed_at for day in days)
        items = [
            replace(day.item, committed_at=now, started_at=began, size_bytes=file.stat().st_size if file else 0)
            for day, file in zip(days, files, strict=True)
        ]
        windows = contiguous_windows(item.partition for item in items)
        rows = reduce(Or, (rows_of(table, items[0].asset, window) for window in windows))
        added = [file for file in files if file]
        snapshot_id = replace_window(table, rows, added, snapshot_evidence(items), begin=write.begin)
        return [replace(item, snapshot_id=snapshot_id) for item in items], table


def bronze(items: Any, table: Any, sink: Any = None) -> None:
    """What dlt calls for each of its files; `items` is its path."""
    sink.take(Path(items))


class BronzeDestination(destination):
    """A dlt destination that hands each file to the sink, and by which `dlt.attach(NAME)` reads Bronze.

    Pipelines remember it by its name and place, so that `dlt pipeline NAME info` can open them; these stay.
    """

    def __init__(self, **kwargs: Any) -> None:
        """As `dlt.destination` would make it: the files are handed over by path, unread, in turn."""
        how = {
            "destination_callable": bronze,
            "loader_file_format": "parquet",
            "batch_size": 0,
            "max_parallel_load_jobs": 1,
            "skip_dlt_columns_and_tables": True,
            "naming_convention": "direct",
            "max_table_nesting": 0,
        }
        super().__init__(**{**how, **kwargs})

    @property
    def client_class(self) -> Any:
        """The client that loads, with a half that reads."""
        from loaders.bronze.dataset import BronzeClient

        return BronzeClient
