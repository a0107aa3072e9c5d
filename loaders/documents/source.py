"""Bytes as text that remembers its bytes: which encoding, where each character and each line stands.

Positions are of characters in `Source.text`, which keeps every line end as it is; only `byte_at` leads to the object.
Called by every format but PDF.
"""

import codecs
import re
from dataclasses import dataclass

from loaders.documents.refusals import Bounds, NotParsable, refuse_parts
from loaders.documents.sections import Block, Kind

_LINE_END = re.compile(r"\r\n|\r|\n")

_STEP = 1024
"""Characters between two positions whose bytes are known: any other is at most so many away."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_STATELESS = re.compile(
    r"(?:utf-8|cp125\d|cp86[26]|cp874|cp9(?:32|49|50)|iso8859-\d+|koi8-[ru]|gb18030|big5|big5hkscs|euc_jp|euc_kr|shift_jis)$"
)
"""Encodings of pages any slice of which can be decoded alone."""

_READ_AS = {"ascii": "cp1252", "iso8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030"}
"""A declared encoding may mean another one, as browsers read it."""


@dataclass(frozen=True, slots=True)
class Source:
    """A decoded object."""

    text: str
    encoding: str
    first_byte: int
    """Where the text begins, behind a byte order mark."""
    marks: tuple[int, ...]
    """Byte of each character whose position is a multiple of the step."""

    def byte_at(self, position: int) -> int:
        """Where in the object a character begins; at the end of the text, where the object ends."""
        known = position // _STEP
        return self.marks[known] + len(self.text[known * _STEP : position].encode(self.encoding))

    def block(self, kind: Kind, start: int, end: int, language: str | None = None) -> Block:
        """A block whose text is the source itself with its markup, as `source-1` says."""
        text = _LINE_END.sub("\n", self.text[start:end])
        return Block(kind, text, self.byte_at(start), self.byte_at(end), language=language)


def decode(content: bytes, bounds: Bounds, declared: str | None = None) -> Source:
    """Decode an object: by its byte order mark, else as declared, else as UTF-8, else as Windows-1252.

    Raises:
        NotParsable: it has controls as no text has, bytes that are characters in none of these, or too many lines.
    """
    mark, encodings = _encodings(content, declared)
    for encoding in encodings:
        try:
            text = content[len(mark) :].decode(encoding)
            is_exact = text.encode(encoding) == content[len(mark) :]
        except UnicodeError:
            continue
        if is_exact:
            _expect_text(text)
            refuse_parts(text, "\r\n", bounds)
            return Source(text, encoding, len(mark), _marks(text, encoding, len(mark)))
    raise NotParsable("undecodable", f"is no text in {', '.join(encodings)}; next: save it again as UTF-8")


def _encodings(content: bytes, declared: str | None) -> tuple[bytes, list[str]]:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return mark, [encoding]
    if b"\0" in content[:_STEP]:
        raise NotParsable("not_what_it_says", "has NUL bytes and no byte order mark; next: list it as what it is")
    try:
        known = codecs.lookup(declared).name if declared else "utf-8"
    except LookupError:
        known = "utf-8"
    known = _READ_AS.get(known, known)
    return b"", list(dict.fromkeys([known if _STATELESS.match(known) else "utf-8", "utf-8", "cp1252"]))


_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def _expect_text(text: str) -> None:
    controls = len(_CONTROLS.findall(text))
    if "\0" in text or controls > len(text) // 100:
        raise NotParsable(
            "not_what_it_says", f"has {controls:,} control characters, text has none; next: list it as what it is"
        )


def _marks(text: str, encoding: str, first_byte: int) -> tuple[int, ...]:
    if text.isascii() and encoding[:6] not in ("utf-16", "utf-32"):
        return tuple(range(first_byte, first_byte + len(text) + 1, _STEP))
    found = [first_byte]
    for start in range(0, len(text) - _STEP + 1, _STEP):
        found.append(found[-1] + len(text[start : start + _STEP].encode(encoding)))
    return tuple(found)


def line_spans(text: str) -> list[tuple[int, int]]:
    """Where each line begins and ends, its line end aside; a line end at the very end is followed by no line."""
    spans, start = [], 0
    for end in _LINE_END.finditer(text):
        spans.append((start, end.start()))
        start = end.end()
    return [*spans, (start, len(text))] if start < len(text) else spans
