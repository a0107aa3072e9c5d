"""Bronze with real dlt, DuckDB and Iceberg: exact partitions, idempotent loads, quarantine, unreadable sources."""

import gzip
import hashlib
import json
import os
import random
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa
import pytest

from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import QUARANTINE
from lakehouse.partitions import Window
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest, find_table
from lakehouse.tables.duck import load_iceberg_extension, scan_sql
from loaders.ingest import ingest
from loaders.manifests.manifest import SCHEMA_FILE
from tests.conftest import (
    DOC_ASSETS,
    TICKET_EVENTS,
    document_manifest,
    source,
    ticket_event,
    ticket_manifest,
    write_lines,
)


def rows(settings, table, columns="*", where="true"):
    with duckdb.connect() as connection:
        load_iceberg_extension(connection, {})
        relation = scan_sql(find_table(open_catalog(settings), table))
        return connection.execute(f"select {columns} from {relation} where {where} order by all").fetchall()


def digests(settings, *tables):
    catalog = open_catalog(settings)
    return [content_digest(find_table(catalog, table)) for table in tables]


def test_an_event_lies_in_the_partition_of_its_utc_day_whatever_file_and_offset_it_came_in(settings, declare):
    late = ticket_event(2, occurred_at="2026-04-16T01:30:00+08:00")
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1), late, ticket_event(3, "2026-04-16")])
    declare(ticket_manifest([source("a", "a.jsonl")]))

    report = ingest(settings)

    assert [(m.partition, m.rows.loaded) for m in report.loads[0].loaded] == [("2026-04-15", 2), ("2026-04-16", 1)]
    assert rows(settings, TICKET_EVENTS, "event_id", "occurred_at < timestamptz '2026-04-16 00:00:00+00'") == [
        ("e1",),
        ("e2",),
    ]


def test_a_table_of_days_keeps_the_bounds_of_its_time_column_and_a_day_is_replaced_by_them_alone(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1), ticket_event(2, "2026-04-16"), "broken"])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    events, quarantine = (find_table(open_catalog(settings), name) for name in (TICKET_EVENTS, QUARANTINE))
    files = {file["file_path"]: file for file in events.inspect.files().to_pylist()}

    ingest(settings, window=Window.of_keys("2026-04-15", "2026-04-15"))

    bounded = {key for file in files.values() for key, _ in file["lower_bounds"]}
    assert bounded == {events.schema().find_field("occurred_at").field_id}
    after = find_table(open_catalog(settings), TICKET_EVENTS).inspect.files().to_pylist()
    (kept,) = {file["file_path"] for file in after} & files.keys()
    assert "2026-04-16" in map(str, files[kept]["partition"].values())
    assert all(len(file["lower_bounds"]) > 2 for file in quarantine.inspect.files().to_pylist())


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("days", [["2026-04-15"], ["2026-04-15", "2026-04-16"]])
@pytest.mark.usefixtures("coarse_stamps")
def test_bytes_that_coverage_did_not_count_are_never_loaded(settings, declare, suffix, days):
    path = settings.manifests / f"a.jsonl{suffix}"

    def write(subject):
        lines = "".join(json.dumps(ticket_event(1, day, event_id=day, subject=subject)) + "\n" for day in days).encode()
        path.write_bytes(gzip.compress(lines, mtime=0) if suffix else lines)
        os.utime(path, (1, 1))

    def change(step):
        if step.startswith(f"{TICKET_EVENTS}: "):  # it is counted, and about to be staged
            write("old")  # as long

    write("new")
    declare(ticket_manifest([source("a", path.name)]))

    report = ingest(settings, progress=change)

    changed = f"a.jsonl{suffix}: changed since coverage looked at it; next: run it again"
    assert (report.loads[0].refused, report.loads[0].loaded) == (dict.fromkeys(days, changed), [])


