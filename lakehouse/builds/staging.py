"""A model's rows: computed chunk by chunk, and laid down by dbt's DuckDB as Parquet files that each hold one partition.

No row goes through Python, so memory is DuckDB's, which spills to disk at its limit.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
from duckdb import DuckDBPyConnection
from pyiceberg.table import Table

from lakehouse.builds.chunks import Chunk, bounds_sql, narrowed
from lakehouse.builds.model import Model
from lakehouse.errors import RowsOutsideWindow
from lakehouse.partitions import ONE_DAY, WHOLE
from lakehouse.tables.duck import quoted
from lakehouse.tables.schema_changes import SchemaChange, compare, refuse_conflicts, sql_casts


class Staging:
    """Rows of one build of a model, on their way to its table."""

    def __init__(self, model: Model, table: Table | None, folder: Path) -> None:
        """Start with no rows; `table` is the model's as it stands, None before its first build."""
        self.files: list[Path] = []
        self.rows_of: dict[str, int] = {}
        """Partition → its rows; partitions without rows are left out."""
        self.bytes_of: dict[str, int] = {}
        """Partition → the size of its file."""
        self.schema: pa.Schema = pa.schema([])
        """Columns of the rows, as the model has them."""
        self.retyped: SchemaChange | None = None
        """Columns of another type, which --full-refresh replaces."""
        self._model, self._table, self._folder = model, table, folder

    @property
    def is_by_date(self) -> bool:
        """Whether the time column is a calendar date, not an instant."""
        return bool(pa.types.is_date(self.schema.field(self._model.time_column).type))

    @property
    def lasting_schema(self) -> pa.Schema:
        """Columns without those that are replaced."""
        replaced = self.retyped.conflicts if self.retyped else {}
        return pa.schema([column for column in self.schema if column.name not in replaced])

    def add(self, chunk: Chunk, compute: Callable[[str, str], None], cursor: DuckDBPyConnection) -> None:
        """Compute the rows of a chunk and lay them down.

        Args:
            chunk: Its days.
            compute: Makes a temporary table of this name of the rows of this SQL, on the connection of `cursor`.
            cursor: Looks at the rows.

        Raises:
            RowsOutsideWindow: a row lies outside the chunk.
            IncompatibleSchema: a column has a type that the table can neither hold nor widen to.
        """
        model, rows = self._model, f"rows_of_{self._model.name}"
        sql = narrowed(model.sql, chunk) if model.is_partitioned else model.sql
        compute(rows, sql)
        try:
            self.schema = cursor.execute(f"select * from {rows} limit 0").to_arrow_table().schema
            columns = self._columns()
            for partition, where, count in self._partitions(cursor, rows, chunk):
                file = self._folder / f"{len(self.files)}.parquet"
                cursor.execute(
                    f"copy (select {columns} from {rows} where {where}) to {quoted(str(file))} "
                    "(format parquet, compression zstd)"
                )
                self.files.append(file)
                self.rows_of[partition] = count
                self.bytes_of[partition] = file.stat().st_size
        finally:
            cursor.execute(f"drop table if exists {rows}")

    def _columns(self) -> str:
        """Select list: each column in the type that the table has or will have."""
        change = compare(self._table, self.schema)
        model, is_keyed = self._model, self._model.time_column in change.conflicts
        if change.conflicts and model.is_full_refresh and model.window is None and not is_keyed:
            self.retyped = change
        else:
            whole = f"replace the whole table: `dbt build --full-refresh --select {model.name}` (without a window)"
            other = f"give the model another name, for its table is partitioned by {model.time_column}"
            refuse_conflicts(
                model.identifier, change, f"cast the column in the model, or {other if is_keyed else whole}"
            )
        casts = sql_casts(change)
        return ", ".join(f'cast("{c}" as {casts[c]}) as "{c}"' if c in casts else f'"{c}"' for c in self.schema.names)

    def _partitions(self, cursor: DuckDBPyConnection, rows: str, chunk: Chunk) -> list[tuple[str, str, int]]:
        """Partitions that the rows lie in: key, predicate, number of rows."""
        column = self._model.time_column
        if column is None:
            (count,) = cursor.execute(f"select count(*) from {rows}").fetchone() or (0,)
            return [(WHOLE, "true", count)] if count else []
        # Instants are in UTC here: the session's time zone is.
        days: list[tuple[date | None, int]] = cursor.execute(
            f"select cast({column} as date) as day, count(*) from {rows} group by day order by day"
        ).fetchall()
        found = []
        for day, count in days:
            if day is None or day not in chunk:
                self._refuse(days, chunk)
            else:
                where = bounds_sql(column, self.is_by_date, Chunk(day, day + ONE_DAY))
                found.append((str(day), where, count))
        return found

    def _refuse(self, days: list[tuple[date | None, int]], chunk: Chunk) -> None:
        """A row that the chunk does not cover would be written beside the row that it should replace."""
        column = self._model.time_column or ""
        nulls = sum(count for day, count in days if day is None)
        found = sorted(day for day, _ in days if day is not None)
        between = f"lies between {found[0]} and {found[-1]}" if found else "is no day"
        raise RowsOutsideWindow(
            f"{self._model.name}: {column} {between} with {nulls} nulls, expected {bounds_sql(column, True, chunk)}; "
            f"nothing was written; next: filter the model with in_window('{column}')"
        )
