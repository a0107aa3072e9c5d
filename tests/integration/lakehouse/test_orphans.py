"""Files, objects and leftovers that nothing refers to: old ones go, whatever is in use or in doubt stays."""

import hashlib
import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.namespaces import QUARANTINE
from lakehouse.partitions import Window
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import ensure_table, open_catalog
from lakehouse.tables.digest import content_digest, find_table
from lakehouse.tables.objects import object_path, put_object
from lakehouse.upkeep import orphans as orphans_module
from lakehouse.upkeep.orphans import AgeRule, remove_orphans
from loaders.ingest import ingest, refresh
from tests.conftest import DOC_ASSETS, TICKET_EVENTS, document_manifest, recording_manifest, source
from tests.integration.lakehouse.maintained_lake import (
    DAY,
    digests,
    files_of_day,
    folder_of,
    has_done_nothing,
    maintained,
    of,
    warehouse_files,
)


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def orphans(three_days):
    """What a killed commit leaves: a data file, a manifest, a version of the metadata; and files that are no business
    of maintenance."""
    folder = folder_of(three_days, TICKET_EVENTS)
    names = (
        "data/0a.parquet",
        "data/occurred_at_day=2026-04-01/0b.parquet",
        "metadata/0c-m0.avro",
        "metadata/00009-0d.metadata.json",
    )
    written = [folder / name for name in names]
    for path in (*written, folder / "data" / "note.txt", folder / "note.parquet"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"left")
    return {str(path) for path in written}


def test_orphans_of_a_killed_commit_are_listed_then_removed_and_nothing_else_is(three_days, orphans):
    before, content = warehouse_files(three_days), digests(three_days, TICKET_EVENTS, DOC_ASSETS, QUARANTINE)
    maintained(three_days, keep_snapshots=99, later=timedelta())  # young: everything stays
    assert warehouse_files(three_days) == before

    planned = maintained(three_days, keep_snapshots=99, dry_run=True)
    assert warehouse_files(three_days) == before
    assert {each.location for each in of(planned, TICKET_EVENTS).removed} == orphans
    assert {each.size_bytes for each in of(planned, TICKET_EVENTS).removed} == {4}
    assert all(any(path in line for line in planned.lines()) for path in orphans)

    done = maintained(three_days, keep_snapshots=99)
    assert done.tables == planned.tables
    assert warehouse_files(three_days) == before - orphans
    assert digests(three_days, TICKET_EVENTS, DOC_ASSETS, QUARANTINE) == content
    assert has_done_nothing(maintained(three_days, keep_snapshots=99))


def test_a_dry_run_lists_exactly_what_expiry_lets_go(three_days):
    before = warehouse_files(three_days)

    planned, done = maintained(three_days, dry_run=True), maintained(three_days)

    assert [table.removed for table in planned.tables] == [table.removed for table in done.tables]
    gone = {each.location for table in done.tables for each in table.removed}
    assert gone and gone == before - warehouse_files(three_days)
    assert has_done_nothing(maintained(three_days))


def test_a_replaced_version_of_the_metadata_stays_while_a_reader_may_have_begun_with_it(three_days):
    folder = folder_of(three_days, TICKET_EVENTS) / "metadata"
    old, after = folder / "00000-1.metadata.json", folder / "00000-2.metadata.json"
    for path, days in ((old, 9), (after, 0.5)):
        path.write_text("{}")
        at = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(path, (at, at))

    maintained(three_days, later=timedelta())
    assert old.exists()

    maintained(three_days, later=timedelta(hours=13))
    assert not old.exists() and after.exists()


def test_nothing_is_removed_from_a_folder_whose_listing_lacks_what_the_table_refers_to(three_days, orphans):
    (task,) = files_of_day(three_days)
    Path(task.file.file_path.removeprefix("file://")).unlink()

    report = maintained(three_days)

    assert "not listed: no file was removed" in of(report, TICKET_EVENTS).problem
    assert all(Path(path).exists() for path in orphans)


