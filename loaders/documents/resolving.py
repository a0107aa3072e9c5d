"""An anchor becomes text again: from the stored bytes alone, by the rules that its normalisation names.

Shares no code with the parsers, so that a text that comes out the same is proof; nor a library, but for PDF, where
PDFium is asked what stands in a box instead of where characters stand. A version of a rule never changes; a better
rule has a new name.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby

import pypdfium2 as pdfium

_SPACES = re.compile("[ \t\n\f\r]+")
_TOKEN = re.compile(
    r"""
    (?P<comment> <!--(?:-?>|.*?(?:--!?>|\Z)) | <(?:[!?]|/(?![a-zA-Z]))[^>]*+(?:>|\Z) )
    | <(?P<closes>/?)(?P<tag>[a-zA-Z][^\s/>]*+)
      (?P<attributes> (?> [\s/]++ | =?[^\s/>=]++(?:\s*+=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>]*+))?+ | = )*+ )
      (?:>|\Z)
    """,
    re.DOTALL | re.VERBOSE,
)
_BREAKING = re.compile(
    r"(?:address|article|aside|blockquote|br|caption|center|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption|figure|"
    r"footer|form|h[1-6]|header|hgroup|hr|legend|li|main|menu|nav|ol|optgroup|option|p|pre|search|section|summary|ul)$"
)
_ROWS = frozenset({"table", "tbody", "tfoot", "thead", "tr"})
_SILENT = frozenset({"script", "style", "template"})


def resolve(content: bytes, encoding: str, normalisation: str, byte_start: int, byte_end: int) -> str:
    """Text of the bytes of an anchor, of any text format.

    Rules, by name:
        source-1: the slice, each line end (CRLF, CR) a line feed.
        jsonl-text-1: the `text` of each line of the slice that is not blank, parted by line feeds; one that is blank
            has none.
        html-text-1: see `_HtmlText`.

    Raises:
        ValueError: the slice is no text, or the rule is unknown.
    """
    return _RULES[normalisation](content[byte_start:byte_end].decode(encoding))


def resolve_boxes(
    content: bytes, anchors: Iterable[tuple[int, Sequence[tuple[float, float, float, float]]]]
) -> Iterator[list[str]]:
    """What stands in the boxes of each anchor of a PDF: page, from 1, and boxes; `holds_line` compares it.

    The document is opened once, and a page once for the anchors in a row that name it; a page that is not there has
    nothing. Boxes of lines that lie on each other have the words of both.
    """
    with closing(pdfium.PdfDocument(content)) as document:
        for number, of_page in groupby(anchors, key=lambda anchor: anchor[0]):
            if not 1 <= number <= len(document):
                yield from ([] for _ in of_page)
                continue
            with closing(document[number - 1]) as page, closing(page.get_textpage()) as text:
                for _, boxes in of_page:
                    yield [text.get_text_bounded(*_widened(box)) for box in boxes]


def holds_line(found: str, line: str) -> bool:
    """Whether what stands in a box has the words of a line; white space, controls and a last hyphen aside."""
    return _LEFT_ASIDE.sub("", line.removesuffix("-")) in _LEFT_ASIDE.sub("", found)


_LEFT_ASIDE = re.compile("[\\s\x00-\x1f\ufffe\uffff]+")


def _widened(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """A box is rounded to hundredths; a character on its edge is in it."""
    left, bottom, right, top = box
    return left - 0.1, bottom - 0.1, right + 0.1, top + 0.1


def _source(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _jsonl_text(text: str) -> str:
    texts = [str(json.loads(line)["text"]) for line in _source(text).split("\n") if line.strip()]
    return "\n".join(each for each in texts if each.strip())


class _HtmlText:
    """html-text-1: what a reader sees of a piece of HTML, one tag behind another.

    1. Comments, declarations and tags are taken out; so are `script`, `style` and `template` with what they hold.
    2. Character references are decoded. Line ends are line feeds.
    3. White space (space, tab, line feed, form feed, carriage return) is one space, and none at the ends of a line.
    4. A tag of `_BREAKING` (each way) begins a new line. A line without text is dropped.
    5. A row of a table is one line: its cells parted by ` | `; in a cell, what would begin a new line is a space. A
       tag of `_ROWS` ends the row.
    6. In `pre`, outside of cells, white space and line ends are kept as they are; the line feed right behind the tag
       is dropped, and so are line feeds around the whole text.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._cells = [""]
        self._in_cell = False
        self._pre = 0
        self._at_pre = False

    def read(self, text: str) -> str:
        text, position = _source(text), 0
        while token := _TOKEN.search(text, position):
            self._text(html.unescape(text[position : token.start()]))
            position, self._at_pre = token.end(), False
            tag = (token["tag"] or "").lower()
            if tag in _SILENT and not token["closes"]:
                position = _behind(text, tag, position)
            elif tag in ("textarea", "title") and not token["closes"]:
                closing = re.compile(rf"</{tag}(?=[\s/>])", re.IGNORECASE).search(text, position)
                end = closing.start() if closing else len(text)
                self._text(html.unescape(text[position:end]))
                position = end
            elif tag:
                self._tag(tag, bool(token["closes"]))
        self._text(html.unescape(text[position:]))
        self._end_line()
        return "\n".join(self._lines).strip("\n")

    def _tag(self, tag: str, closes: bool) -> None:
        if tag in _ROWS:
            self._end_line()
            self._in_cell = False
        elif tag in ("td", "th") and not closes:
            if self._in_cell:
                self._cells.append("")
            else:
                self._end_line()
            self._in_cell = True
        elif _BREAKING.match(tag) and self._in_cell:
            self._cells[-1] += " "
        elif _BREAKING.match(tag):
            self._end_line()
            if tag == "pre":
                self._pre = max(0, self._pre + (-1 if closes else 1))
                self._at_pre = not closes

    def _text(self, text: str) -> None:
        if self._at_pre and text:
            text, self._at_pre = text.removeprefix("\n"), False
        if not self._pre or self._in_cell:
            self._cells[-1] += text
            return
        first, *others = text.split("\n")
        self._cells[-1] += first
        for line in others:
            self._lines.append(self._cells[0])
            self._cells = [line]

    def _end_line(self) -> None:
        if self._pre and not self._in_cell:
            shown = [self._cells[0]] if self._cells[0] else []
        else:
            cells = [_SPACES.sub(" ", cell).strip(" ") for cell in self._cells]
            shown = [" | ".join(cells)] if any(cells) else []
        self._lines += shown
        self._cells = [""]


def _behind(text: str, tag: str, position: int) -> int:
    """Where an element ends whose content is not shown; templates stand in templates."""
    depth = 1
    for token in re.compile(rf"<(/?){tag}(?=[\s/>])[^>]*+(?:>|\Z)", re.IGNORECASE).finditer(text, position):
        depth += -1 if token[1] else int(tag == "template")
        if depth == 0:
            return token.end()
    return len(text)


_RULES: dict[str, Callable[[str], str]] = {
    "html-text-1": lambda text: _HtmlText().read(text),
    "jsonl-text-1": _jsonl_text,
    "source-1": _source,
}
