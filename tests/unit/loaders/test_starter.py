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
from loaders.errors import StarterRefused
from loaders.manifests.manifest import Manifest
from loaders.manifests.starter import Choices, draft_manifest, write_starter
from loaders.manifests.starter_files import left_out
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
    "names",
    [
        pytest.param(["2026-04-01.jsonl.zst", "2026-04-01.jsonl"], id="compressed"),
        pytest.param(["My  Réport_1.md", "my-réport-1.md"], id="spaces, accents, case"),
        pytest.param(["重置密码.html"], id="another script"),
        pytest.param(["en/start.md", "en-start.md", "fr/start.md"], id="a folder and a dash"),
        pytest.param(["a.csv", "a.json"], id="two endings"),
        pytest.param(["a b.md", "a-b.md", "a_b.md"], id="one slug"),
        pytest.param(["!.md", "g++.md", "g--.md", "+.md"], id="no letter"),
    ],
)
def test_a_source_id_is_the_path_below_the_folder_whatever_lies_beside_it(settings, names):
    together = values(drafted_from(settings, *names), "source_id")
    alone = [drafted(settings, settings.manifests / "data" / name)["assets"][0]["source_id"] for name in names]

    assert sorted(together) == sorted(names)
    assert alone == [Path(name).name for name in names]


def test_a_renamed_file_is_another_document_in_the_next_snapshot(settings):
    first, second = (write(settings.manifests / day / name).parent for day, name in (("1", "a_b.md"), ("2", "a-b.md")))

    ids = [drafted(settings, folder)["assets"][0]["source_id"] for folder in (first, second)]

    assert ids == ["a_b.md", "a-b.md"]


def test_two_folders_that_would_give_two_files_one_id_are_refused(settings):
    first, second = write(settings.manifests / "x" / "a.md"), write(settings.manifests / "y" / "a.md")

    with pytest.raises(
        StarterRefused, match=r"x/a\.md and .*y/a\.md, which would both have the id 'a\.md'.*next: name the"
    ):
        drafted(settings, first.parent, second.parent)
    assert values(drafted(settings, first.parents[1]), "source_id") == ["x/a.md", "y/a.md"]


# ── one source for many files ────────────────────────────────────────────────────────────────────────────────────────
def one_source(settings, *paths, **chosen):
    return drafted(settings, *paths, choices=Choices(source_id="daily", **chosen))["assets"]


def test_a_folder_and_a_glob_are_one_source_whose_files_come_and_go(settings):
    write(settings.manifests / "data" / "1" / "a.jsonl.gz")
    write(settings.manifests / "data" / "2.jsonl")

    (folder,) = one_source(settings, settings.manifests / "data")
    (some_of_it,) = one_source(settings, settings.manifests / "data" / ".." / "data" / "*.jsonl")

    assert (folder["source_id"], folder["source_url_or_path"], folder["asset_type"]) == ("daily", "data", "jsonl")
    assert some_of_it["source_url_or_path"] == "data/*.jsonl"
    assert not {"checksum_sha256", "size_bytes"} & {*folder, *some_of_it}


def test_the_loaders_find_the_files_of_a_folder_and_of_a_glob(settings):
    names = ["data/1/a.jsonl", "data/2.jsonl"]
    for name in names:
        write(settings.manifests / name)
    for path in (settings.manifests / "data", settings.manifests / "data" / "**" / "*.jsonl"):
        (source,) = Manifest.model_validate(drafted(settings, path, choices=Choices(source_id="daily"))).assets
        found = find_files(settings, settings.manifests / "starter.json", source)
        assert sorted(file.name for file in found) == names


def test_one_file_is_one_source_with_its_checksum(settings):
    (source,) = one_source(settings, write(settings.manifests / "a.csv"))

    assert (source["source_id"], source["checksum_sha256"]) == ("daily", hashlib.sha256(b"x").hexdigest())


def test_one_id_for_several_paths_or_types_is_refused(settings):
    files = [write(settings.manifests / "data" / name) for name in ("a.csv", "b.jsonl")]

    with pytest.raises(
        StarterRefused, match="found 2 paths for one source, expected a file, a folder, or a glob in quo"
    ):
        one_source(settings, *files)
    with pytest.raises(StarterRefused, match="found files of the types csv and jsonl, expected one type in the source"):
        one_source(settings, settings.manifests / "data")
    with pytest.raises(StarterRefused, match=r"\*\.parquet: no file and no folder there"):
        one_source(settings, settings.manifests / "data" / "*.parquet")


# ── what a person chooses ────────────────────────────────────────────────────────────────────────────────────────────
def chosen(settings, *paths, **given):
    return drafted(settings, *paths, choices=Choices(**given))


@pytest.mark.parametrize("given", ["audio_asset", "omni://contracts/data/audio_asset/v1"])
def test_what_is_declared_follows_from_the_contract_that_is_named(settings, given):
    files = [write(settings.manifests / name) for name in ("a.mp3", "a.docx")]

    draft = chosen(settings, *files, contract=given)

    declared = ("contract_ref", "modality", "source_type", "disposition", "collection")
    assert [draft[field] for field in declared] == [
        "omni://contracts/data/audio_asset/v1",
        "audio",
        "other",
        "replace",
        "Desk",
    ]
    assert values(draft, "asset_type") == ["other", "audio"]


