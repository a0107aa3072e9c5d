"""`omni verify` against a lakehouse that someone tampered with, for real: in the ledger, in the tables, in the store."""

import hashlib
import json
import shutil
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from lakehouse.builds.commit_evidence import recover_ledger
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.proof.verification import verify
from lakehouse.recovery.plan import plan_recovery
from lakehouse.recovery.recover import recover
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import UnknownTable, content_digest, find_table
from lakehouse.tables.objects import object_path
from lakehouse.upkeep import maintenance
from loaders.bronze import pipelines
from loaders.ingest import ingest, look_again, refresh
from orchestration.cli import upkeep as verify_command
from orchestration.cli.main import app
from orchestration.dbt_launcher.process import run_dbt
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import open_readiness
from orchestration.runs.backfill import Selection, plan_backfill, request_backfill, run_backfill
from orchestration.runs.proof import prove
from tests.conftest import recording_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.integration.conftest import run, statuses
from tests.integration.lakehouse.corruptions import assert_each_is_found, built_lake
from tests.integration.lakehouse.tampers import CHECK, TAMPERS, put_back, sql

ONE, TWO = "2026-04-15", "2026-04-16"
EVENTS = "raw_ticket_events"


@pytest.fixture(scope="module")
def built(tmp_path_factory, parsed_project):
    """Two days of tickets (the second with a broken line), a commit each, and a document, loaded, built and checked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines, "MOST_DAYS", 1)
        return built_lake(tmp_path_factory.mktemp("verify"), parsed_project)[0]


@pytest.fixture
def lake(built):
    """The lakehouse and its sources, put back afterwards: paths in Iceberg metadata are absolute, so it cannot be copied elsewhere."""
    yield built
    for folder in (built.home, built.manifests):
        shutil.rmtree(folder)
        shutil.copytree(folder.parent / "kept" / folder.name, folder)


@pytest.fixture
def tampered(built):
    """The lakehouse, of which tables and ledger are put back afterwards."""
    yield built
    for name in ("warehouse", "catalog.db", "catalog.db-wal", "catalog.db-shm"):
        put_back(built.home / name, built.home.parent / "kept" / "home" / name)


def proven(settings, **options):
    return prove(settings, open_catalog(settings), open_ledger(settings), **options)


def found_by(report):
    return {(finding.code, finding.asset, finding.partition) for finding in report.findings}


def look(settings, **options):
    return verify(open_catalog(settings), open_ledger(settings), settings, **options)


def codes(settings, **options):
    return [(finding.code, finding.asset, finding.partition) for finding in look(settings, **options).findings]


def change_ledger(settings, statement, *values):
    with closing(sqlite3.connect(settings.home / "catalog.db")) as connection:
        changed = connection.execute(statement, values).rowcount
        connection.commit()
    assert changed == 1


def table(settings, name):
    return find_table(open_catalog(settings), name)


def digests(settings):
    return {name: content_digest(table(settings, name)) for name in load_asset_graph(settings).nodes}


# ── agreement ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_ledger_and_tables_of_a_run_agree(built):
    report = look(built)

    assert report.findings == []
    # Days: 2 of events and of KPIs, 1 of documents, 2 of each other daily model; 5 assets that are not partitioned.
    assert (report.partitions, report.objects) == (2 + 1 + 10 * 2 + 5, 1)
    assert report.snapshots == 2 + 1 + 9 + 5


def test_work_that_leaves_evidence_stays_in_agreement(lake, monkeypatch, tmp_path):
    write_lines(
        lake.manifests / f"{TWO}.jsonl", [ticket_event(4, TWO, event_id="e4"), ticket_event(5, ONE, event_id="e5")]
    )
    ingest(lake)
    ingest(lake, window=Window.of_keys("2026-04-14", TWO))
    after_loads = codes(lake)
    monkeypatch.setattr(maintenance, "SMALL_FILES", 0)
    for asset in (EVENTS, "support_kpi_daily", "ticket_fact"):
        list(maintenance._compact(table(lake, asset), maintenance.AgeRule(None, 1, False), tmp_path))

    assert (after_loads, codes(lake)) == ([], [])


def test_an_expired_snapshot_is_no_disagreement(lake):
    write_lines(lake.manifests / f"{TWO}.jsonl", [ticket_event(4, TWO, event_id="e4")])
    ingest(lake)
    events = table(lake, EVENTS)
    current = events.current_snapshot().snapshot_id

    events.maintenance.expire_snapshots().by_ids(
        [s.snapshot_id for s in events.snapshots() if s.snapshot_id != current]
    ).commit()

    assert len(table(lake, EVENTS).snapshots()) == 1
    assert codes(lake, asset=EVENTS) == []


def test_nothing_is_written(built):
    def state():
        files = sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in (built.home / "warehouse").rglob("*"))
        with closing(sqlite3.connect(built.home / "catalog.db")) as connection:
            return files, list(connection.iterdump())

    before = state()

    look(built)

    assert state() == before


def test_a_lake_whose_database_is_gone_is_ready_with_equal_digests_after_recovery_and_one_run(lake):
    before, ready = digests(lake), statuses(lake)
    for file in lake.home.glob("catalog.db*"):
        file.unlink()
    recover(lake, plan_recovery(lake, datetime.now(UTC)), lambda catalog, ledger: look_again(lake, catalog, ledger))
    unready = statuses(lake)
    run(lake)

    assert "READY" in ready.values() and "READY" not in unready.values()
    assert (digests(lake), statuses(lake)) == (before, ready)
    assert codes(lake) == []


# ── the lakehouse was written by an earlier version ──────────────────────────────────────────────────────────────────
EARLIER = {  # columns of the tables of its ledger that lack some of today's
    "batches": "manifest_id manifest_sha256 batch_id manifest_path admitted_at declared_at load_mode declared",
    "admissions": "manifest_id manifest_sha256 source_id judgment reasons declared",
    "releases": "manifest_id manifest_sha256 source_id reason released_by released_at",
    "source_files": "asset manifest_id source_id source_file stamp sha256 problem checked_at",
    "coverage": "asset manifest_id source_id source_file partition rows_expected fingerprint problem first_at last_at",
    "materializations": "id asset partition version snapshot_id committed_at run_id rows_expected rows_read rows_loaded "
    "rows_deduplicated rows_quarantined inputs batch_ids manifest_ids manifest_hashes source_files is_forced "
    "read_snapshots started_at size_bytes held_by_snapshot_id",
    "quarantine_actions": "id record_id action asset partition source_file source_line reason_code reason acted_by acted_at",
    "backfills": "id targets reason requested_by requested_at is_forced finished_at outcome",
    "checks": "id materialization_id asset partition check_name severity passed failures message observed_at run_id",
}


def set_back_to_commit_1802c39(settings):
    """Its ledger had fewer tables and columns, and numbers for snapshot ids in JSON; its commits were not marked."""
    with closing(sqlite3.connect(settings.home / "catalog.db")) as connection:
        tables = connection.execute("select name from sqlite_master where type = 'table' and name like 'omni_%'")
        for (name,) in tables.fetchall():
            columns = [row[1] for row in connection.execute(f"pragma table_info({name})")]
            kept = EARLIER.get(name.removeprefix("omni_"), "").split()
            if not kept:
                connection.execute(f"drop table {name}")
            for column in set(columns) - set(kept) if kept else ():
                connection.execute(f'alter table {name} drop column "{column}"')
        read = connection.execute("select id, read_snapshots from omni_materializations").fetchall()
        for number, text in read:
            numbers = json.dumps({name: int(at) for name, at in json.loads(text or "{}").items()})
            connection.execute("update omni_materializations set read_snapshots = ? where id = ?", (numbers, number))
        connection.commit()
    for mark in (settings.home / "warehouse").rglob("metadata/committed"):
        mark.unlink()


def test_a_lake_of_an_earlier_version_is_ready_again_after_one_run_and_loses_nothing(lake):
    def kept():
        with closing(sqlite3.connect(lake.home / "catalog.db")) as connection:
            tables = ("batches", "admissions", "quarantine_actions", "releases", "backfills")
            columns = {name: ", ".join(EARLIER[name].split()) for name in tables}
            rows = {name: connection.execute(f"select {columns[name]} from omni_{name}").fetchall() for name in tables}
            history = "select id, asset, partition, version, snapshot_id, run_id from omni_materializations order by id"
            return rows, connection.execute(history).fetchall()

    before, ready, (rows, history) = digests(lake), statuses(lake), kept()
    set_back_to_commit_1802c39(lake)
    unready, planned = statuses(lake), plan_recovery(lake, datetime.now(UTC))
    run(lake)

    assert "READY" not in unready.values() and not planned.is_needed
    assert (digests(lake), statuses(lake)) == (before, ready)
    assert kept()[0] == rows and kept()[1][: len(history)] == history
    assert codes(lake) == []


# ── the ledger was changed ───────────────────────────────────────────────────────────────────────────────────────────
def test_a_deleted_record_of_a_commit_is_found_and_recovery_mends_it(lake):
    change_ledger(lake, "delete from omni_materializations where asset = ? and partition = ?", EVENTS, ONE)

    assert codes(lake) == [("commit_unrecorded", EVENTS, ONE)]
    (finding,) = look(lake).findings
    assert "with 3 rows on the table" in finding.found and finding.next_step == f"omni run --partition {ONE}"
    assert recover_ledger(open_catalog(lake), open_ledger(lake)) == 1
    assert codes(lake) == []


def test_a_deleted_record_of_one_day_of_a_build_is_found(lake):
    change_ledger(lake, "delete from omni_materializations where asset = ? and partition = ?", "ticket_events", TWO)

    assert codes(lake) == [("commit_unrecorded", "ticket_events", TWO)]


def test_changed_counts_are_found(lake):
    change_ledger(
        lake, "update omni_materializations set rows_loaded = 2 where asset = ? and partition = ?", EVENTS, ONE
    )

    assert codes(lake) == [("evidence_differs", EVENTS, ONE), ("rows_differ", EVENTS, ONE)]
    evidence, rows = look(lake).findings
    assert "loaded 2" in evidence.found and "loaded 3" in evidence.expected
    assert (rows.found, rows.expected) == ("3 rows in the table's files", "2 rows by the ledger")


@pytest.mark.parametrize(
    ("column", "value"), [("run_id", "r"), ("batch_ids", '["b"]'), ("manifest_hashes", '["0"]'), ("source_files", "[]")]
)
def test_anything_that_differs_from_the_snapshot_is_found(lake, column, value):
    change_ledger(
        lake, f"update omni_materializations set {column} = ? where asset = ? and partition = ?", value, EVENTS, TWO
    )

    assert codes(lake) == [("evidence_differs", EVENTS, TWO)]
    assert f"ledger: {column} " in look(lake).findings[0].found


def test_a_snapshot_that_never_was_is_found(lake):
    change_ledger(
        lake, "update omni_materializations set snapshot_id = 7 where asset = ? and partition = ''", "ticket_fact"
    )

    assert codes(lake) == [("snapshot_unknown", "ticket_fact", "")]


@pytest.mark.parametrize("cited", ["gone", "older"])
def test_a_citation_of_a_snapshot_that_cannot_hold_the_day_is_found(lake, cited):
    snapshots = sorted(table(lake, EVENTS).snapshots(), key=lambda snapshot: snapshot.sequence_number)
    other = 7 if cited == "gone" else snapshots[0].snapshot_id
    written = {key: item.snapshot_id for (_, key), item in open_ledger(lake).current_materializations([EVENTS]).items()}
    day = next(key for key, snapshot_id in written.items() if snapshot_id != snapshots[0].snapshot_id)
    command = "update omni_materializations set held_by_snapshot_id = ? where asset = ? and partition = ?"
    change_ledger(lake, command, other, EVENTS, day)

    assert codes(lake) == [("citation_unknown", EVENTS, day)]


def test_a_snapshot_that_speaks_of_other_days_is_found(lake):
    other = open_ledger(lake).current_materializations([EVENTS])[EVENTS, TWO].snapshot_id
    # The later of the two: an earlier one would leave a commit that the ledger lacks.
    latest = table(lake, EVENTS).current_snapshot().snapshot_id
    day = ONE if latest == other else TWO
    change_ledger(
        lake, "update omni_materializations set snapshot_id = ? where asset = ? and partition = ?", latest, EVENTS, day
    )

    assert codes(lake) == [("evidence_absent", EVENTS, day)]


# ── the tables were changed ──────────────────────────────────────────────────────────────────────────────────────────
def test_deleted_rows_are_found(lake):
    table(lake, EVENTS).delete("event_id == 'e1'")

    assert codes(lake) == [("rows_differ", EVENTS, ONE)]


def test_a_day_that_is_gone_is_found(lake):
    table(lake, "support_kpi_daily").delete(f"kpi_date == '{TWO}'")

    assert codes(lake) == [("rows_gone", "support_kpi_daily", TWO)]


def test_rows_of_a_day_that_the_ledger_does_not_know_are_found(lake):
    events = table(lake, EVENTS)
    row = events.scan(row_filter="event_id == 'e1'").to_arrow()
    column = row.schema.get_field_index("occurred_at")
    moved = pa.array([row["occurred_at"][0].as_py().replace(month=6)], row.schema.field(column).type)
    events.append(row.set_column(column, row.schema.field(column), moved))

    assert codes(lake) == [("rows_unknown", EVENTS, "2026-06-15")]


def test_rows_that_were_exchanged_are_found_though_their_number_is_right(lake):
    facts = table(lake, "ticket_fact")
    rows = facts.scan().to_arrow()
    facts.overwrite(rows)

    assert codes(lake) == [("foreign_write", "ticket_fact", "")]


def test_a_file_that_was_added_is_found(lake):
    events = table(lake, EVENTS)
    (source_file,) = [
        t.file.file_path for t in events.scan(row_filter=f"occurred_at >= '{TWO}T00:00:00+00:00'").plan_files()
    ]
    copy = f"{Path(source_file.removeprefix('file://')).parent}/{uuid.uuid4().hex}.parquet"
    shutil.copyfile(source_file.removeprefix("file://"), copy)
    events.add_files([f"file://{copy}"])

    assert codes(lake) == [("rows_differ", EVENTS, TWO)]


def test_a_table_that_was_dropped_is_found(lake):
    open_catalog(lake).drop_table("silver.knowledge_doc")

    assert codes(lake) == [("snapshot_unknown", "knowledge_doc", ""), ("rows_gone", "knowledge_doc", "")]


def test_held_records_of_an_asset_that_was_never_loaded_are_found(lake):
    held = table(lake, "quarantine")
    row = held.scan().to_arrow().slice(0, 1)
    held.append(
        row.set_column(0, row.schema.field("asset"), pa.array(["raw_audio_assets"], row.schema.field("asset").type))
    )

    assert codes(lake) == [("quarantine_differs", "raw_audio_assets", TWO)]


def test_records_that_left_quarantine_are_found(lake):
    table(lake, "quarantine").delete("asset == 'raw_ticket_events'")

    assert codes(lake) == [("quarantine_differs", EVENTS, TWO)]
    (finding,) = look(lake).findings
    assert (finding.found, finding.expected) == ("0 records held in the quarantine table", "1 by the ledger")


def test_released_records_stay_in_their_table_and_are_not_held(lake):
    quarantine = table(lake, "quarantine")
    row = quarantine.scan().to_arrow()
    column = row.schema.get_field_index("released_at")
    quarantine.append(row.set_column(column, row.schema.field(column), row["quarantined_at"]))

    assert codes(lake) == []


# ── files are gone ───────────────────────────────────────────────────────────────────────────────────────────────────
def local(location):
    return Path(location.removeprefix("file://"))


def data_files(settings, name, day=None):
    return [
        local(task.file.file_path)
        for task in table(settings, name).scan().plan_files()
        if day is None or str(task.file.partition[0]) == str((date.fromisoformat(day) - date(1970, 1, 1)).days)
    ]


@pytest.mark.parametrize(
    ("asset", "day"), [(EVENTS, ONE), ("raw_doc_assets", ONE), ("support_kpi_daily", TWO), ("ticket_fact", "")]
)
def test_a_data_file_that_is_gone_is_found_and_a_backfill_of_its_partition_mends_it(lake, asset, day):
    (file,) = data_files(lake, asset, day or None)
    file.unlink()

    (finding,) = look(lake).findings

    assert (finding.code, finding.asset, finding.partition) == ("file_gone", asset, day)
    assert str(file) in finding.found
    assert finding.next_step == f"omni backfill {asset}{f' --partition {day}' if day else ''}"
    assert (backfilled(lake, asset, day), codes(lake)) == ([], [])


def backfilled(settings, *targets):
    """What `omni backfill` does with its assets and its day; what is not ready, or failed, afterwards."""
    assets, days = (
        [each for each in targets if not each[:1].isdigit()],
        [each for each in targets if each[:1].isdigit()],
    )
    refresh(settings)
    readiness, ledger = open_readiness(settings), open_ledger(settings)
    window = Window.of_keys(days[0], days[0]) if days else None
    plan = plan_backfill(readiness, Selection(tuple(filter(None, assets)), window, frozenset(), False))
    result = run_backfill(settings, request_backfill(ledger, plan, "test", "me", False), lambda _: None)
    return [*result.lines, *(f"{each.name} {each.status}" for each in result.not_ready)]


def test_the_objects_of_a_window_are_looked_for_whatever_is_gone_of_other_days(lake):
    (file,) = data_files(lake, "raw_doc_assets")
    file.unlink()

    found = {day: codes(lake, asset="raw_doc_assets", window=Window.of_keys(day, day)) for day in (ONE, TWO)}

    assert found == {ONE: [("file_gone", "raw_doc_assets", ONE)], TWO: []}


def test_a_data_file_of_another_size_is_found_and_a_backfill_mends_it(lake):
    (file,) = data_files(lake, EVENTS, TWO)
    size = file.stat().st_size
    file.unlink()  # it may be a link of another
    file.write_bytes(b"short")

    (finding,) = look(lake).findings

    assert (finding.code, finding.partition) == ("file_differs", TWO)
    assert finding.found.endswith(": 5 bytes") and finding.expected == f"{size} bytes by the table's metadata"
    assert ingest(lake, window=Window.of_keys(TWO, TWO)).is_complete and codes(lake) == []


def test_a_file_of_quarantine_that_is_gone_is_found_and_what_is_computed_again_into_a_new_table_mends_it(lake):
    (file,) = data_files(lake, "quarantine")
    file.unlink()

    (finding,) = look(lake, asset="ticket_fact").findings

    assert (finding.code, finding.asset, finding.partition) == ("file_gone", EVENTS, TWO)
    assert finding.next_step.endswith(
        f"drop bronze.quarantine from the catalog, then: omni backfill {EVENTS} raw_doc_assets"
    )
    open_catalog(lake).drop_table("bronze.quarantine")
    assert (backfilled(lake, EVENTS, "raw_doc_assets"), codes(lake)) == ([], [])


def test_a_file_beside_the_tables_folder_is_looked_for_where_it_lies(lake, tmp_path):
    (file,) = data_files(lake, "ticket_fact")
    facts = table(lake, "ticket_fact")
    elsewhere = tmp_path / "elsewhere.parquet"
    shutil.copyfile(file, elsewhere)
    facts.add_files([f"file://{elsewhere}"])
    there = codes(lake, asset="ticket_fact")
    elsewhere.unlink()

    assert there == [("rows_differ", "ticket_fact", "")]
    assert ("file_gone", "ticket_fact", "") in codes(lake, asset="ticket_fact")


@pytest.mark.parametrize("part", ["manifest", "manifest list", "metadata"])
def test_metadata_that_are_gone_are_found_and_a_table_dropped_and_computed_again_is_whole(lake, part):
    events = table(lake, EVENTS)
    snapshot = events.current_snapshot()
    location = {
        "manifest": snapshot.manifests(events.io)[0].manifest_path,
        "manifest list": snapshot.manifest_list,
        "metadata": events.metadata_location,
    }[part]
    local(location).unlink()

    (finding,) = look(lake).findings

    assert (finding.code, finding.asset, finding.partition) == ("metadata_gone", EVENTS, "")
    assert location.removeprefix("file://") in finding.found
    assert f"drop bronze.{EVENTS} from the catalog, then: omni backfill {EVENTS}" in finding.next_step
    open_catalog(lake).drop_table(f"bronze.{EVENTS}")
    assert (backfilled(lake, EVENTS), codes(lake)) == ([], [])


# ── the object store was changed ─────────────────────────────────────────────────────────────────────────────────────
def test_an_object_that_is_gone_or_has_another_size_is_found_and_a_load_brings_it_back(lake):
    (path,) = [p for p in (lake.home / "warehouse" / "objects").rglob("*") if p.is_file()]
    path.write_bytes(b"short")
    short = look(lake).findings
    path.unlink()
    gone = look(lake).findings

    assert [(f.code, f.asset, f.partition) for f in (*short, *gone)] == [
        ("object_differs", "raw_doc_assets", ONE),
        ("object_gone", "raw_doc_assets", ONE),
    ]
    assert short[0].expected == gone[0].expected == "22 bytes" and "of 5 bytes" in short[0].found
    assert ingest(lake, window=Window.of_keys(ONE, ONE)).is_complete
    assert [code for code, _, _ in codes(lake)] == []


def test_a_sidecar_that_is_gone_or_cut_is_found_and_a_load_brings_it_back(lake):
    (lake.manifests / "a.wav").write_text("the sound")
    (lake.manifests / "a.txt").write_text("what is said")
    recording = source("a", "a.wav", "audio", transcript_object_path="a.txt")
    manifest = recording_manifest("audio", TWO, [recording])
    (lake.manifests / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest))
    ingest(lake)
    path = lake.home / "warehouse" / object_path(hashlib.sha256(b"what is said").hexdigest())
    whole = look(lake, asset="raw_audio_assets")

    path.write_bytes(b"what")
    cut = look(lake).findings
    path.unlink()
    gone = look(lake).findings
    change_ledger(lake, "delete from omni_source_files where asset = 'raw_audio_assets'")
    unknown = look(lake).findings

    assert (whole.findings, whole.objects) == ([], 2)
    assert [(f.code, f.asset, f.partition, f.expected) for f in (*cut, *gone, *unknown)] == [
        ("object_differs", "raw_audio_assets", TWO, "12 bytes"),
        ("object_gone", "raw_audio_assets", TWO, "12 bytes"),
        ("object_gone", "raw_audio_assets", TWO, "its bytes"),
    ]
    assert ingest(lake, window=Window.of_keys(TWO, TWO)).is_complete
    assert path.read_bytes() == b"what is said" and codes(lake) == []


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_asset_and_a_window_bound_what_is_compared(lake):
    table(lake, EVENTS).delete("event_id == 'e1'")
    table(lake, "support_kpi_daily").delete(f"kpi_date == '{TWO}'")

    assert codes(lake, asset="support_kpi_daily") == [("rows_gone", "support_kpi_daily", TWO)]
    assert codes(lake, window=Window.of_keys(ONE, ONE)) == [("rows_differ", EVENTS, ONE)]
    with pytest.raises(UnknownTable, match="'nope': neither a table nor a record"):
        look(lake, asset="nope")


def test_the_command_answers_0_agree_1_disagree_2_error(lake, monkeypatch, tmp_path):
    monkeypatch.setattr(verify_command, "load_settings", lambda: lake)
    agreed = CliRunner().invoke(app, ["verify"])
    unknown = CliRunner().invoke(app, ["verify", "--asset", "nope"])
    table(lake, EVENTS).delete("event_id == 'e1'")
    wrong = CliRunner().invoke(app, ["verify"])
    as_json = CliRunner().invoke(app, ["verify", "--json"])
    nowhere = LakehouseSettings(home=tmp_path / "nowhere", manifests=tmp_path)
    monkeypatch.setattr(verify_command, "load_settings", lambda: nowhere)
    absent = CliRunner().invoke(app, ["verify"])

    assert [r.exit_code for r in (agreed, unknown, wrong, as_json, absent)] == [0, 2, 1, 1, 2]
    assert "ledger and tables agree" in agreed.stdout
    assert f"next: omni run --partition {ONE}" in wrong.stdout and "1 disagreement" in wrong.stdout
    assert [finding["code"] for finding in json.loads(as_json.stdout)["findings"]] == ["rows_differ"]
    assert not nowhere.home.exists()


# ── every tamper by name ─────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", TAMPERS)
def test_a_tamper_is_found(tampered, monkeypatch, name):
    tamper = TAMPERS[name]
    if tamper.by != "dbt":  # seconds
        monkeypatch.setattr("orchestration.runs.proof.run_dbt", lambda *_, **__: None)
    if tamper.by == "unnamed":
        monkeypatch.setattr("lakehouse.proof.opened_tables.named_files", lambda *_: [])
    tamper.how(tampered)
    if tamper.by == "refused":
        with pytest.raises(ConfigurationError, match="is older than its warehouse"):
            proven(tampered)
        return
    asked = {"asset": tamper.asset, "window": Window.of_keys(ONE, ONE)} if tamper.by == "dbt" else {}

    found = found_by(proven(tampered))
    read = found if tamper.by == "verify" else found_by(proven(tampered, reading=lambda _: None, **asked))

    expected = (tamper.code, tamper.asset, tamper.partition)
    assert expected in read
    assert (expected in found) == (tamper.by == "verify")


def test_a_forged_pass_is_found_since_the_check_is_asked_again(tampered, monkeypatch):
    monkeypatch.setattr("orchestration.runs.proof.run_dbt", lambda *_, **__: None)
    strict = tampered.model_copy(update={"max_quarantined_share": 0.1})
    words = "at most 0.1 of the records held in quarantine"
    sql(f"update omni_checks set definition = ? {CHECK}", words, EVENTS, TWO, "quarantine_share")(tampered)

    (finding,) = [
        f for f in proven(strict, reading=lambda _: None).findings if (f.code, f.partition) == ("check_differs", TWO)
    ]

    assert "quarantine_share: passed True" in finding.found
    assert "passed False, failures 1" in finding.expected


def test_tests_of_dbts_that_cannot_be_asked_prove_nothing(tampered, monkeypatch, tmp_path):
    def without_profiles(*arguments, environment, **options):
        return run_dbt(*arguments, environment=environment | {"DBT_PROFILES_DIR": str(tmp_path)}, **options)

    monkeypatch.setattr("orchestration.runs.proof.run_dbt", without_profiles)

    found = proven(
        tampered, reading=lambda _: None, asset="support_kpi_daily", window=Window.of_keys(ONE, ONE)
    ).findings

    assert [(each.code, each.asset) for each in found] == [("checks_unasked", "support_kpi_daily")]


def test_reading_finds_nothing_wrong_with_what_nobody_touched_and_changes_nothing(built):
    def state():
        files = sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in (built.home / "warehouse").rglob("*"))
        with closing(sqlite3.connect(built.home / "catalog.db")) as connection:
            return files, list(connection.iterdump())

    before, read = state(), []

    report = proven(built, reading=read.append)

    assert report.findings == []
    assert report.notes == ["contract_drift is asked of records while they are loaded, and not again"]
    assert report.files > 40 and f"{EVENTS}: files 1 to 2 of 2" in read
    assert state() == before


def test_evidence_that_names_no_files_is_accepted_and_said(settings, declare, monkeypatch):
    monkeypatch.setattr("orchestration.runs.proof.run_dbt", lambda *_, **__: None)
    monkeypatch.setattr("lakehouse.tables.commits.evidence_of_files", lambda *_: {})
    monkeypatch.setattr("lakehouse.tables.followed_commits.record_files", lambda *_: None)
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1, ONE), ticket_event(2, TWO)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)

    report = proven(settings, asset=EVENTS, reading=lambda _: None)

    assert report.findings == []
    assert f"{EVENTS}: 2 data files are not on record, so their bytes prove nothing" in report.notes


def test_each_of_twenty_bytes_changed_at_random_places_is_found(tampered):
    kept = tampered.home.parent / "kept" / "home"

    found = assert_each_is_found(tampered, kept, range(20))

    assert {each.outcome for each in found} >= {"verify", "deep"}
