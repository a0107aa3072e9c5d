"""From a stored object to its sections: which parser, by the name and by what the first bytes prove.

Called with the bytes of one object at a time; it is pure, and holds a whole object in memory.
"""

import re
from collections.abc import Callable

from loaders.documents.parsers import html, markdown, pdf, plain, restructuredtext, transcripts
from loaders.documents.refusals import Bounds, NotParsable, refuse_large
from loaders.documents.sections import ParsedDocument

Parser = Callable[[bytes, Bounds], ParsedDocument]

_PARSERS: dict[str, tuple[Parser, str]] = {
    "htm": (html.parse_html, html.VERSION),
    "html": (html.parse_html, html.VERSION),
    "jsonl": (transcripts.parse_json_lines, transcripts.VERSION),
    "markdown": (markdown.parse_markdown, markdown.VERSION),
    "md": (markdown.parse_markdown, markdown.VERSION),
    "pdf": (pdf.parse_pdf, pdf.VERSION),
    "rst": (restructuredtext.parse_restructuredtext, restructuredtext.VERSION),
    "srt": (transcripts.parse_cues, transcripts.VERSION),
    "txt": (plain.parse_plain, plain.VERSION),
    "vtt": (transcripts.parse_cues, transcripts.VERSION),
    "xhtml": (html.parse_html, html.VERSION),
}
"""By the ending of a name: what parses it, and the version, which rises whenever any document could come out else."""

VERSIONS = tuple(sorted({version for _, version in _PARSERS.values()}))

_SIGNATURES = {
    b"\x1f\x8b": "gzip",
    b"\x7fELF": "a program",
    b"\x89PNG": "a PNG image",
    b"\xd0\xcf\x11\xe0": "an Office document",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"PK\x03\x04": "a ZIP archive",
    b"%PDF-": "a PDF",
}
_HTML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE)


def parse(content: bytes, name: str, bounds: Bounds | None = None) -> ParsedDocument:
    """Parse a document.

    Args:
        content: All of its bytes, as they are stored.
        name: Name of the file, with or without its folder.
        bounds: The most it may have; without them the usual ones.

    Raises:
        NotParsable: it has no sections; the reason says why.
    """
    ending, bounds = _ending(name), bounds or Bounds()
    if ending not in _PARSERS:
        known = ", ".join(sorted(_PARSERS))
        raise NotParsable("unsupported", f"its name ends in none of {known}; next: export it as one of these")
    refuse_large(content, bounds)
    if not content.strip():
        raise NotParsable("empty", "has no bytes but blank ones; next: export it again")
    _expect_kind(content, ending)
    return _PARSERS[ending][0](content, bounds)


def parser_version(name: str) -> str | None:
    """Version of the parser for a file; None where there is none."""
    parser = _PARSERS.get(_ending(name))
    return parser[1] if parser else None


def _ending(name: str) -> str:
    stem, _, ending = name.rpartition("/")[2].rpartition(".")
    return ending.lower() if stem else ""


def _expect_kind(content: bytes, ending: str) -> None:
    found = next((kind for signature, kind in _SIGNATURES.items() if content.startswith(signature)), None)
    is_pdf = b"%PDF-" in content[:1024]
    if ending == "pdf":
        found = None if is_pdf else found or "no PDF"
    elif not found and ending not in ("htm", "html", "xhtml") and _HTML.match(content[:1024]):
        found = "HTML"
    if found:
        raise NotParsable("not_what_it_says", f"is {found}, its name ends in .{ending}; next: list it as what it is")
