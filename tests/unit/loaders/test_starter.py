"""A starter manifest says what its files say, and admits nothing before a person has filled it."""

import gzip
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.settings import LakehouseSettings
from loaders.manifests.manifest import Manifest
from loaders.manifests.starter import StarterRefused, draft_manifest, write_starter
from loaders.seed_loader import judge_manifests
from loaders.sources.files import find_files
from loaders.sources.reading import verify_file

CREATED_AT = datetime.fromisoformat("2026-05-01T23:30:00-02:00")
TICKET = b'{"ticket_id": "t1"}\n'


def write(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def drafted(settings, *paths, **given):
    return draft_manifest(settings, paths, **{"name": "Desk", "owner": "support", "created_at": CREATED_AT, **given})


def drafted_from(settings, *names, content=b"x"):
    """The starter for a folder `data` that holds these files."""
    for name in names:
        write(settings.manifests / "data" / name, content)
    return drafted(settings, settings.manifests / "data")


def values(draft, field):
    return [source.get(field) for source in draft["assets"]]


def filled(draft):
    """The starter after a person has judged what only a person can."""
    judged = {"metadata_status": "complete", "pii_scan_status": "clear"}
    return {**draft, "license_tag": "proprietary", "assets": [{**source, **judged} for source in draft["assets"]]}


TICKETS = ["a.jsonl", "b.ndjson", "c.json", "d.csv", "e.parquet", "f.jsonl.gz", "g.csv.zst", "H.CSV"]
DOCUMENTS = ["a.html", "b.htm", "c.pdf", "d.md", "e.rst", "f.txt", "g.png", "H.JPG"]
BOTH_KINDS = pytest.mark.parametrize("names", [TICKETS, DOCUMENTS], ids=["tickets", "documents"])


# ── admission ────────────────────────────────────────────────────────────────────────────────────────────────────────
@BOTH_KINDS
def test_a_starter_is_valid_and_none_of_its_sources_is_admitted(settings, names):
    write_starter(settings, drafted_from(settings, *names))

    report = judge_manifests(settings)

    assert (len(report.files), report.refused, len(report.admissions)) == (1, [], len(names))
    for admission in report.admissions:
        assert not admission.is_admitted
        assert set(admission.reasons) == {
            "reject: license_tag is unknown",
            "quarantine: metadata_status is unknown",
            "quarantine: pii_scan_status is not_run",
        }


@BOTH_KINDS
def test_a_starter_that_a_person_has_filled_is_accepted_without_reasons(settings, names):
    write_starter(settings, filled(drafted_from(settings, *names)))

    report = judge_manifests(settings)

    assert report.refused == []
    assert [(a.judgment, a.reasons) for a in report.admissions] == [("accept", ())] * len(names)


@BOTH_KINDS
def test_the_loaders_find_and_verify_every_declared_file(settings, names):
    for name in names:
        packed = {".gz": gzip.compress(TICKET), ".zst": pa.compress(TICKET, codec="zstd", asbytes=True)}
        write(settings.manifests / "data" / name, packed.get(Path(name).suffix, TICKET))
    manifest = Manifest.model_validate(drafted(settings, settings.manifests / "data"))

    for source in manifest.assets:
        (file,) = find_files(settings, settings.manifests / "starter.json", source)
        assert file.name == source.source_url_or_path
        assert verify_file(file, source) == source.checksum_sha256


# ── what a starter says ──────────────────────────────────────────────────────────────────────────────────────────────
def test_tickets_are_declared_as_a_full_export(settings):
    draft = drafted_from(settings, *TICKETS)

    declared = ("contract_ref", "modality", "source_type", "load_mode")
    assert [draft[field] for field in declared] == [
        "omni://contracts/data/ticket/v1",
        "structured",
        "ticket_export",
        "full_snapshot",
    ]
    assert not {"collection", "disposition"} & set(draft)
    assert dict(zip(values(draft, "source_url_or_path"), values(draft, "asset_type"), strict=True)) == {
        "data/a.jsonl": "jsonl",
        "data/b.ndjson": "jsonl",
        "data/c.json": "json",
        "data/d.csv": "csv",
        "data/e.parquet": "parquet",
        "data/f.jsonl.gz": "jsonl",
        "data/g.csv.zst": "csv",
        "data/H.CSV": "csv",
    }


def test_documents_are_declared_as_a_whole_collection(settings):
    draft = drafted_from(settings, *DOCUMENTS)

    declared = ("contract_ref", "modality", "source_type", "load_mode", "disposition", "collection")
    assert [draft[field] for field in declared] == [
        "omni://contracts/data/doc_asset/v1",
        "document",
        "other",
        "full_snapshot",
        "replace",
        "Desk",
    ]
    assert dict(zip(values(draft, "source_url_or_path"), values(draft, "asset_type"), strict=True)) == {
        "data/a.html": "html",
        "data/b.htm": "html",
        "data/c.pdf": "pdf",
        "data/d.md": "other",
        "data/e.rst": "other",
        "data/f.txt": "other",
        "data/g.png": "image",
        "data/H.JPG": "image",
    }


def test_the_ids_hold_the_name_the_utc_day_and_the_number(settings):
    file = write(settings.manifests / "a.csv")

    draft = drafted(settings, file, name="Café  Help_Center", number=7)

    assert draft["manifest_id"] == "manifest-cafe-help-center-20260502-007"
    assert draft["batch_id"] == "batch-cafe-help-center-20260502-007"
    assert draft["created_at"] == "2026-05-02T01:30:00Z"


def test_checksum_and_size_are_those_of_the_bytes_as_stored(settings):
    content = gzip.compress(TICKET)

    (source,) = drafted_from(settings, "a.jsonl.gz", content=content)["assets"]

    assert source["checksum_sha256"] == hashlib.sha256(content).hexdigest()
    assert source["size_bytes"] == len(content)


@pytest.mark.parametrize(
    ("name", "content", "title"),
    [
        pytest.param(
            "a.html", "<TITLE lang=en>Reset\n your &amp; password</TITLE>", "Reset your & password", id="html"
        ),
        pytest.param("a.md", "\ufeffIntro\n## Part\n# Größe ändern \r\n# Next\n", "Größe ändern", id="markdown"),
        pytest.param("a.html", "<title> </title>", None, id="blank"),
        pytest.param("a.md", "#hashtag\n## Part\n", None, id="no heading"),
        pytest.param("a.txt", "# Not Markdown\n", None, id="text"),
    ],
)
def test_a_document_has_the_title_that_it_gives_itself(settings, name, content, title):
    assert values(drafted_from(settings, name, content=content.encode()), "title") == [title]


def test_a_document_that_is_not_utf8_has_no_title(settings):
    assert values(drafted_from(settings, "a.html", content="<title>Größe</title>".encode("latin-1")), "title") == [None]


# ── source ids ───────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("names", "ids"),
    [
        pytest.param(["2026-04-01.jsonl.zst"], ["2026-04-01"], id="compressed"),
        pytest.param(["My  Réport_1.md"], ["my-réport-1"], id="spaces and accents"),
        pytest.param(["重置密码.html"], ["重置密码"], id="another script"),
        pytest.param(
            ["en/start.md", "fr/start.md", "fr/stop.md"], ["en-start", "fr-start", "fr-stop"], id="two folders"
        ),
        pytest.param(["a.csv", "a.json"], ["a-csv", "a-json"], id="two endings"),
        pytest.param(["a b.md", "a-b.md"], ["a b.md", "a-b.md"], id="one slug"),
        pytest.param(["x/a/b.md", "y/a/b.md"], ["x-a-b", "y-a-b"], id="one folder name"),
        pytest.param(["en-a.md", "en/a.md", "fr/a.md"], ["en-a.md", "en/a.md", "fr-a"], id="an id that is taken"),
        pytest.param(["!.md"], ["md"], id="no letter"),
    ],
)
def test_a_source_id_comes_from_the_path_below_the_folder_and_is_no_other_file_s(settings, names, ids):
    found = values(drafted_from(settings, *names), "source_id")

    assert sorted(found) == sorted(ids)