def test_a_second_ingest_changes_nothing_and_says_so(sample_settings):
    first = ingest(sample_settings)
    before = digests(sample_settings, TICKET_EVENTS, DOC_ASSETS, QUARANTINE)

    second = ingest(sample_settings)

    assert first.is_complete and second.is_complete
    assert {load.asset: (load.loaded, load.unchanged) for load in second.loads if load.has_partitions} == {
        TICKET_EVENTS: ([], 29),
        DOC_ASSETS: ([], 4),
    }
    assert digests(sample_settings, TICKET_EVENTS, DOC_ASSETS, QUARANTINE) == before


def test_the_sample_is_conserved_in_its_documented_numbers(sample_settings):
    counts = json.loads((sample_settings.manifests / "sample" / "counts.json").read_text())

    report = ingest(sample_settings)
    tickets, documents = report.load_of(TICKET_EVENTS), report.load_of(DOC_ASSETS)

    total = {name: sum(getattr(m.rows, name) for m in tickets.loaded) for name in ("read", "loaded", "quarantined")}
    assert total["loaded"] == counts["events"]
    assert total["quarantined"] == sum(counts["bad"].values())
    assert {m.partition: m.rows.loaded for m in tickets.loaded} == {
        d: n for d, n in counts["events_per_day"].items() if n
    }
    assert all(m.rows.is_conserved for m in [*tickets.loaded, *documents.loaded])
    assert all(check.passed for check in [*tickets.checks, *documents.checks] if check.severity == "error")


def test_days_loaded_one_by_one_in_any_order_and_in_parallel_end_as_one_range_does(sample_settings, tmp_path):
    whole = sample_settings.model_copy(update={"home": tmp_path / "whole"})
    ingest(whole)
    window = Window.of_keys("2026-04-08", "2026-04-14")
    days = [Window.of_day(day) for day in window]
    random.Random(7).shuffle(days)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda day: ingest(sample_settings, window=day), days))
    ingest(sample_settings, window=window)

    of = [
        content_digest(find_table(open_catalog(s), TICKET_EVENTS), day.isoformat())
        for s in (whole, sample_settings)
        for day in window
    ]
    assert of[:7] == of[7:]


def test_a_late_file_reopens_its_days_and_no_others(settings, declare):
    write_lines(settings.manifests / "t" / "1.jsonl", [ticket_event(n, f"2026-04-{n:02}") for n in range(1, 6)])
    declare(ticket_manifest([source("t", "t/*.jsonl")]))
    ingest(settings)
    write_lines(settings.manifests / "t" / "2.jsonl", [ticket_event(9, "2026-04-02")])

    report = ingest(settings)

    assert [(m.partition, m.rows.loaded) for m in report.loads[0].loaded] == [("2026-04-02", 2)]
    assert report.loads[0].unchanged == 4


def test_of_an_event_in_two_batches_the_later_batch_is_kept(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1, category="first"), ticket_event(2), ticket_event(2)])
    write_lines(settings.manifests / "b.jsonl", [ticket_event(1, category="corrected")])
    declare(ticket_manifest([source("a", "a.jsonl")], 1))
    declare(ticket_manifest([source("b", "b.jsonl")], 2, created_at="2026-05-02T00:00:00Z"))

    (item,) = ingest(settings).loads[0].loaded

    assert (item.rows.read, item.rows.loaded, item.rows.deduplicated) == (4, 2, 2)
    assert rows(settings, TICKET_EVENTS, "event_id, category") == [("e1", "corrected"), ("e2", None)]


def test_an_event_without_id_is_the_same_event_in_another_key_order_and_batch(settings, declare):
    event = {k: v for k, v in ticket_event(1).items() if k != "event_id"} | {"channel": "mail", "a": 1}
    again = dict(reversed(list(event.items()))) | {"batch_id": "another"}
    write_lines(settings.manifests / "a.jsonl", [{**event, "batch_id": "one"}, again])
    declare(ticket_manifest([source("a", "a.jsonl")]))

    (item,) = ingest(settings).loads[0].loaded

    assert (item.rows.loaded, item.rows.deduplicated) == (1, 1)


