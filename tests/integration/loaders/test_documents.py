"""Documents in Bronze: the mass-delete guard, repeated documents, titles and pages, bytes stored once and untouched."""

import gzip
import hashlib
import io
import json
import os

import pytest
from pypdf import PdfWriter

from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.catalog import open_catalog
from loaders.ingest import ingest
from loaders.snapshots.formats import Description, describe
from orchestration.readiness.readiness import open_readiness
from orchestration.readiness.verdicts import Status
from tests.conftest import DOC_ASSETS, document_manifest, source
from tests.dbt_shell import build
from tests.integration.loaders.test_bronze import rows

FIRST, SECOND, THIRD = "2026-04-01", "2026-04-08", "2026-04-15"


@pytest.fixture
def listed(settings, declare):
    """Declare a listing of the documents with these numbers on a day; `gone` are tombstones."""

    def declare_listing(day, numbers, number=1, gone=(), **fields):
        (settings.manifests / "docs").mkdir(exist_ok=True)
        for n in numbers:
            (settings.manifests / "docs" / f"{n}.txt").write_text(f"text {n}")
        assets = [source(f"d{n:02}", f"docs/{n}.txt", "other") for n in numbers]
        assets += [source(f"d{n:02}", "gone", "other", deleted=True) for n in gone]
        return declare(document_manifest(day, assets, number, **fields))

    return declare_listing


def guard(settings, day):
    """The current result of the mass-delete check on a day."""
    ledger = open_ledger(settings)
    item = ledger.current_materializations([DOC_ASSETS])[DOC_ASSETS, day]
    (result,) = [c for c in ledger.current_checks([item.id])[item.id] if c.check == "mass_delete"]
    return result


def verdicts(settings, day):
    readiness = open_readiness(settings)
    chain = (DOC_ASSETS, "int_doc_assets__listed", "doc_change_feed")
    return [readiness.verdict(asset, day).status for asset in chain]


def test_a_replace_listing_may_drop_as_many_documents_as_the_limit_says(settings, listed):
    listed(FIRST, range(10))
    listed(SECOND, range(7))

    assert ingest(settings).is_complete
    assert guard(settings, FIRST).message == "help_center: lacks 0 of the 0 documents listed before"
    assert guard(settings, SECOND).message == "help_center: lacks 3 of the 10 documents listed before"


def test_a_listing_that_drops_more_fails_and_names_limit_documents_and_the_next_step(settings, listed):
    listed(FIRST, range(20))
    listed(SECOND, range(6))

    report = ingest(settings)

    assert not report.is_complete
    assert guard(settings, FIRST).passed
    found = guard(settings, SECOND)
    assert (found.passed, found.severity, found.failures) == (False, "error", 14)
    assert found.message == (
        "help_center: lacks 14 of the 20 documents listed before (70.0%), max_deleted_ratio of "
        "manifest-docs-20260408-001 is 0.3: d06, d07, d08, d09, d10, d11, d12, d13, d14, d15 and 4 more would go; "
        "next: list them again (a source that admission holds back is not listed), or, if they are to go, raise "
        "max_deleted_ratio in a new version of manifest-docs-20260408-001"
    )


def test_a_failed_guard_blocks_downstream_until_the_limit_is_raised(settings, listed):
    listed(FIRST, range(10))
    listed(SECOND, range(5))
    ingest(settings)
    refused = build(settings, "--select", "+doc_change_feed")
    assert refused.returncode != 0 and f"raw_doc_assets {SECOND} is FAILED" in refused.stdout
    assert build(settings, "--select", "+doc_change_feed", window=(FIRST, SECOND)).returncode == 0

    assert verdicts(settings, SECOND) == [Status.FAILED, Status.MISSING, Status.MISSING]
    assert verdicts(settings, FIRST) == [Status.READY, Status.READY, Status.READY]
    listed(SECOND, range(5), max_deleted_ratio=0.5)
    assert [m.partition for m in ingest(settings).load_of(DOC_ASSETS).loaded] == [SECOND]
    assert build(settings, "--select", "+doc_change_feed").returncode == 0
    assert verdicts(settings, SECOND) == [Status.READY, Status.READY, Status.READY]


