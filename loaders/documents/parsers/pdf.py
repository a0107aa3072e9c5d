"""PDF: lines of characters with their boxes, lines as paragraphs, and the outline, if there is one, as headings.

pdf-text-1: characters in the order in which PDFium gives them, a line of a block for each line of the page; spaces in
a row are one; a hyphen that parts a word at the end of a line stays. A page of images has no text, and none is made
up for it. Nothing of a document is run: no form is filled, no script started, no attachment opened.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import pypdfium2 as pdfium
import pypdfium2.raw as native

from loaders.documents.refusals import Bounds, NotParsable
from loaders.documents.sections import Block, Box, Kind, Outline, ParsedDocument

VERSION = "pdf-1"

_TAIL_BYTES = 4_096
_LINE_DISTANCE = 1.75
"""Heights of a line between two lines of a paragraph, at most."""
_OTHER_SIZE = 1.25
"""By how much a line is higher than one of the same paragraph can be."""
_NEAR = 60.0
"""Points between where an entry of the outline leads and its heading, at most."""
_MOST_ENTRIES = 20_000
_TOPS = {native.PDFDEST_VIEW_XYZ: 1, native.PDFDEST_VIEW_FITH: 0, native.PDFDEST_VIEW_FITBH: 0}
"""Which value of a view is the top, by its mode."""
_LINE_ENDS = (10, 13)
_HYPHENS = (0x2, 0xFFFE)
"""How PDFium tells a hyphen that parts a word; it gives no line end behind it."""


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    box: Box

    @property
    def height(self) -> float:
        return max(self.box[3] - self.box[1], 1.0)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Of the outline."""

    page: int
    level: int
    title: str
    top: float | None
    """Where it leads on its page, if it says so."""


def parse_pdf(content: bytes, bounds: Bounds) -> ParsedDocument:
    """Parse a PDF.

    Raises:
        NotParsable: it asks for a password, is cut off, or is images without text.
    """
    if b"%%EOF" not in content[-_TAIL_BYTES:]:
        raise NotParsable("damaged", "ends without the mark that ends a PDF; next: fetch it again")
    outline = Outline(bounds)
    try:
        with closing(pdfium.PdfDocument(content)) as document:
            return _parse(document, outline, bounds)
    except pdfium.PdfiumError as error:
        if error.err_code in (native.FPDF_ERR_PASSWORD, native.FPDF_ERR_SECURITY):
            raise NotParsable("encrypted", "asks for a password; next: export it without one") from error
        raise NotParsable("damaged", f"cannot be read ({error}); next: fetch or export it again") from error


def _parse(document: pdfium.PdfDocument, outline: Outline, bounds: Bounds) -> ParsedDocument:
    if len(document) > bounds.pages:
        raise NotParsable(
            "too_many_pages", f"has {len(document):,} pages, at most {bounds.pages:,} are parsed; next: split it"
        )
    entries = _entries(document)
    for number in range(len(document)):
        lines = _lines(document, number)
        if not lines:
            outline.leave_out("page_without_text")
        _add_page(outline, number + 1, lines, [entry for entry in entries if entry.page == number])
    metadata = _metadata(document)
    return outline.finish(metadata.get("Title"), {**metadata}, None, "pdf-text-1", if_empty="no_text_layer")


def _add_page(outline: Outline, page: int, lines: list[_Line], entries: Sequence[_Entry]) -> None:
    """Add the paragraphs of a page, each entry of the outline before the line that it leads to."""
    placed = sorted(((*_place(lines, entry), entry) for entry in entries), key=lambda each: each[0])
    done = 0
    for at, is_shown, entry in placed:
        _add_paragraphs(outline, page, lines[done:at])
        done = max(done, at)
        heading = _block("heading", page, lines[at : at + 1]) if is_shown and at >= done else None
        outline.open_section(entry.level, entry.title, None, heading)
        done += heading is not None
    _add_paragraphs(outline, page, lines[done:])


def _place(lines: list[_Line], entry: _Entry) -> tuple[int, bool]:
    """Number of the line that an entry leads to, and whether that line is its heading."""
    near = [
        (abs(line.box[3] - entry.top) if entry.top is not None else 0.0, number)
        for number, line in enumerate(lines)
        if _is_heading(line.text, entry.title)
    ]
    if near and min(near)[0] <= _NEAR:
        return min(near)[1], True
    below = (number for number, line in enumerate(lines) if entry.top is not None and line.box[3] <= entry.top + 2)
    return next(below, 0), False


