"""The functions by which models read stored contents: their versions, their bounds, and contents that are not there."""

import hashlib
import re
from io import BytesIO
from itertools import accumulate

import duckdb
import pytest

from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.objects import put_object
from loaders.contents.judging import JUDGE, unresolved
from loaders.contents.reading import CUTTER, PARSERS
from orchestration import dbt_documents
from orchestration.dbt_documents import Plugin
from tests.unit.loaders.documents.test_pdf import write_pdf

ANCHOR = f"""unresolved_anchors(?, [
    {{'ordinal': 0, 'text': ?, 'page': null, 'encoding': 'utf-8', 'normalisation': 'source-1', 'parts':
    [{{'byte_start': ?, 'byte_end': 5, 'boxes': null, 'text_start': null, 'text_end': null}}]}}], '{JUDGE}')"""
PDF = write_pdf([[(50, 720, 12, "some words")]])


@pytest.fixture
def offered(settings, monkeypatch):
    """DuckDB with the functions, over the store of a lakehouse of its own."""
    monkeypatch.setattr(dbt_documents, "load_settings", lambda: settings)
    plugin = Plugin("documents", {})
    with duckdb.connect() as connection:
        plugin.initialize({})
        plugin.configure_connection(connection)
        yield connection
        plugin._workers.__exit__()


@pytest.fixture
def stored(settings):
    """Store bytes; their fingerprint."""

    def store(content: bytes) -> str:
        fingerprint = hashlib.sha256(content).hexdigest()
        put_object(settings, BytesIO(content), fingerprint)
        return fingerprint

    return store


def sections(connection, fingerprint, name, parsers=PARSERS):
    (found,) = connection.execute("select document_sections(?, ?, 'html', ?)", [fingerprint, name, parsers]).fetchone()
    return found


def test_the_versions_that_the_models_ask_for_are_those_that_are_offered():
    said = (PROJECT_ROOT / "dbt_project" / "macros" / "contents.sql").read_text()

    assert f"'{PARSERS}'" in re.sub(r"'\n\s+'", "", said) and f"'{CUTTER}'" in said and f"'{JUDGE}'" in said


def test_another_version_is_refused(offered, stored):
    with pytest.raises(duckdb.InvalidInputException, match="asks for the parsers html-0, expected html-1 markdown-1"):
        sections(offered, stored(b"Words."), "a.txt", "html-0")


def test_an_asset_type_tells_what_a_name_does_not(offered, stored):
    page = stored(b"<p>Words.</p>")

    assert [row["text"] for row in sections(offered, page, "https://help.example.com/reset")] == ["Words."]
    assert sections(offered, page, "a.bin.xyz")[0]["parser_version"] == "html-1"


def test_a_content_that_takes_too_long_is_said_to_and_the_others_are_read(offered, stored, monkeypatch):
    monkeypatch.setattr(dbt_documents, "CPU_SECONDS", 1)
    long, short = stored(b"- a\n" * 900_000), stored(b"Words.")

    found = dict(
        offered.execute(
            "select name, document_sections(fingerprint, name, 'other', ?) from (values (?, 'a.md'), (?, 'b.md')) t(fingerprint, name)",
            [PARSERS, long, short],
        ).fetchall()
    )

    assert [row["text"] for row in found["b.md"]] == ["Words."]
    (row,) = found["a.md"]
    assert row["reason"] == "timed_out" and "next: split it" in row["text"], row


def test_a_content_that_is_gone_is_an_error(offered):
    with pytest.raises(duckdb.InvalidInputException, match="is gone from the warehouse; next: omni verify"):
        sections(offered, "0" * 64, "a.txt")


def test_an_anchor_is_judged_by_the_bytes(offered, stored):
    fingerprint = stored("Wörd.".encode())

    found = [
        offered.execute(f"select {ANCHOR}", [fingerprint, *each]).fetchone()[0]
        for each in (("Wörd", 0), ("örd", 1), ("Wörd", 1), ("rd", 2))
    ]

    assert found == [[], [], [0], [0]]  # the last begins inside of a letter


NONE = {"byte_start": None, "byte_end": None, "boxes": None, "text_start": None, "text_end": None}


@pytest.mark.parametrize(
    "parts", [[], [NONE], [{**NONE, "byte_start": 0, "byte_end": 7}], [{**NONE, "byte_start": -6}]]
)
@pytest.mark.parametrize("rule", ["source-1", "pdf-text-1", "unknown", None])
def test_an_anchor_that_is_none_gives_nothing(parts, rule):
    row = {
        "ordinal": 7,
        "text": "Words.",
        "encoding": "utf-8",
        "normalisation": rule,
        "page": None,
        "parts": parts,
    }

    assert unresolved(PDF if rule == "pdf-text-1" else b"Words.", [row]) == [7]


def test_boxes_of_a_page_that_is_not_there_or_with_other_words_are_judged_with_those_of_others():
    (box,) = [(45.0, 715.0, 300.0, 745.0)]
    rows = [
        {"ordinal": n, "text": text, "encoding": None, "normalisation": "pdf-text-1", "page": page}
        | {"parts": [{"boxes": box, "text_start": None, "text_end": None}]}
        for n, (page, text) in enumerate([(1, "some words"), (2, "some words"), (1, "other words"), (0, "some words")])
    ]

    assert unresolved(PDF, rows) == [1, 2, 3]


def test_a_list_of_many_parts_is_resolved_once():
    items = [f"item {n} of a list that is long" for n in range(20_000)]
    content = ("<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>").encode()
    starts = accumulate((len(item) + 1 for item in items), initial=0)
    spans = [(start, start + len(item)) for start, item in zip(starts, items, strict=False)]
    rows = [
        {"ordinal": n, "text": item, "encoding": "utf-8", "normalisation": "html-text-1", "page": None}
        | {"parts": [{"byte_start": 0, "byte_end": len(content), "text_start": span[0], "text_end": span[1]}]}
        for n, (item, span) in enumerate(zip(items, spans, strict=True))
    ]

    assert unresolved(content, rows) == []  # anew for each, it would take an hour


def test_a_null_is_no_content_that_passes(offered, stored):
    with pytest.raises(duckdb.InvalidInputException):
        offered.execute(f"select {ANCHOR}", [None, "Words", 0]).fetchone()
    with pytest.raises(duckdb.InvalidInputException):
        sections(offered, None, "a.txt")
    assert sections(offered, stored(b"Words."), "a.txt")[0]["text"] == "Words."


def test_the_judge_is_asked_for_by_its_version(offered, stored):
    with pytest.raises(duckdb.InvalidInputException, match="asks for the judge anchors-0, expected anchors-1"):
        offered.execute(f"select {ANCHOR.replace(JUDGE, 'anchors-0')}", [stored(b"Words."), "Words", 0])
