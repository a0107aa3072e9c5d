"""Passages: runs of a document's blocks under one heading, of bounded size, each with its anchors.

Where a run is cut depends on what stands around the cut, never on how far from the start it is: an edit changes the
passage that it is in, and seldom its neighbours. Of the places that leave enough on either side, those between blocks
come before those between rows, lines or items, these before those between sentences; among equals the text behind it
decides, by its checksum. Blocks are whole where they fit; each part of a table that is cut begins with its header.

Pure; called with what `doc_sections` has of one content.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

from loaders.documents.anchoring import Origin, Part, Span, parts_of
from loaders.documents.sections import Block, Kind
from loaders.documents.tokens import count_tokens, full_runs, sentence_starts

VERSION = "passages-1"

_LEAST_SHARE = 4
"""A cut leaves at least the fourth of a full passage on either side, where there is such a place."""
_SEEN = 32
"""Characters behind a cut by which it is chosen: an edit farther on does not move it."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A block, and where it stands."""

    ordinal: int
    """Its number in the content."""
    heading_ordinal: int
    heading_path: tuple[str, ...]
    block: Block


@dataclass(frozen=True, slots=True)
class Passage:
    """Its text is that of its parts, each on a line of its own."""

    heading_path: tuple[str, ...]
    first_section: int
    """Number of the first block that it has text of."""
    last_section: int
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
class Limits:
    """What decides where a content is cut."""

    most_tokens: int
    language: str
    """ISO 639-1, by whose abbreviations sentences are told."""


class _Range(NamedTuple):
    """Characters of a block."""

    start: int
    end: int
    rank: int
    """Of the cut before it, from 0, between blocks; see `_FINDERS`."""
    tokens: int


class _Header(NamedTuple):
    """What each part of a table begins with."""

    end: int
    tokens: int


class _Piece(NamedTuple):
    """What is never cut."""

    place: int
    """Number of its block in the run."""
    range: _Range
    header: _Header | None
    """What a passage that begins with it repeats."""
    checksum: int


def passages_of(placed: Sequence[Placed], limits: Limits, origin: Origin) -> Iterator[Passage]:
    """Cut the blocks of a document, in their order; a passage is under one heading, and on one page of a PDF."""
    for _, run in groupby(placed, key=lambda each: (each.heading_ordinal, each.block.page)):
        run_of = [*run]
        blocks = [each.block for each in run_of]
        pieces = [piece for place, block in enumerate(blocks) for piece in _pieces(place, block, limits)]
        cuts = [[*_spans(blocks, pieces[lo:hi])] for lo, hi in _ranges(pieces, blocks, limits.most_tokens)]
        parts = parts_of(blocks, [span for spans in cuts for span in spans], origin)
        known = {(each.place, each.range.start, each.range.end): each.range.tokens for each in pieces}
        for spans in cuts:
            own = tuple(next(parts) for _ in spans)
            counts = (known.get(span) or count_tokens(part.text) for span, part in zip(spans, own, strict=True))
            yield _passage([run_of[place] for place, *_ in spans], own, sum(counts))


def _passage(placed: Sequence[Placed], parts: tuple[Part, ...], tokens: int) -> Passage:
    starts = [each.block.start_seconds for each in placed if each.block.start_seconds is not None]
    ends = [each.block.end_seconds for each in placed if each.block.end_seconds is not None]
    return Passage(
        placed[0].heading_path,
        placed[0].ordinal,
        placed[-1].ordinal,
        parts,
        placed[0].block.page,
        min(starts, default=None),
        max(ends, default=None),
        tokens,
    )


def _pieces(place: int, block: Block, limits: Limits) -> Iterator[_Piece]:
    whole = _Range(0, len(block.text), 0, count_tokens(block.text))
    header = _header(block.text, limits) if block.kind == "table" and whole.tokens > limits.most_tokens else None
    own = replace(limits, most_tokens=limits.most_tokens - header.tokens) if header else limits
    ranges = [whole]
    for rank, find in _FINDERS.get(block.kind, _OF_PROSE):
        ranges = [finer for each in ranges for finer in _finer(block.text, each, rank, find, own)]
    for each in ranges:
        seen = block.text[each.start : min(each.start + _SEEN, each.end)].strip()
        repeated = header if header and each.start >= header.end else None
        yield _Piece(place, each, repeated, zlib.crc32(seen.encode(errors="surrogatepass")))


Finder = Callable[[str, Limits], Sequence[int]]
"""Finds where a text may be cut."""


