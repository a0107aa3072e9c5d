"""Which parser, and what is refused before one is asked."""

import pickle
import time

import pytest

from loaders.documents.parsing import parse, parser_version
from loaders.documents.refusals import Bounds, NotParsable
from tests.unit.loaders.documents.anchors import read, shown


def reason(content: bytes, name: str, bounds: Bounds | None = None) -> str:
    with pytest.raises(NotParsable) as refused:
        parse(content, name, bounds)
    assert "; next: " in str(refused.value)
    return refused.value.reason


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.docx", b"text", "unsupported"),
        ("README", b"text", "unsupported"),
        (".md", b"text", "unsupported"),
        ("a.md", b"", "empty"),
        ("a.html", b" \r\n\t", "empty"),
        ("a.html", b"<!-- nothing --><nav>x</nav>", "empty"),
        ("a.txt", " \n".encode("utf-16"), "empty"),
        ("a.html", b"\x89PNG\r\n\x1a\n\0\0", "not_what_it_says"),
        ("a.html", b"PK\x03\x04\x14\0", "not_what_it_says"),
        ("a.html", bytes(range(256)) * 4, "not_what_it_says"),
        ("a.txt", b"text and a \0 later" + b" " * 2000 + b"\0", "not_what_it_says"),
        ("a.rst", b"\x01\x02\x03\x04 text", "not_what_it_says"),
        ("a.md", b"%PDF-1.7\n", "not_what_it_says"),
        ("a.md", b"\n<!DOCTYPE html><p>Sign in", "not_what_it_says"),
        ("a.pdf", b"<html>Sign in", "not_what_it_says"),
        ("a.txt", b"caf\xe9 \x81", "undecodable"),
        ("a.txt", b"\xff\xfea", "undecodable"),
        ("a.txt", b"\xef\xbb\xbf\xe9", "undecodable"),
    ],
)
def test_what_cannot_be_parsed_says_why(name: str, content: bytes, expected: str):
    assert reason(content, name) == expected


def test_bounds_refuse_a_document_whole():
    assert reason(b"x" * 11, "a.txt", Bounds(size_bytes=10)) == "too_large"
    assert reason(b"a\n\nb\n\nc", "a.txt", Bounds(blocks=2)) == "too_many_blocks"
    assert reason(b"a\r\n" * 6, "a.md", Bounds(parts=10)) == "too_large"
    assert reason(b"<br>" * 11, "a.html", Bounds(parts=10)) == "too_large"
    assert reason(b"<div>" * 1000 + b"x", "a.html") == "too_deep"
    assert reason(b"<ul><li>" * 1000 + b"x", "a.html") == "too_deep"


def test_plain_text_is_paragraphs():
    document = read(b"one\r\ntwo\r\n \r\n\r\n  three", "a.txt")

    assert shown(document.blocks) == [("prose", "one\ntwo"), ("prose", "  three")]
    assert (document.encoding, document.normalisation, document.title) == ("utf-8", "source-1", None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_anchors_are_exact_far_into_a_document(encoding: str):
    text = "\n\n".join(f"caf\u00e9 \u2013 {number}" for number in range(500))
    text += "" if encoding == "cp1252" else "\n\n" + "\U0001f642e\u0301" * 2000 + "\n\nשלום 云"

    document = read(text.encode(encoding), "a.txt")

    assert [block.text for block in document.blocks] == text.split("\n\n")


def test_the_name_decides_in_any_case_and_folder():
    assert shown(read(b"# a", "x/y.z/A.MD").blocks) == [("heading", "# a")]
    assert (parser_version("a.HTM"), parser_version("a.bin")) == ("html-1", None)


def test_a_refusal_survives_the_way_from_another_process():
    refusal = pickle.loads(pickle.dumps(NotParsable("empty", "has nothing; next: look")))

    assert (refusal.reason, str(refusal)) == ("empty", "has nothing; next: look")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("line.html", b"<p>" + b"word " * 1_000_000),
        ("headings.html", b"<h2>x</h2><p>y" * 10_000),
        ("tags.html", b"<a " * 300_000),
        ("angles.html", b"<p>" + b"<" * 500_000),
        ("comments.html", b"<p>x<!--" * 50_000),
        ("scripts.html", b"<p>x<script>" * 50_000),
        ("line.md", b"word " * 1_000_000),
        ("headings.md", b"# x\n\ny\n\n" * 10_000),
        ("lists.md", b"".join(b"  " * depth + b"- x\n" for depth in range(1_000))),
        ("quotes.md", b">" * 100_000 + b"x"),
        ("flow.md", b"---\na: " + b"[" * 20_000 + b"\n---\nx"),
        ("line.rst", b"word " * 1_000_000),
        ("headings.rst", b"x\n===\n\ny\n\n" * 10_000),
        ("lists.rst", b"".join(b"  " * depth + b"* x\n\n" for depth in range(1_000))),
        ("tables.rst", b"== ==\nx\n\n" * 5_000),
        ("labels.rst", (b"\n" * 50 + b"x\n==\n") * 5_000),
        ("blank.txt", b"x" + b"\n" * 1_000_000),
        ("cues.vtt", b"WEBVTT\n\n" + b"00:01.000 --> 00:02.000\nhi\n\n" * 20_000),
    ],
)
def test_a_hostile_document_takes_seconds_at_most(name: str, content: bytes):
    started = time.process_time()

    try:
        parse(content, name)
    except NotParsable as refusal:
        assert refusal.reason in ("too_deep", "empty")
    assert time.process_time() - started < 10
