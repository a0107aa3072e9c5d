"""The rows that a unit test brings along, taken out of its SQL: DuckDB reads the fixtures, Spark runs the model."""

import re

from sqlglot import TokenType, tokenize

_FIXTURE = re.compile(r"(__dbt__cte__\w+) as \(")
"""As dbt puts a fixture before the model's own common table expressions."""


def with_fixtures(sql: str, prefix: str) -> tuple[str, dict[str, str]]:
    """SQL that reads its fixtures by names, and the SQL of each of these; a name begins with the prefix."""
    fixtures: dict[str, str] = {}
    while match := _FIXTURE.search(sql):
        end = match.end() + _length_to_bracket(sql[match.end() :])
        name = f"{prefix}_{len(fixtures)}"
        fixtures[name] = sql[match.end() : end]
        # By another name from here on, so that it is found once.
        sql = f"{sql[: match.start()]}{match[1].replace('__dbt__', '__read__')} as (select * from {name}{sql[end:]}"
        sql = re.sub(rf"\b{match[1]}\b", match[1].replace("__dbt__", "__read__"), sql)
    return sql, fixtures


def _length_to_bracket(sql: str) -> int:
    """Where the bracket closes that stands open before this SQL."""
    depth = 1
    for token in tokenize(sql, read="duckdb"):
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        if not depth:
            return token.start
    raise ValueError("a bracket is not closed")
