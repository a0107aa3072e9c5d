"""What only reading shows: bytes that are not those that we wrote, rows that are elsewhere than the manifests say.

Each data file is read as a stream, once to hash it and once for the columns that the manifests bound; memory is that of
one batch. Called by `lakehouse.proof.verification`.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile, DataFileContent, ManifestEntry
from pyiceberg.table import Table
from pyiceberg.types import PrimitiveType

from lakehouse.proof.opened_tables import OpenedTable, as_written, changed_bytes
from lakehouse.proof.partition_comparison import Finding, day_option
from lakehouse.proof.partition_files import live_entries, place_of
from lakehouse.tables.filters import time_column

_BATCH_ROWS = 1 << 16
_SAID_EVERY = 50
_EPOCH = date(1970, 1, 1)
_DAY_US = 24 * 3600 * 10**6


def unwritten_files(opened: OpenedTable) -> int:
    """Live data files of which nothing is recorded: they cannot be told from others of their size."""
    entries = live_entries(opened.table) if opened.table else ()
    return sum(entry.data_file.file_path not in opened.recorded for entry in entries)


def read_files(
    opened: OpenedTable, is_asked: Callable[[str, str], bool], progress: Callable[[str], None]
) -> Iterator[Finding | None]:
    """Read the live files of some partitions, and the metadata of every snapshot.

    Yields:
        For each file None, or what is wrong with it.
    """
    table = opened.table
    if table is None:
        return
    name = table.name()[-1]
    for written in opened.old_metadata():
        try:
            found = changed_bytes(table, written)
        except FileNotFoundError:  # maintenance has removed it meanwhile
            continue
        step = "bring it back from a copy of the warehouse; an engine may have read the table in it"
        yield Finding("metadata_differs", name, "", found, as_written(written), step) if found else None
    asked = [entry for entry in live_entries(table) if is_asked(*place_of(table, entry))]
    for number, entry in enumerate(asked):
        if number % _SAID_EVERY == 0:
            progress(f"{name}: files {number + 1} to {min(number + _SAID_EVERY, len(asked))} of {len(asked)}")
        asset, partition = place_of(table, entry)
        problem = _problem(opened, table, entry)
        step = f"omni backfill {asset}{day_option(partition)}"
        yield Finding(problem[0], asset, partition, *problem[1:], step) if problem else None


def _problem(opened: OpenedTable, table: Table, entry: ManifestEntry) -> tuple[str, str, str] | None:
    """Code, what was found, what was expected."""
    file = entry.data_file
    try:
        if (written := opened.recorded.get(file.file_path)) and (found := changed_bytes(table, written)):
            return "file_differs", found, as_written(written)
        if file.content != DataFileContent.DATA:
            return None
        return _row_problem(table, file)
    except FileNotFoundError:
        return "file_gone", f"no file {file.file_path}", "the file"
    except (pa.ArrowException, OSError) as error:
        return "file_differs", f"{file.file_path}: cannot be read ({error})", "a Parquet file"


def _row_problem(table: Table, file: DataFile) -> tuple[str, str, str] | None:
    bounds = _bounds(table, file)
    rows, nulls, seen = _read(table, file, [*bounds, *filter(None, [time_column(table)])])
    if rows != file.record_count:
        return "rows_differ", f"{file.file_path}: {rows} rows", f"{file.record_count} rows by its manifest"
    if (column := time_column(table)) is not None and rows:
        days = {_day(table, column, value) for value in seen.get(column, ())}
        day = None if file.partition[0] is None else _EPOCH + timedelta(file.partition[0])
        if days != {day} or nulls.get(column):
            found = ", ".join(sorted(map(str, days))) or "no day"
            return (
                "rows_elsewhere",
                f"{file.file_path}: rows of {found}, {nulls.get(column, 0)} of no day",
                f"rows of {day}",
            )
    for name, (low, high) in bounds.items():
        least, greatest = seen.get(name, (None, None))
        if least is not None and ((low is not None and least < low) or (high is not None and greatest > high)):
            found = f"{file.file_path}: {name} from {least} to {greatest}"
            return "bounds_differ", found, f"from {low} to {high} by its manifest: a reader would pass over rows"
    return None


def _bounds(table: Table, file: DataFile) -> dict[str, tuple[Any, Any]]:
    """Column of the table → what the manifest says is its least and its greatest value."""
    schema = table.schema()
    low, high = dict(file.lower_bounds or {}), dict(file.upper_bounds or {})
    found = {}
    for field in schema.fields:
        kind = field.field_type
        if isinstance(kind, PrimitiveType) and (field.field_id in low or field.field_id in high):
            least, greatest = low.get(field.field_id), high.get(field.field_id)
            found[field.name] = (
                None if least is None else from_bytes(kind, least),
                None if greatest is None else from_bytes(kind, greatest),
            )
    return found


def _read(table: Table, file: DataFile, columns: list[str]) -> tuple[int, dict[str, int], dict[str, tuple[Any, Any]]]:
    """Rows of a file; per column how many are null, and the least and greatest value, as Iceberg writes them."""
    rows, nulls, seen = 0, dict[str, int](), dict[str, tuple[Any, Any]]()
    with table.io.new_input(file.file_path).open() as stream:
        parquet = pq.ParquetFile(stream)
        names = [name for name in dict.fromkeys(columns) if name in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(_BATCH_ROWS, columns=names or parquet.schema_arrow.names[:1]):
            rows += batch.num_rows
            for name in names:
                column = batch.column(name)
                nulls[name] = nulls.get(name, 0) + column.null_count
                if column.null_count < len(column):
                    low, high = _ends(column)
                    before = seen.get(name, (low, high))
                    seen[name] = min(low, before[0]), max(high, before[1])
    return rows, nulls, seen


def _ends(column: pa.Array) -> tuple[Any, Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    elif pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    found = pc.min_max(column).as_py()
    return found["min"], found["max"]


def _day(table: Table, column: str, value: int) -> date:
    is_date = str(table.schema().find_type(column)) == "date"
    return _EPOCH + timedelta(value if is_date else value // _DAY_US)