def test_a_restored_listing_heals_too(settings, listed):
    listed(FIRST, range(10))
    listed(SECOND, range(5))
    ingest(settings)
    listed(SECOND, range(10))

    assert ingest(settings).is_complete
    assert guard(settings, SECOND).passed


def test_merge_listings_and_tombstones_do_not_trigger(settings, listed):
    listed(FIRST, range(10))
    listed(SECOND, [0], gone=range(1, 9), disposition="merge")
    listed(THIRD, [0], gone=[9])

    assert ingest(settings).is_complete
    assert guard(settings, SECOND).message == "no collection is listed whole"
    assert guard(settings, THIRD).message == "help_center: lacks 0 of the 2 documents listed before"


def test_what_was_there_before_is_the_last_whole_listing_with_later_merges(settings, listed):
    listed("2026-03-01", range(20, 40))
    listed(FIRST, range(10), max_deleted_ratio=1)
    listed(SECOND, [10, 11], gone=[0], disposition="merge")
    listed(THIRD, [1])

    ingest(settings)

    assert guard(settings, THIRD).message.startswith("help_center: lacks 10 of the 11 documents listed before (90.9%)")


def test_collections_are_judged_apart_and_the_failing_one_is_named_first(settings, listed):
    listed(FIRST, range(10), 1, collection="a")
    listed(FIRST, range(10), 2, collection="b")
    listed(SECOND, range(10), 1, collection="a")
    listed(SECOND, range(5), 2, collection="b", max_deleted_ratio=0.4)

    ingest(settings)

    found = guard(settings, SECOND)
    assert not found.passed
    assert found.message.startswith("b: lacks 5 of the 10") and found.message.endswith(
        "a: lacks 0 of the 10 documents listed before"
    )
    assert "is 0.4" in found.message


def test_of_two_whole_listings_on_one_day_the_last_counts_with_its_limit(settings, listed):
    listed(FIRST, range(10))
    listed(SECOND, range(10), 1, created_at=f"{SECOND}T06:00:00Z")
    listed(SECOND, range(2), 2, created_at=f"{SECOND}T07:00:00Z", max_deleted_ratio=0.8)
    listed(SECOND, range(2), 3, created_at=f"{SECOND}T08:00:00Z", disposition="merge")

    assert ingest(settings).is_complete
    assert guard(settings, SECOND).message == "help_center: lacks 8 of the 10 documents listed before"
    assert set(rows(settings, DOC_ASSETS, "disposition", f"snapshot_date = '{SECOND}'")) == {("replace",)}


def test_an_old_day_is_judged_by_the_days_before_it_whatever_was_loaded_later(settings, listed):
    listed(SECOND, range(5))
    listed(THIRD, range(20))
    ingest(settings)
    listed(FIRST, range(10))
    ingest(settings)
    was_judged_then = guard(settings, SECOND).passed

    ingest(settings, window=Window.of_keys(SECOND, SECOND))

    assert was_judged_then
    assert guard(settings, SECOND).message.startswith("help_center: lacks 5 of the 10 documents")


def test_a_document_twice_in_one_manifest_refuses_its_day_and_names_both_places(settings, declare):
    for folder in ("a/b", "c"):
        (settings.manifests / folder).mkdir(parents=True)
    (settings.manifests / "a" / "b" / "x.md").write_text("one")
    declare(document_manifest(FIRST, [source("help", "a", "other")]))
    ingest(settings)
    (settings.manifests / "c" / "x.md").write_text("two")
    twice = [source("help", "a/*/x.md", "other"), source("help/b", "c/*.md", "other")]
    declare(document_manifest(FIRST, twice))

    report = ingest(settings)

    why = report.load_of(DOC_ASSETS).refused[FIRST]
    assert "document help/b/x.md of help_center stands twice" in why
    assert "a/b/x.md (source help) and c/x.md (source help/b); next:" in why
    assert rows(settings, DOC_ASSETS, "doc_id") == [("help/b/x.md",)]
    assert len([p for p in (settings.home / "warehouse" / "objects").rglob("*") if p.is_file()]) == 1


