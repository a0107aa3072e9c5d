"""dbt on Iceberg: windows, evidence in the ledger, attribution of failures to days, discovery from any directory."""

import json
import shutil

import duckdb
import pytest

from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import WHOLE
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest, find_table
from lakehouse.tables.duck import load_iceberg_extension, scan_sql
from loaders.ingest import ingest
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import build, dbt


def rows(settings: LakehouseSettings, table: str, columns: str, where: str = "true"):
    with duckdb.connect() as connection:
        load_iceberg_extension(connection, {})
        relation = scan_sql(find_table(open_catalog(settings), table))
        return connection.execute(f"select {columns} from {relation} where {where} order by all").fetchall()


def checks_of(settings: LakehouseSettings, asset: str):
    """(partition, check) → passed, of the current materializations of an asset."""
    ledger = open_ledger(settings)
    found = ledger.current_checks()
    return {(c.partition, c.check): c.passed for checks in found.values() for c in checks if c.asset == asset}


@pytest.fixture
def week(settings, declare):
    """Two events a day, 2026-04-13 to 2026-04-19, in Bronze."""
    events = [ticket_event(10 * d + n, f"2026-04-{d}") for d in range(13, 20) for n in (1, 2)]
    write_lines(settings.manifests / "a.jsonl", events)
    declare(ticket_manifest([source("a", "a.jsonl")]))
    assert ingest(settings).is_complete
    return settings


def test_a_windowed_build_writes_its_window_only_and_a_whole_build_the_same_content(week):
    assert build(week, window=("2026-04-15", "2026-04-17")).returncode == 0
    assert rows(week, "ticket_events", "distinct occurred_at::date::varchar") == [("2026-04-15",), ("2026-04-16",)]
    current = open_ledger(week).current_materializations(["support_kpi_daily", "ticket_fact"])
    assert sorted(current) == [
        ("support_kpi_daily", "2026-04-15"),
        ("support_kpi_daily", "2026-04-16"),
        ("ticket_fact", WHOLE),
    ]
    table = find_table(open_catalog(week), "support_kpi_daily")
    windowed = content_digest(table, "2026-04-15")

    done = build(week)

    assert done.returncode == 0, done.stdout
    assert content_digest(find_table(open_catalog(week), "support_kpi_daily"), "2026-04-15") == windowed
    assert len(rows(week, "ticket_events", "event_id")) == 14
    assert not (PROJECT_ROOT / "dbt_project" / "target").exists()
    assert not (PROJECT_ROOT / "dbt_project" / "logs").exists()


def test_days_are_utc_days_whatever_the_time_zone_of_the_machine(settings, declare):
    events = [ticket_event(1, occurred_at="2026-04-15T00:30:00Z"), ticket_event(2, occurred_at="2026-04-15T23:30:00Z")]
    write_lines(settings.manifests / "a.jsonl", events)
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)

    for zone in ("America/New_York", "Pacific/Auckland"):
        assert dbt(settings, "build", TZ=zone).returncode == 0
        assert rows(settings, "support_kpi_daily", "kpi_date::varchar, sum(events)::int", "true group by all") == [
            ("2026-04-15", 2)
        ]


def test_a_failure_in_a_range_is_attributed_to_the_days_that_hold_the_failing_rows(settings, declare):
    def event(n, day, **fields):
        return ticket_event(n, day, product_line="cross_product", **fields)

    # A P1 that is `created` twice over: counts stay consistent; a resolution before the creation is not.
    odd = event(2, "2026-04-15", event_type="resolved", status="resolved", resolved_at="2026-04-14T00:00:00Z")
    write_lines(settings.manifests / "a.jsonl", [event(1, "2026-04-14"), odd, event(3, "2026-04-16")])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)

    done = build(settings, window=("2026-04-14", "2026-04-17"))

    assert done.returncode == 1
    found = checks_of(settings, "support_kpi_daily")
    passed = {partition: ok for (partition, check), ok in found.items() if check == "kpi_counts_consistent"}
    assert passed == {"2026-04-14": True, "2026-04-15": False, "2026-04-16": True}
    assert found[("2026-04-15", "kpi_key_unique")]


def test_replaying_an_old_day_never_rolls_a_ticket_back(settings, declare):
    resolved = ticket_event(2, "2026-04-16", ticket_id="t1", status="resolved", event_type="resolved")
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1, "2026-04-15"), resolved])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    build(settings)
    before = content_digest(find_table(open_catalog(settings), "ticket_fact"))

    assert build(settings, "--select", "ticket_events+", window=("2026-04-15", "2026-04-16")).returncode == 0

    assert content_digest(find_table(open_catalog(settings), "ticket_fact")) == before
    assert rows(settings, "ticket_fact", "ticket_id, status, event_count") == [("t1", "resolved", 2)]


