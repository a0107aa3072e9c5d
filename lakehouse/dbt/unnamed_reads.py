"""What a model's SQL reads past `ref` and `source`: nobody would know of it, so no verdict could.

Asks DuckDB's parser, which binds and reads nothing. Called by `lakehouse.dbt.plugin` before a model is built.
"""

import json
from collections.abc import Iterator
from typing import Any

from duckdb import DuckDBPyConnection

from lakehouse.builds.model import Model
from lakehouse.errors import ConfigurationError

_MAKE_ROWS = ("generate_series", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest")
"""Table functions that make rows of their arguments. Any other may read: files, queries as text, DuckDB itself."""


def refuse_unnamed_reads(model: Model, cursor: DuckDBPyConnection) -> None:
    """Stop a model that reads tables or files that it does not name.

    Raises:
        ConfigurationError: it does, or it is no query; nothing was computed.
    """
    (text,) = cursor.execute("select json_serialize_sql(?::varchar)", [model.sql]).fetchone() or ("{}",)
    tree = json.loads(text)
    if tree["error"]:
        raise ConfigurationError(
            f"{model.name}: {tree['error_message']}; expected one select, so that what it reads can be told; next: "
            "mend its SQL (without pivot and unpivot)"
        )
    parsed = list(_nodes(tree))
    named = {name.lower() for name in (*model.reach, model.name)}
    own = {entry["key"].lower() for node in parsed for entry in node.get("cte_map", {}).get("map", ())}
    if found := sorted({read for node in parsed if (read := _unnamed(node, named, own))}):
        raise ConfigurationError(
            f"{model.name}: its SQL reads {', '.join(found)}, expected only what ref and source name: no verdict knows "
            "of another read; next: read it by ref or source"
        )


def _unnamed(node: dict[str, Any], named: set[str], own: set[str]) -> str | None:
    """What a part of a statement reads that is neither named nor one of its own common table expressions."""
    if node.get("type") == "BASE_TABLE":
        schema, table = node["schema_name"], node["table_name"]
        return None if table.lower() in (named if schema else own) else f"{schema}.{table}".lstrip(".")
    if node.get("type") == "TABLE_FUNCTION":
        name: str = node["function"]["function_name"]
        return None if name.lower() in _MAKE_ROWS else f"{name}()"
    return None


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """All objects of a JSON value."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(each)
