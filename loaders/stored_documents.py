"""What is made of stored contents, as rows for models of dbt: sections, passages, and anchors that do not resolve.

Each class does one content at a time, in a process that may be ended (`loaders.workers`); the rows have the columns of
the models `doc_sections` and `int_doc_passages__cut`. A content is read as its fingerprint names it, or not at all.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any
from unicodedata import normalize

import pyarrow as pa

from lakehouse.settings import LakehouseSettings
from lakehouse.tables.objects import object_path, read_object
from loaders.documents import passages, tokens
from loaders.documents.languages import language_of
from loaders.documents.parsing import VERSIONS, parse, parser_version
from loaders.documents.passages import Cutting, Passage, Placed, passages_of
from loaders.documents.refusals import NotParsable
from loaders.documents.resolving import holds_line, resolve, resolve_boxes
from loaders.documents.sections import Block, Box, ParsedDocument
from loaders.errors import SourceUnreadable


def _with_libraries(versions: Iterable[str], *libraries: str) -> str:
    """Our versions, and those of the libraries by which the same bytes could come out else."""
    return " ".join([*versions, *(f"{name}-{version(name)}" for name in libraries)])


PARSERS = _with_libraries(VERSIONS, "markdown-it-py", "pypdfium2", "turbohtml")
CUTTER = _with_libraries((passages.VERSION, tokens.TOKENIZER), "py3langid", "sentencex", "unicode-segmentation-rs")
CPU_SECONDS = 60
"""What one content may take; a thousand times what one of 5 KB takes."""

_BOXES = ("boxes", pa.list_(pa.float64()))
_PLACE = [("byte_start", pa.int64()), ("byte_end", pa.int64()), _BOXES]
_TIMES = [("start_seconds", pa.float64()), ("end_seconds", pa.float64())]
_READ_AS = [("encoding", pa.string()), ("normalisation", pa.string()), ("parser_version", pa.string())]
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
        *_READ_AS,
        ("reason", pa.string()),
    ]
)
"""A row of `doc_sections`, its content aside."""
PASSAGE = pa.struct(
    [
        ("ordinal", pa.int32()),
        ("heading_path", pa.list_(pa.string())),
        ("text", pa.string()),
        ("text_sha256", pa.string()),
        ("occurrence", pa.int32()),
        *_PLACE,
        _PARTS,
        ("page", pa.int32()),
        *_TIMES,
        ("token_count", pa.int32()),
        ("language", pa.string()),
        *_READ_AS,
    ]
)
"""A row of `int_doc_passages__cut`, its content aside."""
ANCHOR = pa.struct([("ordinal", pa.int32()), ("text", pa.string()), ("page", pa.int32()), *_READ_AS[:2], _PARTS])
"""What is put to the test of a section or a passage."""

Row = dict[str, Any]


class SectionReader:
    """Reads the sections of a content: a row for each, or the one that says why it has none."""

    def __init__(self, settings: LakehouseSettings) -> None:
        """Read from the store that the settings name."""
        self._settings = settings

    def __call__(self, content: tuple[str, str, str | None]) -> list[Row]:
        """Parse one content, by its fingerprint, the name of its file, and its asset type where the name tells nothing.

        Raises:
            SourceUnreadable: the store does not have it, or other bytes under its name.
        """
        fingerprint, name, asset_type = content
        name = name if parser_version(name) else f"{name}.{asset_type}"
        try:
            document = parse(_stored(self._settings, fingerprint), name)
        except NotParsable as error:
            return [unparsed(name, error)]
        return [*_section_rows(document, parser_version(name))]


def unparsed(name: str, error: NotParsable) -> Row:
    """The row of a content that has no sections."""
    return {"ordinal": 0, "text": str(error), "parser_version": parser_version(name), "reason": error.reason}


def _section_rows(document: ParsedDocument, parser: str | None) -> Iterator[Row]:
    ordinal = 0
    for section in document.sections:
        for block in section.blocks:
            yield {
                "ordinal": ordinal,
                "heading_ordinal": section.ordinal,
                "heading_level": section.level,
                "heading_path": section.heading_path,
                "heading_ids": section.heading_ids,
                "kind": block.kind,
                "text": block.text,
                "byte_start": block.byte_start,
                "byte_end": block.byte_end,
                "boxes": _flat(block.boxes),
                "page": block.page,
                "start_seconds": block.start_seconds,
                "end_seconds": block.end_seconds,
                "speaker": block.speaker,
                "code_language": block.language,
                "encoding": document.encoding,
                "normalisation": document.normalisation,
                "parser_version": parser,
            }
            ordinal += 1


def _flat(boxes: Sequence[Sequence[float]]) -> list[float]:
    return [edge for box in boxes for edge in box]


def _boxes(flat: Sequence[float] | None) -> Iterator[Box]:
    edges = iter(flat or ())
    return zip(edges, edges, edges, edges, strict=True)


def _stored(settings: LakehouseSettings, fingerprint: str) -> bytes:
    try:
        content = read_object(settings, fingerprint, None)
    except FileNotFoundError as error:
        raise SourceUnreadable(f"{object_path(fingerprint)} is gone from the warehouse; next: omni verify") from error
    if hashlib.sha256(content).hexdigest() != fingerprint:
        raise SourceUnreadable(f"{object_path(fingerprint)} holds other bytes than were stored; next: omni verify")
    return content


class PassageReader:
    """Cuts the sections of a content into passages of at most so many tokens."""

    def __init__(self, settings: LakehouseSettings, most_tokens: int) -> None:
        """Read from the store that the settings name."""
        self._settings, self._most = settings, most_tokens

    def __call__(self, content: tuple[str, list[Row]]) -> list[Row]:
        """Cut one content, by its fingerprint and the rows of its sections, in any order."""
        fingerprint, unordered = content
        rows = sorted((row for row in unordered if row["reason"] is None), key=lambda row: int(row["ordinal"]))
        if not rows:
            return []
        shared = {name: rows[0][name] for name, _ in _READ_AS}
        language = language_of(" ".join(row["text"] for row in rows if row["kind"] not in ("code", "html")))
        cutting = Cutting(
            self._most,
            language,
            shared["encoding"],
            shared["normalisation"],
            partial(_stored, self._settings, fingerprint),
        )
        found: list[Row] = []
        said = Counter[str]()
        for passage in passages_of([_placed(row) for row in rows], cutting):
            words = words_sha256(passage.text)
            said[words] += 1
            own = {"ordinal": len(found), "text_sha256": words, "occurrence": said[words], "language": language}
            found.append(_passage_row(passage) | shared | own)
        return found


def words_sha256(text: str) -> str:
    """What two passages have in common that say the same: the text in NFC, each run of white space one space."""
    return hashlib.sha256(" ".join(normalize("NFC", text).split()).encode(errors="surrogatepass")).hexdigest()


def _placed(row: Row) -> Placed:
    block = Block(
        row["kind"],
        row["text"],
        row["byte_start"],
        row["byte_end"],
        row["page"],
        tuple(_boxes(row["boxes"])),
        row["start_seconds"],
        row["end_seconds"],
    )
    return Placed(row["heading_ordinal"], tuple(row["heading_path"]), block)


def _passage_row(passage: Passage) -> Row:
    parts: list[Row] = [
        {
            "byte_start": part.byte_start,
            "byte_end": part.byte_end,
            "boxes": _flat(part.boxes),
            "text_start": part.text_start,
            "text_end": part.text_end,
        }
        for part in passage.parts
    ]
    starts = [part.byte_start for part in passage.parts if part.byte_start is not None]
    ends = [part.byte_end for part in passage.parts if part.byte_end is not None]
    return {
        "heading_path": passage.heading_path,
        "text": passage.text,
        "byte_start": min(starts, default=None),
        "byte_end": max(ends, default=None),
        "boxes": [edge for part in parts for edge in part["boxes"]],
        "parts": parts,
        "page": passage.page,
        "start_seconds": passage.start_seconds,
        "end_seconds": passage.end_seconds,
        "token_count": passage.token_count,
    }


class AnchorJudge:
    """Finds what does not stand in a content where its anchor says."""

    def __init__(self, settings: LakehouseSettings) -> None:
        """Read from the store that the settings name."""
        self._settings = settings

    def __call__(self, content: tuple[str, list[Row]]) -> list[int]:
        """Ordinals of the rows of one content whose anchors give another text, or none."""
        fingerprint, rows = content
        stored = _stored(self._settings, fingerprint)
        return [row["ordinal"] for row in rows if not is_resolved(stored, row)]


def is_resolved(content: bytes, row: Row) -> bool:
    """Whether the anchor of a section or passage gives its text, by the rules of its normalisation.

    Args:
        content: The stored bytes.
        row: `text`, `encoding`, `normalisation`, `page`, and the `parts` of its anchor.
    """
    if row["normalisation"] == "pdf-text-1":
        return _stands_in_boxes(content, row)
    try:
        return bool(row["text"] == "\n".join(_part_text(content, row, part) for part in row["parts"]))
    except (KeyError, TypeError, ValueError):  # an anchor that is none
        return False


def _part_text(content: bytes, row: Row, part: Row) -> str:
    start, end = part["byte_start"], part["byte_end"]
    if not 0 <= start < end <= len(content):
        raise ValueError(f"bytes {start} to {end} are none of an object of {len(content)}")
    text = resolve(content, row["encoding"], row["normalisation"], start, end)
    return text[part["text_start"] : part["text_end"]]


def _stands_in_boxes(content: bytes, row: Row) -> bool:
    lines = row["text"].split("\n")
    boxes = [box for part in row["parts"] for box in _boxes(part["boxes"])]
    if not boxes or not row["page"]:
        return False
    (found,) = resolve_boxes(content, [(row["page"], boxes)])
    if any(part["text_start"] is not None for part in row["parts"]):
        return all(holds_line("".join(found), line) for line in lines)
    return len(lines) == len(found) and all(holds_line(*each) for each in zip(found, lines, strict=True))