@pytest.mark.parametrize(
    ("record", "code", "reason"),
    [
        ('{"ticket_id": "t1", ', "broken_record", "not a JSON object"),
        ("[1, 2]", "broken_record", "not a JSON object"),
        (ticket_event(1, priority="URGENT"), "value_not_allowed", 'priority: found "URGENT", allowed: P1, P2, P3, P4'),
        (ticket_event(1, ticket_id=None), "missing_required", "ticket_id: missing"),
        (ticket_event(1, ticket_id="  "), "missing_required", "ticket_id: missing"),
        (ticket_event(1, subject=42), "wrong_type", "subject: found a JSON number, expected string"),
        (ticket_event(1, tags="a,b"), "wrong_type", "tags: found a JSON string, expected list<string>"),
        (ticket_event(1, created_at="yesterday"), "invalid_instant", 'created_at: found "yesterday"'),
        (ticket_event(1, occurred_at="2026-04-15T10:00:00"), "instant_without_offset", "occurred_at: found"),
        (
            ticket_event(1, occurred_at="1970-01-01T00:00:00Z"),
            "implausible_instant",
            "expected from 2000-01-01 to before 2026-05-03T00:00:00Z",
        ),
        (ticket_event(1, org_id="x" * 200), "too_long", "org_id: found"),
    ],
)
def test_a_record_outside_the_contract_is_quarantined_with_reason_file_and_line(
    settings, declare, record, code, reason
):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(7), "", record, ticket_event(8)])
    declare(ticket_manifest([source("a", "a.jsonl")]))

    report = ingest(settings.model_copy(update={"max_quarantined_share": 1}))

    assert report.is_complete
    ((found_code, found_reason, raw, file, line, partition),) = rows(
        settings, QUARANTINE, "reason_code, reason, raw_record, source_file, source_line, partition"
    )
    assert (found_code, file, line, partition) == (code, "a.jsonl", 3, "2026-04-15")
    assert reason in found_reason
    assert raw == (record if isinstance(record, str) else json.dumps(record))
    assert len(rows(settings, TICKET_EVENTS)) == 2


def test_fields_beyond_the_contract_are_kept_in_extra(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1, channel="mail", **{'we"ird/~key': {"b": [1]}})])
    declare(ticket_manifest([source("a", "a.jsonl")]))

    ingest(settings)

    ((extra,),) = rows(settings, TICKET_EVENTS, "extra")
    assert json.loads(extra) == {"channel": "mail", 'we"ird/~key': {"b": [1]}}


def test_a_record_of_the_plain_ticket_contract_becomes_an_event(settings, declare):
    def plain(number, status, updated):
        return {
            "ticket_id": f"t{number}",
            "status": status,
            "created_at": "2026-04-10T00:00:00Z",
            "updated_at": updated,
        }

    records = [
        plain(1, "new", None),
        plain(2, "open", "2026-04-11T00:00:00Z"),
        plain(3, "resolved", "2026-04-12T00:00:00Z"),
    ]
    write_lines(settings.manifests / "a.jsonl", records)
    declare(ticket_manifest([source("a", "a.jsonl")]))

    ingest(settings)

    found = rows(settings, TICKET_EVENTS, "ticket_id, event_type, occurred_at::date::varchar")
    assert found == [("t1", "created", "2026-04-10"), ("t2", "updated", "2026-04-11"), ("t3", "resolved", "2026-04-12")]


def _break_missing(path):
    path.unlink()


def _break_truncated(path):
    path.write_bytes(path.read_bytes()[:-20])


def _break_checksum(path):
    path.write_bytes(gzip.compress(json.dumps(ticket_event(5)).encode() + b"\n", mtime=1))