def test_what_was_committed_after_maintenance_looked_at_the_table_is_no_orphan(three_days):
    earlier = find_table(open_catalog(three_days), TICKET_EVENTS)
    ingest(three_days, window=Window.of_keys("2026-04-01", "2026-04-03"))
    content = digests(three_days, TICKET_EVENTS)

    removed, problem = remove_orphans(earlier, (), AgeRule(datetime.now(UTC) + DAY, 1, dry_run=False))

    assert (removed, problem) == ((), None)
    assert digests(three_days, TICKET_EVENTS) == content


def test_nothing_is_removed_from_a_folder_that_two_tables_share(three_days, orphans):
    """A renamed table keeps its folder; the one that is made under the old name gets the same."""
    catalog = open_catalog(three_days)
    catalog.rename_table(f"bronze.{TICKET_EVENTS}", "bronze.put_by")
    definition = bronze_table(three_days, TICKET_EVENTS)
    ensure_table(catalog, definition.identifier, definition.schema, definition.partition_by)
    before = content_digest(catalog.load_table("bronze.put_by"))

    report = maintained(three_days, table=TICKET_EVENTS)

    assert report.problems == (
        f"bronze.{TICKET_EVENTS}: shares its folder with bronze.put_by: no file was removed; next: give one its own",
    )
    assert content_digest(catalog.load_table("bronze.put_by")) == before


def test_a_data_file_that_is_gone_is_reported_and_holds_up_neither_other_tables_nor_leftovers(three_days):
    table = find_table(open_catalog(three_days), DOC_ASSETS)
    (task,) = table.scan().plan_files()
    Path(task.file.file_path.removeprefix("file://")).unlink()
    (three_days.home / "scratch" / "dead").mkdir()
    _put(three_days, b"nobody's")
    before = warehouse_files(three_days)

    report = maintained(three_days)

    assert [problem.partition(":")[0] for problem in report.problems] == [f"bronze.{DOC_ASSETS}", "object store"]
    assert report.objects == () and _objects(before) == _objects(warehouse_files(three_days))
    assert of(report, TICKET_EVENTS).snapshots_expired and len(report.leftovers) == 1


def _objects(files):
    return {file for file in files if "/objects/" in file}


# ── objects, leftovers ───────────────────────────────────────────────────────────────────────────────────────────────
def _put(settings, content):
    sha256 = hashlib.sha256(content).hexdigest()
    put_object(settings, io.BytesIO(content), sha256)
    return settings.home / "warehouse" / object_path(sha256)


def test_objects_that_no_row_names_go_when_they_are_old_and_the_others_stay(three_days):
    used = _put(three_days, b"# Guide\n")
    orphan = _put(three_days, b"nobody's")
    partial = orphan.with_name(f"{orphan.name}.0a.partial")
    partial.write_bytes(b"half")

    assert maintained(three_days, later=timedelta()).objects == ()
    planned = maintained(three_days, dry_run=True)
    done = maintained(three_days)

    assert planned.objects == done.objects
    assert {each.location for each in done.objects} == {str(orphan), str(partial)}
    assert used.exists() and not orphan.exists() and not partial.exists()
    assert has_done_nothing(maintained(three_days))


def test_an_object_that_only_an_older_snapshot_names_goes_with_that_snapshot(three_days):
    for path in three_days.manifests.glob("manifest-docs-*.json"):
        path.unlink()
    ingest(three_days)  # takes the document out of Bronze, and out of what the ledger knows
    (guide,) = (three_days.home / "warehouse" / "objects").rglob("bc553ffe*")

    assert maintained(three_days, keep_snapshots=99).objects == () and guide.exists()

    report = maintained(three_days)
    assert of(report, DOC_ASSETS).snapshots_expired
    assert [each.location for each in report.objects] == [str(guide)] and not guide.exists()


def test_an_object_that_a_load_counts_on_meanwhile_comes_back(three_days):
    """A maintenance died after it set the object aside; then a load found it in the ledger's known files."""
    used = _put(three_days, b"# Guide\n")
    used.rename(f"{used}.removing")

    report = maintained(three_days)

    assert report.objects == ()
    assert used.read_bytes() == b"# Guide\n" and not Path(f"{used}.removing").exists()