def test_a_contract_of_the_manifest_folder_may_be_named(settings):
    contract = {
        **{"name": "price_list", "version": "v1", "ref": "omni://contracts/data/price_list/v1", "grain": "A price."},
        "asset": {"name": "raw_price_lists", "kind": "snapshots", "pipeline": "price_lists", "time": "listed_on"},
        "primary_key": ["sku"],
        "fields": [
            {"name": "listed_on", "type": "date", "description": "Day."},
            {"name": "sku", "type": "string", "required": True, "description": "Article."},
        ],
    }
    write(settings.manifests / "contracts" / "price_list.json", json.dumps(contract).encode())

    draft = chosen(settings, write(settings.manifests / "a.csv"), contract="price_list")

    assert (draft["modality"], draft["source_type"]) == ("structured", "other")
    assert (draft["collection"], draft["disposition"]) == ("Desk", "replace")
    with pytest.raises(StarterRefused, match="found a.pdf, expected files that price_list is read from: csv, json"):
        chosen(settings, write(settings.manifests / "a.pdf"), contract="price_list")


def test_mapping_and_licence_are_declared(settings):
    write(settings.manifests / "mappings" / "acme.sql", b"select 1")

    draft = chosen(settings, write(settings.manifests / "a.csv"), mapping="acme", license_tag="cc_by")

    assert (draft["mapping"], draft["license_tag"]) == ("acme", "cc_by")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(
            {"contract": "nope"},
            r"contract 'nope', expected one that an asset is loaded by: audio_asset, doc_asset, ticket, ticket_event",
            id="unknown contract",
        ),
        pytest.param({"contract": "listed_file"}, r"contract 'listed_file', expected one that", id="of no asset"),
        pytest.param({"contract": "ticket"}, r"found a.md, expected files that ticket_event is read", id="no fit"),
        pytest.param({"mapping": "acme"}, r"mapping 'acme' for doc_asset, expected none", id="a mapping of files"),
        pytest.param({"license_tag": "mit"}, r'\$\.license_tag: found "mit", allowed: one of \[', id="licence"),
        pytest.param({"source_id": ""}, r'\$\.assets\[0\]\.source_id: found "", allowed', id="blank id"),
    ],
)
def test_a_choice_that_no_manifest_may_have_is_refused(settings, given, said):
    with pytest.raises(StarterRefused, match=said):
        chosen(settings, write(settings.manifests / "a.md"), **given)


def test_a_mapping_that_is_not_there_is_refused(settings):
    with pytest.raises(
        StarterRefused, match=r"no mapping 'acme', expected .*/mappings/acme\.sql; next: write it first"
    ):
        chosen(settings, write(settings.manifests / "a.csv"), mapping="acme")


# ── which files, and where ───────────────────────────────────────────────────────────────────────────────────────────
def test_a_folder_stands_for_its_files_without_hidden_and_marker_files(settings):
    draft = drafted_from(settings, "b/c.csv", "a.csv", ".hidden.csv", "_SUCCESS", ".git/x.csv", "_temporary/x.csv")

    assert values(draft, "source_url_or_path") == ["data/a.csv", "data/b/c.csv"]


def test_what_a_folder_leaves_out_is_named(settings):
    drafted_from(settings, "b/c.csv", "b/..md", ".git/x/y.csv", ".git/z", "_SUCCESS")

    assert left_out([settings.manifests / "data"]) == [".git/", "_SUCCESS", "b/..md"]


@pytest.mark.parametrize("target", ["nowhere", "."], ids=["nothing", "a folder"])
def test_a_link_that_is_no_file_is_refused_and_not_passed_over(settings, target):
    write(settings.manifests / "data" / "a.csv")
    (settings.manifests / "data" / "link").symlink_to(target)

    with pytest.raises(StarterRefused, match="data/link: found a link to a folder or to nothing"):
        drafted(settings, settings.manifests / "data")


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
        pytest.param(["a.csv", "b.html"], r"records \(a.csv\) and documents \(b.html\).*; next: ", id="a mix"),
        pytest.param(["a.json", "map.geojson"], r"found map.geojson, expected .*; next: ", id="an unknown ending"),
        pytest.param(["a.parquet.gz"], r"found a.parquet.gz, expected .*; next: ", id="compressed Parquet"),
        pytest.param(["a.html.gz"], r"found a.html.gz, expected .*; next: ", id="a compressed document"),
        pytest.param(["a.csv.GZ"], r"found a.csv.GZ, expected .*; next: ", id="an ending that no loader unpacks"),
        pytest.param(["README"], r"found README, expected .*; next: ", id="no ending"),
        pytest.param([f"{n}.exe" for n in range(9)], r"0.exe, 1.exe, 2.exe and 6 more, expected", id="many"),
        pytest.param(["_SUCCESS"], r"found no file, expected records .*; next: ", id="nothing but a marker"),
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
