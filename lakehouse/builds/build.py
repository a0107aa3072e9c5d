"""The one way to build a derived table: pin what is read, compute its rows by chunks, stage, commit once, record.

Knows no engine's door: a builder (the dbt plugin, a Python asset) says how its engine sees a table and how it computes
a chunk; everything else is here, so that all of them leave the same evidence.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from lakehouse.builds.chunks import Chunk, chunks_of, has_marks
from lakehouse.builds.commit_evidence import record_missing, snapshot_evidence
from lakehouse.builds.foreign_inputs import ForeignInputs
from lakehouse.builds.model import Model
from lakehouse.builds.pins import Pinned
from lakehouse.builds.staging import Staging
from lakehouse.ledger.evidence import Materialization, RowCounts
from lakehouse.ledger.foreign_writes import Write
from lakehouse.ledger.inputs import derived_version
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import NAMESPACES
from lakehouse.partitions import WHOLE, Window
from lakehouse.scratch import scratch_folder
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import ensure_table, list_tables, load_table_if_exists
from lakehouse.tables.commits import replace_window
from lakehouse.tables.filters import ALWAYS, time_filter

_LOOKS = 20
"""Others may commit and record while one looks."""


class Builder:
    """Builds models on pinned inputs, from several threads if need be."""

    def __init__(
        self,
        settings: LakehouseSettings,
        catalog: Catalog,
        ledger: Ledger,
        show: Callable[[Table], None],
        namespaces: Sequence[str] = NAMESPACES,
    ) -> None:
        """Start with nothing pinned.

        Args:
            settings: Those of the lakehouse.
            catalog: Where the tables are.
            ledger: Where the builds go.
            show: Makes the table, at the snapshot that it has loaded, what the engine reads.
            namespaces: Those whose tables are read; of two tables of one name, that of the later one.
        """
        self._settings, self._catalog, self._ledger, self._show = settings, catalog, ledger, show
        self._namespaces = tuple(namespaces)
        self._lock = threading.RLock()
        self.built: dict[str, str] = {}
        """Model → the logic that the invocation built it by, days or none."""
        self._pinned = Pinned()
        self._foreign = ForeignInputs(ledger)

    @property
    def invocation_id(self) -> str:
        """The invocation whose inputs are pinned; empty before the first."""
        return self._pinned.invocation_id

    @property
    def run_id(self) -> str:
        """The run that is built for: the one that the settings name, else the invocation itself."""
        return self._settings.run_id or self.invocation_id

    @property
    def materializations(self) -> dict[tuple[str, str], Materialization]:
        """What the invocation reads and has written, by asset and partition."""
        return self._pinned.materializations

    @property
    def own(self) -> dict[tuple[str, str], Materialization]:
        """Those of them whose rows nobody else wrote, as far as it is known."""
        with self._lock:
            found = self._pinned.materializations
            return {k: item for k, item in found.items() if not self._foreign.mark(k[0], "same_day", k[1], found)}

    def pin(self, invocation_id: str) -> None:
        """Fix what an invocation reads; nothing happens where it is fixed."""
        with self._lock:
            if self.invocation_id == invocation_id:
                return
            self._foreign = ForeignInputs(self._ledger)
            materializations, tables = self._read()
            self.built = {}
            self._pinned = Pinned(
                invocation_id, materializations, self._pinned.metadata_locations, self._pinned.snapshot_ids
            )
            for table in tables:
                self._register(table)
            self._foreign.compare({".".join(table.name()): table.metadata_location for table in tables})

    def _read(self) -> tuple[dict[tuple[str, str], Materialization], list[Table]]:
        """What the ledger knows, and every table, read after it, while nothing came in between.

        Rows that are read as an older version than they are would let what is built of them pass for current as soon as
        that version comes back. So what a process has committed and died before it recorded it is recorded first; and
        where others record without a rest, the last look counts. Not in development, which reads production as it is
        recorded.
        """
        for _ in range(_LOOKS):
            before, known = self._ledger.last_materialization(), self._ledger.current_materializations()
            identifiers = [name for namespace in self._namespaces for name in list_tables(self._catalog, namespace)]
            found = (load_table_if_exists(self._catalog, identifier) for identifier in identifiers)
            tables = [table for table in found if table is not None]
            if self._namespaces == NAMESPACES:
                record_missing(tables, self._ledger, before)
            if self._ledger.last_materialization() == before:
                break
        return known, tables

    def forget(self, asset: str) -> None:
        """Say nothing more of an asset's partitions: what is built in its place begins anew."""
        with self._lock:
            for key in [key for key in self._pinned.materializations if key[0] == asset]:
                del self._pinned.materializations[key]

    def build(self, model: Model, compute: Callable[[Staging, Chunk], None]) -> None:
        """Replace the window of a model's table by what is computed, and record it.

        Args:
            model: What is built.
            compute: Adds the rows of a chunk to the staging.

        Raises:
            RowsOutsideWindow: a row lies outside the window; nothing was written.
            IncompatibleSchema: a column has a type that the table can neither hold nor widen to; nothing was written.
            WindowConflict: other writers kept replacing the same window; nothing was written.
        """
        started_at = datetime.now(UTC)
        with scratch_folder(self._settings) as folder:
            staging = Staging(model, load_table_if_exists(self._catalog, model.identifier), folder)
            for chunk in self._chunks(model):
                compute(staging, chunk)
            self._commit(model, staging, started_at)
        with self._lock:
            self.built[model.name] = model.logic

    def _chunks(self, model: Model) -> list[Chunk]:
        if not model.is_partitioned or not has_marks(model.sql):
            return [Chunk(model.window.first, model.window.end) if model.window else Chunk(None, None)]
        with self._lock:
            rows = self._pinned.rows_of_day(name for name, reach in model.reach.items() if reach != "all")
        return chunks_of(model.window, rows, self._settings.dbt_chunk_rows)

    def _commit(self, model: Model, staged: Staging, started_at: datetime) -> None:
        """One commit, whatever the number of chunks: a reader sees all of the build or nothing of it."""
        partition_by = {model.time_column: "day"} if model.time_column else {}
        table = ensure_table(self._catalog, model.identifier, staged.lasting_schema, partition_by)
        items = self._materializations(model, staged, started_at)
        if items:  # none: an empty lakehouse built whole
            window = ALWAYS
            if model.window is not None and model.time_column is not None:
                window = time_filter(model.time_column, model.window, staged.is_by_date)
            write = Write(self._ledger, model.name, [item.partition for item in items], self.run_id)
            evidence = snapshot_evidence(items) | ({"omni.engine": model.engine} if model.engine else {})
            snapshot_id = replace_window(table, window, staged.files, evidence, staged.retyped, write.begin)
            self._record(write, [replace(item, snapshot_id=snapshot_id) for item in items], table)
            write.end()
        with self._lock:
            self._foreign.compare({model.identifier: table.metadata_location})
        self._register(table)

    def _materializations(self, model: Model, staged: Staging, started_at: datetime) -> list[Materialization]:
        """One per partition that the build covers, with what each was built from."""
        with self._lock:  # another thread may be recording its model
            versions = {name: self._pinned.versions(name) for name in model.reach}
            written = dict(self._pinned.materializations)
            snapshots = {name: at for name in model.reach if (at := self._pinned.snapshot_ids.get(name)) is not None}
            partitions = self._partitions(model, staged.rows_of)
        found, committed_at = [], datetime.now(UTC)
        for partition in partitions:
            inputs = {
                name: of.input_version(reach := model.reach[name], partition)
                + self._foreign.mark(name, reach, partition, written)
                for name, of in versions.items()
            }
            rows = staged.rows_of.get(partition, 0)
            found.append(
                Materialization(
                    asset=model.name,
                    partition=partition,
                    version=derived_version(model.version_logic, inputs),
                    snapshot_id=None,
                    committed_at=committed_at,
                    run_id=self.run_id,
                    rows=RowCounts(expected=rows, read=rows, loaded=rows),
                    inputs=inputs,
                    is_forced=model.is_forced,
                    read_snapshots=snapshots,
                    started_at=started_at,
                    size_bytes=staged.bytes_of.get(partition, 0),
                    logic=model.logic,
                )
            )
        return found

    def _partitions(self, model: Model, rows_of: dict[str, int]) -> list[str]:
        if not model.is_partitioned:
            return [WHOLE]
        if model.window:
            return model.window.keys
        daily = [name for name, reach in model.reach.items() if reach != "all"]
        days = {*rows_of, *self._pinned.partitions(model.name)}.union(*map(self._pinned.partitions, daily))
        reads_other_days = set(model.reach.values()) - {"same_day"}  # so a day between may have rows, and had none
        return Window.of_keys(min(days), max(days)).keys if days and reads_other_days else sorted(days)

    def _record(self, write: Write, items: list[Materialization], table: Table) -> None:
        """Record what was committed, and let the models after it read its new version."""
        ids = write.record(items, (snapshot.snapshot_id for snapshot in table.snapshots()))
        with self._lock:
            for item, key in zip(items, ids, strict=True):
                self._pinned.materializations[item.asset, item.partition] = replace(item, id=key)

    def _register(self, table: Table) -> None:
        """Make the table's current snapshot the one that is read."""
        name = table.name()[-1]
        with self._lock:
            if self._pinned.metadata_locations.get(name) != table.metadata_location:
                self._show(table)
                self._pinned.metadata_locations[name] = table.metadata_location
                if (snapshot := table.current_snapshot()) is not None:
                    self._pinned.snapshot_ids[name] = snapshot.snapshot_id
