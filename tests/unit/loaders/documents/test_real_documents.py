"""Real documents: every anchor resolves, and headings and words are those that an independent reading finds.

The data do not ship (`manifests/examples/README.md` says where they come from); without them these tests are skipped.
"""

import io
import re
import tarfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from docutils import frontend, nodes, utils
from docutils.parsers.rst import Parser

from lakehouse.settings import PROJECT_ROOT
from loaders.documents.parsing import parse
from loaders.documents.refusals import NotParsable
from loaders.documents.resolving import holds_line, resolve_boxes
from loaders.documents.sections import ParsedDocument
from tests.unit.loaders.documents.anchors import expect_anchors

DATA = PROJECT_ROOT.parent / "shared" / "data"
ARCHIVES = (
    "documents/aria-practices-2026-06-25",
    "documents/glossary-2024-01-01",
    "documents/glossary-2026-08-01",
    "documents/pdf-samples",
    "pep_snapshots/2022-06-01",
    "pep_snapshots/2026-06-01",
)
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA}")


def members(archive: str, ending: str = "") -> Iterator[tuple[str, bytes]]:
    with tarfile.open(DATA / f"{archive}.tar.gz") as opened:
        for member in opened:
            content = opened.extractfile(member)
            if content and member.name.endswith(ending):
                yield member.name, content.read()


def headings(document: ParsedDocument) -> list[tuple[int, str]]:
    return [(section.level, section.heading_path[-1]) for section in document.sections if section.level]


@pytest.mark.parametrize("archive", ARCHIVES)
def test_every_anchor_of_every_document_resolves(archive: str):
    refused = {}
    for name, content in members(archive):
        try:
            document = parse(content, name)
        except NotParsable as refusal:
            refused[Path(name).name] = refusal.reason
            continue
        expect_anchors(content, document)
        assert "two_readings" not in document.left_out, name

    refused = {name: reason for name, reason in refused.items() if name not in ("LICENSE", "search.md")}
    scans = ("imagemagick-ASCII85Decode", "imagemagick-CCITTFaxDecode", "imagemagick-lzw", "grayscale-image")
    expected = {f"{name}.pdf": "no_text_layer" for name in scans} | {"libreoffice-writer-password.pdf": "encrypted"}
    assert refused == (expected if archive == "documents/pdf-samples" else {})


@pytest.mark.parametrize("archive", ["pep_snapshots/2022-06-01", "pep_snapshots/2026-06-01"])
def test_headings_of_peps_are_those_of_docutils(archive: str):
    for name, content in members(archive, ".rst"):
        assert headings(parse(content, name)) == docutils_headings(content.decode()), name


def docutils_headings(text: str) -> list[tuple[int, str]]:
    options = frontend.get_default_settings(Parser)
    options.report_level, options.halt_level = 5, 6
    options.file_insertion_enabled = options.raw_enabled = False
    options.warning_stream = io.StringIO()
    document = utils.new_document("pep", options)
    Parser(rfc2822=True).parse(text, document)
    lines = text.splitlines()
    found = []
    for title in document.findall(nodes.title):
        level, at = 0, title.parent
        while isinstance(at, nodes.section):
            level, at = level + 1, at.parent
        if level:
            found.append((level, " ".join(title.rawsource.split())))
    assert all(any(heading == " ".join(line.split()) for line in lines) for _, heading in found)
    return found


@pytest.mark.parametrize("archive", ["documents/glossary-2024-01-01", "documents/glossary-2026-08-01"])
def test_headings_of_the_glossary_are_its_lines_of_number_signs(archive: str):
    for name, content in members(archive, ".md"):
        text = re.sub(r"\A---\n.*?^---$", "", content.decode().replace("\r\n", "\n"), flags=re.DOTALL | re.MULTILINE)
        text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
        found = re.findall(r"^(#{1,6})[ \t]+(.*?)[ \t]*$", text, flags=re.MULTILINE)
        if text.strip():
            expected = [(len(marks), " ".join(re.sub(r"\s*\{#.*\}$", "", said).split())) for marks, said in found]
            assert headings(parse(content, name)) == expected, name


class PageReader(HTMLParser):
    """Reads a page whose tags are balanced, as the standard library tells them."""

    VOID = frozenset(
        ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
    )
    SKIPPED = frozenset(["head", "title", "nav", "aside", "script", "style", "noscript", "template", "iframe"])

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, bool]] = []
        self.words: list[str] = []
        self.headings: list[tuple[int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.VOID:
            return
        said = dict(attrs)
        within = {name for name, _ in self.open}
        is_page_part = tag in ("header", "footer") and not within & {"article", "aside", "main", "nav", "section"}
        is_skipped = (
            tag in self.SKIPPED
            or is_page_part
            or "hidden" in said
            or said.get("role") in ("banner", "complementary", "contentinfo", "navigation", "search")
            or "breadcrumb" in f"{said.get('class')} {said.get('aria-label')}".lower()
            or bool(re.search(r"display:\s*none|visibility:\s*hidden", said.get("style") or ""))
        )
        self.open.append((tag, is_skipped or any(skipped for _, skipped in self.open[-1:])))
        if re.fullmatch("h[1-6]", tag) and not self.open[-1][1]:
            self.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag: str) -> None:
        names = [name for name, _ in self.open]
        if tag in names:
            del self.open[len(names) - 1 - names[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        if not any(skipped for _, skipped in self.open[-1:]):
            self.words += data.split()
            if any(re.fullmatch("h[1-6]", name) for name, _ in self.open):
                level, said = self.headings[-1]
                self.headings[-1] = level, said + data


def test_headings_and_words_of_pages_are_those_of_the_standard_library():
    for name, content in members("documents/aria-practices-2026-06-25", ".html"):
        reader = PageReader()
        reader.feed(content.decode())
        reader.close()
        document = parse(content, name)
        words = "".join("".join(block.text.split()) for block in document.blocks)

        assert headings(document) == [(level, " ".join(said.split())) for level, said in reader.headings], name
        assert words.replace("|", "") == "".join(reader.words).replace("|", ""), name


def test_boxes_of_pdfs_hold_the_words_of_their_lines():
    lines = 0
    for name, content in members("documents/pdf-samples", ".pdf"):
        try:
            blocks = parse(content, name).blocks
        except NotParsable:
            continue
        found = resolve_boxes(content, [(block.page or 0, block.boxes) for block in blocks])
        for block, texts in zip(blocks, found, strict=True):
            shown = block.text.split("\n")
            lines += len(shown)
            assert all(map(holds_line, texts, shown)), (name, texts, shown)
    assert lines > 600
