"""The ledger over a real SQLite file: what is recorded, replaced, forgotten and read back."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from threading import Barrier

import pytest
from sqlalchemy import inspect, select, text

from lakehouse.ledger import schema
from lakehouse.ledger.declarations import declarations
from lakehouse.ledger.evidence import (
    CheckResult,
    Coverage,
    ManifestVersion,
    Materialization,
    Release,
    RowCounts,
    SourceAdmission,
    SourceFileRecord,
)
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings

AT = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
ASSET = "raw_ticket_events"
BATCH = ManifestVersion("m1", "h1", "b1", "m1.json", AT, "full_snapshot", {"owner": "support"}, AT)
JUDGED = SourceAdmission("s1", "warn", ("warn: no checksum",), {"asset_type": "jsonl"})


@pytest.fixture
def ledger(tmp_path):
    return open_ledger(LakehouseSettings(home=tmp_path / "the home"))


def looked_at(name, **fields):
    return SourceFileRecord(ASSET, "m1", "s1", name, **{"stamp": "10:1", "sha256": "abc", **fields})


def covering(name, partition="2026-04-15", rows=3, **fields):
    return Coverage(ASSET, partition, "m1", "s1", name, rows, **{"fingerprint": f"{name} {partition} {rows}", **fields})


def written(partition="2026-04-15", version="v1", asset=ASSET, **fields):
    return Materialization(asset, partition, version, 1, **{"committed_at": AT, "run_id": "run", **fields})


def checked(materialization_id, name="conservation", passed=True, **fields):
    named = {"asset": ASSET, "partition": "2026-04-15", "severity": "error", "message": "m", "run_id": "run"}
    values = {**named, "observed_at": AT, **fields}
    return CheckResult(check=name, passed=passed, materialization_id=materialization_id, **values)


def stored(ledger, table):
    with ledger.engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def stored_text(ledger, table):
    with ledger.engine.connect() as connection:
        return connection.execute(text(f"select declared from {table}")).scalars().all()


# ── admission ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_version_of_a_manifest_is_recorded_with_the_judgments_of_its_sources(ledger):
    is_new = ledger.record_admission(BATCH, [JUDGED])

    assert is_new
    assert ledger.manifest_versions() == ledger.manifest_versions("m1") == [BATCH]
    assert ledger.source_admissions(BATCH) == [JUDGED]


def test_a_lone_surrogate_that_an_earlier_version_recorded_is_read_escaped_and_left_as_it_is(ledger):
    declared = {"owner": "a\ud800b", "\udc00": ["\udfff", "\U0001f600", r"\ud800", "é"]}
    ledger.record_admission(replace(BATCH, declared=declared), [replace(JUDGED, declared={"title": "\ud83d"})])
    before = stored_text(ledger, "omni_batches")

    (version,), (judged,) = ledger.manifest_versions(), ledger.source_admissions(BATCH)

    assert version.declared == {"owner": r"a\ud800b", r"\udc00": [r"\udfff", "\U0001f600", r"\ud800", "é"]}
    assert judged.declared == {"title": r"\ud83d"}
    assert stored_text(ledger, "omni_batches") == before


def test_recording_a_known_version_again_changes_nothing(ledger):
    ledger.record_admission(BATCH, [JUDGED])
    before = stored(ledger, schema.batches), stored(ledger, schema.admissions)

    is_new = ledger.record_admission(
        replace(BATCH, batch_id="other"), [replace(JUDGED, judgment="reject"), replace(JUDGED, source_id="s2")]
    )

    assert not is_new
    assert (stored(ledger, schema.batches), stored(ledger, schema.admissions)) == before


def test_nothing_is_left_to_record_of_the_version_that_was_admitted_last(ledger):
    again, other = replace(BATCH, manifest_sha256="h2"), replace(BATCH, manifest_id="m2", declared_at=None)
    said = []
    for version in (BATCH, other, again, BATCH):
        ledger.record_admission(version, [])
        said.append(ledger.recorded_last())

    assert said == [{("m1", "h1")}, {("m1", "h1")}, {("m1", "h2")}, {("m1", "h1")}]


def test_another_version_of_a_manifest_is_recorded_beside_the_first(ledger):
    ledger.record_admission(BATCH, [JUDGED])

    is_new = ledger.record_admission(replace(BATCH, manifest_sha256="h2"), [])

    assert is_new
    assert {row["manifest_sha256"] for row in stored(ledger, schema.batches)} == {"h1", "h2"}


def test_a_release_is_recorded_once_and_says_who_let_it_in_when_and_why(ledger):
    release = Release("m1", "h1", "s1", "cleared by legal", "ana", AT)

    assert ledger.record_release(release)
    assert not ledger.record_release(replace(release, reason="another", released_by="bo"))
    assert ledger.releases() == {("m1", "h1", "s1"): release}


def test_a_ledger_of_an_earlier_version_gets_the_columns_that_it_lacks(tmp_path):
    settings = LakehouseSettings(home=tmp_path)
    old = open_ledger(settings)
    old.record_admission(BATCH, [JUDGED])
    with old.engine.begin() as connection:
        connection.execute(text("alter table omni_batches drop column declared_at"))

    (version,) = open_ledger(settings).manifest_versions()

    assert version == replace(BATCH, declared_at=None)


def test_the_high_water_mark_is_the_latest_record_that_arrived_by_itself(ledger):
    later, replayed = AT + timedelta(days=1), AT + timedelta(days=9)
    ledger.record_admission(BATCH, [])
    ledger.record_admission(replace(BATCH, manifest_id="again", load_mode="replay"), [])
    for manifest_id, at in (("m1", AT), ("m1", later), ("again", replayed)):
        file = replace(looked_at(f"{manifest_id} {at}"), manifest_id=manifest_id)
        row = Coverage(ASSET, str(at.date()), *file.key, 1, "f", last_at=at)
        ledger.replace_file_coverage([file], [row])

    assert ledger.high_water_mark(ASSET) == later
    assert ledger.high_water_mark("raw_doc_assets") is None


# ── coverage ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_coverage_and_files_are_read_as_they_were_written(ledger):
    files = [looked_at("a.gz"), looked_at("b.gz", sha256=None, problem="b.gz: cut")]
    rows = [covering("a.gz"), covering("b.gz", rows=None, problem="b.gz: cut"), covering("a.gz", "2026-04-16")]

    ledger.replace_file_coverage(files, rows)

    assert ledger.known_files(ASSET) == {file.key: file for file in files}
    assert ledger.coverage() == {(ASSET, "2026-04-15"): rows[:2], (ASSET, "2026-04-16"): rows[2:]}


def test_new_coverage_of_a_file_replaces_its_old_days_and_no_other_file(ledger):
    ledger.replace_file_coverage(
        [looked_at("a.gz"), looked_at("b.gz")], [covering("a.gz"), covering("a.gz", "2026-04-16"), covering("b.gz")]
    )

    ledger.replace_file_coverage([looked_at("a.gz", stamp="11:2")], [covering("a.gz", "2026-04-17")])

    assert ledger.coverage() == {
        (ASSET, "2026-04-15"): [covering("b.gz")],
        (ASSET, "2026-04-17"): [covering("a.gz", "2026-04-17")],
    }
    assert ledger.known_files(ASSET)["m1", "s1", "a.gz"].stamp == "11:2"


def test_of_many_files_that_are_replaced_together_known_and_new_ones_lose_nothing_but_their_own_old_days(ledger):
    names = [f"{number:05}.gz" for number in range(10_002)]  # more than fit in one statement
    twin = replace(looked_at(names[1]), source_id="s2"), replace(covering(names[1]), source_id="s2")
    ledger.replace_file_coverage(
        [looked_at(name) for name in names[::2]] + [twin[0]], [covering(name) for name in names[::2]] + [twin[1]]
    )

    ledger.replace_file_coverage(
        [looked_at(name, stamp="new") for name in names], [covering(name, "2026-04-17") for name in names]
    )

    known = ledger.known_files(ASSET)
    assert known.pop(("m1", "s2", names[1])) == twin[0]
    assert {file.stamp for file in known.values()} == {"new"} and len(known) == len(names)
    covered = ledger.coverage(ASSET)
    assert covered.pop((ASSET, "2026-04-15")) == [twin[1]]
    assert {day: len(rows) for (_, day), rows in covered.items()} == {"2026-04-17": len(names)}


def test_a_file_that_holds_nothing_any_more_covers_nothing(ledger):
    ledger.replace_file_coverage([looked_at("a.gz")], [covering("a.gz")])

    ledger.replace_file_coverage([looked_at("a.gz")], [])

    assert ledger.coverage() == {}
    assert list(ledger.known_files(ASSET)) == [("m1", "s1", "a.gz")]


def test_replacing_no_file_changes_nothing(ledger):
    ledger.replace_file_coverage([looked_at("a.gz")], [covering("a.gz")])

    ledger.replace_file_coverage([], [])

    assert ledger.coverage() == {(ASSET, "2026-04-15"): [covering("a.gz")]}


def test_coverage_that_cannot_be_written_leaves_the_old_coverage(ledger):
    ledger.replace_file_coverage([looked_at("a.gz")], [covering("a.gz")])

    with pytest.raises(Exception, match="UNIQUE"):
        ledger.replace_file_coverage([looked_at("a.gz", stamp="new")], [covering("a.gz", rows=4)] * 2)

    assert ledger.coverage() == {(ASSET, "2026-04-15"): [covering("a.gz")]}
    assert ledger.known_files(ASSET)["m1", "s1", "a.gz"].stamp == "10:1"


def test_a_forgotten_file_leaves_neither_itself_nor_coverage(ledger):
    ledger.replace_file_coverage([looked_at("a.gz"), looked_at("b.gz")], [covering("a.gz"), covering("b.gz")])

    ledger.forget_files(ASSET, [("m1", "s1", "a.gz"), ("m1", "s1", "never seen")])

    assert list(ledger.known_files(ASSET)) == [("m1", "s1", "b.gz")]
    assert ledger.coverage() == {(ASSET, "2026-04-15"): [covering("b.gz")]}


def test_files_of_one_asset_are_forgotten_and_asked_for_apart_from_another(ledger):
    other = SourceFileRecord("raw_doc_assets", "m1", "s1", "a.gz", "10:1")
    row = Coverage("raw_doc_assets", "2026-04-15", "m1", "s1", "a.gz", 1, "f")
    ledger.replace_file_coverage([looked_at("a.gz"), other], [covering("a.gz"), row])

    ledger.forget_files(ASSET, [("m1", "s1", "a.gz")])

    assert ledger.known_files(ASSET) == {}
    assert ledger.coverage(ASSET) == {}
    assert ledger.coverage("raw_doc_assets") == {("raw_doc_assets", "2026-04-15"): [row]}


# ── materializations ─────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_materialization_is_read_as_it_was_recorded(ledger):
    item = written(
        rows=RowCounts(10, 10, 7, 2, 1),
        inputs={"upstream": "v0"},
        batch_ids=("b1", "b2"),
        manifest_ids=("m1", "m2"),
        manifest_hashes=("h1", "h2"),
        source_files=("a.gz",),
    )

    (item_id,) = ledger.record_materializations([item])

    (found,) = ledger.current_materializations().values()
    assert found == Materialization(
        **{name: getattr(item, name) for name in item.__slots__ if name != "id"}, id=item_id
    )


def test_a_snapshot_id_of_64_bits_and_none_survive(ledger):
    big = 2**63 - 1
    ledger.record_materializations([written("2026-04-15"), written("2026-04-16")])
    ids = [Materialization(ASSET, day, "v", snapshot, AT, "run") for day, snapshot in (("1", big), ("2", None))]

    ledger.record_materializations(ids)

    found = ledger.current_materializations()
    assert (found[ASSET, "1"].snapshot_id, found[ASSET, "2"].snapshot_id) == (big, None)


def test_of_many_materializations_of_a_partition_the_last_recorded_is_current(ledger):
    later_clock = AT + timedelta(hours=1)
    ledger.record_materializations([written(version="v1", committed_at=later_clock), written("2026-04-16", "other")])

    ledger.record_materializations([written(version="v2"), written(version="v3")])

    found = {key: item.version for (_, key), item in ledger.current_materializations().items()}
    assert found == {"2026-04-15": "v3", "2026-04-16": "other"}


def test_ids_come_back_in_the_order_of_the_materializations(ledger):
    ids = ledger.record_materializations([written("2026-04-17"), written("2026-04-15"), written("2026-04-16")])

    found = ledger.current_materializations()
    assert [found[ASSET, day].id for day in ("2026-04-17", "2026-04-15", "2026-04-16")] == ids


def test_current_materializations_of_some_assets_leave_out_the_others(ledger):
    ledger.record_materializations([written(asset="a"), written(asset="b"), written(asset="c")])

    assert {asset for asset, _ in ledger.current_materializations(["a", "c"])} == {"a", "c"}
    assert ledger.current_materializations([]) == {}


def test_recording_no_materialization_is_fine(ledger):
    assert ledger.record_materializations([]) == []


# ── checks ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_check_result_is_read_as_it_was_recorded(ledger):
    (item_id,) = ledger.record_materializations([written()])
    result = checked(item_id, passed=False, severity="warn", failures=3, message="3 rows")

    ledger.record_checks([result])

    assert ledger.current_checks() == {item_id: [result]}


def test_the_last_result_of_each_check_counts(ledger):
    (item_id,) = ledger.record_materializations([written()])
    ledger.record_checks([checked(item_id, "a", False), checked(item_id, "b", True)])

    ledger.record_checks([checked(item_id, "a", True, observed_at=AT - timedelta(days=1))])

    found = {result.check: result.passed for result in ledger.current_checks()[item_id]}
    assert found == {"a": True, "b": True}


def test_a_new_materialization_has_no_checks_until_they_run_on_it(ledger):
    (old,) = ledger.record_materializations([written(version="v1")])
    ledger.record_checks([checked(old)])

    (new,) = ledger.record_materializations([written(version="v2")])

    assert ledger.current_checks() == {}
    assert list(ledger.current_checks([old, new])) == [old]


def test_checks_of_named_materializations_leave_out_the_others(ledger):
    first, second = ledger.record_materializations([written("2026-04-15"), written("2026-04-16")])
    ledger.record_checks([checked(first), checked(second, partition="2026-04-16")])

    assert list(ledger.current_checks([second])) == [second]
    assert ledger.current_checks([]) == {}


def test_more_materializations_can_be_named_than_a_statement_takes_values(ledger):
    first, second = ledger.record_materializations([written("2026-04-15"), written("2026-04-16")])
    ledger.record_checks([checked(first), checked(second, partition="2026-04-16")])

    assert set(ledger.current_checks([first, *range(1_000, 300_000), second])) == {first, second}


def test_recording_no_check_is_fine(ledger):
    ledger.record_checks([])

    assert ledger.current_checks() == {}


# ── the database ─────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("offset_hours", [0, 8, -5])
def test_an_instant_comes_back_as_the_same_instant_in_utc(ledger, offset_hours):
    local = AT.astimezone(timezone(timedelta(hours=offset_hours)))
    (item_id,) = ledger.record_materializations([written(committed_at=local)])
    ledger.record_checks([checked(item_id, observed_at=local)])

    (item,) = ledger.current_materializations().values()
    ((result,),) = ledger.current_checks().values()

    assert [item.committed_at, result.observed_at] == [AT, AT]
    assert {item.committed_at.tzinfo, result.observed_at.tzinfo} == {UTC}


def test_what_was_recorded_is_there_when_the_ledger_is_opened_again(tmp_path):
    settings = LakehouseSettings(home=tmp_path)
    open_ledger(settings).record_materializations([written()])

    assert len(open_ledger(settings).current_materializations()) == 1


def test_the_ledger_lies_in_the_database_of_the_catalog_by_default(tmp_path):
    open_ledger(LakehouseSettings(home=tmp_path / "new" / "folder"))

    assert (tmp_path / "new" / "folder" / "catalog.db").is_file()


@pytest.mark.parametrize("attempt", range(5))
def test_two_first_runs_at_once_both_find_the_tables(tmp_path, attempt):
    settings = LakehouseSettings(home=tmp_path)
    together = Barrier(4)

    def first_run(number):
        together.wait()
        ledger = open_ledger(settings)
        ledger.record_materializations([written(f"2026-04-0{number}")])
        return ledger

    with ThreadPoolExecutor(4) as pool:
        ledgers = list(pool.map(first_run, range(1, 5)))

    assert len(ledgers[0].current_materializations()) == 4
    assert set(schema.metadata.tables) <= set(inspect(ledgers[0].engine).get_table_names())


def test_two_writers_record_a_version_of_a_manifest_once(tmp_path):
    settings = LakehouseSettings(home=tmp_path)
    ledgers = [open_ledger(settings) for _ in range(4)]
    together = Barrier(4)

    def admit(ledger):
        together.wait()
        return ledger.record_admission(BATCH, [JUDGED])

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(admit, ledgers))

    assert sorted(answers) == [False, False, False, True]
    assert len(stored(ledgers[0], schema.admissions)) == 1


@pytest.mark.parametrize("hours", [0, -3])
def test_the_version_that_is_admitted_last_is_the_last_one_though_the_clock_stands_or_jumps_back(ledger, hours):
    def window(day):
        return {"selection_window": {"start_at": f"{day}T00:00:00+00:00", "end_at": f"{day}T12:00:00+00:00"}}

    ledger.replace_file_coverage([looked_at("a.jsonl")], [])
    wide = replace(BATCH, declared=window("2026-04-30"))
    corrected = replace(wide, manifest_sha256="h0", declared=window("2026-04-15"), admitted_at=AT + hours * HOUR)
    ledger.record_admission(wide, [])

    for _ in range(2):  # each run records it anew
        ledger.record_admission(corrected, [])
        assert [each.window.last_key for each in declarations(ledger)] == ["2026-04-15"]
        assert [each.manifest_sha256 for each in ledger.manifest_versions("m1")] == ["h1", "h0"]

    ledger.record_admission(wide, [])
    assert [each.window.last_key for each in declarations(ledger)] == ["2026-04-30"]


def test_a_row_carries_the_seal_of_what_was_recorded_and_of_nothing_else(ledger):
    ledger.record_admission(BATCH, [JUDGED])
    ledger.record_admission(replace(BATCH, manifest_sha256="h2"), [])
    abroad = AT.astimezone(timezone(HOUR))
    (key,) = ledger.record_materializations([written(inputs={"a": "v"}, read_snapshots={"a": 1}, started_at=abroad)])
    ledger.record_checks([checked(key), checked(key, "volume", passed=False, failures=2, definition="half")])
    ledger.cite(ledger.current_materializations().values(), 7)
    ledger.record_admission(replace(BATCH, admitted_at=AT + HOUR), [JUDGED])

    for table in (schema.batches, schema.admissions, schema.materializations, schema.checks):
        for row in stored(ledger, table):
            assert row["seal"] == schema.seal_of(table, row), table.name
            for name in ("message", "passed", "version", "batch_id", "judgment", "started_at"):
                if name in row:
                    assert row["seal"] != schema.seal_of(table, {**row, name: None}), name