# ── which files, and where ───────────────────────────────────────────────────────────────────────────────────────────
def test_a_folder_stands_for_its_files_without_hidden_and_marker_files(settings):
    draft = drafted_from(settings, "b/c.csv", "a.csv", ".hidden.csv", "_SUCCESS", ".git/x.csv", "_temporary/x.csv")

    assert values(draft, "source_url_or_path") == ["data/a.csv", "data/b/c.csv"]


def test_a_file_that_is_named_twice_is_one_source(settings):
    file = write(settings.manifests / "data" / "a.csv")

    assert len(drafted(settings, file, file.parent, file.parent / ".." / "data" / "a.csv")["assets"]) == 1


def test_a_path_outside_the_manifest_folder_is_absolute(settings, tmp_path):
    file = write(tmp_path / "élsewhere here" / "a b.csv")

    assert values(drafted(settings, file), "source_url_or_path") == [str(file)]


def test_a_path_under_the_source_root_is_relative_to_it(settings, tmp_path):
    file = write(tmp_path / "root" / "desk" / "a.csv")
    rooted = settings.model_copy(update={"source_root": tmp_path / "root"})

    assert values(drafted(rooted, file), "source_url_or_path") == ["desk/a.csv"]


def test_a_path_that_the_manifest_folder_would_answer_with_another_file_is_absolute(settings, tmp_path):
    file = write(tmp_path / "root" / "desk" / "a.csv")
    write(settings.manifests / "desk" / "a.csv")
    rooted = settings.model_copy(update={"source_root": tmp_path / "root"})

    assert values(drafted(rooted, file), "source_url_or_path") == [str(file)]


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("names", "said"),
    [
        pytest.param(["a.csv", "b.html"], r"tickets \(a.csv\) and documents \(b.html\).*; next: ", id="a mix"),
        pytest.param(["a.json", "map.geojson"], r"found map.geojson, expected .*; next: ", id="an unknown ending"),
        pytest.param(["a.parquet.gz"], r"found a.parquet.gz, expected .*; next: ", id="compressed Parquet"),
        pytest.param(["a.html.gz"], r"found a.html.gz, expected .*; next: ", id="a compressed document"),
        pytest.param(["a.csv.GZ"], r"found a.csv.GZ, expected .*; next: ", id="an ending that no loader unpacks"),
        pytest.param(["README"], r"found README, expected .*; next: ", id="no ending"),
        pytest.param([f"{n}.exe" for n in range(9)], r"0.exe, 1.exe, 2.exe and 6 more, expected", id="many"),
        pytest.param(["_SUCCESS"], r"found no file, expected tickets .*; next: ", id="nothing but a marker"),
    ],
)
def test_files_that_make_no_manifest_are_refused(settings, names, said):
    with pytest.raises(StarterRefused, match=said):
        drafted_from(settings, *names)


