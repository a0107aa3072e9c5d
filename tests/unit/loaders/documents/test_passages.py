"""Passages: bounded, under one heading, each part where its anchor says, and cut where an edit elsewhere changes nothing."""

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.documents.anchoring import Origin
from loaders.documents.parsing import parse
from loaders.documents.passages import Limits, Passage, Placed, passages_of
from loaders.documents.refusals import NotParsable
from loaders.documents.resolving import resolve
from loaders.documents.sections import Block
from loaders.documents.tokens import count_tokens, full_runs

MOST = 40


def cut(content: bytes, name: str = "a.md", most: int = MOST, language: str = "en") -> list[Passage]:
    """Cut a document, and expect what holds of every passage."""
    document = parse(content, name)
    of_all = [(each, block) for each in document.sections for block in each.blocks]
    placed = [Placed(n, each.ordinal, each.heading_path, block) for n, (each, block) in enumerate(of_all)]
    origin = Origin(document.encoding, document.normalisation, lambda: content)
    found = list(passages_of(placed, Limits(most, language), origin))
    ends = [-1, *(passage.last_section for passage in found)]
    assert ends[-1] == len(placed) - 1
    for passage, end in zip(found, ends, strict=False):
        assert passage.first_section in (end, end + 1) and passage.first_section >= 0
    for passage in found:
        assert 0 < passage.token_count == count_tokens(passage.text) <= most
        for part in passage.parts:
            if part.byte_start is not None and document.encoding:
                text = resolve(content, document.encoding, document.normalisation, part.byte_start, part.byte_end or 0)
                assert text[part.text_start : part.text_end] == part.text
    said = "".join("".join(block.text for block in document.blocks).split())
    header_aside = {*said} if "|" in said or "+-" in said else None
    kept = "".join("".join(part.text for passage in found for part in passage.parts).split())
    assert header_aside or kept == said  # nothing is lost, and all is in order
    return found


def sentences(count: int, word: str = "word") -> str:
    return " ".join(f"The {word} number {n} stands here." for n in range(count))


def test_what_fits_under_a_heading_is_one_passage_with_its_heading():
    (first, second) = cut(b"# A\n\nOne.\n\n- two\n- three\n\n## B\n\nFour.\n")

    assert (first.text, first.heading_path) == ("# A\nOne.\n- two\n- three", ("A",))
    assert (second.text, second.heading_path) == ("## B\nFour.", ("A", "B"))


def test_prose_is_cut_between_sentences_that_a_library_tells():
    text = "Dr. Smith wrote e.g. this and that about it. " * 6

    found = cut(text.encode())

    assert len(found) > 1
    assert all(passage.text.endswith("about it.") and passage.text.startswith("Dr. Smith") for passage in found)


def test_a_heading_never_stands_alone():
    found = cut(f"# Title\n\n{sentences(30)}".encode())

    assert len(found) > 2
    assert found[0].text.startswith("# Title\nThe word number 0")


def test_each_part_of_a_table_begins_with_its_header():
    rows = "".join(f"| row {n} | value {n} |\n" for n in range(20))

    found = cut(f"| name | value |\n| --- | --- |\n{rows}".encode())

    assert len(found) > 2
    assert all(passage.text.startswith("| name | value |\n| --- | --- |\n| row") for passage in found)
    assert [line for passage in found for line in passage.text.split("\n")[2:]] == rows.split("\n")[:-1]


def test_a_table_whose_header_is_half_a_passage_does_not_repeat_it():
    header = "| " + " | ".join(f"column {n}" for n in range(9)) + " |\n|" + " --- |" * 9 + "\n"

    found = cut((header + "| a |\n" * 30).encode())

    assert sum("column 0" in passage.text for passage in found) == 1


def test_code_is_cut_between_lines_and_keeps_its_indent():
    lines = "".join(f"    call({n}, 'text')\n" for n in range(20))

    found = cut(f"```py\ndef f():\n{lines}```\n".encode())

    assert len(found) > 2
    assert all(passage.text.startswith("    call(") for passage in found[1:])


