"""Passages: runs of a document's blocks under one heading, of bounded size, each with its anchors.

Where a run is cut depends on what stands around the cut, never on how far from the start it is: an edit changes the
passage that it is in, and seldom its neighbours. Of the places that leave enough on either side, those between blocks
come before those between rows, lines or items, these before those between sentences; among equals the text behind it
decides, by its checksum. Blocks are whole where they fit; each part of a table that is cut begins with its header.

Pure; called with what `doc_sections` has of one content.
"""

import re
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from loaders.documents.sections import Block, Box, Kind
from loaders.documents.tokens import count_tokens, full_runs, sentence_starts

VERSION = "passages-1"

_ITEM = re.compile(r"^(?:[-*+•]|\d{1,9}[.)]|[a-zA-Z][.)]|#\.)[ \t]", re.MULTILINE)
_LINE = re.compile(r"(?<=\n)(?=[^\n])")
_LEAST_SHARE = 4
"""A cut leaves at least the fourth of a full passage on either side, where there is such a place."""
_SEEN = 32
"""Characters behind a cut by which it is chosen: an edit farther on does not move it."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A block, and where it stands."""

    heading_ordinal: int
    heading_path: tuple[str, ...]
    block: Block


@dataclass(frozen=True, slots=True)
class Part:
    """One block of a passage, or a part of it: what resolves to its text."""

    text: str
    byte_start: int | None
    byte_end: int | None
    boxes: tuple[Box, ...]
    text_start: int | None = None
    """Characters of the text that the bytes or boxes resolve to, where the part is less than all of it."""
    text_end: int | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """Its text is that of its parts, each on a line of its own."""

    heading_path: tuple[str, ...]
    parts: tuple[Part, ...]
    page: int | None
    start_seconds: float | None
    end_seconds: float | None
    token_count: int

    @property
    def text(self) -> str:
        """What is read, searched and cited."""
        return "\n".join(part.text for part in self.parts)


@dataclass(frozen=True, slots=True)
class Cutting:
    """How one content is cut."""

    most_tokens: int
    language: str
    """ISO 639-1, by whose abbreviations sentences are told."""
    encoding: str | None
    normalisation: str
    content: Callable[[], bytes]
    """The stored bytes; asked for only where a block of text is cut."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is never cut."""

    place: int
    """Number of its block."""
    start: int
    end: int
    rank: int
    """Of the cut before it: 0 between blocks, more within one."""
    tokens: int
    header: int
    """Tokens of the header that is repeated where a passage begins with it."""
    checksum: int


def passages_of(placed: Sequence[Placed], cutting: Cutting) -> Iterator[Passage]:
    """Cut the blocks of a document, in their order; a passage is under one heading, and on one page of a PDF."""
    for _, run in groupby(placed, key=lambda each: (each.heading_ordinal, each.block.page)):
        blocks = [*run]
        texts = [each.block for each in blocks]
        pieces = [piece for place, block in enumerate(texts) for piece in _pieces(place, block, cutting)]
        cuts = [[*_spans(texts, pieces[lo:hi])] for lo, hi in _ranges(pieces, texts, cutting.most_tokens)]
        parts = _anchored(texts, cuts, cutting)
        known = {(piece.place, piece.start, piece.end): piece.tokens for piece in pieces}
        for spans in cuts:
            yield _passage(blocks, spans, [next(parts) for _ in spans], known)


def _passage(
    blocks: list[Placed],
    spans: list[tuple[int, int, int]],
    parts: list[Part],
    known: Mapping[tuple[int, int, int], int],
) -> Passage:
    said = [blocks[place].block for place, *_ in spans]
    starts = [block.start_seconds for block in said if block.start_seconds is not None]
    ends = [block.end_seconds for block in said if block.end_seconds is not None]
    tokens = sum(known.get(span) or count_tokens(part.text) for span, part in zip(spans, parts, strict=True))
    return Passage(
        blocks[0].heading_path, tuple(parts), said[0].page, min(starts, default=None), max(ends, default=None), tokens
    )


def _pieces(place: int, block: Block, cutting: Cutting) -> Iterator[_Piece]:
    text, most = block.text, cutting.most_tokens
    ranges = [(0, len(text), 0, count_tokens(text))]
    header = _header(block) if ranges[0][3] > most else 0
    repeated = count_tokens(text[:header])
    if repeated * 2 > most:
        header = repeated = 0
    for rank, find in enumerate(_FINDERS.get(block.kind, (_sentences,)), start=1):
        ranges = [
            finer
            for start, end, own, tokens in ranges
            for finer in (
                [(start, end, own, tokens)]
                if tokens + repeated <= most
                else _finer(text, start, end, own, rank, find(text[start:end], cutting.language))
            )
        ]
    for start, end, rank, tokens in ranges:
        runs = [0, *full_runs(text[start:end], most - repeated)] if tokens + repeated > most else [0]
        for first, last in pairwise([*runs, end - start]):
            count = tokens if len(runs) == 1 else count_tokens(text[start + first : start + last])
            seen = text[start + first : min(start + first + _SEEN, start + last)].strip()
            begins = repeated if start + first >= header > 0 else 0
            own = rank if first == 0 else 9
            checksum = zlib.crc32(seen.encode(errors="surrogatepass"))
            yield _Piece(place, start + first, start + last, own, count, begins, checksum)


