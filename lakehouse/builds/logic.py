"""The logic of a derived asset: what its rows are computed by, as a hash.

The canonical form of SQL is its tokens, as sqlglot reads DuckDB's SQL, beside its names and literals, as it parses
them: without comments, layout, the case of keywords and functions, and the bounds of the window. Not the SQL that
sqlglot writes of its tree: that merges what DuckDB tells apart, such as `a ~ 'b'` with `regexp_matches(a, 'b')`, and
`a -> 'b.c'` with `a -> '$.b.c'`. Text that sqlglot cannot read is taken as it stands: one difference too many calls a
safe partition stale, one too few an unsafe partition READY.

One function for the two sides that must agree: the build records the logic of the SQL that it ran, the declaration
(`lakehouse.dbt.declared`) has that of the SQL that the project compiles to today.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from sqlglot import exp, parse, tokenize
from sqlglot.errors import SqlglotError

from lakehouse.builds.chunks import without_bounds
from lakehouse.builds.dialects import in_words_of_spark
from lakehouse.builds.reach import is_daily, reach_of

_DIALECT = "duckdb"
_LAYOUT = re.compile(r"(?:\s|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
_WORDS = re.compile(r"[A-Za-z_]\w*(?:\s+[A-Za-z_]\w*)*", re.ASCII)
_GLUED = re.compile(r"[\w'&]", re.ASCII)


def canonical_sql(sql: str) -> str:
    """Compiled SQL in the form that its comments, layout, case of keywords and window do not change."""
    sql = without_bounds(sql)
    try:
        words, trees = _tokens(sql), parse(sql, read=_DIALECT)
    except (SqlglotError, RecursionError):
        words, trees = None, []
    if words is None or any(tree is None or tree.find(exp.Command) for tree in trees):
        return json.dumps(["text", sql])
    # A word's case is lost among the tokens: a name's and a key's, which the rows have, is kept beside them.
    names = [str(each.this) for tree in trees if tree for each in tree.find_all(exp.Identifier, exp.Literal)]
    return json.dumps(["sql", words, names])


def logic_of(sql: str, node: Mapping[str, Any], upstream: Iterable[Mapping[str, Any]]) -> str:
    """Hash of a model's logic.

    Args:
        sql: Compiled, with its window markers.
        node: The model in dbt's manifest: its columns, its time column, its layer, how it is partitioned.
        upstream: The nodes that it reads; how far it reads them is part of it.
    """
    daily = is_daily(node)
    return definition_of(
        {
            "sql": canonical_sql(sql),
            "columns": {name: _type(column) for name, column in node["columns"].items() if column.get("data_type")},
            "time": node["config"].get("event_time") if daily else None,
            "layer": node["schema"],
            "reach": {each["name"]: reach_of(node, each) for each in upstream},
        }
    )


def logics_of(sql: str, node: Mapping[str, Any], upstream: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """Hashes of a model's logic: of that in DuckDB's words, and of that in Spark's; mostly one and the same."""
    on_duckdb, words = logic_of(sql, node, nodes := [*upstream]), in_words_of_spark(sql)
    return on_duckdb, on_duckdb if words == sql else logic_of(words, node, nodes)


def definition_of(parts: Mapping[str, Any]) -> str:
    """Hash of named parts, whatever their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _tokens(sql: str) -> list[str] | None:
    """The tokens as they stand in the text, words in capitals; None where more than layout lies between them."""
    spans = [(token.start, token.end + 1) for token in tokenize(sql, read=_DIALECT)]
    gaps = [sql[end:start] for (_, end), (start, _) in pairwise([(0, 0), *spans, (len(sql), len(sql))])]
    if not all(_LAYOUT.fullmatch(gap) for gap in gaps):
        return None
    return list(_words([sql[start:end] for start, end in spans], gaps))


def _words(texts: list[str], gaps: list[str]) -> Iterator[str]:
    before = ""
    for text, gap in zip(texts, gaps, strict=False):
        # x'ab' is no x 'ab', and 'a' with 'b' in the next line is one text.
        if _GLUED.match(before[-1:]) and _GLUED.match(text):
            is_continued = before[-1:] == text[0] == "'" and "\n" in gap
            yield "\n" if is_continued else " " if gap else ""
        yield " ".join(text.upper().split()) if _WORDS.fullmatch(text) else text
        before = text


def _type(column: Mapping[str, Any]) -> str:
    """The declared type, under one of its names."""
    declared = str(column["data_type"])
    try:
        return exp.DataType.build(declared, dialect=_DIALECT).sql(_DIALECT)
    except SqlglotError:
        return declared
