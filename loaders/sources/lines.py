"""JSONL as chunks of whole lines: what a line is, its number, and whether it is one JSON object, strictly.

One meaning of a line for coverage and for the load: what ends in a line feed, carriage returns before it aside. Blank
lines count, and hold no record.
"""

import io
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from loaders.errors import SourceUnreadable

CHUNK_BYTES = 8 * 1024 * 1024
"""Size of a chunk: with more of them a load asks DuckDB more often, with larger ones it touches more new memory."""

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes."""

_BLANKS = " \t\r"


class Stream(Protocol):
    """What lines are read from."""

    def read(self, size: int, /) -> bytes:
        """Read so many bytes; fewer at the end alone, where there are none at last."""

    def readline(self, size: int, /) -> bytes:
        """Read to the end of the line, at most so many bytes."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of a file, one behind another."""

    content: bytes
    first_line: int
    """Number in the file, from 1."""
    lines: int
    """How many, blank ones included."""


def read_chunks(stream: Stream, name: str) -> Iterator[Chunk]:
    """Read a file to its end in chunks.

    Raises:
        SourceUnreadable: a line is too long to be a record, or no UTF-8, or the lines do not end in line feeds.
    """
    first_line = 1
    while content := stream.read(CHUNK_BYTES):
        if not content.endswith(b"\n"):
            content += stream.readline(LONGEST_LINE)
        chunk = Chunk(content, first_line, count_lines(content))
        first_line += chunk.lines
        if len(content) - content.rfind(b"\n", 0, -1) > LONGEST_LINE:  # only the last one can be
            raise SourceUnreadable(f"{name}: line {first_line - 1} is longer than 16 MiB; next: export the file again")
        _expect_utf8(chunk, name)
        if b"\n" not in content and b"\r" in content.rstrip(b"\r"):
            raise SourceUnreadable(f"{name}: its lines end in carriage returns alone; next: export it with line feeds")
        yield chunk


def count_lines(content: bytes) -> int:
    """How many lines, the last one, too, where no line feed ends it; `bytes.count` takes five times as long."""
    return sum(1 for _ in io.BytesIO(content))


def _expect_utf8(chunk: Chunk, name: str) -> None:
    try:
        chunk.content.isascii() or chunk.content.decode()
    except UnicodeDecodeError as error:
        number = chunk.first_line + chunk.content.count(b"\n", 0, error.start)
        raise SourceUnreadable(f"{name}: line {number} is no UTF-8; next: export the file again, as UTF-8") from error


NO_LINES = pa.schema({"source_line": pa.int64(), "raw_record": pa.string(), "is_object": pa.bool_()}).empty_table()


def lines_of(chunk: Chunk, only: Collection[int] | None = None) -> pa.Table:
    """The lines of a chunk that are not blank; with `only`, of those with these numbers.

    Columns: `source_line`, the number in the file; `raw_record`, the text; `is_object`, whether it is one JSON object
    without a key twice.
    """
    numbers = range(chunk.first_line, chunk.first_line + chunk.lines)
    lines = pa.table({"source_line": pa.array(numbers, pa.int64()), "raw_record": line_texts(chunk)})
    if only is not None:
        lines = lines.filter(pc.is_in(lines.column("source_line"), pa.array(only, pa.int64())))
    lines = lines.filter(pc.not_equal(pc.binary_length(pc.utf8_trim(lines.column("raw_record"), _BLANKS)), 0))
    are_objects = [_is_object(text) for text in lines.column("raw_record").to_pylist()]
    return lines.append_column("is_object", pa.array(are_objects, pa.bool_()))


def line_texts(chunk: Chunk) -> pa.Array:
    """The text of each line, blank ones included."""
    content = pa.array([chunk.content.removesuffix(b"\n")], pa.string())
    texts = pc.split_pattern(content, "\n").values
    return pc.ascii_rtrim(texts, "\r") if b"\r" in chunk.content else texts


def _is_object(text: str) -> bool:
    try:
        found = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse)
        text.encode()
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate is an escape that names no character
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
