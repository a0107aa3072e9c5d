"""Audio and video in Bronze: what is declared of them, their sidecars as objects, and what a doubtful sidecar does."""

import hashlib
import json
import os
import shutil

import pytest

from lakehouse.kinds import SIDECARS
from lakehouse.partitions import Window
from lakehouse.tables.catalog import open_catalog
from loaders.ingest import ingest, refresh
from loaders.snapshots import sidecars as sidecars_module
from orchestration.readiness.readiness import open_readiness
from orchestration.readiness.verdicts import Status
from tests.conftest import DOC_ASSETS, document_manifest, recording_manifest, source
from tests.dbt_shell import dbt
from tests.integration.loaders.test_bronze import rows

AUDIO, VIDEO = "raw_audio_assets", "raw_video_assets"
FIRST, SECOND = "2026-04-01", "2026-04-08"


@pytest.fixture
def write(settings):
    """Write a file of the manifest folder, always at the same time; returns the path that its object has."""

    def write_file(name, content):
        path = settings.manifests / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
        os.utime(path, ns=(10**18, 10**18))
        sha256 = hashlib.sha256(content.encode()).hexdigest()
        return f"objects/sha256/{sha256[:2]}/{sha256}"

    return write_file


@pytest.fixture
def call(declare, write):
    """Declare a call of a day, with a transcript."""

    def declare_call(day=FIRST, **fields):
        write("calls/1.wav", "the sound")
        declared = source("call", "calls/1.wav", "audio", **{"transcript_object_path": "calls/1.txt", **fields})
        declare(recording_manifest("audio", day, [declared]))

    return declare_call


def transcripts(settings, *columns):
    return rows(settings, AUDIO, ", ".join(("doc_id", "transcript_object_path", *columns)))


def stored(settings, path):
    return (settings.home / "warehouse" / path).read_text()


def verdict(settings, asset=AUDIO, day=FIRST):
    return open_readiness(settings).verdict(asset, day)


def is_stale(settings):
    """Whether the day is no longer what its sources say, once coverage has looked."""
    refresh(settings)
    return bool(verdict(settings).evidence.changed_inputs)


def checked(settings):
    """The verdict after the tests of dbt."""
    assert dbt(settings, "test", "--select", f"source:bronze.{AUDIO}").returncode == 0
    return verdict(settings).status


# ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def nothing(path):
    path.unlink()


def a_folder(path):
    path.unlink()
    path.mkdir()
    (path / "part").write_text("a part")


def empty(path):
    path.write_bytes(b"")


def a_link_to_nothing(path):
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (nothing, "call, transcript_object_path: no file at 'calls/1.txt'"),
        (a_link_to_nothing, "call, transcript_object_path: no file at 'calls/1.txt'"),
        (a_folder, "call, transcript_object_path: calls/1.txt is a folder or a pattern, expected one file; next:"),
        (empty, "call: calls/1.txt is empty, expected a sidecar with content; next:"),
    ],
)
def test_a_sidecar_that_is_none_refuses_the_recording_and_its_day_keeps_the_old_rows(
    settings, call, write, spoil, found
):
    before = write("calls/1.txt", "what is said")
    call()
    ingest(settings)
    spoil(settings.manifests / "calls" / "1.txt")

    report = ingest(settings)

    assert not report.is_complete
    assert found in report.load_of(AUDIO).refused[FIRST]
    assert transcripts(settings) == [("call", before)]
    assert not verdict(settings).is_ready
    assert any(found in reason for reason in verdict(settings).reasons)


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ("calls/*.txt", "calls/*.txt is a folder or a pattern, expected one file"),
        ("calls", "calls is a folder or a pattern, expected one file"),
        ("a\0b", "no file at 'a\\x00b'"),
        ("nowhere://a", "nowhere://a cannot be listed"),
        ("calls/2.txt.gz", "calls/2.txt.gz: "),
    ],
)
def test_a_sidecar_that_is_declared_as_anything_but_a_readable_file_never_loads(settings, call, write, declared, found):
    write("calls/1.txt", "what is said")
    write("calls/2.txt.gz", "no gzip")
    call(transcript_object_path=declared)

    report = ingest(settings)

    assert found in report.load_of(AUDIO).refused[FIRST] and "next: " in report.load_of(AUDIO).refused[FIRST]
    assert verdict(settings).status is Status.MISSING


