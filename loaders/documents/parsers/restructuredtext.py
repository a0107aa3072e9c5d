"""reStructuredText: headings, and the blocks between them; a block's text is its lines as they are.

Reads lines at the left margin, which is where every block of the outermost level begins; what is indented goes with
the line above it. No directive is run, no file included, so a document can neither fetch nor nest anything.

Source: the reStructuredText Markup Specification; tests hold the headings to those that docutils finds.
"""

import re
import unicodedata
from collections.abc import Callable

from loaders.documents.refusals import Bounds
from loaders.documents.sections import Kind, Outline, ParsedDocument
from loaders.documents.source import Source, decode, line_spans

VERSION = "restructuredtext-1"

_ADORNMENT = re.compile(r"([!-/:-@[-`{-~])\1*[ \t]*$")
_BULLET = re.compile(r"[-+*•‣⁃](?:\s|$)")
_ENUMERATOR = re.compile(r"(?:\((?:\w{1,8}|#)\)|(?:[0-9]{1,8}|[a-zA-Z]|[ivxlcdmIVXLCDM]{2,8}|#)[.)])(?:\s|$)")
_FIELD = re.compile(r":(?![: ])(?:[^:\\\s]|\\.|:(?!\s|$)|[ \t](?!:))+:(?:\s|$)")
_OPTION = re.compile(r"(?:--?|/)\w[\w-]*(?:[ =][<\w>-]+)?(?:, (?:--?|/)\w[\w-]*(?:[ =][<\w>-]+)?)*(?:  |$)")
_LINE_BLOCK = re.compile(r"\|(?:\s|$)")
_DOCTEST = re.compile(r">>>(?:\s|$)")
_GRID_BORDER = re.compile(r"\+-[-+]+-\+[ \t]*$")
_SIMPLE_BORDER = re.compile(r"=+(?:[ \t]+=+)+[ \t]*$")
_EXPLICIT = re.compile(r"\.\.(?:\s|$)")
_ANONYMOUS = re.compile(r"__(?:\s|$)")
_FOOTNOTE = re.compile(r"\.\.[ \t]+\[[^\]\s]+\](?:\s|$)")
_TARGET = re.compile(r"\.\.[ \t]+(?:_\S|__(?:\s|$)|\|[^|\s])")
_DIRECTIVE = re.compile(r"\.\.[ \t]+([\w][\w.:+-]*?)[ \t]?::(?:[ \t]+(\S+))?(?:\s|$)")
_HEADER = re.compile(r"PEP: ")
_HEADER_FIELD = re.compile(r"([\w-]+):[ \t]*(.*)$")

_DIRECTIVES: dict[str, Kind] = {
    "code": "code",
    "code-block": "code",
    "csv-table": "table",
    "epigraph": "quote",
    "figure": "caption",
    "image": "caption",
    "list-table": "table",
    "math": "code",
    "parsed-literal": "code",
    "pull-quote": "quote",
    "sourcecode": "code",
    "table": "table",
    "testcode": "code",
}
"""Every other one is prose, such as a note."""

_NAVIGATION = frozenset({"contents", "include", "index", "meta", "raw", "sectnum", "target-notes", "toctree"})
"""Directives that have nothing to read, or what another place has."""


def parse_restructuredtext(content: bytes, bounds: Bounds) -> ParsedDocument:
    """Parse reStructuredText; the header of a PEP is metadata, and so is a list of fields before any other block."""
    source, outline = decode(content, bounds), Outline(bounds)
    reader = _Reader(source, outline)
    reader.read()
    title = reader.metadata.get("Title") or outline.first_heading
    return outline.finish(title, dict(reader.metadata), source.encoding, "source-1")


