"""What a model's SQL asks of the clock, of dice, or of the order in which rows happen to come.

Another run gives other rows of the same inputs. DuckDB is asked which of its functions give the same for the same
arguments. Of sorting and aggregates nothing is said: that an order is complete, or that all values of a group are the
same, is for the model's tests. Called by `lakehouse.dbt.plugin` before a model is built.
"""

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from duckdb import DuckDBPyConnection

from lakehouse.builds.model import Model
from lakehouse.dbt.doors.unnamed_reads import syntax_tree
from lakehouse.errors import ConfigurationError

_WORDS = frozenset(("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_user"))
"""Functions that SQL writes like columns."""
_BY_POSITION = frozenset(
    f"WINDOW_{name}" for name in ("ROW_NUMBER", "NTILE", "FIRST_VALUE", "LAST_VALUE", "NTH_VALUE", "LEAD", "LAG")
)
"""Window functions that ask where a row stands; of a rank, rows without an order all have the same."""
_LIMITS = frozenset(("LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"))


def refuse_unrepeatable_sql(model: Model, cursor: DuckDBPyConnection) -> None:
    """Stop a model that would give other rows of the same inputs.

    Raises:
        ConfigurationError: it would, or it is no query; nothing was computed.
    """
    unstable = _unstable_functions(cursor)
    if found := sorted(set(_unrepeatable(syntax_tree(model.name, model.sql, cursor), unstable))):
        raise ConfigurationError(
            f"{model.name}: its SQL has {', '.join(found)}, expected the same rows of the same inputs in every run; "
            "nothing was written; next: take the time from a column or from the window (first_day_of_window), and give "
            "an order to what depends on one"
        )


def _unstable_functions(cursor: DuckDBPyConnection) -> Set[str]:
    """Names of functions whose value is not told by their arguments, and of macros that call one."""
    query = "select lower(function_name), stability, lower(macro_definition) from duckdb_functions()"
    rows = cursor.execute(query).fetchall()
    found = _WORDS | {name for name, stability, _ in rows if stability not in (None, "CONSISTENT")} - {"error"}
    calling = re.compile(rf"\b(?:{'|'.join(map(re.escape, found))})\b")
    return found | {name for name, _, body in rows if body and calling.search(body)}


def _unrepeatable(value: Any, unstable: Set[str]) -> Iterator[str]:
    """What a part of a statement has of it; a part is JSON."""
    if isinstance(value, list):
        for each in value:
            yield from _unrepeatable(each, unstable)
    if isinstance(value, dict):
        yield from _unrepeatable_itself(value, unstable)
        for part in value.values():
            yield from _unrepeatable(part, unstable)


def _unrepeatable_itself(node: Mapping[str, Any], unstable: Set[str]) -> Iterator[str]:
    """What a node has of it by itself, leaving out its parts."""
    kind = str(node.get("type"))  # of a constant, an object
    if kind == "FUNCTION":
        name = node["function_name"].lower()
        is_since_today = name == "age" and len(node["children"]) == 1
        if name in unstable or is_since_today:
            yield f"{name}()"
    elif kind == "COLUMN_REF" and len(node["column_names"]) == 1 and node["column_names"][0].lower() in _WORDS:
        yield node["column_names"][0].lower()
    elif kind in _BY_POSITION and not node["orders"] and not node.get("arg_orders"):
        yield f"{node['function_name']}() over () without order by"
    if node.get("sample"):
        yield "a sample"
    yield from _unordered(node.get("modifiers") or ())


def _unordered(modifiers: Any) -> Iterator[str]:
    kinds = {each["type"]: each for each in modifiers}
    if "ORDER_MODIFIER" in kinds:
        return
    if kinds.keys() & _LIMITS:
        yield "limit without order by"
    if kinds.get("DISTINCT_MODIFIER", {}).get("distinct_on_targets"):
        yield "distinct on without order by"
