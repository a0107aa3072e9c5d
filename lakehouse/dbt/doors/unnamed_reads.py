"""What a model's SQL reads past `ref` and `source`, or past their windows: nobody would know, so no verdict could.

Asks DuckDB's parser, which binds and reads nothing. Called by `lakehouse.dbt.plugin` before a model is built.
"""

import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from lakehouse.builds.chunks import without_windowed_reads
from lakehouse.builds.model import Model
from lakehouse.errors import ConfigurationError

_MAKE_ROWS = ("generate_series", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest")
"""Table functions that make rows of their arguments. Any other may read: files, queries as text, DuckDB itself."""


def refuse_unnamed_reads(model: Model, cursor: DuckDBPyConnection) -> None:
    """Stop a model that reads tables or files that it does not name, or more of a table than its reach says.

    Raises:
        ConfigurationError: it does, or it is no query; nothing was computed.
    """
    if found := _reads_beside(model, model.sql, model.tables, cursor):
        raise ConfigurationError(
            f"{model.name}: its SQL reads {', '.join(found)}, expected only what ref and source name: no verdict knows "
            "of another read; next: read it by ref or source"
        )
    if found := _reads_beside(model, without_windowed_reads(model.sql), model.tables - model.bounded, cursor):
        raise ConfigurationError(
            f"{model.name}: its SQL reads all of {', '.join(found)}, expected a window, as its other reads of it have: "
            "verdicts go by these; next: read it by ref or source, with where= or without, and not by its name"
        )


def _reads_beside(model: Model, sql: str, tables: Set[tuple[str, str]], cursor: DuckDBPyConnection) -> list[str]:
    """What SQL of a model reads that is none of these tables."""
    tree = syntax_tree(model.name, sql, cursor)
    (catalog,) = cursor.execute("select current_database()").fetchone() or ("",)
    readable = _Readable(catalog.lower(), {(schema.lower(), table.lower()) for schema, table in tables})
    return sorted(set(_unnamed(tree, readable, frozenset())))


def syntax_tree(name: str, sql: str, cursor: DuckDBPyConnection) -> dict[str, Any]:
    """SQL of a model as DuckDB parses it.

    Raises:
        ConfigurationError: it is no query.
    """
    (text,) = cursor.execute("select json_serialize_sql(?::varchar)", [sql]).fetchone() or ("{}",)
    tree: dict[str, Any] = json.loads(text)
    if tree["error"]:
        raise ConfigurationError(
            f"{name}: {tree['error_message']}; expected one select, so that what it reads can be told; next: "
            "mend its SQL (without pivot and unpivot)"
        )
    return tree


@dataclass(frozen=True)
class _Readable:
    """What a model may read: tables of one database, all names in lower case, as DuckDB compares them."""

    catalog: str
    tables: Set[tuple[str, str]]
    """Schema and table."""

    def has(self, node: Mapping[str, str]) -> bool:
        """Whether a qualified read is one of these."""
        name = node["schema_name"].lower(), node["table_name"].lower()
        return name in self.tables and node["catalog_name"].lower() in ("", self.catalog)


def _unnamed(value: Any, readable: _Readable, own: frozenset[str]) -> Iterator[str]:
    """What a part of a statement reads that is neither readable nor one of its own common table expressions.

    Args:
        value: The part, as JSON.
        readable: What it may read by a qualified name.
        own: Common table expressions in its scope; a name that is none of them is a table or a file.
    """
    if isinstance(value, list):
        for each in value:
            yield from _unnamed(each, readable, own)
    if not isinstance(value, dict):
        return
    if (read := _unnamed_itself(value, readable, own)) is not None:
        yield read
    for entry in value.get("cte_map", {}).get("map", ()):  # each sees those before it, and not itself
        yield from _unnamed(entry["value"], readable, own)
        own |= {entry["key"].lower()}
    for key, part in value.items():
        is_recursion = value.get("type") == "RECURSIVE_CTE_NODE" and key == "right"
        scope = own | {value["cte_name"].lower()} if is_recursion else own
        if key != "cte_map":
            yield from _unnamed(part, readable, scope)


def _unnamed_itself(node: Mapping[str, Any], readable: _Readable, own: frozenset[str]) -> str | None:
    """What a node reads by itself, leaving out its parts."""
    match node.get("type"):
        case "BASE_TABLE" if node["schema_name"]:
            name = ".".join(filter(None, (node["catalog_name"], node["schema_name"], node["table_name"])))
            return None if readable.has(node) else name
        case "BASE_TABLE":
            return None if node["table_name"].lower() in own else node["table_name"]
        case "TABLE_FUNCTION":
            function: str = node["function"]["function_name"]
            return None if function.lower() in _MAKE_ROWS else f"{function}()"
        case "SHOW_REF":
            return "what DuckDB tells of itself"
    return None
