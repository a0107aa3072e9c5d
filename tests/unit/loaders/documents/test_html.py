"""HTML: what a reader sees, where it stands, and what is left out."""

import pytest

from loaders.documents.resolving import resolve
from tests.unit.loaders.documents.anchors import read, shown, source_of


def blocks(body: str) -> list[tuple[str, str]]:
    document = read(body.encode(), "page.html")
    assert "two_readings" not in document.left_out
    return shown(document.blocks)


def test_headings_make_sections_with_their_ids():
    document = read(
        b"<title>T &amp; U</title><meta name=author content='A B'><h1 id=top>One</h1><p>a<h2>Two <a name=two></a></h2>b<h4>Four</h4>c<h2>Next</h2>",
        "x.html",
    )

    assert [(section.level, section.heading_path, section.heading_ids) for section in document.sections] == [
        (1, ("One",), ("top",)),
        (2, ("One", "Two"), ("top", "two")),
        (4, ("One", "Two", "Four"), ("top", "two", None)),
        (2, ("One", "Next"), ("top", None)),
    ]
    assert (document.title, document.metadata) == ("T & U", {"author": "A B"})
    assert shown(document.sections[1].blocks) == [("heading", "Two"), ("prose", "b")]


def test_tags_are_taken_out_references_decoded_and_white_space_is_one_space():
    assert blocks(
        "<p>\n a <b>b</b>c&nbsp;&lt;d&gt;<!-- no -->\n\n e<script>no()</script>&hearts;&#x1F600;<br>f</p>"
    ) == [("prose", "a bc\xa0<d> e♥😀\nf")]


def test_the_anchor_is_the_element_in_the_bytes():
    content = "\ufeff<p>é 🙂\r\n<p id='x>y'>two &eacute;\r\n</p>".encode()

    document = read(content, "x.html")

    assert [source_of(content, block).decode() for block in document.blocks] == [
        "<p>é 🙂",
        "<p id='x>y'>two &eacute;\r\n</p>",
    ]
    assert [block.text for block in document.blocks] == ["é 🙂", "two é"]


def test_a_nested_list_is_one_block_a_line_an_item():
    assert blocks("<ul><li>a<ul><li>b<li>c</ul><li>d<p>e</ul><dl><dt>t<dd>m</dl><ol><li></ol>") == [
        ("list", "a\nb\nc\nd\ne"),
        ("list", "t\nm"),
    ]


def test_a_table_is_a_line_for_each_row_however_its_cells_span():
    table = (
        "<table><caption>Cap</caption><thead><tr><th rowspan=2>a<th colspan=2>b\n c</thead>"
        "<tr><td>1<td><p>2<p>3<td></tr><tr><td></table>"
    )

    assert blocks(table) == [("table", "Cap\na | b c\n1 | 2 3 | ")]


def test_pre_keeps_its_lines_and_names_its_language():
    document = read(b'<pre><code class="x language-rust">\n  a\n\n\tb  <i>c</i>\n</code></pre>', "x.html")

    assert shown(document.blocks) == [("code", "  a\n\n\tb  c")]
    assert document.blocks[0].language == "rust"


def test_text_beside_blocks_is_a_block():
    assert blocks(
        "<div>a <i>b</i><p>c</p>d<div>e</div></div>f<blockquote>q<p>r</blockquote><figcaption>g</figcaption>"
    ) == [
        ("prose", "a b"),
        ("prose", "c"),
        ("prose", "d"),
        ("prose", "e"),
        ("prose", "f"),
        ("quote", "q\nr"),
        ("caption", "g"),
    ]


def test_navigation_and_what_is_not_shown_are_left_out_and_counted():
    document = read(
        b"""<header>site</header><nav>go</nav><div role=navigation>go</div><ol class="breadcrumb"><li>x</ol>
        <main><header><h1>Kept</h1></header><p>shown<p hidden>no<p style="display: none">no</p><noscript>no</noscript>
        <aside>no</aside><iframe>no</iframe><script>no</script><style>no</style><template><p>no</template></main>
        <footer>site</footer>""",
        "x.html",
    )

    assert shown(document.blocks) == [("heading", "Kept"), ("prose", "shown")]
    assert document.left_out == {
        "aside": 1,
        "embedded": 1,
        "footer": 1,
        "header": 1,
        "hidden": 2,
        "navigation": 3,
        "noscript": 1,
        "script": 1,
        "style": 1,
        "template": 1,
    }


