"""The dbt-duckdb plugin: Iceberg tables in and out of dbt's in-memory DuckDB, and the evidence of every write.

In: each table is a view over one Iceberg snapshot, pinned for the invocation, so that one run reads one state while
loads go on. Out: `store` replaces the window of a model's table in one commit. dbt_project/macros call it; the model's
side of the contract is in docs/reference/dbt.md.
"""

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt.adapters.factory import get_adapter_by_type
from dbt_common.invocation import get_invocation_id
from duckdb import DuckDBPyConnection
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table

from lakehouse.assets import BRONZE_ASSETS, QUARANTINE
from lakehouse.catalog import ensure_table, list_tables, load_table_if_exists, open_catalog
from lakehouse.commits import ALWAYS, replace_window
from lakehouse.dbt_results import record_results
from lakehouse.duck import load_iceberg_extension, scan_sql
from lakehouse.errors import ConfigurationError, RowsOutsideWindow
from lakehouse.evidence import Materialization, RowCounts
from lakehouse.ledger import open_ledger
from lakehouse.lineage import AssetVersions, PartitionMapping, derived_version
from lakehouse.partitions import WHOLE, Window
from lakehouse.provenance import snapshot_evidence
from lakehouse.settings import load_settings
from lakehouse.tables import bronze_table, time_filter

RESULTS = "results"
"""Format by which the macro of macros/results.sql says that it hands over test results."""

NAMESPACES = ("bronze", "silver", "gold")


@dataclass(frozen=True)
class ModelWrite:
    """What the materialization macro says of a model: see macros/materializations.sql."""

    name: str
    namespace: str
    relation: str
    """Temporary table that holds the new rows."""
    checksum: str
    upstream: list[str]
    time_column: str | None
    window: Window | None
    inputs: dict[str, PartitionMapping]
    is_partitioned: bool
    is_forced: bool
    """Built although what it reads may not be ready."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ModelWrite":
        """Read the macro's dictionary."""
        meta = config["meta"].get("omni", {})
        lo, hi = config["lo"], config["hi"]
        is_partitioned = meta.get("partitioned") == "daily"
        window = Window(date.fromisoformat(lo), date.fromisoformat(hi)) if lo and is_partitioned else None
        if is_partitioned and not config["time_column"]:
            raise ConfigurationError(f"{config['name']}: a daily model needs the config event_time, its time column")
        return cls(
            name=config["name"],
            namespace=config["namespace"],
            relation=config["relation"],
            checksum=config["checksum"],
            upstream=[unique_id.rpartition(".")[2] for unique_id in config["upstream"]],
            time_column=config["time_column"] if is_partitioned else None,
            window=window,
            inputs=meta.get("inputs", {}),
            is_partitioned=is_partitioned,
            is_forced=bool(config["forced"]),
        )


@dataclass
class Pinned:
    """What one invocation reads: the ledger's materializations, then the tables' snapshots, in this order.

    A load that commits in between makes what is built here stale; the other order could call it fresh.
    """

    invocation_id: str = ""
    materializations: dict[tuple[str, str], Materialization] = field(default_factory=dict)
    metadata_locations: dict[str, str] = field(default_factory=dict)

    def versions(self, asset: str) -> AssetVersions:
        """Versions of an asset's partitions."""
        return AssetVersions(item for (name, _), item in self.materializations.items() if name == asset)

    def partitions(self, asset: str) -> set[str]:
        """Partitions of an asset that were ever written."""
        return {partition for name, partition in self.materializations if name == asset}


