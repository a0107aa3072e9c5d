"""Which rows of a table differ from those of another one, per partition: what a change of a model would do.

Rows are told apart by a key; where there is none, a changed row is one that goes and one that comes. Called by
`orchestration.runs.trial`.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import duckdb
from pyiceberg.table import Table

from lakehouse.partitions import WHOLE
from lakehouse.tables.duck import load_iceberg_extension, quoted, scan_sql
from lakehouse.tables.filters import time_column

_EXAMPLES, _NAMED_COLUMNS = 3, 3


@dataclass(frozen=True)
class RowDifference:
    """Rows of one partition that would be others."""

    partition: str
    added: int
    removed: int
    changed: int
    """Of the same key, with other values or columns."""
    examples: tuple[str, ...]
    """Some of them, for a person."""


def row_differences(
    before: Table | None, after: Table | None, key: Sequence[str], partitions: Collection[str]
) -> list[RowDifference]:
    """Compare some partitions of two tables, the days in order; of partitions that are equal nothing is said.

    Args:
        before: The table as it is; None for one that was never written.
        after: The table as it would be.
        key: SQL expressions that tell the rows of the table apart; none, where nothing does.
        partitions: Keys of the partitions that are compared.
    """
    with duckdb.connect() as connection:
        load_iceberg_extension(connection, next((t.io.properties for t in (before, after) if t), {}))
        for name, table in (("old_rows", before), ("new_rows", after)):
            connection.execute(f"create temp table {name} as {_rows_sql(table, key, partitions)}")
        connection.execute(f"create temp view found as {_FOUND}")
        examples: dict[str, list[str]] = {}
        for partition, what, names, old, new in connection.execute(_SHOWN, [_EXAMPLES]).fetchall():
            examples.setdefault(partition, []).append(_example(what, names, old, new))
        counted = connection.execute(_COUNTED).fetchall()
    return [
        RowDifference(partition, added, removed, changed, tuple(examples[partition]))
        for partition, added, removed, changed in counted
    ]


def _rows_sql(table: Table | None, key: Sequence[str], partitions: Collection[str]) -> str:
    if table is None:
        return "select ''::varchar as partition, ''::varchar as names, ''::varchar as content where false"
    time = time_column(table) if WHOLE not in partitions else None
    day = f'cast(cast("{time}" as date) as varchar)' if time else "''"
    names = f"cast(to_json([{', '.join(f'cast({each} as varchar)' for each in key)}]) as varchar)" if key else "null"
    keys = ", ".join(map(quoted, sorted(partitions)))
    return (
        f"select {day} as partition, coalesce({names}, cast(to_json(t) as varchar)) as names, "
        f"cast(to_json(t) as varchar) as content from {scan_sql(table)} as t where {day} in ({keys})"
    )


_FOUND = """
select
    coalesce(n.partition, o.partition) as partition,
    case when o.partition is null then 'added' when n.partition is null then 'removed' else 'changed' end as what,
    coalesce(n.names, o.names) as names,
    o.content as old_content,
    n.content as new_content
from old_rows as o
full join new_rows as n on o.partition = n.partition and o.names = n.names
where o.content is distinct from n.content
"""
_COUNTED = """
select
    partition,
    count(*) filter (where what = 'added'),
    count(*) filter (where what = 'removed'),
    count(*) filter (where what = 'changed')
from found
group by partition
order by partition
"""
_SHOWN = """
select partition, what, names, old_content, new_content
from (select *, row_number() over (partition by partition order by what desc, names) as place from found) as numbered
where place <= ?
order by partition, place
"""


def _example(what: str, names: str, old: str | None, new: str | None) -> str:
    key = json.loads(names)
    shown = ", ".join(map(str, key)) if isinstance(key, list) else names
    return f"{what} {shown}" if old is None or new is None else f"{what} {shown}: {'; '.join(_changes(old, new))}"


def _changes(old: str, new: str) -> Iterator[str]:
    before, after = json.loads(old), json.loads(new)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name) or name not in before]
    for name in names[:_NAMED_COLUMNS]:
        yield f"{name} {before.get(name, 'not there')} → {after.get(name, 'not there')}"
    if len(names) > _NAMED_COLUMNS:
        yield f"{len(names) - _NAMED_COLUMNS} more columns"