def test_a_document_of_two_manifests_is_the_later_ones(settings, declare, listed):
    listed(FIRST, [1], 1)
    (settings.manifests / "other.txt").write_text("corrected")
    declare(document_manifest(FIRST, [source("d01", "other.txt", "other")], 2, disposition="merge"))

    (item,) = ingest(settings).load_of(DOC_ASSETS).loaded

    assert (item.rows.loaded, item.rows.deduplicated) == (1, 1)
    assert rows(settings, DOC_ASSETS, "source_file") == [("other.txt",)]


@pytest.mark.parametrize("declared", ["docs", "docs/", "docs/*/*.md", "docs/**/*.md", "do[c]s/*/*.md"])
def test_files_of_one_name_in_several_folders_are_several_documents(settings, declare, declared):
    for folder in ("api", "web"):
        (settings.manifests / "docs" / folder).mkdir(parents=True)
        (settings.manifests / "docs" / folder / "index.md").write_text(folder)
    declare(document_manifest(FIRST, [source("help", declared, "other")]))

    assert ingest(settings).is_complete
    below = "docs/" if "[" in declared else ""
    expected = [(f"help/{below}api/index.md",), (f"help/{below}web/index.md",)]
    assert rows(settings, DOC_ASSETS, "doc_id") == expected


def pdf(title=None, pages=3):
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    if title:
        writer.add_metadata({"/Title": title})
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def described(content, name, asset_type="other"):
    content = content.encode() if isinstance(content, str) else content
    return describe(lambda size: content[:size], asset_type, name)


@pytest.mark.parametrize(
    ("name", "content", "title"),
    [
        ("a.html", "<html><head><!-- <title>no</title> --><TITLE lang=en>\n A &amp;  B </TITLE></head>", "A & B"),
        ("a.html", "<script>'<title>no</title>'</script><title>yes</title>", "yes"),
        ("a.html", "<body><svg><title>a drawing</title></svg>", None),
        ("a.html", "<title>never closed", None),
        ("a.html", "<title></title>", None),
        ("a.HTM", "<title>" + "x" * 9000 + "</title>", "x" * 500),
        ("a.html", "<meta charset='gb2312'><title>手册</title>".encode("gb2312"), "手册"),
        ("a.html", "<title>Café</title>".encode("latin-1"), "Café"),
        ("a.html", b"<meta charset=no-such><title>\xe9</title>", None),
        ("a.md", "\ufeff# First ##\n\n# Second\n", "First"),
        ("a.md", "intro\n\n## Deeper\n", "Deeper"),
        ("a.md", "```\n# a comment\n```\n    # code\n\nTitle\n=====\n", "Title"),
        ("a.md", "text\n\n---\n\nmore\n", None),
        ("a.md", '---\ntags: [a]\ntitle: "From: the front"\n---\n# Heading\n', "From: the front"),
        ("a.md", "---\ntags: {{ broken\n---\n# Heading\n", "Heading"),
        ("a.rst", ".. comment\n\n=======\n Title\n=======\n\nNext\n----\n", "Title"),
        ("a.rst", ".. _label:\n\nOnly underlined\n^^^^^^^^^^^^^^^\n", "Only underlined"),
        ("a.rst", "PEP: 8\nTitle: Style Guide\nStatus: Active\n\nAbstract\n========\n", "Style Guide"),
        ("a.rst", "text\n\n----------\n\nmore\n", None),
        ("a.txt", "# not a heading\n", None),
        ("a.png", b"\x89PNG", None),
    ],
)
def test_a_title_is_read_from_the_format(name, content, title):
    assert described(content, name).title == title


def test_the_kind_of_a_file_without_a_known_ending_is_its_asset_type():
    assert described("<title>T</title>", "download", "html").title == "T"
    assert described(pdf("T", 1), "download", "pdf") == Description("T", 1)


def test_a_text_format_is_read_in_part_and_a_cut_character_does_no_harm():
    asked = []

    def read(size):
        asked.append(size)
        return ("# Title\n" + "é" * 100_000).encode()[: size + 1]

    assert describe(read, "other", "a.md").title == "Title"
    assert asked == [65536]