@pytest.mark.parametrize("declared", ["calls", "calls/*.wav", "calls/*"])
def test_a_folder_or_a_pattern_has_no_sidecar(settings, declare, write, declared):
    write("calls/1.wav", "the sound")
    write("1.txt", "what is said")
    declare(recording_manifest("audio", FIRST, [source("c", declared, "audio", transcript_object_path="1.txt")]))

    why = ingest(settings).load_of(AUDIO).refused[FIRST]

    assert f"c: {declared} is a folder or a pattern and declares transcript_object_path, expected one file" in why


def test_a_length_that_no_number_holds_refuses_the_manifest(settings, call, write):
    write("calls/1.txt", "what is said")
    call()
    (path,) = settings.manifests.glob("manifest-*.json")
    path.write_text(path.read_text().replace('"asset_type"', '"duration_sec": 1e999, "asset_type"'))

    (refused,) = ingest(settings).admission.refused

    assert "$" in str(refused.breaches[0])


# ── a change ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_changed_transcript_beside_an_unchanged_sound_makes_its_day_stale_and_is_loaded(settings, call, write):
    write("calls/1.txt", "what is said")
    call()
    ingest(settings)
    assert checked(settings) is Status.READY
    after = write("calls/1.txt", "what was really said")

    refresh(settings)
    assert verdict(settings).status is Status.STALE
    report = ingest(settings)

    assert [item.partition for item in report.load_of(AUDIO).loaded] == [FIRST]
    assert transcripts(settings) == [("call", after)]
    assert (stored(settings, after), checked(settings)) == ("what was really said", Status.READY)


def test_a_transcript_that_comes_or_goes_with_the_declaration_makes_its_day_stale(settings, call, write):
    there = write("calls/1.txt", "what is said")
    call(transcript_object_path=None)
    ingest(settings)
    assert transcripts(settings) == [("call", None)]

    call()
    assert is_stale(settings)
    ingest(settings)
    assert transcripts(settings) == [("call", there)]

    call(transcript_object_path=None)
    assert is_stale(settings)
    ingest(settings)
    assert transcripts(settings) == [("call", None)]


def test_two_sidecars_that_change_places_are_a_change(settings, declare, write):
    one, two = write("1.txt", "one"), write("2.txt", "two")
    write("v.mp4", "pictures")
    fields = {"transcript_object_path": "1.txt", "ocr_text_path": "2.txt"}
    declare(recording_manifest("video", FIRST, [source("v", "v.mp4", "video", **fields)]))
    ingest(settings)
    write("1.txt", "two")
    write("2.txt", "one")
    os.utime(settings.manifests / "1.txt", ns=(11**18, 11**18))

    ingest(settings)

    assert rows(settings, VIDEO, "transcript_object_path, ocr_text_path") == [(two, one)]


def test_a_sidecar_that_is_back_makes_its_day_ready_without_a_load(settings, call, write):
    write("calls/1.txt", "what is said")
    call()
    ingest(settings)
    (settings.manifests / "calls" / "1.txt").unlink()
    assert is_stale(settings)
    write("calls/1.txt", "what is said")

    assert not is_stale(settings)
    assert ingest(settings).load_of(AUDIO).loaded == []


def test_a_sidecar_that_changes_between_coverage_and_load_is_never_stored_for_what_it_was(
    settings, call, write, monkeypatch
):
    write("calls/1.txt", "what is said")
    call()
    read = sidecars_module.verify_file

    def read_then_change(file, declared, look_at):
        sha256 = read(file, declared, look_at)
        write("calls/1.txt", "something else")
        return sha256

    monkeypatch.setattr(sidecars_module, "verify_file", read_then_change)
    report = ingest(settings)

    assert "calls/1.txt: changed while it was being loaded" in report.load_of(AUDIO).refused[FIRST]


# ── loaded ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_recording_has_its_length_and_an_object_for_each_sidecar(settings, declare, write):
    own = write("v.mp4", "pictures")
    beside = {column: write(f"beside/{column}", f"the bytes of {column}") for column in SIDECARS}
    fields = {column: f"beside/{column}" for column in SIDECARS}
    declare(recording_manifest("video", FIRST, [source("v", "v.mp4", "video", duration_sec=12.5, **fields)]))

    assert ingest(settings).is_complete

    found = rows(settings, VIDEO, f"title, duration_sec, size_bytes, raw_object_path, {', '.join(SIDECARS)}")
    assert found == [("v.mp4", 12.5, 8, own, *beside.values())]
    assert [stored(settings, path) for path in beside.values()] == [f"the bytes of {column}" for column in SIDECARS]
    assert "page_count" not in open_catalog(settings).load_table(f"bronze.{VIDEO}").schema().column_names