@pytest.mark.parametrize("damage", [_break_missing, _break_truncated, _break_checksum])
def test_an_unreadable_file_refuses_its_days_leaves_their_old_rows_and_holds_no_other_back(settings, declare, damage):
    broken = settings.manifests / "2026-04-15.jsonl.gz"
    content = gzip.compress("".join(json.dumps(ticket_event(n)) + "\n" for n in range(50)).encode(), mtime=0)
    broken.write_bytes(content)
    checksum = hashlib.sha256(content).hexdigest()
    declare(ticket_manifest([source("a", broken.name, checksum_sha256=checksum), source("b", "b.jsonl")]))
    write_lines(settings.manifests / "b.jsonl", [ticket_event(1, "2026-04-16")])
    ingest(settings)
    damage(broken)
    write_lines(settings.manifests / "b.jsonl", [ticket_event(1, "2026-04-16"), ticket_event(2, "2026-04-16")])

    report = ingest(settings)

    load = report.loads[0]
    assert not report.is_complete
    assert list(load.refused) == ["2026-04-15"] and "next:" in load.refused["2026-04-15"]
    assert [m.partition for m in load.loaded] == ["2026-04-16"]
    assert len(rows(settings, TICKET_EVENTS)) == 52

    broken.write_bytes(content)
    assert ingest(settings).is_complete


def test_an_unreadable_file_that_was_never_read_is_expected_on_the_day_in_its_name(settings, declare):
    declare(ticket_manifest([source("a", "2026-04-15.jsonl")]))

    report = ingest(settings)

    assert list(report.loads[0].refused) == ["2026-04-15"]
    assert "no file at '2026-04-15.jsonl'" in report.problems[0]


def test_empty_files_and_empty_days_are_fine(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [])
    declare(ticket_manifest([source("a", "a.jsonl")]))

    assert ingest(settings).is_complete
    assert ingest(settings, window=Window.of_keys("2026-04-15", "2026-04-15")).is_complete


def test_a_day_that_lost_all_its_records_is_cleared(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1), "broken", ticket_event(2, "2026-04-16")])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    write_lines(settings.manifests / "a.jsonl", [ticket_event(2, "2026-04-16")])

    report = ingest(settings)

    assert [(m.partition, m.rows.read) for m in report.loads[0].loaded] == [("2026-04-15", 0)]
    assert rows(settings, TICKET_EVENTS, "event_id") == [("e2",)]
    assert rows(settings, QUARANTINE) == []


def test_quarantined_sources_and_rejected_manifests_load_nothing_and_hide_nothing(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1)])
    write_lines(settings.manifests / "b.jsonl", [ticket_event(2)])
    declare(ticket_manifest([source("a", "a.jsonl"), source("b", "b.jsonl", pii_scan_status="suspected")]))
    declare(ticket_manifest([source("c", "a.jsonl")], 2, surprise=1))

    report = ingest(settings)

    assert rows(settings, TICKET_EVENTS, "event_id") == [("e1",)]
    assert not report.is_complete
    assert any("surprise" in line for line in report.lines())


def test_a_folder_that_vanishes_under_a_new_declaration_empties_nothing(settings, declare):
    write_lines(settings.manifests / "t" / "1.jsonl", [ticket_event(1)])
    declare(ticket_manifest([source("t", "t/*.jsonl")]))
    ingest(settings)
    (settings.manifests / "t").rename(settings.manifests / "unmounted")
    declare(ticket_manifest([source("t", "t/*.jsonl")], batch_id="another"))

    report = ingest(settings)

    assert list(report.loads[0].refused) == ["2026-04-15"]
    assert rows(settings, TICKET_EVENTS, "event_id") == [("e1",)]


@pytest.mark.parametrize("content", ['{"manifest_id": ', "{}"])
def test_a_manifest_that_is_refused_later_empties_nothing_and_says_why(settings, declare, content):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1)])
    manifest = declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    valid = manifest.read_text()
    manifest.write_text(content)

    report = ingest(settings)

    assert not report.is_complete
    assert rows(settings, TICKET_EVENTS, "event_id") == [("e1",)]
    (coverage,) = open_ledger(settings).coverage(TICKET_EVENTS).values()
    assert manifest.name in coverage[0].problem

    manifest.write_text(valid)
    assert ingest(settings).is_complete
    (coverage,) = open_ledger(settings).coverage(TICKET_EVENTS).values()
    assert coverage[0].problem is None


