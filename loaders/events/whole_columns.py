"""Columns of plain values: what Arrow tells of a whole column at a tenth of what DuckDB takes for it.

Every question may be answered with "not that I see": then DuckDB looks, which knows more forms, value by value.
"""

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.tables.contract_model import ContractField
from loaders.events.record_hash import has_escapes

_INSTANT = pa.timestamp("us", "UTC")


def keeps_rules(field: ContractField, column: pa.ChunkedArray) -> bool:
    """Whether it is seen that no value breaks a rule of its field; of instants, those beside being one."""
    if field.required and column.null_count:
        return False
    if column.null_count == len(column):
        return True
    if field.type != "string":
        return field.enum is None and field.pattern is None and field.max_length is None
    if field.pattern is not None:
        return False
    if field.required and not pc.min(pc.binary_length(pc.utf8_trim_whitespace(column))).as_py():
        return False
    if field.max_length is not None and pc.max(pc.binary_length(column)).as_py() > field.max_length:
        return False
    return field.enum is None or bool(pc.all(pc.is_in(column, pa.array([*field.enum, None], pa.string()))).as_py())


def plain_instants(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray] | None:
    """Instants and their canonical texts, of a column of texts such as 2026-04-15T08:00:00Z; None if one is another."""
    if column.null_count == len(column):
        return column.cast(_INSTANT), column
    lengths = pc.min_max(pc.binary_length(column)).as_py()
    if lengths != {"min": 20, "max": 20} or not pc.all(pc.ends_with(column, "Z")).as_py():
        return None
    if pc.any(pc.starts_with(column, "0000")).as_py():  # 1 BC
        return None
    try:
        instants = column.cast(_INSTANT)
    except pa.ArrowInvalid:
        return None
    return instants, pc.binary_replace_slice(pc.binary_replace_slice(column, 19, 20, "+00"), 10, 11, " ")


def plain_lists(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The canonical texts of lists of texts; None where an element has to be escaped, or is null."""
    elements = pc.list_flatten(column)
    if elements.null_count or has_escapes(elements):
        return None
    texts = pc.binary_join_element_wise('["', pc.binary_join(column, '","'), '"]', "")
    return pc.if_else(pc.equal(pc.list_value_length(column), 0), "[]", texts)
