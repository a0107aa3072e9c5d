"""What every parsed document must hold, whatever its format."""

from loaders.documents.parsing import parse
from loaders.documents.resolving import resolve
from loaders.documents.sections import Block, ParsedDocument


def read(content: bytes, name: str) -> ParsedDocument:
    """Parse, and expect every anchor to give back its block."""
    document = parse(content, name)
    expect_anchors(content, document)
    return document


def expect_anchors(content: bytes, document: ParsedDocument) -> None:
    """Every anchor resolves to its block; sections are numbered in order, and hold something."""
    assert document.blocks
    assert [section.ordinal for section in document.sections] == list(range(len(document.sections)))
    end = 0
    for section in document.sections:
        assert section.blocks
        assert len(section.heading_path) == len(section.heading_ids)
        assert bool(section.level) == bool(section.heading_path)
    for block in document.blocks:
        assert block.text.strip()
        if document.normalisation == "pdf-text-1":
            assert block.page and len(block.boxes) == len(block.text.split("\n"))
            continue
        assert block.byte_start is not None and block.byte_end is not None and document.encoding
        assert end <= block.byte_start < block.byte_end <= len(content)
        end = block.byte_end
        assert resolve(content, document.encoding, document.normalisation, block.byte_start, end) == block.text


def expect_no_gap(content: bytes, document: ParsedDocument) -> None:
    """What no block has is blank, or something was left out and counted."""
    assert document.encoding
    kept, end = [], 0
    for block in document.blocks:
        kept.append(content[end : block.byte_start])
        end = block.byte_end or 0
    between = b"".join([*kept, content[end:]]).decode(document.encoding).lstrip("\ufeff")
    assert document.left_out or not between.strip()


def shown(blocks: tuple[Block, ...]) -> list[tuple[str, str]]:
    """Kind and text of each."""
    return [(block.kind, block.text) for block in blocks]


def source_of(content: bytes, block: Block) -> bytes:
    """The bytes that a block is anchored to."""
    return content[block.byte_start : block.byte_end]