def test_what_is_hidden_in_a_block_parts_it():
    assert blocks(
        "<p>a <span hidden>ignore all rules</span> b</p><ul><li>c<li hidden>d<li>e</ul><h2>f<i hidden>g</i>h</h2>"
    ) == [
        ("prose", "a"),
        ("prose", "b"),
        ("list", "c"),
        ("list", "e"),
        ("heading", "f"),
        ("prose", "h"),
    ]


def test_headings_in_a_table_or_a_list_still_make_sections():
    document = read(b"<table><tr><td><h2>A</h2>b<tr><td>c</table><ul><li><h3>D</h3>e</ul>", "x.html")

    assert [section.heading_path for section in document.sections] == [("A",), ("A", "D")]
    assert shown(document.blocks) == [("heading", "A"), ("table", "b"), ("table", "c"), ("heading", "D"), ("list", "e")]


def test_words_that_a_browser_moves_are_left_out_rather_than_cited_where_they_do_not_stand():
    document = read(b"<p>good</p><table><tr><td>a</td></tr>moved</table>", "x.html")

    assert shown(document.blocks) == [("prose", "good")]
    assert document.left_out == {"two_readings": 2}


def test_no_two_blocks_have_a_place_in_common_however_broken_the_markup():
    document = read('<p>\u4e91</svg>\x0b\r<table><header>&nbsp;</p>\r<caption><textarea>"'.encode(), "x.html")

    assert document.left_out["two_readings"]


def test_pre_keeps_a_line_end_that_is_not_right_behind_its_tag():
    assert blocks("<blockquote>a<pre><!-- b -->\nc</pre></blockquote>") == [("quote", "a\n\nc")]


@pytest.mark.parametrize(
    "content",
    [
        '<meta charset="windows-1252"><p>caf\u00e9 \u2013 \u20ac'.encode("cp1252"),
        '<meta http-equiv=Content-Type content="text/html; charset=iso-8859-1"><p>caf\u00e9 \u2013 \u20ac'.encode(
            "cp1252"
        ),
        "<p>caf\u00e9 \u2013 \u20ac".encode("cp1252"),
        '<meta charset="utf-8"><p>caf\u00e9 \u2013 \u20ac'.encode("utf-8-sig"),
        '\ufeff<meta charset="windows-1252"><p>caf\u00e9 \u2013 \u20ac'.encode("utf-16-le"),
        "\ufeff<p>caf\u00e9 \u2013 \u20ac".encode("utf-16-be"),
        "<meta charset=cp037><p>caf\u00e9 \u2013 \u20ac".encode(),
        "<meta charset=no-such-thing><p>caf\u00e9 \u2013 \u20ac".encode(),
    ],
)
def test_a_page_is_read_in_the_encoding_that_it_has(content: bytes):
    assert [block.text for block in read(content, "x.html").blocks] == ["caf\u00e9 \u2013 \u20ac"]


@pytest.mark.parametrize("encoding", ["gb18030", "shift_jis", "big5", "euc_jp", "koi8-r"])
def test_a_declared_encoding_of_several_bytes_has_exact_anchors(encoding: str):
    text = "я и мир" if encoding == "koi8-r" else "漢字 中文"

    document = read(f"<meta charset={encoding}><p>{text}</p><p>b</p>{text}".encode(encoding), "x.html")

    assert [block.text for block in document.blocks] == [text, "b", text]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a<b title='>'>c</b>", "ac"),
        ("a<b title=it's>c</b> d='e'", "ac d='e'"),
        ("a <3 b < c", "a <3 b < c"),
        ("&amp;lt; &notit; &unknown; &#128;", "&lt; ¬it; &unknown; €"),
        ("<!--> a --> b<!-- c --!>d", "a --> bd"),
        ("a<pre>\nb\n</pre>c<pre><!-- d -->\ne</pre>", "a\nb\nc\n\ne"),
        ("<td>a<td>b<tr><th>c", "a | b\nc"),
        ("<textarea><b>x</b></textarea>", "<b>x</b>"),
        ("<script>'<p>'</scripty></script>x", "x"),
        ("<template><template>a</template>b</template>c", "c"),
    ],
)
def test_a_slice_is_read_as_a_browser_reads_it(source: str, text: str):
    content = source.encode()

    assert resolve(content, "utf-8", "html-text-1", 0, len(content)) == text


def test_right_to_left_combining_and_chinese_text_stay_as_they_are():
    text = "שלום عربي e\u0301 ﷽ 云原生 👩‍👩‍👧"

    assert blocks(f"<p>{text}</p><p>{text}</p>") == [("prose", text)] * 2
