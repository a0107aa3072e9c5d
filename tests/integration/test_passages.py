"""Documents to passages, built by dbt: in any order of days as from scratch, judged against the bytes, and cited back."""

import json
from collections import Counter

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest, find_table
from lakehouse.tables.objects import object_path
from loaders.ingest import ingest
from orchestration.cli.main import app
from orchestration.readiness.readiness import open_readiness
from tests.conftest import document_manifest, made_once, source
from tests.dbt_shell import build, dbt
from tests.unit.loaders.documents.test_pdf import write_pdf

FIRST, SECOND, THIRD = "2026-04-01", "2026-04-08", "2026-04-15"
TABLES = ("doc_sections", "int_doc_passages__cut", "knowledge_section", "knowledge_passage", "passage_change_feed")
PROSE = "\r\n\r\n".join(f"Paragraph {n} of the guide says this. It is – so to say – clear." for n in range(60))
GUIDE = f"\ufeff---\r\ntitle: Guide\r\n---\r\n# Guide\r\n\r\n{PROSE}\r\n"
CHINESE = "# 指南\n\n" + "首先打开设置。然后保存更改！最后重新启动。" * 40
CALL = "WEBVTT\n\n00:01.000 --> 00:03.500\nAda: Is the gateway up?\n\n00:04.000 --> 00:06.000\nBo: It is.\n"
PDF = write_pdf([[(50, 750, 14, "The gateway restarts"), (50, 730, 14, "when its light is red.")]])
SCANNED = write_pdf([[]])
DAYS = {
    FIRST: {
        "guide.md": (GUIDE.encode(), {}),
        "zh.md": (CHINESE.encode(), {}),
        "page.html": (
            b"<html><body><nav>Home</nav><h1>Page</h1><p>Caf&eacute; <b>opens</b> at&nbsp;8.</p></body></html>",
            {},
        ),
        "call.vtt": (CALL.encode(), {}),
        "old.txt": (b"The same words under two names.", {}),
        "held.txt": (b"Words that nobody has cleared.", {"pii_scan_status": "not_run"}),
        "scanned.pdf": (SCANNED, {}),
        **{f"filler{n}.txt": (f"Filler number {n}.".encode(), {}) for n in range(9)},
    },
    SECOND: {
        "guide.md": (GUIDE.replace("Paragraph 30 of the guide says", "Paragraph 30 of the book says").encode(), {}),
        "manual.pdf": (PDF, {}),
        "new.txt": (b"The same words under two names.", {}),
    },
    THIRD: {
        "page.html": (b"<html><body><h1>Page</h1><p>Closed.</p></body></html>", {}),
        "zh.md": (CHINESE.encode(), {"pii_scan_status": "not_run"}),
    },
}
GONE = {SECOND: ["old.txt"], THIRD: ["call.vtt"]}


def declare_day(settings, day, files=None):
    """Write the files of a day and its manifest."""
    assets = []
    for name, (content, fields) in (DAYS[day] if files is None else files).items():
        path = settings.manifests / day / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        assets.append(source(name, f"{day}/{name}", "pdf" if name.endswith("pdf") else "other", **fields))
    assets += [source(name, "gone", "other", deleted=True) for name in GONE.get(day, ()) if files is None]
    policy = {"gate_policy": {"on_pii_gap": "warn"}}
    manifest = document_manifest(day, assets, disposition="merge", **policy)
    (settings.manifests / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest), "utf-8")


def rows(settings, asset):
    return find_table(open_catalog(settings), asset).scan().to_arrow().to_pylist()


def status(settings, asset, partition=""):
    return str(open_readiness(settings).verdict(asset, partition).status)


@pytest.fixture(scope="module")
def lake(shared, parsed_project):
    """Three days of documents in every format, loaded and built in their order. Tests only read it."""
    from lakehouse.settings import LakehouseSettings

    settings = LakehouseSettings(home=shared / "passages" / "the home", manifests=shared / "passages" / "manifests")
    with made_once(shared / "passages") as is_to_be_made:
        if is_to_be_made:
            parsed_project.give_to(settings)
            for day in DAYS:
                declare_day(settings, day)
            ingest(settings)
            done = build(settings, "--select", "+knowledge_passage+ +passage_change_feed doc_sections+")
            assert done.returncode == 0, done.stdout
    return settings


def test_all_of_it_is_ready(lake):
    found = {asset: status(lake, asset) for asset in TABLES if asset.startswith("knowledge")}
    daily = {(asset, day): status(lake, asset, day) for asset in TABLES if asset not in found for day in DAYS}

    assert set(found.values()) == {"READY"}, found
    assert set(daily.values()) == {"READY"}, daily


def test_a_content_that_cannot_be_parsed_is_a_row_that_says_why(lake):
    (row,) = [row for row in rows(lake, "knowledge_section") if row["doc_id"] == "scanned.pdf"]

    assert (row["reason"], row["kind"], row["parser_version"]) == ("no_text_layer", None, "pdf-1")
    assert "next: " in row["text"]
    assert not any(row["doc_id"] == "scanned.pdf" for row in rows(lake, "knowledge_passage"))


