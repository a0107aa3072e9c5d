"""The typed rows of one source file, kept until their days are written: in memory while they are few, else on disk."""

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.tables.duck import quoted
from loaders.plans.staged_files import PARQUET_FORMAT

HELD_BYTES = 64 * 1024 * 1024
"""Size (uncompressed) of rows from which on they go to disk."""

MOST_IDS = 1_000_000
"""Rows up to which their keys stay in memory, to see whether one is there twice; beyond it DuckDB sees to that."""


class TypedRows:
    """Typed rows, see `loaders.events.record_typing.RecordTyper`, of one source file.

    As long as all are plain (good, named, of one day), those that go to disk are written as Bronze holds them, so that
    their file may become that of the day; the others as they were typed.
    """

    def __init__(
        self,
        tables: Iterable[pa.Table],
        path: Path,
        columns: list[str],
        key: Sequence[str],
        origin: dict[str, str | pa.Scalar],
        connection: duckdb.DuckDBPyConnection,
    ) -> None:
        """Keep all rows of the file: in memory where they are few and of one day, else on disk.

        Args:
            tables: The rows.
            path: Where to put, each with an ending, files of what does not fit in memory.
            columns: Of a row in Bronze.
            key: Of them, those that identify a row; more than one leave it to DuckDB to see whether one is there twice.
            origin: Those of them that the file's rows share, with their values.
            connection: What opens the rows as a relation.
        """
        self._path, self._columns, self._origin, self._connection = path, columns, origin, connection
        self._key = key[0] if len(key) == 1 else None
        self.unknown_fields: dict[str, int] = {}
        """Keys of `extra`, each with the first line that has it."""
        self._held: list[pa.Table] = []
        self._ids: list[pa.Array] = []
        self._days: set[date | None] = set()
        self._are_plain = self._key is not None
        self._plain_day: date | None = None
        self._plain: pq.ParquetWriter | None = None
        self._others: pq.ParquetWriter | None = None
        held_bytes = 0
        for table in tables:
            self._look_at(table)
            self._held.append(table)
            held_bytes += table.nbytes
            if held_bytes > HELD_BYTES:
                self._spill()
                held_bytes = 0
        if self._held and (not self.is_held or not self.are_of_one_day):
            self._spill()

    @property
    def name(self) -> str:
        """Name of the relation of rows that are in memory."""
        return self._path.name

    @property
    def is_held(self) -> bool:
        """Whether the rows are in memory."""
        return self._plain is None and self._others is None

    @property
    def are_of_one_day(self) -> bool:
        """Whether no two rows have different days."""
        return len(self._days - {None}) < 2

    @property
    def are_dated(self) -> bool:
        """Whether each row has a day."""
        return None not in self._days

    def plain_ids(self, day: date) -> list[pa.Array] | None:
        """The keys, where all rows are plain and of this day; else None."""
        return self._ids if self._are_plain and self._days == {day} else None

    def as_in_bronze(self) -> pa.Table:
        """The rows as Bronze holds them, where they are plain and in memory."""
        return self._with_origin(pa.concat_tables(self._held))

    def file_of_day(self) -> Path:
        """The file of the rows as Bronze holds them, where they are plain and on disk; closed."""
        assert self._plain is not None and self._others is None
        self._plain.close()
        return self._file("plain")

    def open(self) -> str:
        """SQL: the rows as they were typed."""
        if self.is_held:
            self._connection.register(self.name, pa.concat_tables(self._held))
            return self.name
        parts = []
        if self._plain is not None:
            self._plain.close()
            nothing = ", ".join(f"null::varchar as {name}" for name in ("raw_record", "reason_code", "reason"))
            typed = f"* exclude ({', '.join(self._origin)}), date '{self._plain_day}' as day, {nothing}"
            parts.append(f"select {typed} from read_parquet({quoted(str(self._file('plain')))})")
        if self._others is not None:
            self._others.close()
            parts.append(f"select * from read_parquet({quoted(str(self._file('others')))})")
        return f"({' union all by name '.join(parts)})"

    def _look_at(self, table: pa.Table) -> None:
        self._days.update(table.column("day").unique().to_pylist())
        self._are_plain = self._are_plain and self._is_plain(table)
        if not self._are_plain:
            self._ids.clear()
        if table.column("extra").null_count < table.num_rows:
            self._look_at_extra(table)

    def _is_plain(self, table: pa.Table) -> bool:
        ids = table.column(self._key)
        if ids.null_count or not pa.types.is_string(ids.type):
            return False
        self._ids += ids.chunks
        are_good = table.column("reason_code").null_count == table.num_rows
        return are_good and len(self._days) == 1 and self.are_dated and sum(map(len, self._ids)) <= MOST_IDS

    def _look_at_extra(self, table: pa.Table) -> None:
        cursor = self._connection.cursor()  # the connection may be about to give more rows
        cursor.register("typed", table.select(["source_line", "extra"]))
        names = "select source_line, unnest(json_keys(extra)) as field from typed where extra is not null"
        for field, line in cursor.execute(f"select field, min(source_line) from ({names}) group by 1").fetchall():
            self.unknown_fields[field] = min(line, self.unknown_fields.get(field, line))

    def _spill(self) -> None:
        rows = pa.concat_tables(self._held)
        self._held.clear()
        if self._are_plain:
            (self._plain_day,) = self._days
            rows = self._with_origin(rows)
            self._plain = self._plain or pq.ParquetWriter(self._file("plain"), rows.schema, **PARQUET_FORMAT)
            self._plain.write_table(rows)
        else:
            self._others = self._others or pq.ParquetWriter(self._file("others"), rows.schema, compression="lz4")
            self._others.write_table(rows)

    def _with_origin(self, rows: pa.Table) -> pa.Table:
        for name, value in self._origin.items():
            rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
        return rows.select(self._columns)

    def _file(self, what: str) -> Path:
        return self._path.with_name(f"{self._path.name}_{what}.parquet")