def test_an_object_that_a_load_comes_to_count_on_while_it_is_being_set_aside_comes_back(
    three_days, declare, monkeypatch
):
    """The load found the object stored, and so did not upload it, after maintenance had looked at what is known."""
    found = _put(three_days, b"# Another\n")
    (three_days.manifests / "another.md").write_text("# Another\n")
    look, looks = orphans_module._known_objects, []

    def look_then_load(*given):
        known = look(*given)
        if not looks:
            declare(document_manifest("2026-04-02", [source("another", "another.md", "other")], 2, max_deleted_ratio=1))
            assert ingest(three_days).is_complete
        looks.append(known)
        return known

    monkeypatch.setattr(orphans_module, "_known_objects", look_then_load)
    report = maintained(three_days)

    assert report.objects == () and found.read_bytes() == b"# Another\n"


@pytest.fixture
def recorded(settings, declare):
    """A recording with a transcript, loaded; the transcript's object."""
    (settings.manifests / "a.wav").write_bytes(b"the sound")
    (settings.manifests / "a.txt").write_bytes(b"what is said")
    recording = source("a", "a.wav", "audio", transcript_object_path="a.txt")
    declare(recording_manifest("audio", "2026-04-01", [recording]))
    assert ingest(settings).is_complete
    return _put(settings, b"what is said")


def test_a_sidecar_that_a_retained_snapshot_names_stays_whatever_the_ledger_knows(settings, recorded):
    for path in settings.manifests.glob("manifest-*.json"):
        path.unlink()
    ingest(settings)  # takes the recording out of Bronze, and out of what the ledger knows

    assert maintained(settings, keep_snapshots=99).objects == () and recorded.exists()

    gone = {each.location for each in maintained(settings).objects}
    assert str(recorded) in gone and len(gone) == 2 and not recorded.exists()


def test_a_sidecar_stays_while_a_retained_snapshot_has_it_when_contract_and_table_have_no_such_column(
    settings, recorded
):
    folder = settings.manifests / "contracts"
    folder.mkdir()
    contract = json.loads((PROJECT_ROOT / "manifests" / "contracts" / "audio_asset.json").read_text())
    fields = [field for field in contract["fields"] if not field.get("sidecar")]
    (folder / "audio_asset.json").write_text(json.dumps({**contract, "fields": fields}))
    ingest(settings)
    with find_table(open_catalog(settings), "raw_audio_assets").update_schema() as update:
        update.delete_column("transcript_object_path")

    assert maintained(settings, keep_snapshots=99).objects == () and recorded.exists()
    assert [each.location for each in maintained(settings).objects] == [str(recorded)]


def test_a_replaced_sidecar_goes_with_the_last_snapshot_that_names_it(settings, recorded):
    (settings.manifests / "a.txt").write_bytes(b"what was really said")
    ingest(settings)

    assert maintained(settings, keep_snapshots=99).objects == () and recorded.exists()
    assert [each.location for each in maintained(settings).objects] == [str(recorded)]
    assert _put(settings, b"what was really said").exists()


def test_a_sidecar_that_a_load_counts_on_before_it_has_committed_stays(settings, declare):
    """The store has the object already, so that a load that knows of the file will not upload it."""
    (settings.manifests / "a.wav").write_bytes(b"the sound")
    (settings.manifests / "a.txt").write_bytes(b"what is said")
    recording = source("a", "a.wav", "audio", transcript_object_path="a.txt")
    declare(recording_manifest("audio", "2026-04-01", [recording]))
    found, orphan = _put(settings, b"what is said"), _put(settings, b"nobody's")
    refresh(settings)

    assert [each.location for each in maintained(settings).objects] == [str(orphan)]
    assert found.exists()


def test_folders_of_runs_that_died_go_and_those_of_running_ones_stay(three_days):
    dead, alive = three_days.home / "scratch" / "dead", three_days.home / "dlt" / "runs" / "alive"
    for folder in (dead, alive):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_bytes(b"four")
        old = (datetime.now(UTC) - 2 * DAY).timestamp()
        for path in (folder / "deep" / "file", folder / "deep", folder):
            os.utime(path, (old, old))
    (alive / "deep" / "file").write_bytes(b"still at work")

    report = maintained(three_days, later=timedelta())

    assert [each.location for each in report.leftovers] == [str(dead)]
    assert alive.exists() and not dead.exists()
