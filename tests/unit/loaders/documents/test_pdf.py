"""PDF: paragraphs with boxes, the outline as headings, and what has no text."""

import io
from collections.abc import Sequence

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, Fit, NameObject

from loaders.documents.parsing import parse
from loaders.documents.refusals import Bounds, NotParsable
from loaders.documents.resolving import holds_line, resolve_boxes
from tests.unit.loaders.documents.anchors import read, shown

Line = tuple[float, float, float, str]
"""Left, baseline, size, text."""


def write_pdf(
    pages: Sequence[Sequence[Line]], outline: Sequence[tuple[str, int, float, int]] = (), password: str = ""
) -> bytes:
    """A PDF with lines of text; entries of its outline have title, page, top, and the number of the entry above."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
            NameObject("/Encoding"): NameObject("/WinAnsiEncoding"),
        }
    )
    for lines in pages:
        page = writer.add_blank_page(600, 800)
        drawn = DecodedStreamObject()
        texts = [f"BT /F {size} Tf {left} {base} Td ({text}) Tj ET" for left, base, size, text in lines]
        drawn.set_data("\n".join(texts or ["0 0 300 300 re f"]).encode("cp1252"))
        page[NameObject("/Contents")] = writer._add_object(drawn)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F"): font})}
        )
    entries: list[object] = []
    for title, page_number, top, above in outline:
        parent = entries[above] if above >= 0 else None
        entries.append(writer.add_outline_item(title, page_number, parent, fit=Fit.xyz(left=0, top=top)))
    writer.add_metadata({"/Title": "A title", "/Author": "Ana"})
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


PAGES = [
    [
        (50, 750, 20, "1 First"),
        (50, 720, 12, "A paragraph"),
        (50, 706, 12, "of two lines."),
        (50, 670, 12, "Caf\u00e9 \u2013 \u20ac"),
    ],
    [(50, 750, 16, "Deeper"), (50, 720, 12, "left column"), (320, 780, 12, "right column"), (320, 766, 12, "goes on")],
]


def test_lines_are_paragraphs_with_a_box_for_each_line():
    document = read(write_pdf(PAGES), "a.pdf")

    assert shown(document.blocks) == [
        ("prose", "1 First"),
        ("prose", "A paragraph\nof two lines."),
        ("prose", "Caf\u00e9 \u2013 \u20ac"),
        ("prose", "Deeper"),
        ("prose", "left column"),
        ("prose", "right column\ngoes on"),
    ]
    assert [block.page for block in document.blocks] == [1, 1, 1, 2, 2, 2]
    left, bottom, right, top = document.blocks[1].boxes[1]
    assert (round(left), right > 100, bottom < 706 < top, top - bottom < 20) == (50, True, True, True)
    assert (document.title, document.metadata["Author"], document.encoding) == ("A title", "Ana", None)


def test_a_parted_word_ends_its_line():
    document = read(write_pdf([[(50, 750, 12, "a long exam-"), (50, 736, 12, "ple")]]), "a.pdf")

    assert (document.blocks[0].text, len(document.blocks[0].boxes)) == ("a long exam-\nple", 2)


def test_a_box_holds_the_words_of_its_line():
    content = write_pdf(PAGES)
    blocks = read(content, "a.pdf").blocks

    found = list(resolve_boxes(content, [(block.page or 0, block.boxes) for block in blocks]))

    for block, texts in zip(blocks, found, strict=True):
        assert all(map(holds_line, texts, block.text.split("\n")))
        assert not holds_line(texts[0], "words of another line")
    assert holds_line("exam\ufffe", "exam-") and holds_line("a  b\r\nc", "b c") and not holds_line("a b", "b c")


def test_the_outline_is_the_headings():
    outline = [("First", 0, 770, -1), ("deeper", 1, 766, 0), ("Not shown", 1, 730, 0)]

    document = read(write_pdf(PAGES, outline), "a.pdf")

    assert [(section.level, section.heading_path) for section in document.sections] == [
        (1, ("First",)),
        (2, ("First", "deeper")),
        (2, ("First", "Not shown")),
    ]
    assert shown(document.sections[0].blocks)[0] == ("heading", "1 First")
    assert shown(document.sections[1].blocks) == [("heading", "Deeper")]
    assert shown(document.sections[2].blocks)[0] == ("prose", "left column")


def test_a_page_of_images_is_counted_beside_pages_of_text():
    assert read(write_pdf([PAGES[0], []]), "a.pdf").left_out == {"page_without_text": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (write_pdf([[], []]), "no_text_layer"),
        (write_pdf(PAGES, password="secret"), "encrypted"),
        (write_pdf(PAGES)[:-6], "damaged"),
        (write_pdf(PAGES)[:-200], "damaged"),
        (write_pdf(PAGES)[:300], "damaged"),
        (b"%PDF-1.7\nnothing\n%%EOF", "damaged"),
    ],
)
def test_a_pdf_without_text_to_cite_says_why(content: bytes, reason: str):
    with pytest.raises(NotParsable) as refused:
        parse(content, "a.pdf")

    assert refused.value.reason == reason


def test_more_pages_than_the_bounds_are_not_parsed():
    with pytest.raises(NotParsable) as refused:
        parse(write_pdf(PAGES), "a.pdf", Bounds(pages=1))

    assert refused.value.reason == "too_many_pages"
