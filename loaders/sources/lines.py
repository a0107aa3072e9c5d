"""JSONL as chunks of whole lines: what a line is, its number, and whether it is one JSON object, strictly.

One meaning of a line for coverage and for the load: what ends in a line feed, carriage returns before it aside. Blank
lines count, and hold no record.
"""

import io
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from loaders.errors import SourceUnreadable
from loaders.sources.bounds import Bounds, shown_bytes

CHUNK_BYTES = 8 * 1024 * 1024
"""Size of a chunk: with more of them a load asks DuckDB more often, with larger ones it touches more new memory."""

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


def read_chunks(stream: Stream, name: str, bounds: Bounds) -> Iterator[Chunk]:
    """Read a file to its end in chunks.

    Raises:
        SourceUnreadable: a line is too long to be a record, or no UTF-8, or the lines do not end in line feeds.
    """
    first_line = 1
    while content := stream.read(CHUNK_BYTES):
        if not content.endswith(b"\n"):
            content += stream.readline(bounds.record_bytes)
        chunk = Chunk(content, first_line, count_lines(content))
        first_line += chunk.lines
        if long := _long_line(chunk, bounds.record_bytes):
            raise SourceUnreadable(
                f"{name}: line {long} is longer than {shown_bytes(bounds.record_bytes)}; next: export the file again, "
                "or raise OMNI_MAX_RECORD_BYTES"
            )
        _expect_utf8(chunk, name)
        if b"\n" not in content and b"\r" in content.rstrip(b"\r"):
            raise SourceUnreadable(f"{name}: its lines end in carriage returns alone; next: export it with line feeds")
        yield chunk


def _long_line(chunk: Chunk, longest: int) -> int | None:
    """Number of a line that is longer than a record may be."""
    if longest >= CHUNK_BYTES:  # only the last one can be
        is_long = len(chunk.content) - chunk.content.rfind(b"\n", 0, -1) - 1 > longest
        return chunk.first_line + chunk.lines - 1 if is_long else None
    numbered = enumerate(io.BytesIO(chunk.content), start=chunk.first_line)
    return next((number for number, line in numbered if len(line) > longest), None)


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


def lines_of(chunk: Chunk, bounds: Bounds, only: Collection[int] | None = None) -> pa.Table:
    """The lines of a chunk that are not blank; with `only`, of those with these numbers.

    Columns: `source_line`, the number in the file; `raw_record`, the text; `is_object`, whether it is one JSON object
    without a key twice, that is neither wider nor deeper than a record may be.
    """
    numbers = range(chunk.first_line, chunk.first_line + chunk.lines)
    lines = pa.table({"source_line": pa.array(numbers, pa.int64()), "raw_record": line_texts(chunk)})
    if only is not None:
        lines = lines.filter(pc.is_in(lines.column("source_line"), pa.array(only, pa.int64())))
    lines = lines.filter(pc.not_equal(pc.binary_length(pc.utf8_trim(lines.column("raw_record"), _BLANKS)), 0))
    are_bounded = is_bounded(lines.column("raw_record"), bounds)
    are_objects = [
        (are_bounded or is_bounded_text(text, bounds)) and _is_object(text)
        for text in lines.column("raw_record").to_pylist()
    ]
    return lines.append_column("is_object", pa.array(are_objects, pa.bool_()))


def line_texts(chunk: Chunk) -> pa.Array:
    """The text of each line, blank ones included."""
    content = pa.array([chunk.content.removesuffix(b"\n")], pa.string())
    texts = pc.split_pattern(content, "\n").values
    return pc.ascii_rtrim(texts, "\r") if b"\r" in chunk.content else texts


def is_bounded(texts: pa.Array | pa.ChunkedArray, bounds: Bounds) -> bool:
    """Whether none of these JSON texts can be wider or deeper than a record may be; else a closer look tells."""
    levels = pc.add(pc.count_substring(texts, "["), pc.count_substring(texts, "{"))
    fields = pc.count_substring(texts, ":")
    return bool(
        (pc.max(levels).as_py() or 0) <= bounds.record_depth and (pc.max(fields).as_py() or 0) <= bounds.record_fields
    )


def is_bounded_text(text: str, bounds: Bounds) -> bool:
    """Whether a JSON text is nested no more levels than a record may be, and has no more fields, if it is an object."""
    level = fields = 0
    for mark in _NESTING.finditer(text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        fields += level == 1 and mark[0] == ":"
        if level > bounds.record_depth or fields > bounds.record_fields:
            return False
    return True


_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{\]}:]')
"""A text, what begins or ends an array or an object, or what stands before the value of a field."""


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