def test_a_pdf_gives_its_pages_and_its_title():
    assert described(pdf("The manual"), "a.pdf") == Description("The manual", 3)
    assert described(pdf(), "a.pdf") == Description(None, 3)


@pytest.mark.parametrize("content", [b"%PDF-1.7\nbroken", b"no pdf at all", pdf("T")[:200], pdf("T")[200:]])
def test_a_broken_pdf_says_nothing(content):
    assert described(content, "a.pdf") == Description()


def test_a_declared_title_wins_then_the_documents_own_then_the_files_name(settings, declare):
    files = {"a.md": b"# Own", "b.md": b"# Own", "c.md": b"none", "d.pdf": pdf("Own"), "e.pdf": b"broken", "f.md": b""}
    for name, content in files.items():
        (settings.manifests / name).write_bytes(content)
    assets = [source(name[0], name, "other") for name in files]
    assets[0]["title"] = assets[4]["title"] = "Declared"
    declare(document_manifest(FIRST, assets))

    assert ingest(settings).is_complete
    found = rows(settings, DOC_ASSETS, "doc_id, title, page_count, source_fingerprint, raw_object_path")
    assert [row[:3] for row in found] == [
        ("a", "Declared", None),
        ("b", "Own", None),
        ("c", "c.md", None),
        ("d", "Own", 3),
        ("e", "Declared", None),
        ("f", "f.md", None),
    ]
    for (_, _, _, sha256, path), content in zip(found, files.values(), strict=True):
        assert (settings.home / "warehouse" / path).read_bytes() == content
        assert sha256 == hashlib.sha256(content).hexdigest()


def test_objects_are_written_once(settings, listed):
    listed(FIRST, range(3))
    ingest(settings)
    objects = [p for p in (settings.home / "warehouse" / "objects").rglob("*") if p.is_file()]
    before = {path: path.stat().st_mtime_ns for path in objects}
    listed(SECOND, range(3))

    ingest(settings)
    ingest(settings, window=Window.of_keys(FIRST, FIRST))

    after = [p for p in (settings.home / "warehouse" / "objects").rglob("*") if p.is_file()]
    assert {path: path.stat().st_mtime_ns for path in after} == before and len(before) == 3


def test_a_table_of_an_earlier_contract_gets_the_new_column(settings, listed):
    contract = json.loads((PROJECT_ROOT / "manifests" / "contracts" / "doc_asset.json").read_text())
    earlier = {**contract, "fields": [f for f in contract["fields"] if f["name"] != "page_count"]}
    own = settings.manifests / "contracts" / "doc_asset.json"
    own.parent.mkdir()
    own.write_text(json.dumps(earlier))
    listed(FIRST, [1])
    ingest(settings)
    columns = open_catalog(settings).load_table(f"bronze.{DOC_ASSETS}").schema().column_names
    own.unlink()

    report = ingest(settings)

    assert "page_count" not in columns
    assert [m.partition for m in report.load_of(DOC_ASSETS).loaded] == [FIRST]
    assert rows(settings, DOC_ASSETS, "doc_id, page_count") == [("d01", None)]


def store(settings):
    """The objects of the store by their SHA-256."""
    return {p.name: p for p in (settings.home / "warehouse" / "objects").rglob("*") if p.is_file()}


@pytest.fixture
def page(settings):
    """Write `page.html` with a title of three characters, always of the same size and the same time."""

    def write(title):
        path = settings.manifests / "page.html"
        path.write_text(f"<title>{title}</title>")
        os.utime(path, ns=(10**18, 10**18))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return write


@pytest.mark.usefixtures("coarse_stamps")
def test_a_document_that_changed_in_place_with_its_size_and_time_kept_is_seen_by_the_next_snapshot(
    settings, declare, page
):
    first = page("one")
    declare(document_manifest(FIRST, [source("d", "page.html", "html")]))
    ingest(settings)
    second = page("two")
    declare(document_manifest(SECOND, [source("d", "page.html", "html")]))

    assert ingest(settings).is_complete
    found = rows(settings, DOC_ASSETS, "snapshot_date::varchar, source_fingerprint, title")
    assert found == [(FIRST, first, "one"), (SECOND, second, "two")]
    assert store(settings).keys() == {first, second}


