"""Plain text: paragraphs, which blank lines part."""

from loaders.documents.refusals import Bounds
from loaders.documents.sections import Outline, ParsedDocument
from loaders.documents.source import decode, line_spans

VERSION = "plain-1"


def parse_plain(content: bytes, bounds: Bounds) -> ParsedDocument:
    """Parse plain text; it has no headings, and names no title."""
    source, outline = decode(content, bounds), Outline(bounds)
    start = end = -1
    for first, last in [*line_spans(source.text), (len(source.text), len(source.text))]:
        if source.text[first:last].strip():
            start, end = (first if start < 0 else start), last
        elif start >= 0:
            outline.add(source.block("prose", start, end))
            start = -1
    return outline.finish(None, {}, source.encoding, "source-1")
