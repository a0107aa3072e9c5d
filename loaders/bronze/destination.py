"""The Bronze sink: staged Parquet files, each one partition of one table, committed many days at once, then the ledger.

dlt carries the files here unread and unchanged; each says in its own metadata which table and partition it replaces.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from dlt.common.storages import FileStorage
from dlt.destinations import destination
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import Or

from lakehouse.builds.commit_evidence import read_evidence, snapshot_evidence
from lakehouse.errors import WindowConflict
from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import QUARANTINE
from lakehouse.partitions import contiguous_windows
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import ensure_table
from lakehouse.tables.commits import replace_window
from lakehouse.tables.filters import rows_of
from loaders.plans.staged_files import QUARANTINE_FILE

MOST_DAYS = 100
"""So many days are one commit: each writes all snapshots of the table again, and a load that is killed has kept the
commits before."""


def table_of(file: Path) -> str:
    """Table that a staged file is for."""
    return str(pq.read_metadata(file).metadata[b"omni.table"].decode())


@dataclass(frozen=True)
class _Day:
    """A partition as it was staged."""

    item: Materialization
    file: Path
    quarantine: Path | None
    """The records of the day that are held back; None where the asset quarantines none."""

    def of(self, name: str) -> Path | None:
        """Its file for a table; None where that has no rows."""
        file = self.quarantine if name == QUARANTINE else self.file
        return file if file is not None and pq.read_metadata(file).num_rows else None


@dataclass(frozen=True)
class Sink:
    """Where the staged files of a load go: taken one by one, then committed in groups of days.

    dlt loads the files of a package in any order, and does again what fails with one of them, which must not hide that
    others failed with it: so it only hands them over. Were the asset first, a process that dies before the quarantine
    would leave a partition that is recorded as whole without the records that it holds back. So a quarantine file,
    which dlt carries as well, is committed with its asset's, before it, and does nothing by itself.
    """

    settings: LakehouseSettings
    catalog: Catalog
    ledger: Ledger
    folder: Path
    """Where what was taken stays until it is committed: dlt moves its own file as soon as it is handed over."""
    _taken: dict[str, _Day] = field(default_factory=dict)

    def take(self, file: Path) -> None:
        """Take a staged file."""
        properties = {k.decode(): v.decode() for k, v in pq.read_metadata(file).metadata.items()}
        if properties["omni.table"] == QUARANTINE:
            return
        (item,) = read_evidence(properties, None)
        quarantine, kept = properties.get(QUARANTINE_FILE), self.folder / f"taken_{uuid.uuid4().hex}.parquet"
        FileStorage.link_hard_with_fallback(str(file), str(kept))
        self._taken[item.partition] = _Day(item, kept, Path(quarantine) if quarantine else None)

    def commit(self) -> None:
        """Replace the partitions that were taken by their rows, and record them.

        Raises:
            WindowConflict: other writers kept replacing a partition; all others are committed.
        """
        days, conflicts = [self._taken.pop(key) for key in sorted(self._taken)], list[WindowConflict]()
        for start in range(0, len(days), MOST_DAYS):
            group = days[start : start + MOST_DAYS]
            try:
                self._replace(group)
            except WindowConflict as error:
                # A day that others keep writing holds back no other.
                conflicts += self._replace_one_by_one(group) if len(group) > 1 else [error]
        if conflicts:
            raise conflicts[0]

    def _replace_one_by_one(self, days: Sequence[_Day]) -> Iterator[WindowConflict]:
        for day in days:
            try:
                self._replace([day])
            except WindowConflict as error:
                yield error

    def _replace(self, days: Sequence[_Day]) -> None:
        if any(day.quarantine for day in days):
            self._commit(QUARANTINE, days)
        asset = days[0].item.asset
        items, snapshot_id = self._commit(asset, days)
        self.ledger.record_materializations(replace(item, snapshot_id=snapshot_id) for item in items)

    def _commit(self, name: str, days: Sequence[_Day]) -> tuple[list[Materialization], int | None]:
        definition = bronze_table(self.settings, name)
        table = ensure_table(self.catalog, definition.identifier, definition.schema, definition.partition_by)
        files = [day.of(name) for day in days]
        now, began = datetime.now(UTC), min(day.item.started_at or day.item.committed_at for day in days)
        items = [
            replace(day.item, committed_at=now, started_at=began, size_bytes=file.stat().st_size if file else 0)
            for day, file in zip(days, files, strict=True)
        ]
        windows = contiguous_windows(item.partition for item in items)
        rows = reduce(Or, (rows_of(table, items[0].asset, window) for window in windows))
        return items, replace_window(table, rows, [file for file in files if file], snapshot_evidence(items))


def bronze(items: Any, table: Any, sink: Any = None) -> None:
    """What dlt calls for each staged file; `items` is its path."""
    sink.take(Path(items))


class BronzeDestination(destination):
    """A dlt destination that hands each staged file to the sink, and by which `dlt.attach(NAME)` reads Bronze.

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