class Plugin(BasePlugin):
    """See the module's docstring; dbt-duckdb looks for a class of this name."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Open catalog and ledger, once per process."""
        self._settings = load_settings()
        self._catalog = open_catalog(self._settings)
        self._ledger = open_ledger(self._settings)
        self._lock = threading.RLock()
        self._pinned = Pinned()
        self._connection: DuckDBPyConnection | None = None
        for name in (*BRONZE_ASSETS, QUARANTINE):
            definition = bronze_table(self._settings, name)
            ensure_table(self._catalog, definition.identifier, definition.schema, definition.partition_by)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Prepare the process's DuckDB."""
        load_iceberg_extension(conn)
        for namespace in NAMESPACES:
            conn.execute(f'create schema if not exists "{namespace}"')
        self._connection = conn
        self._pinned = Pinned()
        self._pin()

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        """Pin anew when a new invocation begins: a process may run dbt more than once."""
        if self._connection is not None:
            self._pin()

    def store(self, target_config: TargetConfig) -> None:
        """Replace the window of a model's table and record it; or record the results of an invocation's tests."""
        if target_config.location and target_config.location.format == RESULTS:
            run_id = self._settings.run_id or get_invocation_id()
            record_results(_cursor(), self._ledger, self._pinned.materializations, run_id, target_config.config)
            return
        write = ModelWrite.from_config(target_config.config)
        data = _rows(write.relation)
        _refuse_rows_outside(write, data)
        partition_by = {write.time_column: "day"} if write.time_column else {}
        identifier = f"{write.namespace}.{write.name}"
        table = ensure_table(self._catalog, identifier, data.schema, partition_by)
        data = _conformed(data, table)
        items = self._materializations(write, data)
        if items:  # none: an empty lakehouse built whole
            snapshot_id = replace_window(table, _filter(write, data), data, snapshot_evidence(items))
            self._remember(items, snapshot_id)
        self._register(table)

    def _materializations(self, write: ModelWrite, data: pa.Table) -> list[Materialization]:
        """One per partition that the write covers, with what each was built from."""
        counts = _rows_per_day(data, write.time_column)
        with self._lock:  # another thread may be recording its model
            versions = {name: self._pinned.versions(name) for name in write.upstream}
        run_id = self._settings.run_id or get_invocation_id()
        found = []
        for partition in self._partitions(write, counts):
            inputs = {
                name: of.input_version(write.inputs.get(name, _default(write)), partition)
                for name, of in versions.items()
            }
            rows = counts.get(partition, 0) if write.is_partitioned else data.num_rows
            found.append(
                Materialization(
                    asset=write.name,
                    partition=partition,
                    version=derived_version(write.checksum, inputs),
                    snapshot_id=None,
                    committed_at=datetime.now(UTC),
                    run_id=run_id,
                    rows=RowCounts(expected=rows, read=rows, loaded=rows),
                    inputs=inputs,
                    is_forced=write.is_forced,
                )
            )
        return found

    def _partitions(self, write: ModelWrite, counts: dict[str, int]) -> list[str]:
        if not write.is_partitioned:
            return [WHOLE]
        if write.window:
            return write.window.keys
        same_day = [name for name in write.upstream if write.inputs.get(name, "same_day") == "same_day"]
        return sorted({*counts, *self._pinned.partitions(write.name)}.union(*map(self._pinned.partitions, same_day)))

    def _remember(self, items: list[Materialization], snapshot_id: int | None) -> None:
        """Record what was committed, and let the models after it read its new version."""
        ids = self._ledger.record_materializations(replace(item, snapshot_id=snapshot_id) for item in items)
        with self._lock:
            for item, key in zip(items, ids, strict=True):
                self._pinned.materializations[item.asset, item.partition] = replace(
                    item, id=key, snapshot_id=snapshot_id
                )

    def _pin(self) -> None:
        with self._lock:
            if self._pinned.invocation_id == get_invocation_id():
                return
            old = self._pinned.metadata_locations
            self._pinned = Pinned(get_invocation_id(), self._ledger.current_materializations(), old)
            for namespace in NAMESPACES:
                for identifier in list_tables(self._catalog, namespace):
                    if (table := load_table_if_exists(self._catalog, identifier)) is not None:
                        self._register(table)

    def _register(self, table: Table) -> None:
        """Make the table's current snapshot the one that dbt reads."""
        namespace, name = table.name()[-2:]
        with self._lock:
            if self._pinned.metadata_locations.get(name) != table.metadata_location and self._connection is not None:
                view = f'create or replace view "{namespace}"."{name}" as select * from {scan_sql(table)}'
                self._connection.cursor().execute(view)
                self._pinned.metadata_locations[name] = table.metadata_location


def _default(write: ModelWrite) -> PartitionMapping:
    return "same_day" if write.is_partitioned else "all"


def _cursor() -> Any:
    """DuckDB as this thread's dbt connection sees it, temporary tables included."""
    adapter = get_adapter_by_type("duckdb")  # type: ignore[no-untyped-call]  # dbt has no types here
    return adapter.connections.get_thread_connection().handle.cursor()


def _rows(relation: str) -> pa.Table:
    return _cursor().execute(f"select * from {relation}").to_arrow_table()


def _filter(write: ModelWrite, data: pa.Table) -> str:
    if write.window is None or write.time_column is None:
        return ALWAYS
    return time_filter(write.time_column, write.window, _is_date(data, write.time_column))


def _is_date(data: pa.Table, column: str) -> bool:
    return bool(pa.types.is_date(data.schema.field(column).type))


def _refuse_rows_outside(write: ModelWrite, data: pa.Table) -> None:
    """A row that the window does not cover would be written beside the row it should replace."""
    if write.window is None or write.time_column is None or not data.num_rows:
        return
    found = pc.min_max(data[write.time_column]).as_py()
    is_date = _is_date(data, write.time_column)
    low, high = (write.window.first, write.window.end) if is_date else (write.window.start_at, write.window.end_at)
    if data[write.time_column].null_count or found["min"] < low or found["max"] >= high:
        raise RowsOutsideWindow(
            f"{write.name}: {write.time_column} runs from {found['min']} to {found['max']} with "
            f"{data[write.time_column].null_count} nulls, expected {low} <= {write.time_column} < {high}; nothing was "
            f"written; next: filter the model with in_window('{write.time_column}')"
        )


def _rows_per_day(data: pa.Table, column: str | None) -> dict[str, int]:
    if column is None or not data.num_rows:
        return {}
    # Instants are in UTC here: the session's time zone is.
    days = pc.value_counts(data[column].combine_chunks().cast(pa.date32()))
    return {str(item["values"]): item["counts"] for item in days.to_pylist()}


def _conformed(data: pa.Table, table: Table) -> pa.Table:
    """The rows in the table's own columns and types."""
    wanted = schema_to_pyarrow(table.schema(), include_field_ids=False)
    columns = [
        data[f.name].cast(f.type) if f.name in data.column_names else pa.nulls(data.num_rows, f.type) for f in wanted
    ]
    return pa.table(columns, schema=wanted)
