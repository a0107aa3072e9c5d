"""CSV as records: all values text, one object per row; a row of another width than the header is kept as it stands.

The delimiter is the one of `, ; TAB |` that the header holds most of. An empty field is null, an empty quoted one not.
"""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc

from loaders.errors import SourceUnreadable
from loaders.sources.bounds import Bounds, shown_bytes

_DELIMITERS = ",;\t|"
_BLOCK_BYTES = 16 * 1024 * 1024


def read_rows(path: Path, name: str, bounds: Bounds) -> Iterator[pa.Table]:
    """Read a CSV file in batches: `source_line` (the header is row 1), the columns in a struct `row`, and `odd`.

    `odd` is the text of a row that is no record of the header's width; its `row` is null.

    Raises:
        SourceUnreadable: no UTF-8, or a column name stands twice.
    """
    if path.stat().st_size == 0:
        return
    header, delimiter = _header(path, name, bounds)
    odd: dict[int, str] = {}

    def keep(row: pc.InvalidRow) -> str:
        odd[row.number] = row.text
        return "skip"

    try:
        reader = pc.open_csv(
            path,
            pc.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            pc.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep),
            pc.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        numbers = (number for number in itertools.count(2) if number not in odd)
        for batch in reader:
            lines = pa.array(list(itertools.islice(numbers, batch.num_rows)), pa.int64())
            none = pa.nulls(batch.num_rows, pa.string())
            yield pa.table({"source_line": lines, "row": batch.to_struct_array(), "odd": none})
    except pa.ArrowInvalid as error:
        reason = str(error).partition("\n")[0][:200]
        raise SourceUnreadable(f"{name}: {reason}; next: export the file again, as UTF-8 CSV with a header") from error
    for number, text in odd.items():
        if text.count('"') % 2:  # the row has swallowed what follows it
            raise SourceUnreadable(f"{name}: row {number}: a quote is never closed; next: export the file again")
    if odd:
        kinds = pa.struct([(column, pa.string()) for column in header])
        numbers_of_odd, texts = list(odd), list(odd.values())
        yield pa.table(
            {
                "source_line": pa.array(numbers_of_odd, pa.int64()),
                "row": pa.nulls(len(texts), kinds),
                "odd": pa.array(texts, pa.string()),
            }
        )


def _header(path: Path, name: str, bounds: Bounds) -> tuple[list[str], str]:
    try:
        with path.open("rb") as file:
            line = file.readline(bounds.record_bytes + 1)
        if len(line) > bounds.record_bytes:
            raise SourceUnreadable(
                f"{name}: its header is longer than {shown_bytes(bounds.record_bytes)}; next: export the file again, "
                "or raise OMNI_MAX_RECORD_BYTES"
            )
        first = line.decode()
    except UnicodeDecodeError as error:
        raise SourceUnreadable(f"{name}: the header is no UTF-8; next: export the file again, as UTF-8") from error
    delimiter = max(_DELIMITERS, key=first.count)
    bounds.expect_fields(name, first.count(delimiter) + 1)
    names = next(csv.reader([first], delimiter=delimiter), [])
    if twice := sorted({column for column in names if names.count(column) > 1}):
        raise SourceUnreadable(f"{name}: the column {', '.join(twice)} stands twice; next: export it under one name")
    return names, delimiter
