"""Rows that the functions of contents take and give, as the models that ask for them have their columns."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from loaders.documents.sections import Box

Row = dict[str, Any]

_BOXES = ("boxes", pa.list_(pa.float64()))
_PLACE = [("byte_start", pa.int64()), ("byte_end", pa.int64()), _BOXES]
_TIMES = [("start_seconds", pa.float64()), ("end_seconds", pa.float64())]
READ_AS = [("encoding", pa.string()), ("normalisation", pa.string()), ("parser_version", pa.string())]
_PARTS = ("parts", pa.list_(pa.struct([*_PLACE, ("text_start", pa.int64()), ("text_end", pa.int64())])))
SECTION = pa.struct(
    [
        ("ordinal", pa.int32()),
        ("heading_ordinal", pa.int32()),
        ("heading_level", pa.int32()),
        ("heading_path", pa.list_(pa.string())),
        ("heading_ids", pa.list_(pa.string())),
        ("kind", pa.string()),
        ("text", pa.string()),
        *_PLACE,
        ("page", pa.int32()),
        *_TIMES,
        ("speaker", pa.string()),
        ("code_language", pa.string()),
        *READ_AS,
        ("reason", pa.string()),
    ]
)
"""A row of `doc_sections`, its content aside."""
PASSAGE = pa.struct(
    [
        ("ordinal", pa.int32()),
        ("heading_path", pa.list_(pa.string())),
        ("first_section", pa.int32()),
        ("last_section", pa.int32()),
        ("text", pa.string()),
        ("text_sha256", pa.string()),
        ("occurrence", pa.int32()),
        *_PLACE,
        _PARTS,
        ("page", pa.int32()),
        *_TIMES,
        ("token_count", pa.int32()),
        ("language", pa.string()),
        *READ_AS,
    ]
)
"""A row of `int_doc_passages__cut`, its content aside."""
ANCHOR = pa.struct([("ordinal", pa.int32()), ("text", pa.string()), ("page", pa.int32()), *READ_AS[:2], _PARTS])
"""What is put to the test of a section or a passage."""


def flat(boxes: Sequence[Box]) -> list[float]:
    """Boxes as a column has them: the edges of one behind those of another."""
    return [edge for box in boxes for edge in box]


def boxes_of(edges: Sequence[float] | None) -> Iterator[Box]:
    """Boxes from the edges of a column."""
    each = iter(edges or ())
    return zip(each, each, each, each, strict=True)
