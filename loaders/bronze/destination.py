"""The Bronze sink: one staged Parquet file = one partition of one table = one Iceberg commit, then the ledger.

dlt carries the files here unread and unchanged; each says in its own metadata which table and partition it replaces.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from dlt.destinations import destination
from pyiceberg.catalog import Catalog

from lakehouse.builds.commit_evidence import read_evidence
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import QUARANTINE
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import ensure_table
from lakehouse.tables.commits import replace_window
from lakehouse.tables.filters import rows_of
from loaders.plans.staged_files import QUARANTINE_FILE


def table_of(file: Path) -> str:
    """Table that a staged file is for."""
    return str(pq.read_metadata(file).metadata[b"omni.table"].decode())


@dataclass(frozen=True)
class Sink:
    """Where the staged files of a run go."""

    settings: LakehouseSettings
    catalog: Catalog
    ledger: Ledger


def bronze(items: Any, table: Any, sink: Any = None) -> None:
    """What dlt calls for each staged file; `items` is its path."""
    commit_staged(sink, Path(items))


class BronzeDestination(destination):
    """A dlt destination that commits each staged file to Bronze, and by which `dlt.attach(NAME)` reads Bronze.

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


def commit_staged(sink: Sink, file: Path) -> None:
    """Replace the partition that an asset's staged file names by its rows, and record it; its quarantine goes first.

    dlt loads the files of a package in any order. Were the asset first, a process that dies before the quarantine would
    leave a partition that is recorded as whole without the records that it holds back. So the quarantine file, which
    dlt carries as well, is committed by the asset's and does nothing by itself.

    Raises:
        WindowConflict: other writers kept replacing the same partition.
    """
    parquet = pq.read_metadata(file)
    properties = {k.decode(): v.decode() for k, v in parquet.metadata.items() if k.startswith(b"omni.")}
    name, quarantine = properties.pop("omni.table"), properties.pop(QUARANTINE_FILE, None)
    if name != QUARANTINE:
        if quarantine is not None:
            _commit(sink, QUARANTINE, Path(quarantine), properties)
        _commit(sink, name, file, properties)


def _commit(sink: Sink, name: str, file: Path, properties: dict[str, str]) -> None:
    properties = {**properties, "omni.committed-at": datetime.now(UTC).isoformat()}
    definition = bronze_table(sink.settings, name)
    table = ensure_table(sink.catalog, definition.identifier, definition.schema, definition.partition_by)
    asset, day = properties["omni.asset"], properties["omni.partition"]
    window = rows_of(table, asset, Window.of_keys(day, day))
    has_rows = pq.read_metadata(file).num_rows > 0
    snapshot_id = replace_window(table, window, [file] if has_rows else [], properties)
    if name == asset:
        size_bytes = file.stat().st_size if has_rows else 0
        items = read_evidence(properties, snapshot_id)
        sink.ledger.record_materializations(replace(item, size_bytes=size_bytes) for item in items)