def test_csv_json_and_parquet_sources_load_as_jsonl_does(settings, declare):
    event = ticket_event(1)
    data = settings.manifests / "data"
    data.mkdir()
    (data / "a.csv").write_text(",".join(event) + "\n" + ",".join(event.values()) + "\n")
    (data / "b.json").write_text(json.dumps([ticket_event(2), ticket_event(3)]))
    pa.parquet.write_table(pa.Table.from_pylist([ticket_event(4, tags=["x"])]), data / "c.parquet")
    declare(
        ticket_manifest([source(n, f"data/{n}.{k}", k) for n, k in (("a", "csv"), ("b", "json"), ("c", "parquet"))])
    )

    report = ingest(settings)

    assert report.is_complete
    found = rows(settings, TICKET_EVENTS, "event_id, source_line, tags")
    assert found == [("e1", 2, None), ("e2", 1, None), ("e3", 2, None), ("e4", 1, ["x"])]


def test_a_mapping_adapts_a_foreign_export_and_reaches_no_file(settings, declare):
    (settings.manifests / "mappings").mkdir()
    mapping = settings.manifests / "mappings" / "desk.sql"
    mapping.write_text(
        "select source_line, id as ticket_id, lower(state) as status, opened || 'Z' as created_at "
        "from raw where state <> 'X'"
    )
    (settings.manifests / "a.csv").write_text("id,state,opened\n1,OPEN,2026-04-15T08:00:00\n2,X,2026-04-15T08:00:00\n")
    declare(ticket_manifest([source("a", "a.csv", "csv")], mapping="desk"))

    (item,) = ingest(settings).loads[0].loaded

    assert (item.rows.loaded, item.rows.quarantined) == (1, 1)
    mapping.write_text(f"select source_line, content as ticket_id from raw, read_text('{settings.manifests}/a.csv')")
    assert "desk.sql" in ingest(settings).problems[0]


def test_documents_are_stored_once_by_content_and_listed_per_snapshot(settings, declare):
    for name, text in (("a.md", "one"), ("b.md", "one"), ("c.md", "two")):
        (settings.manifests / name).write_text(text)
    declare(document_manifest("2026-04-01", [source("a", "a.md", "other"), source("b", "b.md", "other")]))
    declare(document_manifest("2026-04-08", [source("a", "a.md", "other"), source("c", "c.md", "other")]))

    report = ingest(settings)

    assert [(m.partition, m.rows.loaded) for m in report.load_of(DOC_ASSETS).loaded] == [
        ("2026-04-01", 2),
        ("2026-04-08", 2),
    ]
    objects = [p for p in (settings.home / "warehouse" / "objects").rglob("*") if p.is_file()]
    assert sorted(p.read_text() for p in objects) == ["one", "two"]
    paths = rows(settings, DOC_ASSETS, "raw_object_path")
    assert all((settings.home / "warehouse" / path).is_file() for (path,) in paths)


def test_a_missing_document_refuses_its_snapshot_only(settings, declare):
    (settings.manifests / "a.md").write_text("one")
    declare(document_manifest("2026-04-01", [source("a", "a.md", "other")]))
    declare(document_manifest("2026-04-08", [source("a", "a.md", "other"), source("gone", "gone.md", "other")]))

    report = ingest(settings)

    assert list(report.load_of(DOC_ASSETS).refused) == ["2026-04-08"]
    assert [m.partition for m in report.load_of(DOC_ASSETS).loaded] == ["2026-04-01"]


