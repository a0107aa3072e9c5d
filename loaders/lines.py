"""JSONL as chunks of whole lines: what a line is, its number, and whether it is one JSON object, strictly.

One meaning of a line for coverage and for the load: what ends in a line feed, a carriage return before it aside. Blank
lines count, and hold no record.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from loaders.errors import SourceUnreadable

CHUNK_BYTES = 16 * 1024 * 1024
LONGEST_LINE = 16 * 1024 * 1024
"""Bytes. DuckDB's `read_json` has the same limit."""

_BLANKS = " \t\r"

Line = tuple[int, str]
"""Number in the file, from 1, and text."""


def read_chunks(path: Path, name: str) -> Iterator[tuple[int, bytes]]:
    """Read a file in pieces of whole lines, each with the number of its first line.

    Raises:
        SourceUnreadable: a line is too long to be a record.
    """
    first_line = 1
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if not chunk.endswith(b"\n"):
                chunk += file.readline(LONGEST_LINE)
            if len(chunk) - chunk.rfind(b"\n", 0, -1) > LONGEST_LINE:  # only the last one can be
                number = first_line + line_count(chunk) - 1
                raise SourceUnreadable(f"{name}: line {number} is longer than 16 MiB; next: export the file again")
            yield first_line, chunk
            first_line += chunk.count(b"\n")


def line_count(chunk: bytes) -> int:
    """Number of lines of a chunk, blank ones included."""
    return chunk.count(b"\n") + (not chunk.endswith(b"\n"))


def numbered_lines(chunk: bytes, first_line: int, name: str) -> list[Line]:
    """The lines of a chunk that are not blank.

    Raises:
        SourceUnreadable: a line is no UTF-8.
    """
    try:
        texts = chunk.decode().split("\n")
    except UnicodeDecodeError as error:
        number = first_line + chunk.count(b"\n", 0, error.start)
        raise SourceUnreadable(f"{name}: line {number} is no UTF-8; next: export the file again, as UTF-8") from error
    if len(texts) == 1 and "\r" in texts[0].rstrip("\r"):
        raise SourceUnreadable(f"{name}: its lines end in carriage returns alone; next: export it with line feeds")
    return [(first_line + n, text.removesuffix("\r")) for n, text in enumerate(texts) if text.strip(_BLANKS)]


def lines_table(lines: list[Line]) -> pa.Table:
    """Lines as `source_line`, `raw_record` and `is_object`: whether it is one JSON object without a key twice."""
    numbers, texts = [number for number, _ in lines], [text for _, text in lines]
    return pa.table(
        {
            "source_line": pa.array(numbers, pa.int64()),
            "raw_record": pa.array(texts, pa.string()),
            "is_object": pa.array([_is_object(text) for text in texts], pa.bool_()),
        }
    )


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
