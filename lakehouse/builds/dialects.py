"""One compiled SQL for two engines: in DuckDB's words, as dbt compiles it, and in Spark's.

The two differ where dbt_project/macros/dialect.sql says both, Spark's in a comment beside DuckDB's; and in how an
instant and a table are written. All else is the same text, so that it has the same logic, whoever computes the rows.
"""

import re

_BOTH = re.compile(r"/\*spark:(?P<spark>.*?)\*/.*?/\*end spark\*/", re.DOTALL)
_INSTANT = re.compile(r"\btimestamptz '(\d{4}-\d\d-\d\d 00:00:00)\+00'")
_TABLE = re.compile(r'"\w+"\."(?P<schema>\w+)"\."(?P<name>\w+)"')


def in_words_of_spark(sql: str) -> str:
    """Compiled SQL with Spark's words where these are others: what its rows are computed by on Spark."""
    return _BOTH.sub(lambda match: match["spark"], sql)


def words_of_spark(sql: str) -> list[str]:
    """What it says in Spark's words alone."""
    return [match["spark"] for match in _BOTH.finditer(sql)]


def without_words_of_both(sql: str) -> str:
    """What it says in the same words to both; null where it has two."""
    return _BOTH.sub("null", sql)


def spark_sql(sql: str) -> str:
    """Compiled SQL as Spark runs it: over views, each by the name of `view_name`."""
    sql = _INSTANT.sub(r"timestamp '\1'", in_words_of_spark(sql))
    return _TABLE.sub(lambda match: f'"{view_name(match["schema"], match["name"])}"', sql)


def view_name(schema: str, table: str) -> str:
    """What a table of the lake is called on Spark, whose temporary views lie in no schema."""
    return f"{schema}.{table}"
