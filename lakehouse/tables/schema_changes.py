"""How the columns of a table follow a contract or a model that has changed.

One rule for Bronze, Silver and Gold: a new column is added, null in old rows; a wider type (int to long, float to
double, a decimal of more digits) widens the column; a narrower one is written as the column is; a column that is no
longer named stays, null in new rows; any other type is refused before anything is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
from pyiceberg.io.pyarrow import (
    _pyarrow_to_schema_without_ids,  # what create_table does with an Arrow schema; not public in 0.12
    schema_to_pyarrow,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Table, TableProperties, Transaction
from pyiceberg.types import DecimalType, DoubleType, FloatType, IcebergType, IntegerType, LongType

from lakehouse.errors import IncompatibleSchema


@dataclass(frozen=True)
class SchemaChange:
    """What a schema asks of a table."""

    types: Mapping[str, IcebergType] = field(default_factory=dict)
    """Column of the schema → the type that it is written as."""
    has_news: bool = False
    """A column is new or wider."""
    conflicts: Mapping[str, tuple[IcebergType, IcebergType]] = field(default_factory=dict)
    """Column → the table's type, the schema's."""


def compare(table: Table | None, schema: Schema | pa.Schema) -> SchemaChange:
    """What a schema asks of a table; of none, that it be created."""
    columns = schema if isinstance(schema, Schema) else _pyarrow_to_schema_without_ids(schema)
    wanted = {column.name: column.field_type for column in columns.fields}
    found = {column.name: column.field_type for column in table.schema().fields} if table else {}
    types: dict[str, IcebergType] = {}
    conflicts: dict[str, tuple[IcebergType, IcebergType]] = {}
    for name, kind in wanted.items():
        has = found.get(name, kind)
        if _same(has, kind) or _widens(kind, has):
            types[name] = has
        elif _widens(has, kind):
            types[name] = kind
        else:
            conflicts[name] = (has, kind)
    has_news = any(name not in found or types[name] is not found[name] for name in types)
    return SchemaChange(types, has_news, conflicts)


def refuse_conflicts(identifier: str, change: SchemaChange, advice: str) -> None:
    """Raise where a type neither fits nor widens.

    Raises:
        IncompatibleSchema: with every such column.
    """
    if change.conflicts:
        each = "; ".join(f"{name} is {has}, now {kind}" for name, (has, kind) in change.conflicts.items())
        raise IncompatibleSchema(
            f"{identifier}: {each}; expected the type of the table or a wider one (int to long, float to double, more "
            f"digits of a decimal); nothing was written; next: {advice}"
        )


def retype(transaction: Transaction, change: SchemaChange) -> None:
    """Put new columns in the place of those that conflict: for a commit that replaces all rows.

    The old rows keep theirs in the snapshots before it.
    """
    with transaction.update_schema(allow_incompatible_changes=True) as update:
        for name in change.conflicts:
            update.delete_column(name)
    with transaction.update_schema() as update:
        for name, (_, kind) in change.conflicts.items():
            update.add_column(name, kind)


def sql_casts(change: SchemaChange) -> dict[str, str]:
    """Column → the SQL type of what is written: Iceberg's names of flat types are DuckDB's, too."""
    return {name: str(kind) for name, kind in change.types.items() if kind.is_primitive}


def _same(one: IcebergType, other: IcebergType) -> bool:
    """Equal but for field ids, which a schema that is no table's does not have."""
    if one.is_primitive or other.is_primitive:
        return one == other
    return bool(_arrow_type(one) == _arrow_type(other))


def _arrow_type(kind: IcebergType) -> pa.DataType:
    return schema_to_pyarrow(kind, include_field_ids=False)


def _widens(narrow: IcebergType, wide: IcebergType) -> bool:
    """Whether Iceberg reads a column of one type as the other; pyiceberg 0.12 also allows what loses digits."""
    if isinstance(narrow, DecimalType) and isinstance(wide, DecimalType):
        return narrow.scale == wide.scale and narrow.precision < wide.precision
    pair = type(narrow), type(wide)
    return pair in ((IntegerType, LongType), (FloatType, DoubleType))


def set_name_mapping(transaction: Transaction) -> None:
    """Let files without Iceberg field ids (DuckDB writes such) be added by column name."""
    mapping = transaction.table_metadata.schema().name_mapping.model_dump_json()
    transaction.set_properties({TableProperties.DEFAULT_NAME_MAPPING: mapping})
