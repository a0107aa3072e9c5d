"""Whether a Parquet file unpacks to no more than it may, told before a record of it is read.

Its pages are compressed, and its values encoded: a page of a few bytes may stand for millions of rows, or for one long
text over and over. Called by `loaders.events.records`.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loaders.errors import SourceUnreadable
from loaders.sources.bounds import Bounds

_AROUND_A_VALUE = 4
"""Characters of JSON around the name and the value of a field."""

_BATCH_ROWS = 4096


def expect_bounded(path: Path, name: str, bounds: Bounds) -> None:
    """Expect of a Parquet file, as JSON and as it is encoded, what is expected of a compressed one.

    A file that is none is left to its reader.

    Raises:
        SourceUnreadable: it unpacks to more, has more columns than a record may have fields, or cannot be read.
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
    texts = told.num_rows * names
    try:
        for length in _bytes_of_texts(path, told):
            texts += length
            bounds.expect_unpacked(name, texts, size_bytes)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise SourceUnreadable(f"{name}: {reason}; next: export the file again") from error


def _bytes_of_texts(path: Path, told: pq.FileMetaData) -> Iterator[int]:
    """Length of the texts of some rows together, those of nested fields, too; one in a dictionary is measured there."""
    leaves = [told.schema.column(number) for number in range(told.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    if not texts:
        return
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=texts):
            yield sum(_length(column) for column in batch.columns)


def _length(array: pa.Array) -> int:
    if pa.types.is_dictionary(array.type):
        return int(pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0)
    if pa.types.is_struct(array.type):
        return sum(map(_length, array.flatten()))
    if pa.types.is_map(array.type):
        return _length(array.keys) + _length(array.items)
    if pa.types.is_nested(array.type):
        return _length(array.flatten())
    return int(pc.sum(pc.binary_length(array)).as_py() or 0)
