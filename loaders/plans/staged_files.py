"""Staged files written from Arrow: rows of one partition, with the evidence as Parquet metadata."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import schema_to_pyarrow

from lakehouse.builds.commit_evidence import snapshot_evidence
from lakehouse.ledger.evidence import RowCounts
from lakehouse.namespaces import QUARANTINE
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import bronze_table
from loaders.plans.plan import PartitionPlan, StagedDay, planned_materialization

PARQUET_FORMAT = {"compression": "zstd", "dictionary_pagesize_limit": 64 * 1024}
"""How staged files are written: identifiers and texts outgrow so small a dictionary soon, and are larger in one."""

QUARANTINE_FILE = "omni.quarantine-file"
"""Metadata of an asset's staged file: the quarantine file of the same day, to be committed before it."""


def write_staged(table: pa.Table, evidence: dict[str, str], folder: Path) -> Path:
    """Write rows with their evidence."""
    target = folder / f"{uuid.uuid4().hex}.parquet"
    pq.write_table(table.replace_schema_metadata(evidence), target, **PARQUET_FORMAT)
    return target


def stage_emptied(settings: LakehouseSettings, plan: PartitionPlan, run_id: str, folder: Path) -> StagedDay:
    """Stage a partition that no source covers any more: no rows, so that the old ones go."""
    evidence = snapshot_evidence([planned_materialization(plan, RowCounts(), run_id, datetime.now(UTC))])
    files: list[Path] = []
    before: dict[str, str] = {}
    for name in (QUARANTINE, plan.asset):
        schema = schema_to_pyarrow(bronze_table(settings, name).schema, include_field_ids=False)
        file = write_staged(schema.empty_table(), {"omni.table": name, **before, **evidence}, folder)
        before = {QUARANTINE_FILE: str(file)}
        files.append(file)
    return StagedDay(files)
