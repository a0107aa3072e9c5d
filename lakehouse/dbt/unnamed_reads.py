"""What a model's SQL reads past `ref` and `source`: nobody would know of it, so no verdict could.

Asks DuckDB's parser, which binds and reads nothing. Called by `lakehouse.dbt.plugin` before a model is built.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from duckdb import DuckDBPyConnection

from lakehouse.builds.model import Model
from lakehouse.errors import ConfigurationError

_READS_FILES = re.compile(r"read_\w+|\w*_scan|glob")
"""Table functions of DuckDB that read files or other databases."""


def refuse_unnamed_reads(model: Model, cursor: DuckDBPyConnection) -> None:
    """Stop a model that reads tables or files that it does not name.

    Raises:
        ConfigurationError: it does; nothing was computed.
    """
    (text,) = cursor.execute("select json_serialize_sql(?::varchar)", [model.sql]).fetchone() or ("{}",)
    parsed = list(_nodes(json.loads(text)))
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
        return f"{name}()" if _READS_FILES.fullmatch(name) else None
    return None


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """All objects of a JSON value."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(each)