def _finer(text: str, found: _Range, rank: int, find: Finder, limits: Limits) -> Iterator[_Range]:
    """The parts of a range that is too large; else itself."""
    if found.tokens <= limits.most_tokens:
        yield found
        return
    cuts = [found.start + cut for cut in find(text[found.start : found.end], limits)]
    bounds = [found.start, *(cut for cut in cuts if found.start < cut < found.end), found.end]
    for start, end in pairwise(bounds):
        yield _Range(start, end, found.rank if start == found.start else rank, count_tokens(text[start:end]))


_RULE = re.compile(r"^[ \t]*[|+]?[ \t]*:?(?:-{2,}|={2,}|:-+)[-=:+| \t]*$")


def _header(text: str, limits: Limits) -> _Header | None:
    """The header of a table: down to the rule below it, else the first line; none that is half a passage."""
    lines = text.split("\n", 7)
    ruled = next((number for number, line in enumerate(lines[:6]) if _RULE.match(line) and number), 0)
    end = len("\n".join(lines[: ruled + 1])) + 1
    tokens = count_tokens(text[:end])
    return _Header(end, tokens) if end < len(text) and 2 * tokens <= limits.most_tokens else None


_ITEM = re.compile(r"^(?:[-*+•]|\d{1,9}[.)]|[a-zA-Z][.)]|#\.)[ \t]", re.MULTILINE)
_LINE = re.compile(r"(?<=\n)(?=[^\n])")


def _items(text: str, _: Limits) -> Sequence[int]:
    return [found.start() for found in _ITEM.finditer(text)]


def _lines(text: str, _: Limits) -> Sequence[int]:
    return [found.start() for found in _LINE.finditer(text)]


def _sentences(text: str, limits: Limits) -> Sequence[int]:
    return sentence_starts(text, limits.language)


def _runs(text: str, limits: Limits) -> Sequence[int]:
    return [*full_runs(text, limits.most_tokens)]


_BY_ITEMS, _BY_LINES, _BY_SENTENCES, _BY_RUNS = (1, _items), (2, _lines), (3, _sentences), (4, _runs)
_OF_PROSE: tuple[tuple[int, Finder], ...] = (_BY_SENTENCES, _BY_RUNS)
_FINDERS: dict[Kind, tuple[tuple[int, Finder], ...]] = {
    "code": (_BY_LINES, _BY_RUNS),
    "html": (_BY_LINES, _BY_SENTENCES, _BY_RUNS),
    "list": (_BY_ITEMS, _BY_LINES, _BY_SENTENCES, _BY_RUNS),
    "speech": (_BY_LINES, _BY_SENTENCES, _BY_RUNS),
    "table": (_BY_LINES, _BY_RUNS),
}
"""How blocks that do not fit are cut, and the rank of such a cut: the lower, the better."""


def _ranges(pieces: list[_Piece], blocks: Sequence[Block], most: int) -> Iterator[tuple[int, int]]:
    """First and last piece of each passage, the last one aside; in order."""
    before = [0, *accumulate(piece.range.tokens for piece in pieces)]

    def size(lo: int, hi: int) -> int:
        header = pieces[lo].header
        return before[hi] - before[lo] + (header.tokens if header else 0)

    def fitness(cut: int, lo: int, hi: int) -> tuple[bool, bool, int, int, int]:
        is_small = min(before[cut] - before[lo], before[hi] - before[cut]) * _LEAST_SHARE < most
        parts_heading = blocks[pieces[cut - 1].place].kind == "heading"
        return parts_heading, is_small, pieces[cut].range.rank, pieces[cut].checksum, abs(2 * cut - lo - hi)

    waiting = [(0, len(pieces))]
    while waiting:
        lo, hi = waiting.pop()
        if hi - lo == 1 or size(lo, hi) <= most:
            yield lo, hi
        else:
            cut = min(range(lo + 1, hi), key=lambda place: fitness(place, lo, hi))  # noqa: B023  # called here
            waiting += [(cut, hi), (lo, cut)]


def _spans(blocks: Sequence[Block], pieces: Sequence[_Piece]) -> Iterator[Span]:
    """Each part of a passage, without white space around one that is cut."""
    if header := pieces[0].header:
        yield pieces[0].place, 0, header.end - 1
    for place, run in groupby(pieces, key=lambda piece: piece.place):
        own = [*run]
        start, end, text = own[0].range.start, own[-1].range.end, blocks[place].text
        if (start, end) != (0, len(text)):
            kept = text[start:end].rstrip().lstrip("\n" if blocks[place].kind == "code" else None)
            start = start + text[start:end].index(kept) if kept else end
            end = start + len(kept)
        if start < end:
            yield place, start, end
