"""SQLAlchemy tables of the ledger, in the catalog's own database. Instants are UTC, stored without a zone."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant, on databases with and without time zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: object) -> datetime | None:
        """Store the instant as UTC wall time."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: object) -> datetime | None:
        """Give the instant its zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


metadata = MetaData()

SEAL = "seal"
_CHANGED_IN_PLACE = {
    "omni_batches": {"admitted_at", "declared", "declared_at", "load_mode"},
    "omni_materializations": {"held_by_snapshot_id"},
    "omni_backfills": {"finished_at", "outcome"},
    "omni_acceptances": {"undone_by", "undone_at"},
}
"""Table → columns that no seal covers."""


def seal_of(table: Table, row: Mapping[str, Any]) -> str:
    """Hash of a row as it was recorded: a byte of it that changes later is found by `lakehouse.proof`."""
    left_out = {SEAL, *_CHANGED_IN_PLACE.get(table.name, ())}
    values = {name: row.get(name) for name, column in table.columns.items() if _is_recorded(column, left_out)}
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=_plain).encode()).hexdigest()


def _is_recorded(column: Column[Any], left_out: set[str]) -> bool:
    """Whether a column has its value when the row is inserted; a number that the database gives has not."""
    is_given = column.primary_key and isinstance(column.type, Integer)
    return column.name not in left_out and not is_given


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value.astimezone(UTC).isoformat()


def _sealed(context: Any) -> str:
    return seal_of(context.compiled.statement.table, context.get_current_parameters())


def _seal() -> Column[str]:
    """The last column of a table whose rows stay as they were recorded; null in those of earlier versions."""
    return Column(SEAL, Text, default=_sealed)


batches = Table(
    "omni_batches",
    metadata,
    Column("manifest_id", Text, primary_key=True),
    Column("manifest_sha256", Text, primary_key=True),
    Column("batch_id", Text, nullable=False),
    Column("manifest_path", Text, nullable=False),
    Column("admitted_at", UtcDateTime, nullable=False),
    Column("declared_at", UtcDateTime),
    Column("load_mode", Text),
    Column("declared", JSON),
    _seal(),
    comment="One row per admitted version of a manifest; `declared` is the manifest without its sources.",
)

expectations = Table(
    "omni_expectations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("declared", JSON, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    _seal(),
    comment="One row per look at the manifests that found other expectations than the one before; all of them.",
)

admissions = Table(
    "omni_admissions",
    metadata,
    Column("manifest_id", Text, primary_key=True),
    Column("manifest_sha256", Text, primary_key=True),
    Column("source_id", Text, primary_key=True),
    Column("judgment", Text, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("declared", JSON),
    _seal(),
    comment="One row per source of an admitted version of a manifest; `declared` is the source as it stands there.",
)

releases = Table(
    "omni_releases",
    metadata,
    Column("manifest_id", Text, primary_key=True),
    Column("manifest_sha256", Text, primary_key=True),
    Column("source_id", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("released_by", Text, nullable=False),
    Column("released_at", UtcDateTime, nullable=False),
    _seal(),
    comment="One row per quarantined source that a person let in, for one version of its manifest.",
)

source_files = Table(
    "omni_source_files",
    metadata,
    Column("asset", Text, primary_key=True),
    Column("manifest_id", Text, primary_key=True),
    Column("source_id", Text, primary_key=True),
    Column("source_file", Text, primary_key=True),
    Column("stamp", Text, nullable=False),
    Column("sha256", Text),
    Column("problem", Text),
    Column("sidecars", JSON),
    Column("checked_at", UtcDateTime, nullable=False),
    Column("since", UtcDateTime),
    comment="One row per file of an admitted source, as last looked at, with its `sidecars` (column → SHA-256, size); "
    "`stamp` tells a change of any of them without reading it.",
)

coverage = Table(
    "omni_coverage",
    metadata,
    Column("asset", Text, primary_key=True),
    Column("manifest_id", Text, primary_key=True),
    Column("source_id", Text, primary_key=True),
    Column("source_file", Text, primary_key=True),
    Column("partition", Text, primary_key=True),
    Column("rows_expected", BigInteger),
    Column("fingerprint", Text, nullable=False),
    Column("problem", Text),
    Column("first_at", UtcDateTime),
    Column("last_at", UtcDateTime),
    Column("since", UtcDateTime),
    comment="One row per source file and partition that it holds rows of; known `since`.",
)


def _past_of(table: Table) -> Table:
    """What a table that is changed in place said before, so that it can be asked what was known at an instant."""
    return Table(
        f"{table.name}_past",
        metadata,
        Column("id", Integer, primary_key=True),
        *(Column(column.name, column.type) for column in table.columns),
        Column("until", UtcDateTime, nullable=False),
        comment=f"One row per row of {table.name} that was replaced, dropped or doubted; known `since`, and `until`.",
    )


past_of = {table.name: _past_of(table) for table in (source_files, coverage)}
"""Name of a table whose rows are changed in place → the table of those that were there before."""

materializations = Table(
    "omni_materializations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("asset", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("snapshot_id", BigInteger),
    Column("committed_at", UtcDateTime, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("rows_expected", BigInteger, nullable=False),
    Column("rows_read", BigInteger, nullable=False),
    Column("rows_loaded", BigInteger, nullable=False),
    Column("rows_deduplicated", BigInteger, nullable=False),
    Column("rows_quarantined", BigInteger, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("batch_ids", JSON, nullable=False),
    Column("manifest_ids", JSON, nullable=False),
    Column("manifest_hashes", JSON, nullable=False),
    Column("source_files", JSON, nullable=False),
    Column("is_forced", Boolean),
    Column("read_snapshots", JSON),
    Column("started_at", UtcDateTime),
    Column("size_bytes", BigInteger),
    Column("held_by_snapshot_id", BigInteger),
    Column("logic", Text),
    _seal(),
    Index("omni_materializations_latest", "asset", "partition", "id"),
    comment="One row per committed version of an asset partition; the highest id is the current one. Written by "
    "`snapshot_id`; to be read in `held_by_snapshot_id`, where that is set.",
)

quarantine_actions = Table(
    "omni_quarantine_actions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("record_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("source_file", Text, nullable=False),
    Column("source_line", BigInteger, nullable=False),
    Column("reason_code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("acted_by", Text, nullable=False),
    Column("acted_at", UtcDateTime, nullable=False),
    _seal(),
    comment="One row per release or discard of a quarantined record.",
)

backfills = Table(
    "omni_backfills",
    metadata,
    Column("id", Text, primary_key=True),
    Column("targets", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("is_forced", Boolean, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("outcome", Text),
    _seal(),
    comment="One row per backfill that was asked for; `targets` are [asset, partition] pairs.",
)

acceptances = Table(
    "omni_acceptances",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("materialization_id", Integer, nullable=False),
    Column("asset", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("accepted_logic", Text),
    Column("current_logic", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("accepted_by", Text, nullable=False),
    Column("accepted_at", UtcDateTime, nullable=False),
    Column("undone_by", Text),
    Column("undone_at", UtcDateTime),
    _seal(),
    comment="One row per materialization that a person let stand, though its model has another logic by now.",
)

checks = Table(
    "omni_checks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("materialization_id", Integer, nullable=False),
    Column("asset", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("check_name", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("message", Text, nullable=False),
    Column("observed_at", UtcDateTime, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("definition", Text),
    _seal(),
    Index("omni_checks_latest", "asset", "materialization_id"),
    comment="One row per check result; the highest id of a check on a materialization is the current one.",
)

foreign_writes = Table(
    "omni_foreign_writes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("asset", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("materialization_id", Integer),
    Column("snapshot_id", BigInteger),
    Column("left_at", UtcDateTime),
    Column("found_at", UtcDateTime, nullable=False),
    Column("change", Text, nullable=False),
    Column("run_id", Text),
    _seal(),
    comment="One row per asset partition that someone else was found to have written over, or that the run `run_id` "
    "began to write; it speaks of the materialization that was current, and of one of `snapshot_id` that was not "
    "recorded yet.",
)
