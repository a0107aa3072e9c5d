"""Any bytes come out as a document whose anchors resolve, or as a reason."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.documents.parsing import parse
from loaders.documents.refusals import Bounds, NotParsable
from tests.unit.loaders.documents.anchors import expect_anchors, expect_no_gap
from tests.unit.loaders.documents.test_pdf import PAGES, write_pdf

PIECES = {
    "html": [
        "<p>",
        "</p>",
        "<div>",
        "</div>",
        "<ul>",
        "<li>",
        "</li>",
        "</ul>",
        "<table>",
        "<tr>",
        "<td>",
        "</table>",
        "<th hidden>",
        "<caption>",
        "<pre>",
        "</pre>",
        "\n",
        "<h1 id=x>",
        "</h1>",
        "<h2>",
        "<b>",
        "</b>",
        "<a href='>'>",
        "</a>",
        "<br>",
        "<br/>",
        "</br>",
        "<!--",
        "-->",
        "<script>",
        "</script>",
        "<style>",
        "</style>",
        "<nav>",
        "</nav>",
        "<span hidden>",
        "</span>",
        "<textarea>",
        "</textarea>",
        "<title>",
        "</title>",
        "<svg>",
        "</svg>",
        "<![CDATA[",
        "]]>",
        "<?x",
        "&amp",
        "&lt;",
        "&#0;",
        "&#1;",
        "&#xD800;",
        "&#13;",
        "&nbsp;",
        "<",
        ">",
        '"',
        "'",
        "=",
        "<blockquote>",
        "</blockquote>",
        "<select>",
        "<option>",
        "<template>",
        "</template>",
        "<head>",
        "</head>",
        "<body>",
        "</body>",
        "<html>",
        "<form>",
        "</form>",
        "<dl>",
        "<dt>",
        "<dd>",
        "<math>",
        "<mi>",
        "<noscript>",
        "</noscript>",
        "<button>",
        "<h3",
        "/>",
        "<input hidden>",
        "<xmp>",
        "<plaintext>",
        "<frameset>",
        "<ruby>",
        "<rt>",
        "<meta charset=cp1252>",
        "<summary>",
        "<header>",
        "<main>",
    ],
    "md": [
        "#",
        "##",
        "-",
        "*",
        "1.",
        ">",
        "```",
        "~~~",
        "\t",
        "    ",
        "---",
        "===",
        "[^1]:",
        "[a]:",
        "<div>",
        "</div>",
        "<!--",
        "-->",
        ":",
        "{#x}",
        "\\",
        "`",
        "\n\n",
        "  ",
    ]
    + ["|"],
    "rst": [
        "==",
        "===",
        "--",
        "**",
        "* ",
        "- ",
        "1. ",
        "(a) ",
        "#. ",
        "::",
        ".. ",
        ".. x:: ",
        ".. [1] ",
        ".. _a:",
        "__ ",
        ":a: ",
        "> ",
        ">>> ",
        "+--+",
        "== ==",
        "  ",
        "    ",
        "~~",
        "`",
        "\n\n",
        "-a  ",
    ]
    + ["|", "| "],
    "txt": [" ", "\u200b", "\f"],
    "vtt": [
        "WEBVTT",
        "00:01.000 --> 00:02.000",
        "1:00:01,000 --> 2:00:02,000",
        "NOTE",
        "STYLE",
        "<v Ana>",
        "Ana: ",
        "-",
        "1",
        "\n\n",
    ],
    "srt": ["1", "00:01.000 --> 00:02.000", "00:00:01,000 --> 00:00:02,000", "Ana: ", "-->", "\n\n"],
}
ANYWHERE = [
    "a",
    "b ",
    " ",
    "\n",
    "\r\n",
    "\r",
    "é",
    "e\u0301",
    "云",
    "🙂",
    "ש",
    "\x0b",
    "\x85",
    "\u2028",
    "\xa0",
    "\ufeff",
    "\x1b",
]
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])


def expect_either(content: bytes, name: str) -> None:
    try:
        document = parse(content, name, Bounds(size_bytes=100_000, depth=40, blocks=500, pages=5))
    except NotParsable:
        return
    expect_anchors(content, document)
    if name.endswith((".md", ".rst", ".txt")):
        expect_no_gap(content, document)


@pytest.mark.parametrize("ending", sorted(PIECES))
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_pieces_of_a_format_in_any_order(ending: str, data: st.DataObject):
    pieces = data.draw(st.lists(st.sampled_from(PIECES[ending] + ANYWHERE), min_size=1, max_size=40))
    content = "".join(pieces).encode(data.draw(ENCODINGS), "ignore")

    expect_either(content, f"x.{ending}")


@pytest.mark.parametrize("ending", [*sorted(PIECES), "jsonl", "pdf"])
@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "ignore")))
def test_any_bytes(ending: str, content: bytes):
    expect_either(content, f"x.{ending}")


RECORDS = st.fixed_dictionaries(
    {"text": st.text(max_size=20)},
    optional={"start": st.floats() | st.none(), "end": st.integers(), "speaker": st.text(max_size=3) | st.none()},
)


@settings(max_examples=200, deadline=None)
@given(
    records=st.lists(RECORDS, min_size=1, max_size=8),
    is_ascii=st.booleans(),
    ends=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_any_json_lines(records: list[dict[str, object]], is_ascii: bool, ends: str):
    content = ends.join(json.dumps(record, ensure_ascii=is_ascii) for record in records).encode("utf-8", "ignore")

    expect_either(content, "x.jsonl")


PDF = write_pdf(PAGES, [("First", 0, 770, -1)])


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, len(PDF) - 1), length=st.integers(0, 40), put=st.binary(max_size=40))
def test_a_pdf_with_other_bytes_in_it(at: int, length: int, put: bytes):
    expect_either(PDF[:at] + put + PDF[at + length :], "x.pdf")
