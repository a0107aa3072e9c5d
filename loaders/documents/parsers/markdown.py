"""Markdown: blocks of CommonMark with tables, front matter aside; a block's text is its lines as they are.

The parser says which lines a block has, and reads nothing inside of them. Lines that it gives to no block are
footnotes and definitions of links, which render as nothing where they stand.
"""

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from loaders.documents.refusals import Bounds, NotParsable
from loaders.documents.sections import Kind, Outline, ParsedDocument
from loaders.documents.source import Source, decode, line_spans

VERSION = "markdown-1"

_KINDS: dict[str, Kind | None] = {
    "blockquote_open": "quote",
    "bullet_list_open": "list",
    "code_block": "code",
    "fence": "code",
    "heading_open": "heading",
    "hr": None,
    "html_block": "html",
    "ordered_list_open": "list",
    "paragraph_open": "prose",
    "table_open": "table",
}
_FRONT_MATTER = re.compile(
    r"---[ \t]*(?:\r\n|\r|\n)(.{0,65536}?)(?<=[\r\n])(?:---|\.\.\.)[ \t]*(?=[\r\n]|\Z)", re.DOTALL
)
_FOOTNOTE = re.compile(r" {0,3}\[\^[^\]\s]+\]:")
_HEADING_ID = re.compile(r"[ \t]*\{#([^\s{}]+)\}[ \t]*$")
_COMMENT = re.compile(r"\s*(?:<!--(?:[^-]|-(?!->))*+-->\s*)+$")


def parse_markdown(content: bytes, bounds: Bounds) -> ParsedDocument:
    """Parse Markdown; the title is that of the front matter, else the first heading."""
    source, outline = decode(content, bounds), Outline(bounds)
    front = _FRONT_MATTER.match(source.text)
    metadata = _metadata(front[1]) if front else {}
    if front:
        outline.leave_out("metadata")
    reader = _Reader(source, front.end() if front else 0, outline)
    reader.read()
    title = metadata.get("title")
    return outline.finish(
        title if isinstance(title, str) else outline.first_heading, metadata, source.encoding, "source-1"
    )


class _Reader:
    """Walks the blocks of the outermost level."""

    def __init__(self, source: Source, body: int, outline: Outline) -> None:
        self._source, self._outline = source, outline
        self._lines = [(body + first, body + last) for first, last in line_spans(source.text[body:])]
        self._body = source.text[body:]
        self._after_footnote = False

    def read(self) -> None:
        done = 0
        for token, inline in _blocks(self._body):
            first, last = token.map or (done, done)
            self._read_gap(done, first)
            self._read_block(token, inline, first, last)
            done = max(done, last)
        self._read_gap(done, len(self._lines))

    def _read_block(self, token: Token, inline: str, first: int, last: int) -> None:
        span = self._span(first, last)
        kind = self._kind(token, inline)
        if span is None:
            return
        text = self._source.text[slice(*span)]
        if kind is None or (kind == "html" and _COMMENT.match(text)):
            self._outline.leave_out("comment" if kind else "rule")
        elif kind == "heading":
            named = _HEADING_ID.search(inline)
            heading = inline[: named.start()] if named else inline
            block = self._source.block("heading", *span)
            self._outline.open_section(int(token.tag[1]), heading, named[1] if named else None, block)
        else:
            language = token.info.split()[0] if token.info.split() else None
            self._outline.add(self._source.block(kind, *span, language=language))
        self._after_footnote = kind == "footnote"

    def _kind(self, token: Token, inline: str) -> Kind | None:
        goes_on = token.type == "code_block" and self._after_footnote  # what a footnote says is indented
        return "footnote" if goes_on or _FOOTNOTE.match(inline) else _KINDS[token.type]

    def _read_gap(self, first: int, last: int) -> None:
        """Lines of no block: footnotes of one word, and where links lead."""
        for number in range(first, last):
            if span := self._span(number, number + 1):
                if _FOOTNOTE.match(self._source.text, span[0]):
                    self._outline.add(self._source.block("footnote", *span))
                else:
                    self._outline.leave_out("link_definition")

    def _span(self, first: int, last: int) -> tuple[int, int] | None:
        """Lines without the blank ones around them."""
        lines, text = self._lines[first:last], self._source.text
        while lines and not text[slice(*lines[-1])].strip():
            lines.pop()
        start = next((line[0] for line in lines if text[slice(*line)].strip()), None)
        return None if start is None else (start, lines[-1][1])


def _blocks(text: str) -> Iterator[tuple[Token, str]]:
    """Tokens that begin a block of the outermost level, each with what stands inside of a heading or paragraph."""
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    try:
        tokens = parser.parse(text)
    except RecursionError as error:
        raise NotParsable("too_deep", "has blocks nested too deep; next: flatten it") from error
    for token, inner in zip_longest(tokens, tokens[1:]):
        if token.level == 0 and token.nesting >= 0:
            yield token, inner.content if inner and inner.type == "inline" else ""


def _metadata(text: str) -> dict[str, str | tuple[str, ...]]:
    """Front matter as far as it is names with plain values; what is no YAML says nothing."""
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    named = found.items() if isinstance(found, dict) else ()
    return {str(name): shown for name, value in named if (shown := _shown(value))}


def _shown(value: Any) -> str | tuple[str, ...] | None:
    if isinstance(value, list):
        return tuple(str(each) for each in value if each not in (None, "") and not isinstance(each, list | dict))
    return None if value is None or isinstance(value, dict) else str(value)