def test_a_second_load_reads_no_sidecar_and_a_forced_one_comes_out_the_same(settings, call, write, monkeypatch):
    there = write("calls/1.txt", "what is said")
    call(duration_sec=3)
    ingest(settings)
    reads = []
    monkeypatch.setattr(sidecars_module, "verify_file", lambda *_: reads.append(1))

    assert ingest(settings).load_of(AUDIO).loaded == []
    shutil.rmtree(settings.home / "warehouse" / "objects")
    assert ingest(settings, window=Window.of_keys(FIRST, FIRST)).is_complete

    assert reads == []
    assert transcripts(settings, "duration_sec") == [("call", there, 3)]
    assert stored(settings, there) == "what is said"


def test_a_sidecar_is_looked_for_beside_the_manifest_then_below_the_source_root(settings, call, write, tmp_path):
    root = tmp_path / "the root"
    (root / "calls").mkdir(parents=True)
    (root / "calls" / "1.txt").write_text("from the root")
    rooted = settings.model_copy(update={"source_root": str(root)})
    call()
    assert ingest(rooted).is_complete
    assert [stored(settings, path) for _, path in transcripts(settings)] == ["from the root"]

    write("calls/1.txt", "from beside the manifest")
    ingest(rooted)
    assert [stored(settings, path) for _, path in transcripts(settings)] == ["from beside the manifest"]


def test_one_sidecar_of_two_sources_and_one_with_the_bytes_of_a_sound_are_one_object_each(settings, declare, write):
    one, two = write("1.wav", "the sound"), write("2.wav", "another")
    shared = write("shared.txt", "what is said")
    write("copy.txt", "the sound")
    declared = [source(f"s{n}", f"{n}.wav", "audio", transcript_object_path="shared.txt") for n in (1, 2)]
    declared.append(source("s3", "2.wav", "audio", transcript_object_path="copy.txt"))
    declare(recording_manifest("audio", FIRST, declared))

    assert ingest(settings).is_complete

    found = transcripts(settings, "raw_object_path")
    assert found == [("s1", shared, one), ("s2", shared, two), ("s3", one, two)]
    objects = [path for path in (settings.home / "warehouse" / "objects").rglob("*") if path.is_file()]
    assert len(objects) == 3


def test_the_checksum_and_size_of_a_source_are_those_of_its_own_file(settings, call, write):
    write("calls/1.txt", "what is said")
    call(checksum_sha256=hashlib.sha256(b"the sound").hexdigest(), size_bytes=9)

    assert ingest(settings).is_complete


def test_a_tombstone_has_no_sidecar(settings, declare):
    gone = source("call", "gone", "audio", deleted=True, transcript_object_path="nowhere.txt")
    declare(recording_manifest("audio", FIRST, [gone], disposition="merge"))

    assert ingest(settings).is_complete
    assert transcripts(settings, "is_tombstone") == [("call", None, True)]


def test_a_sidecar_that_the_contract_has_no_column_for_is_not_looked_at(settings, declare, write):
    write("a.md", "# A")
    declare(document_manifest(FIRST, [source("a", "a.md", "other", transcript_object_path="nowhere.txt")]))

    assert ingest(settings).is_complete
    assert rows(settings, DOC_ASSETS, "doc_id") == [("a",)]


def test_a_contract_of_the_manifest_folder_has_sidecars_too(settings, declare, write):
    contract = {
        "name": "slide_deck",
        "version": "v1",
        "ref": "omni://contracts/data/slide_deck/v1",
        "grain": "One row per deck.",
        "extends": "listed_file",
        "asset": {
            "name": "raw_slide_decks",
            "kind": "snapshots",
            "pipeline": "slide_decks",
            "time": "snapshot_date",
            "bytes": True,
        },
        "primary_key": ["snapshot_date", "collection", "doc_id"],
        "fields": [{"name": "ocr_text_path", "type": "string", "sidecar": True, "description": "Text of the slides."}],
    }
    write("contracts/slide_deck.json", json.dumps(contract))
    write("deck", "slides")
    text = write("deck.txt", "their text")
    manifest = document_manifest(FIRST, [source("deck", "deck", "other", ocr_text_path="deck.txt")])
    declare({**manifest, "contract_ref": contract["ref"]})

    assert ingest(settings).is_complete
    assert rows(settings, "raw_slide_decks", "doc_id, ocr_text_path") == [("deck", text)]
