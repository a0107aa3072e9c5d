"""A long build in chunks of days, so that memory follows the chunk and not the history.

The macros of macros/window.sql mark in the compiled SQL what depends on the window; `narrowed` puts the bounds of a
chunk there. The build runs a model's SQL once per chunk; test results are narrowed to a day the same way.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from lakehouse.partitions import ONE_DAY, Window, parse_day

MAX_DAYS = 366
"""Days with rows in a chunk: each becomes a file."""

_MARKED = re.compile(
    r"/\*(?P<what>window|up_to_window|before_window|window_first_day|window_last_day)"
    r":(?P<column>[\w.]*):(?P<kind>date|timestamp)\*/(?P<text>.*?)/\*end window\*/",
    re.DOTALL,
)
_READ = re.compile(
    r"\(select \* from \S+ where\s*/\*(?:window|up_to_window|before_window):[\w.]*:(?:date|timestamp)\*/"
    r"(?:(?!/\*end window\*/).)*/\*end window\*/\s*\)",
    re.DOTALL,
)
"""A read that macros/reads.sql has bounded."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Days from `first` to the day before `end`; None leaves that side open."""

    first: date | None
    end: date | None

    def __contains__(self, day: date) -> bool:
        return (self.first is None or self.first <= day) and (self.end is None or day < self.end)


def chunks_of(window: Window | None, rows_of_day: Mapping[str, int], max_rows: int) -> list[Chunk]:
    """Cut a window, or the whole history, before days with rows; together the chunks cover it without a gap.

    Args:
        window: What is built; None for the whole history, whose first and last chunk have an open side.
        rows_of_day: Rows of the upstream partitions.
        max_rows: Rows in a chunk, unless one day has more.
    """
    days = [day for day in map(parse_day, sorted(rows_of_day)) if window is None or day in window]
    cuts: list[date] = []
    rows = in_chunk = 0
    for day in days:
        count = rows_of_day[day.isoformat()]
        if in_chunk and (rows + count > max_rows or in_chunk == MAX_DAYS):
            cuts.append(day)
            rows = in_chunk = 0
        rows, in_chunk = rows + count, in_chunk + 1
    bounds = [window.first if window else None, *cuts, window.end if window else None]
    return [Chunk(first, end) for first, end in zip(bounds, bounds[1:], strict=False)]


def has_marks(sql: str) -> bool:
    """Whether compiled SQL says where its window is, so that it can be narrowed."""
    return any(match["what"] == "window" for match in _MARKED.finditer(sql))


def depends_on_window(sql: str) -> bool:
    """Whether compiled SQL gives other rows in another window."""
    return _MARKED.search(sql) is not None


def narrowed(sql: str, chunk: Chunk) -> str:
    """Compiled SQL with the bounds of a chunk in the place of the run's window."""
    return _MARKED.sub(lambda match: _bounded(match, chunk), sql)


def window_columns(sql: str) -> set[str]:
    """Names of the columns by whose day compiled SQL is bounded."""
    bounded = (match for match in _MARKED.finditer(sql) if not match["what"].startswith("window_"))
    return {match["column"].rpartition(".")[2] for match in bounded}


def without_bounds(sql: str) -> str:
    """Compiled SQL that says where the window is and not which: the same text in every window."""
    return _MARKED.sub(lambda match: f"omni_{match['what']}('{match['column']}', '{match['kind']}')", sql)


def with_bounds_of(sql: str, chunk: Chunk) -> str:
    """Compiled SQL in which other bounds than those of a chunk are not marked: they are SQL like any other."""
    return _MARKED.sub(lambda match: match[0] if _says(match, chunk) else match["text"], sql)


def without_windowed_reads(sql: str) -> str:
    """Compiled SQL whose reads through a window read nothing: those that are left have none. For a parser alone."""
    return _READ.sub("(select 1)", sql)


def bounds_sql(column: str, is_date: bool, chunk: Chunk) -> str:
    """Predicate: a time column, a calendar date or an instant (UTC), lies in the chunk."""
    low = [f"{column} >= {_literal(chunk.first, is_date)}"] if chunk.first else []
    high = [f"{column} < {_literal(chunk.end, is_date)}"] if chunk.end else []
    return " and ".join(low + high) or f"{column} is not null"


def _bounded(match: re.Match[str], chunk: Chunk) -> str:
    what, column, is_date = match["what"], match["column"], match["kind"] == "date"
    if what == "window":
        return bounds_sql(column, is_date, chunk)
    if what == "up_to_window":
        return bounds_sql(column, is_date, Chunk(None, chunk.end))
    if what == "before_window":
        return f"{column} < {_literal(chunk.first, is_date)}" if chunk.first else "false"
    # The day of an open side is for the model to say, as in a run without a window.
    if what == "window_first_day":
        return f"date '{chunk.first}'" if chunk.first else match["text"]
    return f"date '{chunk.end - ONE_DAY}'" if chunk.end else match["text"]


def _says(match: re.Match[str], chunk: Chunk) -> bool:
    """Whether a predicate is the one of the chunk; an expression says in its marker what it is."""
    is_expression = match["what"].startswith("window_")
    return is_expression or _bounded(match, chunk).split() == match["text"].split()


def _literal(day: date | None, is_date: bool) -> str:
    return f"date '{day}'" if is_date else f"timestamptz '{day} 00:00:00+00'"