@pytest.mark.usefixtures("coarse_stamps")
def test_bytes_that_are_no_longer_the_recorded_ones_are_never_stored_for_them(settings, declare, page):
    first = page("one")
    declare(document_manifest(FIRST, [source("d", "page.html", "html")]))
    ingest(settings)
    store(settings)[first].unlink()
    page("two")

    report = ingest(settings, window=Window.of_keys(FIRST, FIRST))

    assert "changed while it was being loaded" in report.load_of(DOC_ASSETS).refused[FIRST]
    assert rows(settings, DOC_ASSETS, "source_fingerprint, title") == [(first, "one")]
    assert not store(settings)


@pytest.mark.parametrize("again", ["in the next snapshot", "by loading the day again"])
def test_an_object_that_is_gone_is_stored_again(settings, declare, page, again):
    sha256 = page("one")
    declare(document_manifest(FIRST, [source("d", "page.html", "html")]))
    ingest(settings)
    store(settings)[sha256].unlink()
    if again == "in the next snapshot":
        declare(document_manifest(SECOND, [source("d", "page.html", "html")]))

    assert ingest(settings, window=None if "next" in again else Window.of_keys(FIRST, FIRST)).is_complete
    assert store(settings)[sha256].read_text() == "<title>one</title>"
    assert set(rows(settings, DOC_ASSETS, "source_fingerprint, title")) == {(sha256, "one")}


def test_a_checksum_that_is_declared_wrongly_refuses_a_snapshot_whose_bytes_are_in_the_store(settings, declare, page):
    page("one")
    declare(document_manifest(FIRST, [source("d", "page.html", "html")]))
    ingest(settings)
    declare(document_manifest(SECOND, [source("d", "page.html", "html", checksum_sha256="0" * 64)]))

    report = ingest(settings)

    assert "the manifest declares " + "0" * 64 in report.load_of(DOC_ASSETS).refused[SECOND]
    assert rows(settings, DOC_ASSETS, "snapshot_date::varchar, title") == [(FIRST, "one")]


def test_the_same_bytes_under_another_id_are_one_object_and_described_as_what_they_are_declared_to_be(
    settings, declare, page
):
    sha256 = page("one")
    (settings.manifests / "copy.txt").write_bytes((settings.manifests / "page.html").read_bytes())
    declare(document_manifest(FIRST, [source("d", "page.html", "html")]))
    ingest(settings)
    named = source("f", "page.html", "html", title="Named")
    declare(
        document_manifest(
            SECOND, [source("e", "page.html", "html"), source("g", "copy.txt", "html"), named], disposition="merge"
        )
    )

    assert ingest(settings).is_complete
    found = rows(settings, DOC_ASSETS, "doc_id, title, source_fingerprint")
    assert found == [("d", "one", sha256), ("e", "one", sha256), ("f", "Named", sha256), ("g", "copy.txt", sha256)]
    assert store(settings).keys() == {sha256}


def test_a_document_says_the_same_when_its_source_is_read_as_when_its_object_is(settings, declare):
    files = {
        "a.html": b"<title>A</title>",
        "b.html": ("<title>BB</title>" + "é" * 40_000).encode(),  # its head ends within a character
        "c.html": b"<!-- " + b"x" * 70_000 + b" --><title>behind the head</title>",
        "d.pdf": pdf("D", 2),
        "e.md": b"",
        "f.html.gz": gzip.compress(b"<title>packed</title>"),
        "g": b"<title>G</title>",
    }
    for name, content in files.items():
        (settings.manifests / name).write_bytes(content)
    declare(document_manifest(FIRST, [source(name, name, "html") for name in files]))
    ingest(settings)
    read_from_source = rows(settings, DOC_ASSETS, "doc_id, title, page_count, size_bytes")

    assert ingest(settings, window=Window.of_keys(FIRST, FIRST)).is_complete
    assert rows(settings, DOC_ASSETS, "doc_id, title, page_count, size_bytes") == read_from_source
    assert [row[1] for row in read_from_source] == ["A", "BB", "c.html", "D", "e.md", "f.html.gz", "G"]