def _finer(
    text: str, start: int, end: int, own: int, rank: int, cuts: Sequence[int]
) -> list[tuple[int, int, int, int]]:
    bounds = [start, *(start + cut for cut in cuts if 0 < cut < end - start), end]
    return [
        (first, last, own if first == start else rank, count_tokens(text[first:last]))
        for first, last in pairwise(bounds)
    ]


def _header(block: Block) -> int:
    """Where the header of a table ends: behind the rule below it, else behind the first line; 0 for what is none."""
    if block.kind != "table":
        return 0
    lines = block.text.split("\n")
    ruled = next((number for number, line in enumerate(lines[:6]) if _RULE.match(line) and number), 0)
    return len("\n".join(lines[: ruled + 1])) + 1 if len(lines) > ruled + 1 else 0


_RULE = re.compile(r"^[ \t]*[|+]?[ \t]*:?(?:-{2,}|={2,}|:-+)[-=:+| \t]*$")


def _lines(text: str, _: str) -> list[int]:
    return [found.start() for found in _LINE.finditer(text)]


def _items(text: str, _: str) -> list[int]:
    return [found.start() for found in _ITEM.finditer(text)]


def _sentences(text: str, language: str) -> list[int]:
    return sentence_starts(text, language)


_FINDERS: dict[Kind, tuple[Callable[[str, str], list[int]], ...]] = {
    "code": (_lines,),
    "html": (_lines, _sentences),
    "list": (_items, _lines, _sentences),
    "speech": (_lines, _sentences),
    "table": (_lines,),
}


def _ranges(pieces: list[_Piece], blocks: Sequence[Block], most: int) -> Iterator[tuple[int, int]]:
    """First and last piece of each passage, the last one aside; in order."""
    before = [0, *accumulate(piece.tokens for piece in pieces)]

    def size(lo: int, hi: int) -> int:
        return before[hi] - before[lo] + pieces[lo].header

    def fitness(cut: int, lo: int, hi: int) -> tuple[bool, bool, int, int, int]:
        is_small = min(before[cut] - before[lo], before[hi] - before[cut]) * _LEAST_SHARE < most
        parts_heading = blocks[pieces[cut - 1].place].kind == "heading"
        return parts_heading, is_small, pieces[cut].rank, pieces[cut].checksum, abs(2 * cut - lo - hi)

    waiting = [(0, len(pieces))]
    while waiting:
        lo, hi = waiting.pop()
        if hi - lo == 1 or size(lo, hi) <= most:
            yield lo, hi
        else:
            cut = min(range(lo + 1, hi), key=lambda place: fitness(place, lo, hi))  # noqa: B023  # called here
            waiting += [(cut, hi), (lo, cut)]


def _spans(blocks: Sequence[Block], pieces: Sequence[_Piece]) -> Iterator[tuple[int, int, int]]:
    """Block and characters of each part of a passage, without white space around a part that is cut."""
    first = pieces[0]
    if first.header:
        yield first.place, 0, _header(blocks[first.place]) - 1
    for place, run in groupby(pieces, key=lambda piece: piece.place):
        own = [*run]
        start, end, text = own[0].start, own[-1].end, blocks[place].text
        if (start, end) != (0, len(text)):
            kept = text[start:end].rstrip().lstrip("\n" if blocks[place].kind == "code" else None)
            start = start + text[start:end].index(kept) if kept else end
            end = start + len(kept)
        if start < end:
            yield place, start, end


def _anchored(
    blocks: Sequence[Block], cuts: Sequence[Sequence[tuple[int, int, int]]], cutting: Cutting
) -> Iterator[Part]:
    """The part of each span."""
    spans = [span for each in cuts for span in each]
    wanted: dict[int, set[int]] = {}
    for place, start, end in spans:
        if (start, end) != (0, len(blocks[place].text)):
            wanted.setdefault(place, set()).update((start, end))
    is_source = cutting.normalisation == "source-1"
    content = cutting.content() if wanted and is_source else b""
    known = {place: _byte_positions(content, blocks[place], cutting, sorted(at)) for place, at in wanted.items()}
    for place, start, end in spans:
        block = blocks[place]
        text = block.text[start:end]
        if place not in wanted:
            yield Part(text, block.byte_start, block.byte_end, block.boxes)
        elif is_source:
            yield Part(text, known[place][start], known[place][end], ())
        elif block.boxes:
            yield _of_lines(block, start, end)
        else:
            yield Part(text, block.byte_start, block.byte_end, (), start, end)


def _byte_positions(content: bytes, block: Block, cutting: Cutting, places: list[int]) -> dict[int, int]:
    """Where in the object characters of a block's text are, whose line ends may have two there."""
    if not content or block.byte_start is None or cutting.encoding is None:
        return {}
    source = content[block.byte_start : block.byte_end].decode(cutting.encoding)
    doubled = [found.start() - number for number, found in enumerate(re.finditer("\r\n", source))]
    found, at, position = {}, block.byte_start, 0
    for place in places:
        there = place + bisect_left(doubled, place)
        at += len(source[position:there].encode(cutting.encoding))
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
