"""HTML: headings and blocks of the tree that a browser builds, each with its place in the source.

What leads through a site, what surrounds every page of it and what is not shown is left out, and parts a block that
it stands in. A block is kept only where its source, read by `resolving`, has the words of the tree: where a browser
moves text around to mend the markup, no one place can be cited.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from loaders.documents.parsers.html_tree import SILENT, Node, flatten, tree_text
from loaders.documents.refusals import Bounds, refuse_parts
from loaders.documents.resolving import resolve
from loaders.documents.sections import Block, Kind, Outline, ParsedDocument
from loaders.documents.source import Source, decode

VERSION = "html-1"

_LEAVES: dict[str, Kind] = {
    "blockquote": "quote",
    "caption": "caption",
    "dl": "list",
    "figcaption": "caption",
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "heading"),
    "menu": "list",
    "ol": "list",
    "p": "prose",
    "pre": "code",
    "table": "table",
    "tr": "table",
    "ul": "list",
}
"""Elements that are a block with all they hold, unless that is a heading, or in part left out."""

_PARTS: dict[str, Kind] = {
    **dict.fromkeys(("dd", "dt", "li"), "list"),
    **dict.fromkeys(("tbody", "td", "tfoot", "th", "thead"), "table"),
}
"""Elements whose parts are of their kind, where they are no block themselves."""

_EDGES = re.compile(
    r"(?:address|article|body|center|details|dialog|div|fieldset|figure|footer|form|header|hgroup|hr|html|legend|main|"
    r"search|section|summary)$"
)
"""Elements that a block ends at."""

_UNSHOWN = {
    "aside": "aside",
    **dict.fromkeys(("embed", "iframe", "noembed", "noframes", "object"), "embedded"),
    "nav": "navigation",
    "noscript": "noscript",
}
_ROLES = {
    "banner": "header",
    "complementary": "aside",
    "contentinfo": "footer",
    "navigation": "navigation",
    "search": "navigation",
}
_SECTIONING = frozenset({"article", "aside", "main", "nav", "section"})
_BREADCRUMB = re.compile(r"\bbreadcrumbs?\b", re.IGNORECASE)
_INVISIBLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.IGNORECASE)
_CHARSET = re.compile(rb"<meta\b[^>]{0,500}?charset\s*=\s*[\"']?\s*([\w:.-]+)", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_LANGUAGE = re.compile(r"(?:^|\s)lang(?:uage)?-([\w+#-]+)")


def parse_html(content: bytes, bounds: Bounds) -> ParsedDocument:
    """Parse HTML; the encoding is the one that a `meta` among the first 1,024 bytes declares."""
    declared = _CHARSET.search(_COMMENT.sub(b"", content[:1024]))
    source, outline = decode(content, bounds, declared[1].decode() if declared else None), Outline(bounds)
    refuse_parts(source.text, "<", bounds)
    walk = _Walk(content, source, flatten(_line_feeds(source.text), bounds), outline)
    walk.run()
    return outline.finish(walk.title or outline.first_heading, walk.metadata, source.encoding, "html-text-1")


def _line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


class _Walk:
    """Goes through the nodes once; what stands between the edges of blocks and containers is a block of its own."""

    def __init__(self, content: bytes, source: Source, nodes: list[Node], outline: Outline) -> None:
        self.title: str | None = None
        self.metadata: dict[str, str | tuple[str, ...]] = {}
        self._content, self._markup, self._outline = content, _line_feeds(source.text), outline
        self._source, self._nodes = source, nodes
        self._pairs = [found.start() - number for number, found in enumerate(re.finditer("\r\n", source.text))]
        self._reasons = [_left_out(node, nodes) for node in nodes]
        self._is_parted = self._parted()
        self._run: list[tuple[int, int]] = []
        self._cursor = self._last = 0
        self._open: list[Node] = []
        self._headings: set[int] = set()

    def run(self) -> None:
        number = 0
        while number < len(self._nodes):
            self._leave(number)
            number = self._enter(number)
        self._leave(number)
        self._end_run(len(self._markup))

    def _enter(self, number: int) -> int:
        """Read the node, or go into it; gives the number of the next one."""
        node, reason = self._nodes[number], self._reasons[number]
        if node.tag in SILENT:
            self._outline.leave_out(node.tag)
        elif node.tag == "head":
            self._read_head(number)
            self._cursor = node.end or 0
        elif reason:
            self._end_run(node.start)
            self._outline.leave_out(reason)
            self._cursor = max(self._cursor, node.end or 0)
        elif node.tag in _LEAVES and node.start is not None and not self._is_parted[number]:
            self._end_run(node.start)
            self._add(node, node.start, node.end or 0, [(number, node.behind)])
            self._cursor = max(self._cursor, node.end or 0)
        elif _is_edge(node) or self._is_parted[number]:
            if node.start is not None:
                self._end_run(node.start)
                self._open.append(node)
                self._cursor = max(self._cursor, node.inner_start)
            return number + 1
        else:
            self._run.append((number, node.behind))
        return node.behind

    def _leave(self, number: int) -> None:
        while self._open and self._open[-1].behind <= number:
            node = self._open[-1]
            self._end_run(node.inner_end)
            self._open.pop()
            self._cursor = max(self._cursor, node.end or 0)

    def _end_run(self, end: int | None) -> None:
        """What stood by itself up to here is a block."""
        if self._run and end is not None:
            inside = next((node for node in reversed(self._open) if _kind(node) != "prose"), None)
            self._add(inside, self._cursor, end, self._run)
            self._run = []

    def _add(self, inside: Node | None, start: int, end: int, spans: Sequence[tuple[int, int]]) -> None:
        text = tree_text(self._nodes, spans)
        if not text.strip():
            return
        block = self._block(_kind(inside), start, end, spans)
        if not block or "".join(block.text.split()) != "".join(text.split()):
            self._outline.leave_out("two_readings")
            return
        self._last = block.byte_end or 0
        if inside and block.kind == "heading" and id(inside) not in self._headings:
            self._headings.add(id(inside))
            heading_id = inside.attributes.get("id") or self._anchor(spans)
            self._outline.open_section(int(inside.tag[1]), text, heading_id, block)
        else:
            self._outline.add(replace(block, kind="prose") if block.kind == "heading" else block)

    def _block(self, kind: Kind, start: int, end: int, spans: Sequence[tuple[int, int]]) -> Block | None:
        """The block as its source reads, where spaces and line ends may be others than the tree has."""
        outer = self._markup[start:end]
        start, end = start + len(outer) - len(outer.lstrip()), end - len(outer) + len(outer.rstrip())
        first, last = (self._source.byte_at(position + bisect_left(self._pairs, position)) for position in (start, end))
        if not self._last <= first < last:
            return None
        text = resolve(self._content, self._source.encoding, "html-text-1", first, last)
        return Block(kind, text, first, last, language=self._language(spans) if kind == "code" else None)

    def _language(self, spans: Sequence[tuple[int, int]]) -> str | None:
        """Of code, as its classes name it: `language-python`."""
        classes = (node.attributes.get("class", "") for span in spans for node in self._nodes[slice(*span)])
        return next((found[1] for each in classes if (found := _LANGUAGE.search(each))), None)

    def _anchor(self, spans: Sequence[tuple[int, int]]) -> str | None:
        """Id of an element in a heading, where older pages have it."""
        inner = (node for span in spans for node in self._nodes[slice(*span)])
        return next((named for each in inner if (named := each.attributes.get("id") or _name(each))), None)

    def _read_head(self, number: int) -> None:
        for at in range(number + 1, self._nodes[number].behind):
            node = self._nodes[at]
            if node.tag == "title":
                self.title = self.title or tree_text(self._nodes, [(at, node.behind)]).replace("\n", " ") or None
            name = node.attributes.get("name") or node.attributes.get("property")
            if node.tag == "meta" and name and "content" in node.attributes:
                self.metadata.setdefault(name, node.attributes["content"])

    def _parted(self) -> list[bool]:
        """Of each node, whether it cannot be read in one go: it holds what is left out, or blocks that stand alone."""
        holds_left_out, holds_heading, holds_block = ([False] * len(self._nodes) for _ in range(3))
        for number in range(len(self._nodes) - 1, -1, -1):
            node, reason, parent = self._nodes[number], self._reasons[number], self._nodes[number].parent
            if parent >= 0:
                holds_left_out[parent] |= bool(reason) or holds_left_out[number]
                holds_heading[parent] |= not reason and (_kind(node) == "heading" or holds_heading[number])
                holds_block[parent] |= _is_edge(node) or holds_block[number]
        holds_more = [
            holds_heading[number] if node.tag in _LEAVES else holds_block[number]
            for number, node in enumerate(self._nodes)
        ]
        return [left_out or more for left_out, more in zip(holds_left_out, holds_more, strict=True)]


def _kind(node: Node | None) -> Kind:
    return _LEAVES.get(node.tag) or _PARTS.get(node.tag, "prose") if node else "prose"


def _is_edge(node: Node) -> bool:
    return node.tag in _LEAVES or node.tag in _PARTS or bool(_EDGES.match(node.tag))


def _name(node: Node) -> str | None:
    return node.attributes.get("name") if node.tag == "a" else None


def _left_out(node: Node, nodes: list[Node]) -> str | None:
    """Why an element is no evidence; scripts aside, which part nothing."""
    if node.tag in _UNSHOWN:
        return _UNSHOWN[node.tag]
    if "hidden" in node.attributes or _INVISIBLE.search(node.attributes.get("style", "")):
        return "hidden"
    if role := _ROLES.get(node.attributes.get("role", "").lower()):
        return role
    if _BREADCRUMB.search(f"{node.attributes.get('class', '')} {node.attributes.get('aria-label', '')}"):
        return "navigation"
    return node.tag if node.tag in ("footer", "header") and not _is_sectioned(node, nodes) else None


def _is_sectioned(node: Node, nodes: list[Node]) -> bool:
    """Whether it belongs to an article or a section; else it is the one of the page."""
    at = node.parent
    while at >= 0 and nodes[at].tag not in _SECTIONING:
        at = nodes[at].parent
    return at >= 0
