"""Where a part of a block stands: by its own bytes or lines, or by characters of what those of the block give."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from loaders.documents.sections import Block, Box, Normalisation

Span = tuple[int, int, int]
"""Number of a block, and from which to which of its characters."""


@dataclass(frozen=True, slots=True)
class Part:
    """A block, or a piece of one: what resolves to its text."""

    text: str
    byte_start: int | None
    byte_end: int | None
    boxes: tuple[Box, ...]
    text_start: int | None = None
    """Characters of the text that the bytes or boxes resolve to, where the part is less than all of it."""
    text_end: int | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """How the blocks of a content were read."""

    encoding: str | None
    normalisation: Normalisation
    content: Callable[[], bytes]
    """The stored bytes; asked for only where a block of text is cut."""


def parts_of(blocks: Sequence[Block], spans: Sequence[Span], origin: Origin) -> Iterator[Part]:
    """The part of each span, in their order."""
    cuts: dict[int, set[int]] = {}
    for place, start, end in spans:
        if (start, end) != (0, len(blocks[place].text)):
            cuts.setdefault(place, set()).update((start, end))
    is_source = origin.normalisation == "source-1"
    content = origin.content() if cuts and is_source else b""
    bytes_of = {place: _byte_positions(content, blocks[place], origin, sorted(at)) for place, at in cuts.items()}
    for place, start, end in spans:
        block = blocks[place]
        text = block.text[start:end]
        if place not in cuts:
            yield Part(text, block.byte_start, block.byte_end, block.boxes)
        elif is_source:
            yield Part(text, bytes_of[place][start], bytes_of[place][end], ())
        elif block.boxes:
            yield _of_lines(block, start, end)
        else:
            yield Part(text, block.byte_start, block.byte_end, (), start, end)


def _byte_positions(content: bytes, block: Block, origin: Origin, places: list[int]) -> dict[int, int]:
    """Where in the object characters of a block's text are, whose line ends may have two there."""
    if not content or block.byte_start is None or origin.encoding is None:
        return {}
    source = content[block.byte_start : block.byte_end].decode(origin.encoding)
    doubled = [found.start() - number for number, found in enumerate(re.finditer("\r\n", source))]
    found, at, position = {}, block.byte_start, 0
    for place in places:
        there = place + bisect_left(doubled, place)
        at += len(source[position:there].encode(origin.encoding))
        found[place], position = at, there
    return found


def _of_lines(block: Block, start: int, end: int) -> Part:
    """The boxes of the lines that a part of a PDF's block touches."""
    first, last = block.text.count("\n", 0, start), block.text.count("\n", 0, end)
    begin = block.text.rfind("\n", 0, start) + 1
    finish = block.text.find("\n", end)
    is_all = start == begin and end == (len(block.text) if finish < 0 else finish)
    inside = (None, None) if is_all else (start - begin, end - begin)
    return Part(block.text[start:end], None, None, block.boxes[first : last + 1], *inside)