def test_nulls_in_optional_fields_change_neither_judgment_nor_coverage_nor_rows(settings, declare):
    schema = json.loads((PROJECT_ROOT / "manifests" / "schema" / SCHEMA_FILE).read_text("utf-8"))
    parts = schema, schema["$defs"]["asset"], schema["properties"]["selection_window"]
    nulls, nulls_of_source, nulls_of_window = (dict.fromkeys(part["properties"]) for part in parts)
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1)])
    (settings.manifests / "a.md").write_text("# One")
    declared = [source("a", "a.jsonl"), source("a", "a.md", "other")]

    declare(ticket_manifest(declared[:1], selection_window={}))
    declare(document_manifest("2026-04-01", declared[1:]))
    first, before = ingest(settings), digests(settings, TICKET_EVENTS, DOC_ASSETS)

    with_nulls = [{**nulls_of_source, **each} for each in declared]
    declare({**nulls, **ticket_manifest(with_nulls[:1], selection_window=nulls_of_window)})
    declare({**nulls, **document_manifest("2026-04-01", with_nulls[1:])})
    second, again = ingest(settings), ingest(settings, window=Window.of_keys("2026-04-01", "2026-04-15"))

    assert [a.judgment for a in second.admission.admissions] == [a.judgment for a in first.admission.admissions]
    assert list(second.admission.changes.values()) == [["nothing that is read: spelling, order or notes"]] * 2
    for asset in (TICKET_EVENTS, DOC_ASSETS):
        assert (second.load_of(asset).loaded, second.load_of(asset).unchanged) == ([], 1)
        assert len(again.load_of(asset).loaded) == 1
    assert digests(settings, TICKET_EVENTS, DOC_ASSETS) == before


def test_a_tombstone_needs_no_file(settings, declare):
    (settings.manifests / "a.md").write_text("one")
    gone = source("gone", "gone.md", "other", deleted=True)
    declare(document_manifest("2026-04-01", [source("a", "a.md", "other"), gone], disposition="merge"))

    assert ingest(settings).is_complete
    assert rows(settings, DOC_ASSETS, "doc_id, is_tombstone") == [("a", False), ("gone", True)]


def test_a_run_that_died_between_commit_and_ledger_is_recovered_from_the_snapshots(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    ledger = open_ledger(settings)
    before = ledger.current_materializations()
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("delete from omni_materializations")

    report = ingest(settings)

    after = ledger.current_materializations()
    assert report.loads[0].unchanged == 1
    assert {k: (m.version, m.snapshot_id, m.rows) for k, m in after.items()} == {
        k: (m.version, m.snapshot_id, m.rows) for k, m in before.items()
    }


@pytest.mark.parametrize("extras", [{}, {"plan": "gold"}])
def test_an_event_told_in_aliases_is_the_same_event_and_the_word_of_its_source_is_kept(settings, declare, extras):
    told = {"event_id": None, "priority": "P1", "status": "open", **extras}
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1, **told), ticket_event(2)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    ids = rows(settings, TICKET_EVENTS, "event_id, record_sha256")

    aliases = {"priority": "p1_critical", "status": "in_progress"}
    write_lines(settings.manifests / "b.jsonl", [ticket_event(1, **{**told, **aliases})])
    declare(ticket_manifest([source("a", "b.jsonl")], number=2, created_at="2026-05-02T00:00:00Z"))
    ingest(settings)

    assert rows(settings, TICKET_EVENTS, "event_id, record_sha256") == ids
    extra = json.dumps(dict(sorted({**aliases, **extras}.items())), separators=(",", ":"))
    found = rows(settings, TICKET_EVENTS, "status, priority, extra", "batch_id = 'batch-2'")
    assert found == [("open", "P1", extra)]
    (drift,) = [
        c for found in open_ledger(settings).current_checks().values() for c in found if c.check == "contract_drift"
    ]
    assert drift.failures == len(extras) and "priority" not in drift.message


def test_an_alias_is_exact(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1, priority="P1_critical")])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)

    assert rows(settings, QUARANTINE, "reason_code") == [("value_not_allowed",)]
