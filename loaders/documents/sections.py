"""What a document is to whoever cites it: sections of blocks, each block with its anchor.

The model, and how blocks that come one behind another fall into sections, which is the same for every format. How an
anchor becomes text again is `resolving`.
"""

from dataclasses import dataclass
from typing import Literal

from loaders.documents.refusals import Bounds, NotParsable, Reason

Kind = Literal["heading", "prose", "list", "table", "code", "quote", "caption", "footnote", "speech", "html"]
"""Of a block. `html` is markup that stands in Markdown as it is, `speech` what one speaker says in a row."""

Normalisation = Literal["source-1", "html-text-1", "jsonl-text-1", "pdf-text-1"]
"""How the bytes of an anchor become text; the rules are in `resolving`, those of `pdf-text-1` in `pdf`."""

Box = tuple[float, float, float, float]
"""Left, bottom, right, top in points, as the page itself counts them, before it is turned or cropped."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document that is read in one go. Text formats have bytes, a PDF has a page and boxes."""

    kind: Kind
    text: str
    """What a reader sees, or the source where markup is kept; never blank."""
    byte_start: int | None = None
    """In the stored object, before it is decoded."""
    byte_end: int | None = None
    page: int | None = None
    """From 1."""
    boxes: tuple[Box, ...] = ()
    """One for each line."""
    start_seconds: float | None = None
    end_seconds: float | None = None
    speaker: str | None = None
    language: str | None = None
    """Of code, as the document names it."""


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading, down to the next one of any level."""

    ordinal: int
    """From 0, in the order of the document."""
    level: int
    """Of its heading, from 1; 0 for what stands before the first."""
    heading_path: tuple[str, ...]
    """Headings from the outermost to its own."""
    heading_ids: tuple[str | None, ...]
    """As the document declares them, one for each heading of the path."""
    blocks: tuple[Block, ...]
    """The first is its heading, unless the document shows none there: level 0, or an entry of a PDF's outline."""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document with at least one block."""

    sections: tuple[Section, ...]
    title: str | None
    metadata: dict[str, str | tuple[str, ...]]
    """What it says of itself: front matter, meta elements, header fields."""
    encoding: str | None
    """With which each anchor's bytes are decoded; None for a PDF."""
    normalisation: Normalisation
    left_out: dict[str, int]
    """How many blocks are no evidence, by reason."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All of them in order."""
        return tuple(block for section in self.sections for block in section.blocks)


class Outline:
    """Sections of a document that is being read, block by block; keeps its bounds, and that nothing is no document."""

    def __init__(self, bounds: Bounds) -> None:
        self.left_out: dict[str, int] = {}
        self.first_heading: str | None = None
        self._bounds = bounds
        self._sections: list[Section] = []
        self._open: list[tuple[int, str, str | None]] = []
        self._blocks: list[Block] = []
        self._count = self._headings = 0

    def open_section(self, level: int, heading: str, heading_id: str | None, block: Block | None) -> None:
        """Begin the section of a heading, whose block is its first."""
        self._close()
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        if len(self._open) >= self._bounds.depth:
            raise NotParsable("too_deep", f"has headings nested more than {self._bounds.depth} deep; next: flatten it")
        self._open.append((level, " ".join(heading.split()), heading_id))
        self.first_heading = self.first_heading or self._open[-1][1]
        if block:
            self.add(block)

    def add(self, block: Block) -> None:
        """Add a block to the section that is open.

        Raises:
            NotParsable: there are more than a document may have.
        """
        self._count += 1
        if self._count > self._bounds.blocks:
            raise NotParsable("too_many_blocks", f"has more than {self._bounds.blocks:,} blocks; next: split it")
        self._headings += block.kind == "heading"
        self._blocks.append(block)

    @property
    def has_prose(self) -> bool:
        """Whether there is a block that is no heading."""
        return self._count > self._headings

    def leave_out(self, reason: str) -> None:
        """Count a block that is no evidence."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def finish(
        self,
        title: str | None,
        metadata: dict[str, str | tuple[str, ...]],
        encoding: str | None,
        normalisation: Normalisation,
        if_empty: Reason = "empty",
    ) -> ParsedDocument:
        """Give the document.

        Raises:
            NotParsable: it has no block.
        """
        self._close()
        if not self._count:
            left_out = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items()) or "nothing"
            raise NotParsable(if_empty, f"has no text to cite, left out: {left_out}; next: look at it")
        return ParsedDocument(
            tuple(self._sections), title, metadata, encoding, normalisation, dict(sorted(self.left_out.items()))
        )

    def _close(self) -> None:
        if self._blocks:  # an entry of a PDF's outline may have no text of its own
            levels, headings, ids = zip(*self._open, strict=True) if self._open else ((0,), (), ())
            self._sections.append(Section(len(self._sections), levels[-1], headings, ids, tuple(self._blocks)))
        self._blocks = []
