"""The tree of an HTML document as one flat list in document order: where each node stands, and what it reads as.

`html` decides what of it is a block. Positions are of characters in a source whose line ends are line feeds.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import turbohtml

from loaders.documents.refusals import Bounds, NotParsable

_VOID = re.compile(r"(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)$")
_LINES = re.compile(
    r"(?:address|article|aside|blockquote|br|caption|center|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption|figure|"
    r"footer|form|h[1-6]|header|hgroup|hr|legend|li|main|menu|nav|ol|optgroup|option|p|pre|search|section|summary|ul)$"
)
_ROWS = frozenset({"table", "tbody", "tfoot", "thead", "tr"})
_SPACES = re.compile("[ \t\n\f\r]+")

SILENT = frozenset({"script", "style", "template"})
"""Elements whose content never shows, wherever they stand."""

# `_LINES` and `_ROWS` stand in `resolving` once more, on purpose: it is to find what is wrong here.


@dataclass(slots=True)
class Node:
    """An element, or a text, which has no tag."""

    tag: str
    attributes: dict[str, str]
    text: str
    parent: int
    behind: int
    """Number of the first node that is not inside of it."""
    start: int | None = None
    """Where its start tag begins; None for a text, and for an element that the source only implies."""
    inner_start: int = 0
    inner_end: int | None = None
    end: int | None = None


def flatten(markup: str, bounds: Bounds) -> list[Node]:
    """Parse HTML; gives all elements and texts.

    Raises:
        NotParsable: they are nested deeper than a document may be.
    """
    tree = turbohtml.parse(markup, source_locations=True)
    nodes: list[Node] = []
    waiting: list[tuple[turbohtml.Node, int, int]] = [(child, -1, 0) for child in reversed(list(tree.children))]
    while waiting:
        found, parent, depth = waiting.pop()
        if depth > bounds.depth:
            raise NotParsable("too_deep", f"has elements nested more than {bounds.depth} deep; next: flatten it")
        if isinstance(found, turbohtml.Text):
            nodes.append(Node("", {}, found.data, parent, len(nodes) + 1))
        elif isinstance(found, turbohtml.Element):
            nodes.append(_element(found, parent, len(nodes) + 1))
            number = len(nodes) - 1
            waiting.extend((child, number, depth + 1) for child in reversed(list(found.children)))
    for node in reversed(nodes):
        if node.parent >= 0:
            nodes[node.parent].behind = max(nodes[node.parent].behind, node.behind)
    _end(nodes, len(markup))
    return nodes


def _element(element: turbohtml.Element, parent: int, behind: int) -> Node:
    attributes = {
        name: " ".join(value) if isinstance(value, list | tuple) else str(value or "")
        for name, value in element.attrs.items()
    }
    node = Node(element.tag, attributes, "", parent, behind)
    if location := element.source_location:
        node.start, node.inner_start = location.start_tag.start_offset, location.start_tag.end_offset
        if location.end_tag:
            node.inner_end, node.end = location.end_tag.start_offset, location.end_tag.end_offset
    return node


def _end(nodes: list[Node], length: int) -> None:
    """End each element that has no end tag: where the next one beside it begins, else with its parent's content."""
    following = [len(nodes)] * (len(nodes) + 1)  # the first node from here on that the source shows
    for number in range(len(nodes) - 1, -1, -1):
        following[number] = number if nodes[number].start is not None else following[number + 1]
    for node in nodes:
        if node.end is None:
            parent = nodes[node.parent] if node.parent >= 0 else None
            shown = following[node.behind]
            beside = nodes[shown].start if shown < (parent.behind if parent else len(nodes)) else None
            limit = parent.inner_end if parent and parent.inner_end is not None else length
            end = node.inner_start if _VOID.match(node.tag) else limit if beside is None else beside
            node.inner_end = node.end = max(end, node.inner_start)


@dataclass(frozen=True, slots=True)
class _Mark:
    """What a reader meets: a text, or the place where a line, a cell or a row begins or ends."""

    what: Literal["text", "line", "cell", "row"]
    text: str = ""
    in_pre: bool = False


def tree_text(nodes: list[Node], spans: Sequence[tuple[int, int]]) -> str:
    """What a reader sees of spans of nodes, by the rules that `resolving` calls html-text-1."""
    lines: list[str] = []
    for row in _parts(list(_marks(nodes, spans)), "row"):
        before, *cells = _parts(row, "cell")
        for line in _parts(before, "line"):
            lines += _shown(line)
        texts = [_collapsed(cell) for cell in cells]
        lines += [" | ".join(texts)] if any(texts) else []
    return "\n".join(lines).strip("\n")


def _parts(marks: list[_Mark], what: str) -> list[list[_Mark]]:
    parts: list[list[_Mark]] = [[]]
    for is_end, group in groupby(marks, lambda mark: mark.what == what):
        if is_end:
            parts += [[] for _ in group]
        else:
            parts[-1].extend(group)
    return parts


def _shown(line: list[_Mark]) -> list[str]:
    if line and line[0].in_pre:
        *whole, last = "".join(mark.text for mark in line).split("\n")
        return [*whole, last] if last else whole
    text = _collapsed(line)
    return [text] if text else []


def _collapsed(marks: list[_Mark]) -> str:
    return _SPACES.sub(" ", "".join(mark.text or " " for mark in marks)).strip(" ")


def _marks(nodes: list[Node], spans: Sequence[tuple[int, int]]) -> Iterator[_Mark]:
    for first, behind in spans:
        open_elements: list[Node] = []
        number, pres = first, 0
        while number < behind:
            while open_elements and open_elements[-1].behind <= number:
                pres -= open_elements[-1].tag == "pre"
                yield from _edge(open_elements.pop().tag, is_start=False)
            node = nodes[number]
            number = node.behind if node.tag in SILENT else number + 1
            if not node.tag and node.text:
                yield _Mark("text", node.text, pres > 0)
            elif node.tag and node.tag not in SILENT:
                yield from _edge(node.tag, is_start=True)
                pres += node.tag == "pre"
                open_elements.append(node)
        for element in reversed(open_elements):
            yield from _edge(element.tag, is_start=False)


def _edge(tag: str, is_start: bool) -> Iterator[_Mark]:
    if tag in _ROWS:
        yield _Mark("row")
    elif _LINES.match(tag):
        yield _Mark("line")
    elif tag in ("td", "th") and is_start:
        yield _Mark("cell")
