"""The Bronze sink: one staged Parquet file = one partition of one table = one Iceberg commit, then the ledger.

dlt carries the files here unread and unchanged; each says in its own metadata which table and partition it replaces.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog

from lakehouse.catalog import ensure_table
from lakehouse.commits import replace_window
from lakehouse.ledger import Ledger
from lakehouse.partitions import Window
from lakehouse.provenance import read_evidence
from lakehouse.settings import LakehouseSettings
from lakehouse.tables import bronze_table, partition_filter


def table_of(file: Path) -> str:
    """Table that a staged file is for."""
    return str(pq.read_metadata(file).metadata[b"omni.table"].decode())


@dataclass(frozen=True)
class Sink:
    """Where the staged files of a run go."""

    settings: LakehouseSettings
    catalog: Catalog
    ledger: Ledger


# Importable by name, so that `dlt pipeline NAME info` can open a pipeline that loaded into it.
@dlt.destination(
    name="bronze",
    loader_file_format="parquet",
    batch_size=0,
    max_parallel_load_jobs=1,
    skip_dlt_columns_and_tables=True,
    naming_convention="direct",
)
def bronze(items: Any, table: Any, sink: Any = None) -> None:
    """A dlt destination that commits each staged file to Bronze; `items` is the path of the file."""
    commit_staged(sink, Path(items))


def commit_staged(sink: Sink, file: Path) -> None:
    """Replace the partition that a staged file names by its rows, and record it.

    Raises:
        WindowConflict: other writers kept replacing the same partition.
    """
    parquet = pq.read_metadata(file)
    properties = {k.decode(): v.decode() for k, v in parquet.metadata.items() if k.startswith(b"omni.")}
    name, asset = properties.pop("omni.table"), properties["omni.asset"]
    properties["omni.committed-at"] = datetime.now(UTC).isoformat()
    definition = bronze_table(sink.settings, name)
    table = ensure_table(sink.catalog, definition.identifier, definition.schema, definition.partition_by)
    day = properties["omni.partition"]
    window = partition_filter(name, asset, Window.of_keys(day, day))
    snapshot_id = replace_window(table, window, file if parquet.num_rows else None, properties)
    if name == asset:
        sink.ledger.record_materializations(read_evidence(properties, snapshot_id))