def test_no_path_at_all_is_refused(settings):
    with pytest.raises(StarterRefused, match="found no file"):
        drafted(settings)


def test_a_missing_path_is_refused_beside_one_that_exists(settings):
    file = write(settings.manifests / "a.csv")

    with pytest.raises(StarterRefused, match=r"gone\.csv: no file and no folder there; next: "):
        drafted(settings, file, settings.manifests / "gone.csv")


def test_text_that_is_no_unicode_is_refused_and_shown_escaped(settings):
    with pytest.raises(StarterRefused, match=r'found "support\\udcff" at \$\.owner, expected Unicode .*; next: '):
        drafted(settings, write(settings.manifests / "a.jsonl"), owner="support\udcff")
    with pytest.raises(StarterRefused, match=r'"data/b\\udcff.jsonl" at \$\.assets\[0\]\.source_url_or_path'):
        drafted_from(settings, os.fsdecode(b"b\xff.jsonl"))


@pytest.mark.parametrize("blank", [{"name": "客服"}, {"name": " "}, {"owner": " "}], ids=["script", "name", "owner"])
def test_a_name_that_gives_no_id_and_a_blank_owner_are_refused(settings, blank):
    with pytest.raises(StarterRefused, match="expected a name with Latin letters or digits and an owner"):
        drafted(settings, write(settings.manifests / "a.csv"), **blank)


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_starter_is_written_for_people_to_read(settings):
    draft = drafted_from(settings, "größe.md", content="# Größe\n".encode())

    path = write_starter(settings, draft)

    assert path == settings.manifests / "manifest-desk-20260502-001.json"
    assert path.read_text("utf-8") == json.dumps(draft, indent=2, ensure_ascii=False) + "\n"


def test_an_existing_manifest_is_never_overwritten(settings):
    draft = drafted_from(settings, "a.csv")
    path = write(settings.manifests / "manifest-desk-20260502-001.json", b"a person's work")

    with pytest.raises(StarterRefused, match=r"manifest-desk-20260502-001\.json exists, .*; next: "):
        write_starter(settings, draft)

    assert path.read_bytes() == b"a person's work"


def test_a_missing_manifest_folder_is_refused(settings, tmp_path):
    draft = drafted_from(settings, "a.csv")
    elsewhere = LakehouseSettings(home=settings.home, manifests=tmp_path / "nowhere")

    with pytest.raises(StarterRefused, match="cannot be written .* next: check OMNI_MANIFESTS"):
        write_starter(elsewhere, draft)


def test_the_same_files_give_the_same_starter_whatever_the_order_of_paths(settings):
    first, second = write(settings.manifests / "a.csv"), write(settings.manifests / "b.csv")

    assert drafted(settings, first, second) == drafted(settings, second, first, created_at=CREATED_AT.astimezone(UTC))