def test_bytes_of_text_are_those_of_the_passage_as_anyone_reads_them(lake):
    found = [row for row in rows(lake, "knowledge_passage") if row["normalisation"] == "source-1"]

    assert {row["doc_id"] for row in found} > {"guide.md", "zh.md", "new.txt"}
    for row in found:
        stored = (lake.home / "warehouse" / object_path(row["source_fingerprint"])).read_bytes()
        parts = [stored[part["byte_start"] : part["byte_end"]].decode() for part in row["parts"]]
        assert "\n".join(parts).replace("\r\n", "\n") == row["text"]
        assert (row["byte_start"], row["byte_end"]) == (row["parts"][0]["byte_start"], row["parts"][-1]["byte_end"])


def test_pages_recordings_and_languages_are_kept(lake):
    of = {row["doc_id"]: row for row in rows(lake, "knowledge_passage")}

    assert of["manual.pdf"]["page"] == 1 and len(of["manual.pdf"]["boxes"]) == 8
    assert of["zh.md"]["language"] == "zh" and of["guide.md"]["language"] == "en"
    assert (of["page.html"]["text"], of["page.html"]["heading_path"]) == ("Page\nClosed.", ["Page"])
    assert max(row["token_count"] for row in of.values()) <= 200


def test_an_edited_sentence_is_one_passage_to_forget_and_one_to_embed(lake):
    of_day = [row for row in rows(lake, "passage_change_feed") if str(row["snapshot_date"]) == SECOND]

    assert Counter(row["change_type"] for row in of_day if row["doc_id"] == "guide.md") == {"embed": 1, "forget": 1}
    (renamed,) = [row for row in of_day if row["doc_id"] == "new.txt"]
    assert (renamed["change_type"], renamed["moved_from"]) == ("embed", "old.txt")
    assert not any(row["moved_from"] for row in of_day if row is not renamed)


def test_the_feed_applied_day_by_day_is_what_may_be_indexed_now(lake):
    index = dict[str, str]()
    for row in sorted(rows(lake, "passage_change_feed"), key=lambda row: row["snapshot_date"]):
        if row["change_type"] == "embed":
            index[row["passage_id"]] = row["text"]
        else:
            del index[row["passage_id"]]

    passages = rows(lake, "knowledge_passage")
    assert index == {row["passage_id"]: row["text"] for row in passages if row["allowed_for_indexing"]}
    assert {row["doc_id"] for row in passages if not row["allowed_for_indexing"]} == {"held.txt", "zh.md"}


def test_days_that_come_late_and_out_of_order_end_as_those_in_order(lake, settings):
    for day in (THIRD, FIRST, SECOND):
        declare_day(settings, day)
        ingest(settings)
        done = build(settings, "--select", "+knowledge_passage+ +passage_change_feed doc_sections+")
        assert done.returncode == 0, done.stdout

    for asset in TABLES:
        one, other = (find_table(open_catalog(each), asset) for each in (settings, lake))
        assert content_digest(one, "") == content_digest(other, ""), asset


def test_a_day_of_too_many_documents_without_text_fails_and_holds_back_what_reads_it(settings):
    declare_day(settings, FIRST, {"a.txt": (b"Words.", {}), "b.pdf": (SCANNED, {})})
    ingest(settings)

    done = build(settings, "--select", "+int_doc_passages__cut", window=(FIRST, "2026-04-02"))

    assert done.returncode != 0 and "parse_share" in done.stdout
    assert status(settings, "doc_sections", FIRST) == "FAILED"
    assert status(settings, "int_doc_passages__cut", FIRST) != "READY"


def test_bytes_that_are_not_those_of_the_fingerprint_are_not_parsed(settings):
    declare_day(settings, FIRST, {"a.txt": (b"Words.", {})})
    ingest(settings)
    (row,) = rows(settings, "raw_doc_assets")
    stored = settings.home / "warehouse" / row["raw_object_path"]
    stored.chmod(0o644)
    stored.write_bytes(b"Others.")

    done = build(settings, "--select", "+doc_sections")

    assert done.returncode != 0 and "holds other bytes than were stored" in " ".join(done.stdout.split())
    assert status(settings, "doc_sections", FIRST) != "READY"


def test_anchors_that_lead_elsewhere_fail_the_check(settings):
    declare_day(settings, FIRST, {"a.txt": (b"First words.\n\nSecond words.\n\nThird words.", {})})
    ingest(settings)
    assert build(settings, "--select", "+doc_sections").returncode == 0
    assert status(settings, "doc_sections", FIRST) == "READY"
    table = find_table(open_catalog(settings), "doc_sections")
    shifted = table.scan().to_arrow()
    column = shifted.schema.get_field_index("byte_start")
    starts = [start + 1 for start in shifted["byte_start"].to_pylist()]
    table.overwrite(shifted.set_column(column, shifted.schema.field(column), [starts]))

    done = dbt(settings, "test", "--select", "section_anchors_resolve")

    assert done.returncode != 0 and "Got 3 results" in done.stdout, done.stdout
    assert status(settings, "doc_sections", FIRST) != "READY"


