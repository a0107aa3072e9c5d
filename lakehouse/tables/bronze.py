"""The Bronze tables: columns from the data contracts plus lineage, partition spec, time column.

Silver and Gold tables are described by their dbt models. Who writes here: the sink in `loaders.bronze.destination`.
"""

from dataclasses import dataclass
from datetime import date

from pyiceberg.expressions import (
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    IsNull,
    LessThan,
    Reference,
)
from pyiceberg.expressions.literals import literal
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    IcebergType,
    ListType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from lakehouse.assets import DOC_ASSETS, QUARANTINE, TICKET_EVENTS
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.contracts import Contract, FieldType, load_contract

RUN_COLUMNS = ("run_id", "ingested_at", "quarantined_at", "released_at")
"""Columns that say which run wrote a row: they differ between runs that write the same content."""

Column = tuple[str, FieldType, str]

LINEAGE: tuple[Column, ...] = (
    ("source_id", "string", "Source in the manifest."),
    ("source_file", "string", "File that the row was read from."),
    ("source_line", "long", "Line (JSONL, CSV) or row of the file, from 1; null for a document."),
    ("manifest_id", "string", "Manifest that declares the source."),
    ("batch_id", "string", "Batch of that manifest."),
    ("license_tag", "string", "Licence of the source."),
    ("schema_version", "string", "Version of the manifest format."),
    ("run_id", "string", "Run that wrote the row."),
    ("ingested_at", "timestamp", "When the row was written (UTC)."),
)

EVENT_COLUMNS: tuple[Column, ...] = (
    ("extra", "string", "JSON object of the source fields that the contract does not name."),
    ("record_sha256", "string", "SHA-256 over the record as typed, without its batch fields."),
)

QUARANTINE_COLUMNS: tuple[Column, ...] = (
    ("asset", "string", "Asset that the record was meant for."),
    ("partition", "string", "Partition that it counts to."),
    ("reason_code", "string", "Stable code of the first breach."),
    ("reason", "string", "Every breach: field, what was found, what is allowed."),
    ("raw_record", "string", "The record as it stands in the source."),
    ("source_id", "string", "Source in the manifest."),
    ("source_file", "string", "File that the record was read from."),
    ("source_line", "long", "Line or row of the file, from 1."),
    ("manifest_id", "string", "Manifest that declares the source."),
    ("batch_id", "string", "Batch of that manifest."),
    ("run_id", "string", "Run that read the record."),
    ("quarantined_at", "timestamp", "When it was set aside (UTC)."),
    ("released_at", "timestamp", "When it was released (UTC); null while it is held."),
)

HELD: BooleanExpression = IsNull(term=Reference("released_at"))
"""Row filter: the records of the quarantine table that are held still."""

_TYPES: dict[FieldType, IcebergType] = {
    "string": StringType(),
    "boolean": BooleanType(),
    "long": LongType(),
    "double": DoubleType(),
    "date": DateType(),
    "timestamp": TimestamptzType(),
}


@dataclass(frozen=True)
class TableDefinition:
    """One Bronze table."""

    name: str
    schema: Schema
    partition_by: dict[str, str]
    description: str
    """Row grain, and what a partition is."""

    @property
    def identifier(self) -> str:
        """`namespace.name`."""
        return f"bronze.{self.name}"


def bronze_table(settings: LakehouseSettings, name: str) -> TableDefinition:
    """Describe a Bronze table by the contracts that are in force."""
    if name == QUARANTINE:
        grain = "One row per record that was read and not loaded, with the reason and its file and line."
        spec = {"asset": "identity", "partition": "identity"}
        return TableDefinition(name, _schema(QUARANTINE_COLUMNS), spec, grain)
    is_events = name == TICKET_EVENTS
    contract = load_contract(settings, "ticket_event" if is_events else "doc_asset")
    time_column = "occurred_at" if is_events else "snapshot_date"
    columns = (*contract_columns(contract), *(EVENT_COLUMNS if is_events else ()), *LINEAGE)
    description = f"{contract.grain} Partitioned by the UTC day of {time_column}."
    return TableDefinition(name, _schema(columns), {time_column: "day"}, description)


def partition_filter(table: str, asset: str, window: Window) -> BooleanExpression:
    """Row filter: the rows of a Bronze table that belong to the window of an asset."""
    if table == QUARANTINE:  # what was released stays, whatever is loaded again
        return And(HELD, asset_filter(asset), key_filter(window))
    return time_filter("occurred_at" if table == TICKET_EVENTS else "snapshot_date", window, table == DOC_ASSETS)


def asset_filter(asset: str) -> BooleanExpression:
    """Row filter: the records of the quarantine table that were meant for an asset."""
    return EqualTo(term=Reference("asset"), value=literal(asset))


def key_filter(window: Window) -> BooleanExpression:
    """Row filter: the records of the quarantine table whose partition lies in the window."""
    return _between("partition", str(window.first), str(window.end))


def time_filter(column: str, window: Window, is_date: bool) -> BooleanExpression:
    """Row filter: rows whose time column, a calendar date or an instant (UTC), lies in the window."""
    low, high = (window.first, window.end) if is_date else (window.start_at, window.end_at)
    return _between(column, low, high)


def _between(column: str, low: str | date, high: str | date) -> BooleanExpression:
    """Row filter, `low` inside and `high` outside; by keywords, since mypy knows no others of these classes."""
    of = Reference(column)
    return And(GreaterThanOrEqual(term=of, value=literal(low)), LessThan(term=of, value=literal(high)))


def contract_columns(contract: Contract) -> tuple[Column, ...]:
    """Columns that a contract describes."""
    return tuple((field.name, field.type, field.description) for field in contract.fields)


def _schema(columns: tuple[Column, ...]) -> Schema:
    fields = []
    for number, (name, kind, doc) in enumerate(columns, start=1):
        if kind == "list<string>":
            of: IcebergType = ListType(element_id=1000 + number, element_type=StringType(), element_required=False)
        else:
            of = _TYPES[kind]
        fields.append(NestedField(number, name, of, required=False, doc=doc))
    return Schema(*fields)