def _is_heading(text: str, title: str) -> bool:
    """Whether a line has the words of an entry, with a number before them or without."""
    shown, wanted = "".join(text.split()).casefold(), "".join(title.split()).casefold()
    number = shown.removesuffix(wanted)
    return (
        bool(wanted) and shown.endswith(wanted) and len(number) <= 8 and not any(each.isalpha() for each in number[1:])
    )


def _add_paragraphs(outline: Outline, page: int, lines: Sequence[_Line]) -> None:
    paragraph: list[_Line] = []
    for line in lines:
        if paragraph and not _goes_on(paragraph[-1], line):
            outline.add(_block("prose", page, paragraph))
            paragraph = []
        paragraph.append(line)
    if paragraph:
        outline.add(_block("prose", page, paragraph))


def _goes_on(above: _Line, line: _Line) -> bool:
    """Whether a line belongs to the paragraph of the one before: right below it, and of the same size."""
    height = max(above.height, line.height)
    distance = above.box[1] - line.box[1]
    is_beside = abs(distance) < height / 2 and line.box[0] >= above.box[0]
    overlaps = line.box[0] < above.box[2] and above.box[0] < line.box[2]
    is_same_size = height <= _OTHER_SIZE * min(above.height, line.height)
    return is_same_size and (is_beside or (overlaps and 0 < distance <= _LINE_DISTANCE * height))


def _block(kind: Kind, page: int, lines: Sequence[_Line]) -> Block:
    return Block(kind, "\n".join(line.text for line in lines), page=page, boxes=tuple(line.box for line in lines))


def _lines(document: pdfium.PdfDocument, number: int) -> list[_Line]:
    with closing(document.get_page(number)) as page, closing(page.get_textpage()) as text_page:
        return list(_lines_of(text_page.raw, text_page.count_chars()))


def _lines_of(text_page: object, count: int) -> Iterator[_Line]:
    units: list[int] = []
    boxes: list[Box] = []
    box = native.FS_RECTF()
    for index in range(count + 1):
        unit = native.FPDFText_GetUnicode(text_page, index) if index < count else _LINE_ENDS[0]
        if unit not in _LINE_ENDS:
            units.append(unit)
            if native.FPDFText_GetLooseCharBox(text_page, index, ctypes.byref(box)) and box.right > box.left:
                boxes.append((box.left, box.bottom, box.right, box.top))
        if unit not in _LINE_ENDS and unit not in _HYPHENS:
            continue
        text = _clean("".join(map(_character, units)))
        if text and boxes:
            yield _Line(text, _around(boxes))
        units, boxes = [], []


def _character(unit: int) -> str:
    return "-" if unit in _HYPHENS else chr(unit)


def _clean(text: str) -> str:
    """On one line, of whole characters that can be stored."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return " ".join("".join(each for each in whole if each.isspace() or each >= " ").split())


def _around(boxes: Sequence[Box]) -> Box:
    lefts, bottoms, rights, tops = zip(*boxes, strict=True)
    left, bottom, right, top = (round(each, 2) for each in (min(lefts), min(bottoms), max(rights), max(tops)))
    return left, bottom, right, top


def _entries(document: pdfium.PdfDocument) -> list[_Entry]:
    """The outline, as far as its entries lead to pages of this document."""
    found: list[_Entry] = []
    for bookmark in document.get_toc():
        target, title = bookmark.get_dest(), _said(bookmark.get_title)
        page = target.get_index() if target else None
        if page is not None and title and len(found) < _MOST_ENTRIES:
            mode, view = target.get_view()
            at = _TOPS.get(mode, len(view))
            top = view[at] if at < len(view) else None
            found.append(_Entry(page, bookmark.level + 1, title, top or None))  # 0 stands for none, too
    return found


def _metadata(document: pdfium.PdfDocument) -> dict[str, str]:
    said = {name: _said(partial(document.get_metadata_value, name)) for name in document.METADATA_KEYS}
    return {name: value for name, value in said.items() if value}


def _said(read: Callable[[], str]) -> str:
    """A text beside the pages; without it the pages count all the same."""
    try:
        return _clean(read())
    except UnicodeError:
        return ""
