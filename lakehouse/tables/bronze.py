"""The Bronze tables: columns from the data contracts plus origin, partition spec, time column.

Silver and Gold tables are described by their dbt models. Who writes here: the sink in `loaders.bronze.destination`.
"""

from dataclasses import dataclass

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

from lakehouse.contracts.model import Contract
from lakehouse.contracts.registry import load_contracts
from lakehouse.kinds import FORMS, ORIGIN, Column, FieldType
from lakehouse.namespaces import QUARANTINE, bronze
from lakehouse.settings import LakehouseSettings

RUN_COLUMNS = ("run_id", "ingested_at", "quarantined_at", "released_at")
"""Columns that say which run wrote a row: they differ between runs that write the same content."""

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
        return bronze(self.name)


def bronze_table(settings: LakehouseSettings, name: str) -> TableDefinition:
    """Describe a Bronze table by the contracts that are in force.

    Raises:
        ConfigurationError: no contract names the asset.
    """
    if name == QUARANTINE:
        grain = "One row per record that was read and not loaded, with the reason and its file and line."
        spec = {"asset": "identity", "partition": "identity"}
        return TableDefinition(name, _schema(QUARANTINE_COLUMNS), spec, grain)
    return contract_table(load_contracts(settings).of_asset(name))


def contract_table(contract: Contract) -> TableDefinition:
    """Describe the table of a contract."""
    asset = contract.declared_asset
    columns = (*contract_columns(contract), *FORMS[contract.form].columns, *ORIGIN)
    description = f"{contract.grain} Partitioned by the UTC day of {asset.time}."
    return TableDefinition(asset.name, _schema(columns), {asset.time: "day"}, description)


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
