"""What a document says of itself: its title, and of a PDF its pages.

Best effort, bounded in what it reads, never an error: the bytes are what counts, and they are stored as they are.
Called by `loaders.bronze.coverage` with the bytes that it reads anyway, else by `loaders.snapshots.staging`.
"""

import codecs
import logging
import re
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO

import yaml

from loaders.plans.plan import Description

logger = logging.getLogger(__name__)

HEAD_BYTES = 1 << 16
"""So much of a text format is read."""

_PDF_BYTES = 256 * 1024 * 1024
"""So much of a PDF, whose pages are listed at its end; a larger one is not described."""

Read = Callable[[int], bytes]
"""Gives the first bytes of a document, so many at most."""


def describe(read: Read, asset_type: str, name: str) -> Description:
    """Describe a document; what kind it is says the ending of its name, else its asset type.

    Args:
        read: Its bytes; called at most once, and not at all for a kind that has nothing to say.
        asset_type: As the manifest declares it.
        name: Name of the file, with or without its folder.
    """
    kind = _kind(asset_type, name)
    if kind != "pdf" and kind not in _TITLES:
        return Description()
    content = read(_PDF_BYTES if kind == "pdf" else HEAD_BYTES)
    try:
        return _describe_pdf(content) if kind == "pdf" else Description(_cleaned(_TITLES[kind](_decoded(content))))
    except Exception as error:  # parsers fail on broken documents in any way there is
        logger.debug("%s: is no sound %s (%s: %s)", name, kind, type(error).__name__, error)
        return Description()


def is_paged(asset_type: str, name: str) -> bool:
    """Whether a document of this kind has pages to count."""
    return _kind(asset_type, name) == "pdf"


def _kind(asset_type: str, name: str) -> str:
    stem, _, ending = name.rstrip("/").rpartition("/")[2].rpartition(".")
    return _KINDS.get(ending.lower(), asset_type) if stem else asset_type


def _describe_pdf(content: bytes) -> Description:
    from pypdf import PdfReader  # takes most of a second, which only PDFs are worth

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # its warnings about odd files name no file
    if len(content) == _PDF_BYTES:
        raise ValueError(f"it has {_PDF_BYTES} bytes or more")
    reader = PdfReader(BytesIO(content))
    pages = len(reader.pages)
    try:
        title = reader.metadata.title if reader.metadata else None
    except Exception as error:  # the pages count, whatever the metadata are
        logger.debug("a PDF has unreadable metadata (%s)", error)
        title = None
    return Description(_cleaned(title), pages)


def _decoded(content: bytes) -> str:
    """Text of the first bytes of a document, whose last character may be cut."""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(content)
    except UnicodeDecodeError:
        declared = re.search(rb"charset=[\"']?([\w-]+)", content[:1024])
        return content.decode(declared[1].decode() if declared else "cp1252", "replace")


def _cleaned(title: str | None) -> str | None:
    """A title on one line, of sane length, that can be stored; None where nothing is left."""
    if not title:
        return None
    line = " ".join(title.replace("\0", " ").split())[:_TITLE_CHARACTERS]
    return line.encode("utf-8", "replace").decode() or None


_TITLE_CHARACTERS = 500


class _HtmlTitle(HTMLParser):
    """Finds the title of the head; the `title` of a drawing is no title of the document."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.is_done = False
        self._is_inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._is_inside = tag == "title"
        self.is_done = self.is_done or tag in ("body", "svg")

    def handle_endtag(self, tag: str) -> None:
        self.is_done = self.is_done or tag == "title"

    def handle_data(self, data: str) -> None:
        if self._is_inside and not self.is_done:
            self.title += data


def _html_title(text: str) -> str | None:
    if "<title" not in text.lower():  # saves parsing it
        return None
    parser = _HtmlTitle()
    for start in range(0, len(text), _PIECE_CHARACTERS):
        parser.feed(text[start : start + _PIECE_CHARACTERS])
        if parser.is_done:
            return parser.title
    return None


_PIECE_CHARACTERS = 512


def _markdown_title(text: str) -> str | None:
    """Title of the front matter, else the first heading outside of code."""
    front = _FRONT_MATTER.match(text)
    if front and (title := _front_matter_title(front[1])):
        return title
    fence, before = "", ""
    for line in text[front.end() if front else 0 :].splitlines():
        if (mark := _FENCE.match(line)) and (not fence or mark[1].startswith(fence)):
            fence, before = ("" if fence else mark[1]), ""
        elif fence or line.startswith(("    ", "\t")):
            before = ""
        elif heading := _HEADING.match(line):
            return heading[1]
        elif before and _UNDERLINE.match(line):
            return before
        else:
            before = line.strip()
    return None


_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")


def _front_matter_title(text: str) -> str | None:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    title = found.get("title") if isinstance(found, dict) else None
    return str(title) if isinstance(title, str | int | float) else None


def _restructuredtext_title(text: str) -> str | None:
    """The `Title` field at the head (as PEPs have one), else the first line that is underlined."""
    if field := _TITLE_FIELD.match(text):
        return field[1]
    lines = text.splitlines()
    for over, line, under in zip(["", *lines], lines, lines[1:], strict=False):
        is_title = line.strip() and not _ADORNMENT.match(line) and (over == under or not line[0].isspace())
        if is_title and _ADORNMENT.match(under) and len(under.rstrip()) >= min(4, len(line.rstrip())):
            return line
    return None


_TITLE_FIELD = re.compile(r"(?:(?!:?title:):?[\w-]+:.*\n|[ \t]+\S.*\n)*:?title:[ \t]*(.*)", re.IGNORECASE)
_ADORNMENT = re.compile(r"([!-/:-@[-`{-~])\1+[ \t]*$")

_TITLES: dict[str, Callable[[str], str | None]] = {
    "html": _html_title,
    "markdown": _markdown_title,
    "restructuredtext": _restructuredtext_title,
}
_KINDS = {
    "htm": "html",
    "html": "html",
    "md": "markdown",
    "markdown": "markdown",
    "pdf": "pdf",
    "rst": "restructuredtext",
    "txt": "text",
    "xhtml": "html",
}
"""Kind of document by the ending of its name."""