@pytest.fixture
def two_sections(settings):
    """A document of two sections with passages of their own, all of it built and READY."""
    declare_day(
        settings, FIRST, {"a.md": (b"# One\n\nFirst words.\n\n# Two\n\nSecond words.\n\n# Three\n\nThird.", {})}
    )
    ingest(settings)
    done = build(settings, "--select", "+knowledge_passage+ +passage_change_feed doc_sections+")
    assert done.returncode == 0 and status(settings, "knowledge_passage") == "READY", done.stdout
    return settings


def test_a_passage_that_is_lost_fails_the_check_of_its_content(two_sections):
    table = find_table(open_catalog(two_sections), "int_doc_passages__cut")
    assert len(table.scan().to_arrow()) == 3
    table.delete("ordinal = 1")

    done = dbt(two_sections, "test", "--select", "sections_all_cut")

    assert done.returncode != 0 and "Got 1 result" in done.stdout, done.stdout
    table.delete("ordinal = 2")
    assert dbt(two_sections, "test", "--select", "sections_all_cut").returncode != 0


def test_what_no_verdict_speaks_for_is_not_cited(two_sections, monkeypatch):
    table = find_table(open_catalog(two_sections), "knowledge_passage")
    passage, *_ = rows(two_sections, "knowledge_passage")
    row = table.scan().to_arrow().slice(0, 1)
    table.append(row.set_column(0, row.schema.field(0), pa.array(["forged"], row.schema.field(0).type)))

    code, said = omni(two_sections, monkeypatch, "cite", "forged")
    assert code == 2 and "found no passage of that id" in said
    assert omni(two_sections, monkeypatch, "cite", passage["passage_id"])[0] == 0


def test_a_passage_whose_bytes_are_others_is_not_cited(two_sections, monkeypatch):
    passage, *_ = rows(two_sections, "knowledge_passage")
    stored = two_sections.home / "warehouse" / object_path(passage["source_fingerprint"])
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes() + b" ")  # the passage stands in them all the same

    code, said = omni(two_sections, monkeypatch, "cite", passage["passage_id"])

    assert code == 2 and "holds other bytes than were stored; next: omni verify" in said


def omni(lake, monkeypatch, *words):
    monkeypatch.setattr("orchestration.cli.cite.load_settings", lambda: lake)
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, " ".join(done.output.split())


def test_a_passage_is_cited_down_to_its_manifest(lake, monkeypatch):
    passage = next(row for row in rows(lake, "knowledge_passage") if "Paragraph 30 of the book" in row["text"])

    code, said = omni(lake, monkeypatch, "cite", passage["passage_id"])

    assert code == 0, said
    for part in (
        "| Paragraph 30 of the book says this.",
        "resolves to this text",
        "/guide.md version 2, since 2026-04-08",
        "snapshot 2026-04-08",
        "manifest manifest-docs-20260408-001",
        passage["source_fingerprint"],
        "knowledge_passage is READY",
    ):
        assert part in said, (part, said)
    code, said = omni(lake, monkeypatch, "cite", passage["passage_id"], "--json")
    told = json.loads(said)
    assert code == 0 and told["is_resolved"] and told["provenance"]["file"] == f"{SECOND}/guide.md"
    assert told["suffix"].startswith("Paragraph")


def test_a_passage_that_went_says_when(lake, monkeypatch):
    gone = next(
        row
        for row in rows(lake, "passage_change_feed")
        if row["change_type"] == "embed" and "Paragraph 30 of the guide" in row["text"]
    )

    assert omni(lake, monkeypatch, "cite", gone["passage_id"]) == (
        2,
        f"error: {gone['passage_id']}: no document has this passage any more; it was forgotten on {SECOND}",
    )
    code, said = omni(lake, monkeypatch, "cite", "nothing")
    assert code == 2 and "found no passage of that id" in said


def test_a_quotation_is_found_across_sections_or_said_not_to_stand(lake, monkeypatch):
    code, said = omni(lake, monkeypatch, "cite", "--check", "to say – clear.  Paragraph 31 of the guide", "guide.md")
    assert code == 0 and said.count("guide.md bytes") == 2 and "passage " in said, said

    code, said = omni(lake, monkeypatch, "cite", "--check", "when its light is green", "manual.pdf")
    assert code == 1 and "manual.pdf does not say this" in said
    code, said = omni(lake, monkeypatch, "cite", "--check", "when its light is red.", "manual.pdf")
    assert code == 0 and "manual.pdf page 1, 2 lines" in said, said

    code, said = omni(lake, monkeypatch, "cite", "--check", "words", "scanned.pdf")
    assert code == 2 and "no_text_layer" in said
    code, said = omni(lake, monkeypatch, "cite", "--check", "words", "unknown.pdf")
    assert code == 2 and "found no such document" in said
    assert omni(lake, monkeypatch, "cite")[0] == 2