def test_an_emptied_day_is_cleared_downstream(week):
    assert build(week).returncode == 0
    kept = [ticket_event(10 * d, f"2026-04-{d}") for d in range(13, 20) if d != 15]
    write_lines(week.manifests / "a.jsonl", kept)
    ingest(week)

    assert build(week, window=("2026-04-15", "2026-04-16")).returncode == 0

    assert rows(week, "ticket_events", "event_id", "occurred_at::date = date '2026-04-15'") == []
    assert rows(week, "support_kpi_daily", "events", "kpi_date = date '2026-04-15'") == []


def test_document_versions_follow_the_snapshots(settings, declare):
    for name, text in (("a1", "a1"), ("a2", "a2"), ("b1", "b1")):
        (settings.manifests / f"{name}.md").write_text(text)

    def snapshot(day, **files):
        listed = [source(doc, f"{file}.md", "other") for doc, file in files.items()]
        declare(document_manifest(day, listed, max_deleted_ratio=1.0))  # one of two is meant to go

    snapshot("2026-04-01", a="a1", b="b1")
    snapshot("2026-04-08", a="a2")
    snapshot("2026-04-15", a="a2", b="b1")
    ingest(settings)

    done = build(settings)

    assert done.returncode == 0, done.stdout
    feed = rows(settings, "doc_change_feed", "snapshot_date::varchar, doc_id, change_type")
    assert feed == [
        ("2026-04-01", "a", "added"),
        ("2026-04-01", "b", "added"),
        ("2026-04-08", "a", "changed"),
        ("2026-04-08", "b", "removed"),
        ("2026-04-15", "b", "added"),
    ]
    assert rows(settings, "knowledge_doc", "doc_id, version_number") == [("a", 2), ("b", 3)]


def test_dbt_works_on_an_empty_lakehouse_and_from_another_directory(settings, tmp_path):
    project = str(PROJECT_ROOT / "dbt_project")

    done = dbt(settings, "build", cwd=tmp_path, DBT_PROJECT_DIR=project, DBT_PROFILES_DIR=project)

    assert done.returncode == 0, done.stdout
    assert rows(settings, "ticket_events", "event_id") == []


def test_a_window_that_is_no_whole_day_is_refused_before_anything_is_written(week):
    done = build(week, window=("2026-04-15T06:00:00", "2026-04-16"))

    assert done.returncode != 0
    assert "expected a whole UTC day" in done.stdout
    assert not open_ledger(week).current_materializations(["ticket_events"])


def test_a_build_or_test_of_a_part_of_the_data_is_refused_at_every_door_before_anything_is_written(week):
    model, sample = ("--select", "ticket_events"), "{'start': '2026-04-13', 'end': '2026-04-14'}"
    assert build(week, *model).returncode == 0

    def state():
        ledger, table = open_ledger(week), find_table(open_catalog(week), "ticket_events")
        return ledger.current_materializations(), ledger.current_checks(), table.metadata_location

    before, said = state(), []
    for command, environment in [
        (["build", *model, "--empty"], {}),
        (["run", *model, "--sample", sample], {}),
        (["build", *model], {"DBT_EMPTY": "1"}),
        (["run", *model], {"DBT_ENGINE_SAMPLE": sample}),
        (["retry"], {}),
    ]:
        if command == ["retry"]:
            retry_with(week, empty=True)
        refused = dbt(week, *command, **environment)
        assert refused.returncode != 0 and state() == before, (command, environment)
        said.append(refused.stdout)
    unknown_to_dbt_test = dbt(week, "test", *model, "--empty")
    compiled = dbt(week, "compile", *model, "--empty")

    assert all("it would read a part of its inputs" in each and "nothing was built" in each for each in said), said
    assert [("--empty" in each, "--sample" in each) for each in said] == [(True, False), (False, True)] * 2 + [
        (True, False)
    ]
    assert unknown_to_dbt_test.returncode != 0 and compiled.returncode == 0, compiled.stdout
    assert state() == before


def retry_with(settings: LakehouseSettings, **arguments: bool) -> None:
    """Leave results of a build that failed, with these arguments, as an earlier dbt may have."""
    path = settings.dbt_target_dir / "run_results.json"
    results = json.loads(path.read_text("utf-8"))
    results["args"] |= arguments
    for each in results["results"]:
        each["status"] = "error"
    path.write_text(json.dumps(results), "utf-8")


def test_dbt_documents_shows_and_selects_by_state_as_anywhere(week, tmp_path):
    assert build(week).returncode == 0
    shutil.copytree(week.dbt_target_dir, tmp_path / "state")

    documented = dbt(week, "--quiet", "docs", "generate")
    shown = dbt(week, "--quiet", "show", "--select", "support_kpi_daily", "--output", "json")
    modified = dbt(week, "--quiet", "ls", "--select", "state:modified", "--state", str(tmp_path / "state"))

    assert documented.returncode == 0, documented.stdout
    catalog = json.loads((week.dbt_target_dir / "catalog.json").read_text("utf-8"))["nodes"]
    assert "open_tickets" in catalog["model.omni.support_backlog_daily"]["columns"]
    assert '"kpi_date"' in shown.stdout
    assert modified.returncode == 0 and "omni." not in modified.stdout
