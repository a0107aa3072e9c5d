"""Whether a Parquet file unpacks to no more than it may, told before a record of it is read.

Its pages are compressed, and its values encoded: a page of a few bytes may stand for millions of rows, or for one long
text over and over. Called by `loaders.events.records`.
"""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.tables.duck import quoted
from loaders.sources.bounds import Bounds

_AROUND_A_VALUE = 4
"""Characters of JSON around the name and the value of a field."""


def expect_bounded(path: Path, name: str, bounds: Bounds, connection: duckdb.DuckDBPyConnection) -> None:
    """Expect of a Parquet file, as JSON and as it is encoded, what is expected of a compressed one.

    A file that is none is left to its reader.

    Raises:
        SourceUnreadable: it unpacks to more, or has more columns than a record may have fields.
    """
    try:
        told = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return
    bounds.expect_fields(name, told.num_columns)
    encoded = sum(told.row_group(number).total_byte_size for number in range(told.num_row_groups))
    names = sum(len(column.name) + _AROUND_A_VALUE for column in told.schema.to_arrow_schema())
    size_bytes = path.stat().st_size
    bounds.expect_unpacked(name, max(encoded, told.num_rows * names), size_bytes)
    texts = _bytes_of_texts(path, told.schema.to_arrow_schema(), connection)
    bounds.expect_unpacked(name, told.num_rows * names + texts, size_bytes)


def _bytes_of_texts(path: Path, schema: pa.Schema, connection: duckdb.DuckDBPyConnection) -> int:
    """Length of all texts together; a text that stands in a dictionary is measured there, once."""
    columns = [
        column.name for column in schema if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    ]
    if not columns:
        return 0
    lengths = " + ".join(f"coalesce(sum(strlen({_identifier(column)})), 0)" for column in columns)
    row = connection.execute(f"select {lengths} from read_parquet({quoted(str(path))})").fetchone()
    assert row is not None  # an aggregate always returns a row
    return int(row[0])


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