def test_a_list_is_cut_between_its_items():
    items = "".join(f"- item {n} of the list\n  goes on here\n" for n in range(12))

    found = cut(items.encode())

    assert len(found) > 1
    assert all(passage.text.startswith("- item") and passage.text.endswith("goes on here") for passage in found)


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "漢字" * 5_000, "👩‍👩‍👧‍👦" * 1_000, "a\u0301" * 10_000, "- " * 3_000 + "end"]
)
def test_what_has_no_sentences_is_cut_all_the_same(text):
    assert len(cut(text.encode(), "a.txt")) > 1


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("cp1252", b"")]
)
def test_parts_of_a_paragraph_have_their_own_bytes_in_any_encoding(encoding, mark):
    text = "Ünï is first – so it is.\r\nÉt is second, after it.\r\n" * 20
    content = mark + text.encode(encoding)

    found = cut(content, "a.txt")

    assert len(found) > 3
    for passage in found:
        (part,) = passage.parts
        assert (part.text_start, part.text_end) == (None, None)
        assert content[part.byte_start : part.byte_end].decode(encoding).replace("\r\n", "\n") == passage.text


def test_a_list_of_html_names_its_bytes_and_the_characters_in_their_text():
    items = "".join(f"<li>item <b>{n}</b> &amp; more of it</li>" for n in range(30))

    found = cut(f"<html><body><ul>{items}</ul></body></html>".encode(), "a.html")

    assert len(found) > 2 and found[1].parts[0].text_start is not None


def test_lines_of_a_pdf_keep_their_boxes_and_a_page_is_never_left():
    lines = [f"Line {n} of a page has some words in it" for n in range(12)]
    boxes = tuple((0.0, float(n), 9.0, float(n + 1)) for n in range(12))
    blocks = [Block("prose", "\n".join(lines), page=page, boxes=boxes) for page in (1, 2)]
    origin = Origin(None, "pdf-text-1", bytes)

    found = list(passages_of([Placed(n, 0, (), block) for n, block in enumerate(blocks)], Limits(MOST, "en"), origin))

    assert {passage.page for passage in found} == {1, 2}
    for passage in found:
        (part,) = passage.parts
        if part.text_start is None:
            assert part.text.split("\n") == [lines[int(box[1])] for box in part.boxes]
        else:
            assert part.text in "\n".join(lines[int(box[1])] for box in part.boxes)
    assert " ".join(p.text for p in found if p.page == 1).split() == " ".join(lines).split()


def test_ten_thousand_equal_sentences_are_cut_in_the_middle_of_what_is_left():
    assert len(cut(b"The same sentence stands here. " * 10_000, "a.txt")) > 1_000


def test_a_run_ends_at_the_last_token_that_fits():
    text = "one two three four five"

    assert list(full_runs(text, 2)) == [8, 19]
    assert [count_tokens(part) for part in (text[:8], text[8:19], text[19:])] == [2, 2, 1]


def test_an_edited_sentence_changes_its_passage_and_seldom_another():
    paragraphs = [sentences(5, f"word{n}") for n in range(40)]
    before = Counter(passage.text for passage in cut("\n\n".join(paragraphs).encode(), "a.txt"))

    changed = []
    for place in range(40):
        edited = [*paragraphs]
        edited[place] = edited[place].replace("number 2 stands", "number two now really stands")
        after = Counter(passage.text for passage in cut("\n\n".join(edited).encode(), "a.txt"))
        changed.append((before - after).total() + (after - before).total())

    assert max(changed) <= 3 and changed.count(2) >= 36


def test_a_section_that_moves_changes_no_passage():
    parts = [f"# Heading {n}\n\n{sentences(8, f'word{n}')}\n\n" for n in range(6)]

    moved = cut("".join([*parts[3:], *parts[:3]]).encode())

    assert Counter(p.text for p in moved) == Counter(p.text for p in cut("".join(parts).encode()))


_LINES = st.lists(
    st.sampled_from(
        [
            "# One",
            "## Two",
            "Some words. And more!",
            "- item",
            "  - inner",
            "1. first",
            "> quoted",
            "```",
            "    code()",
            "",
        ]
        + [
            "| a | b |",
            "| --- | --- |",
            "| 1 | 2 |",
            "他说。再见！",
            "e.g. Dr. No",
            "\ufeff",
            "مرحبا.",
            "a\u0301 👩‍👧",
            "---",
            "[^1]: note",
        ]
    ),
    max_size=60,
)


@given(
    lines=_LINES,
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    most=st.integers(8, 60),
    name=st.sampled_from(["a.md", "a.txt", "a.rst"]),
)
def test_any_lines_become_passages_that_hold_together(lines, ends, most, name):
    with suppress(NotParsable):
        cut(ends.join(lines).encode(), name, most)