class _Reader:
    """Walks the lines of a document once, from block to block."""

    def __init__(self, source: Source, outline: Outline) -> None:
        self._source, self._outline = source, outline
        self._spans = line_spans(source.text)
        self._lines = [source.text[first:last].rstrip() for first, last in self._spans]
        self._styles: list[str] = []
        self.metadata: dict[str, str] = {}

    def read(self) -> None:
        at = self._header()
        while at < len(self._lines):
            at = self._block(at) if self._lines[at] else at + 1

    def _line(self, number: int) -> str:
        return self._lines[number] if 0 <= number < len(self._lines) else ""

    def _header(self) -> int:
        """Lines of the header that PEPs have, as mails do."""
        at, name = 0, ""
        while _HEADER.match(self._line(0)) and (line := self._line(at)):
            field = _HEADER_FIELD.match(line)
            if field:
                name, said = field[1], field[2]
            else:
                said = f"{self.metadata.get(name, '')} {line.strip()}"
            self.metadata[name] = said.strip()
            at += 1
        if at:
            self._outline.leave_out("metadata")
        return at

    def _block(self, at: int) -> int:
        """Read the block that begins at a line; gives the line behind it."""
        line = self._line(at)
        if line[0].isspace():
            return self._add("quote", at, self._indented(at))
        if heading := self._heading(at):
            return heading
        for begins, read in self._readers():
            if begins.match(line):
                return read(at)
        if _ENUMERATOR.match(line) and self._is_item(at):
            return self._add("list", at, self._items(at, _ENUMERATOR))
        return self._paragraph(at)

    def _readers(self) -> list[tuple[re.Pattern[str], Callable[[int], int]]]:
        return [
            (_EXPLICIT, self._explicit),
            (_ANONYMOUS, lambda at: self._leave_out("link_definition", at + 1)),
            (_BULLET, self._bullets),
            (_FIELD, self._fields),
            (_OPTION, lambda at: self._add("list", at, self._items(at, _OPTION))),
            (_DOCTEST, lambda at: self._add("code", at, self._to_blank(at))),
            (_LINE_BLOCK, lambda at: self._add("prose", at, self._to_blank(at))),
            (_GRID_BORDER, lambda at: self._add("table", at, self._to_blank(at))),
            (_SIMPLE_BORDER, self._simple_table),
        ]

    def _heading(self, at: int) -> int:
        """Read a heading, if there is one; a transition is a line of the same look between two blank ones."""
        line, below, under = self._line(at), self._line(at + 1), self._line(at + 2)
        if _ADORNMENT.match(line):
            if below and under == line and not _ADORNMENT.match(below) and _is_wide(line, below.strip()):
                return self._open(at, at + 3, below.strip(), line[0] * 2)
            if not below and len(line) >= 4:
                return self._leave_out("rule", at + 1)
            return 0
        marked = any(each.match(line) for each in (_BULLET, _EXPLICIT, _FIELD, _DOCTEST, _LINE_BLOCK, _ANONYMOUS))
        if marked or not below or not _ADORNMENT.match(below) or not _is_wide(below, line):
            return 0
        return self._open(at, at + 2, line, below[0])

    def _open(self, first: int, last: int, heading: str, style: str) -> int:
        """The order in which the looks of headings come up says their levels."""
        if style not in self._styles:
            self._styles.append(style)
        block = self._source.block("heading", self._spans[first][0], self._spans[last - 1][1])
        self._outline.open_section(self._styles.index(style) + 1, heading, self._label(first), block)
        return last

    def _label(self, at: int) -> str | None:
        """Name of the target right above a heading, as documents refer to it."""
        while at > 0 and not self._line(at - 1):
            at -= 1
        named = re.match(r"\.\.[ \t]+_([^:`\s]+):$", self._line(at - 1))
        return named[1] if named else None

    def _explicit(self, at: int) -> int:
        line = self._line(at)
        end = at + 1 if line == ".." and not self._line(at + 1) else self._indented(at + 1)
        if _FOOTNOTE.match(line):
            return self._add("footnote", at, end)
        if _TARGET.match(line):
            return self._leave_out("link_definition", end)
        directive = _DIRECTIVE.match(line)
        if not directive:
            return self._leave_out("comment", end)
        if directive[1] in _NAVIGATION:
            return self._leave_out("navigation", end)
        kind = _DIRECTIVES.get(directive[1], "prose")
        return self._add(kind, at, end, directive[2] if kind == "code" else None)

    def _fields(self, at: int) -> int:
        end = self._items(at, _FIELD)
        if self._outline.has_prose:
            return self._add("list", at, end)
        for line in self._lines[at:end]:
            if _FIELD.match(line):
                name, _, said = line[1:].partition(":")
                self.metadata[name] = said.strip()
        return self._leave_out("metadata", end)

    def _bullets(self, at: int) -> int:
        same = re.compile(re.escape(self._line(at)[0]) + r"(?:\s|$)")
        return self._add("list", at, self._items(at, same))

    def _paragraph(self, at: int) -> int:
        if self._line(at + 1)[:1].isspace():  # a term, and what it means
            end = self._indented(at + 1)
            while self._line(end) and self._line(end + 1)[:1].isspace():
                end = self._indented(end + 1)
            return self._add("list", at, end)
        end = at + 1
        while self._line(end) and not self._line(end)[0].isspace():
            end += 1
        if not self._line(end - 1).endswith("::"):
            return self._add("prose", at, end)
        if self._lines[at:end] != ["::"]:
            self._add("prose", at, end)
            at = end
        return self._literal(at, end)

    def _literal(self, at: int, body: int) -> int:
        """Code behind `::`, which is indented, or each of whose lines begins with the same mark."""
        end = self._indented(body)
        if end == body:
            while body < len(self._lines) and not self._line(body):
                body += 1
            quote, end = self._line(body)[:1], body
            while quote and _ADORNMENT.match(quote) and self._line(end)[:1] == quote:
                end += 1
        return self._add("code", at, end)

    def _simple_table(self, at: int) -> int:
        """A table ends at the border below its rows: the second after its first, or one before a blank line."""
        borders = 0
        for number in range(at + 1, len(self._lines)):
            if not _SIMPLE_BORDER.match(self._lines[number]):
                continue
            borders += 1
            if borders == 2 or not self._line(number + 1):
                return self._add("table", at, number + 1)
        return self._add("table", at, self._to_blank(at))

    def _is_item(self, at: int) -> bool:
        below = self._line(at + 1)
        return not below or below[0].isspace() or bool(_ENUMERATOR.match(below))

    def _items(self, at: int, begins: re.Pattern[str]) -> int:
        """The line behind a list: items with what is indented under each."""
        while True:
            end = self._indented(at + 1)
            following = end
            while following < len(self._lines) and not self._lines[following]:
                following += 1
            if not begins.match(self._line(following)) or self._heading_follows(following):
                return end
            at = following

    def _heading_follows(self, at: int) -> bool:
        below = self._line(at + 1)
        return bool(_ENUMERATOR.match(self._line(at)) and not self._is_item(at) and _ADORNMENT.match(below))

    def _indented(self, at: int) -> int:
        """The line behind what is indented, from a line on; without blank lines at its end."""
        end = at
        while at < len(self._lines) and (not self._lines[at] or self._lines[at][0].isspace()):
            at += 1
            end = at if self._lines[at - 1] else end
        return end

    def _to_blank(self, at: int) -> int:
        while self._line(at):
            at += 1
        return at

    def _add(self, kind: Kind, first: int, last: int, language: str | None = None) -> int:
        while first < last and not self._line(first):
            first += 1
        if first < last:
            end = self._spans[last - 1][0] + len(self._lines[last - 1])
            self._outline.add(self._source.block(kind, self._spans[first][0], end, language))
        return last

    def _leave_out(self, reason: str, end: int) -> int:
        self._outline.leave_out(reason)
        return end


def _is_wide(adornment: str, heading: str) -> bool:
    """Whether a line is long enough for a heading; docutils takes four characters for any, and says so in a warning."""
    width = sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in heading)
    return len(adornment) >= min(4, width)
