"""What Dagster shows of a partition that was written: its rows, its batches, its snapshot, who wrote it, where to look.

Called by `orchestration.instance.mirror`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import dagster as dg

from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.inputs import Reach
from lakehouse.namespaces import BRONZE
from lakehouse.partitions import ONE_DAY, parse_day
from lakehouse.settings import LakehouseSettings
from orchestration.instance.column_lineage import column_lineage
from orchestration.readiness.readiness import Readiness

LEDGER_ID = "ledger_id"
"""The id of a materialization in the ledger, by which it is known again."""


class PartitionMetadata:
    """Metadata of the current materializations of one lakehouse, at one reading of its ledger."""

    def __init__(self, settings: LakehouseSettings, readiness: Readiness) -> None:
        """Take what the ledger says."""
        self._settings, self._readiness = settings, readiness
        self._rows: dict[str, _Rows] = {}

    def of(self, item: Materialization, run: dg.DagsterRun | None) -> dict[str, Any]:
        """What a person asks of a partition.

        Args:
            item: Its current materialization.
            run: The run of this instance that wrote it; None: it was another's, or none of Dagster's.
        """
        rows, table = item.rows, self._table(item.asset)
        found: dict[str, Any] = {
            LEDGER_ID: item.id,
            "written_by": self._writer(item, run),
            "dagster/partition_row_count": rows.loaded,
            "rows_in": self._rows_in(item),
            "rows_out": rows.loaded,
            "batch_ids": list(item.batch_ids),
            "manifest_ids": list(item.manifest_ids),
            "manifest_sha256": list(item.manifest_hashes),
            "source_files": list(item.source_files),
            "inputs": item.inputs,
            "input_snapshots": {name: str(snapshot) for name, snapshot in item.read_snapshots.items()},
            "run_id": item.run_id,
            "iceberg_table": table,
            "snapshot_id": str(item.readable_snapshot_id),
            "look_at_snapshot": dg.MetadataValue.md(_reading_code(item, table)),
            "version": item.version,
            "forced": item.is_forced,
            "committed_at": dg.MetadataValue.timestamp(item.committed_at),
            "size_bytes": item.size_bytes,
            "ask": f"omni ready {item.asset} {item.partition}".rstrip(),
        }
        if item.started_at is not None:
            found["seconds_from_start_to_commit"] = (item.committed_at - item.started_at).total_seconds()
        if item.partition:
            found["window"] = f"{item.partition}T00:00:00Z up to {parse_day(item.partition) + ONE_DAY}T00:00:00Z"
        if self._is_bronze(item):
            found |= self._of_sources(item)
        return {name: value for name, value in found.items() if value is not None and value not in ([], {})}

    def lineage(self, asset: str) -> dict[str, Any]:
        """The column lineage, which is the table's: Dagster reads it from the last event."""
        if self._readiness.graph[asset].layer == BRONZE:
            return {}
        found = column_lineage(self._settings, [asset])
        return {"dagster/column_lineage": found[asset]} if asset in found else {}

    def _is_bronze(self, item: Materialization) -> bool:
        return self._readiness.graph[item.asset].layer == BRONZE

    def _table(self, asset: str) -> str:
        return f"{self._readiness.graph[asset].layer}.{asset}"

    def _writer(self, item: Materialization, run: dg.DagsterRun | None) -> str:
        if run is not None:
            return f"{run.job_name}, run {run.run_id}"
        door = "a load by dlt or omni ingest" if self._is_bronze(item) else "dbt"
        return f"{door}, {item.run_id}: no run of this Dagster instance"

    def _rows_in(self, item: Materialization) -> int | dict[str, int]:
        """Records of the sources; of a derived partition rows by upstream asset, where these are as they were read."""
        node = self._readiness.graph[item.asset]
        if node.layer == BRONZE:
            return item.rows.read
        changed = self._readiness.verdict(item.asset, item.partition).evidence.changed_inputs
        return {up: self._rows_of(up).within(at, item.partition) for up, at in node.reach.items() if up not in changed}

    def _rows_of(self, asset: str) -> "_Rows":
        if asset not in self._rows:
            items = self._readiness.materializations.items()
            self._rows[asset] = _Rows(item for (name, _), item in items if name == asset)
        return self._rows[asset]

    def _of_sources(self, item: Materialization) -> dict[str, Any]:
        coverage = self._readiness.coverage.get((item.asset, item.partition), ())
        found: dict[str, Any] = {
            "rows_expected": item.rows.expected,
            "rows_deduplicated": item.rows.deduplicated,
            "rows_quarantined": item.rows.quarantined,
        }
        first, last = [c.first_at for c in coverage if c.first_at], [c.last_at for c in coverage if c.last_at]
        if first and last:
            found["first_record_at"] = dg.MetadataValue.timestamp(min(first))
            found["last_record_at"] = dg.MetadataValue.timestamp(max(last))
        return found


class _Rows:
    """Rows of the partitions of one asset, to be summed up within a reach."""

    def __init__(self, items: Iterable[Materialization]) -> None:
        found = sorted((item.partition, item.rows.loaded) for item in items)
        self._keys = [key for key, _ in found]
        self._before = [0, *accumulate(rows for _, rows in found)]

    def within(self, reach: Reach, partition: str) -> int:
        until = len(self._keys) if reach == "all" else bisect_right(self._keys, partition)
        since = bisect_left(self._keys, partition) if reach == "same_day" else 0
        return self._before[until] - self._before[min(since, until)]


def _reading_code(item: Materialization, table: str) -> str:
    """How to read a partition: by the snapshot that the ledger cites then, since the one of this event may expire."""
    return (
        "```python\nfrom lakehouse.tables.catalog import open_catalog\nfrom lakehouse.settings import load_settings\n"
        "from orchestration.readiness.readiness import open_readiness\n\n"
        f'item = open_readiness().materializations["{item.asset}", "{item.partition}"]\n'
        f'open_catalog(load_settings()).load_table("{table}").scan(snapshot_id=item.readable_snapshot_id)\n```'
    )
