"""What Spark may compute otherwise than DuckDB from the same words: a model that says it is not built on Spark.

A verdict says by which SQL rows were computed, and takes either engine for as good. So only what is known to mean the
same to both is let through; what they say differently belongs into a macro that says both (dbt_project/macros/
dialect.sql). Asks DuckDB's parser. Called by `lakehouse.dbt.spark.plugin`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from duckdb import DuckDBPyConnection

from lakehouse.builds.dialects import without_words_of_both, words_of_spark
from lakehouse.builds.model import Model
from lakehouse.dbt.doors.unnamed_reads import syntax_tree
from lakehouse.errors import ConfigurationError

_SAME = frozenset(("+", "-", "*", "concat_ws", "count", "count_star", "date_part", "max", "min", "nullif", "sum"))
"""Functions and operators with the same arguments and the same meaning."""
_SAME_OVER_WINDOWS = _SAME | {"dense_rank", "lag", "lead", "rank", "row_number"}
_SPARKS = frozenset(("-", "/", "concat_ws", "explode", "floor", "max_by", "sequence", "sha2", "substr", "unix_micros"))
"""Those that Spark's own words may have."""
_DATE_PARTS = ("year", "month", "day")
_CASTS = ("BIGINT", "DATE")
"""Types that a value becomes alike. A text is another one of an instant or a number; `timestamp` is another type."""
_COUNTS = ("count", "count_star", "dense_rank", "rank", "row_number")
"""Whole, whatever they are counted over."""
_LITERALS = ("BOOLEAN", "TIMESTAMP WITH TIME ZONE", "VARCHAR")
"""Of a constant: `true`, the bound of a window, and a null."""


def refuse_engine_differences(model: Model, cursor: DuckDBPyConnection, *, has_fractions: bool) -> None:
    """Stop a model of which Spark might make other rows.

    Args:
        model: With its window markers.
        cursor: Its parser is asked.
        has_fractions: Whether a table that it reads has numbers that are not whole.

    Raises:
        ConfigurationError: it might; nothing was computed.
    """
    if found := engine_differences(model.name, model.sql, cursor, has_fractions=has_fractions):
        raise ConfigurationError(
            f"{model.name}: its SQL has {', '.join(found)}, expected what means the same on DuckDB and on Spark; "
            "nothing was written; next: build it with --target duckdb, or say it in a macro that says both "
            "(dbt_project/macros/dialect.sql)"
        )


def engine_differences(name: str, sql: str, cursor: DuckDBPyConnection, *, has_fractions: bool) -> list[str]:
    """What of compiled SQL the two engines may understand differently."""
    found = {*_differences(syntax_tree(name, without_words_of_both(sql), cursor), has_fractions)}
    found |= {f"a {sign}" for sign in "\\$`" if sign in sql}  # escapes, other quotes, parameters
    for words in words_of_spark(sql):
        tree = syntax_tree(name, f"select {words}", cursor)
        found |= {f"{each}() on Spark" for each in _called(tree) if each not in _SPARKS}
    return sorted(found)


def _differences(value: Any, has_fractions: bool) -> Iterator[str]:
    """Of a part of a statement, as JSON."""
    if isinstance(value, list):
        for each in value:
            yield from _differences(each, has_fractions)
    if isinstance(value, dict) and not _is_interval(value):
        yield from _of_itself(value, has_fractions)
        for part in value.values():
            yield from _differences(part, has_fractions)


def _of_itself(node: Mapping[str, Any], has_fractions: bool) -> Iterator[str]:
    """Of a node by itself, leaving out its parts."""
    match node.get("class"):
        case "FUNCTION" if node["function_name"].lower() not in _SAME:
            yield f"{node['function_name']}()"
        case "WINDOW" if node["function_name"].lower() not in _SAME_OVER_WINDOWS:
            yield f"{node['function_name']}() over"
        case "FUNCTION" if node["function_name"].lower() == "date_part":
            unit = node["children"][0].get("value", {}).get("value")
            yield from () if unit in _DATE_PARTS else (f"extract({unit} …)",)
        case "CAST":
            yield from _of_a_cast(node, has_fractions)
        case "CONSTANT" if not node["value"]["is_null"] and "'" in str(node["value"]["value"]):
            yield "a text with ', which Spark leaves out"
        case "OPERATOR" if node["type"] in ("ARRAY_EXTRACT", "ARRAY_SLICE", "STRUCT_EXTRACT", "OPERATOR_TRY"):
            yield node["type"].lower().replace("_", " ")
        case "LAMBDA" | "POSITIONAL_REFERENCE" | "COLLATE" as kind:
            yield kind.lower().replace("_", " ")
    if node.get("type") == "EXPRESSION_LIST":
        yield "values, whose first column is col0 on DuckDB and col1 on Spark"
    if "null_order" in node and node["null_order"] == "ORDER_DEFAULT" and node["type"] != "DESCENDING":
        yield "order by … without nulls first or nulls last"


def _of_a_cast(node: Mapping[str, Any], has_fractions: bool) -> Iterator[str]:
    kind, is_constant = node["cast_type"]["id"], node["child"]["class"] == "CONSTANT"
    if node["try_cast"]:
        yield "try_cast"
    elif kind not in _CASTS and not (kind in _LITERALS and is_constant):
        yield f"cast(… as {kind.lower()})"
    elif kind == "BIGINT" and has_fractions and node["child"].get("function_name") not in _COUNTS:
        yield "cast(… as bigint) beside numbers that are not whole: Spark cuts off what DuckDB rounds"


def _is_interval(node: Mapping[str, Any]) -> bool:
    """Whether it is a number of days, as DuckDB parses `interval 1 day`."""
    return node.get("function_name") == "to_days" and "COLUMN_REF" not in json.dumps(node)


def _called(value: Any) -> Iterator[str]:
    """Functions that a part of a statement calls, and subqueries."""
    if isinstance(value, list):
        for each in value:
            yield from _called(each)
    if isinstance(value, dict) and not _is_interval(value):
        if value.get("class") in ("FUNCTION", "WINDOW"):
            yield value["function_name"].lower()
        if value.get("class") == "SUBQUERY" or value.get("type") == "BASE_TABLE":
            yield "select"
        for part in value.values():
            yield from _called(part)
