"""The Dagster graph, run for real in this process: one day, a range, checks that block, evidence per partition."""

import os

import dagster as dg
import pytest

from lakehouse.catalog import open_catalog
from lakehouse.digest import find_table
from lakehouse.ledger import open_ledger
from lakehouse.partitions import Window
from loaders.ingest import ingest, refresh
from orchestration.asset_graph import load_asset_graph
from orchestration.definitions import INGEST_ALL_JOB, build_definitions
from orchestration.partitions import range_tags
from orchestration.readiness import Readiness
from orchestration.verdicts import Status
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines


@pytest.fixture
def three_days(settings, declare):
    """Tickets on 2026-04-14 to 16, one document snapshot on the 15th; admitted and covered, nothing loaded."""
    events = [ticket_event(d, f"2026-04-{d}", product_line="cross_product") for d in (14, 15, 16)]
    write_lines(settings.manifests / "a.jsonl", events)
    declare(ticket_manifest([source("a", "a.jsonl")]))
    (settings.manifests / "d.md").write_text("text")
    declare(document_manifest("2026-04-15", [source("d", "d.md", "other")]))
    refresh(settings)
    return settings


def run_job(settings, instance, window, select=None):
    job = build_definitions(settings).resolve_job_def(INGEST_ALL_JOB)
    keys = [dg.AssetKey(name) for name in select] if select else None
    return job.execute_in_process(
        instance=instance, tags=range_tags(window), asset_selection=keys, raise_on_error=False
    )


def statuses(settings, asset):
    readiness = Readiness(load_asset_graph(settings), open_ledger(settings))
    return {key: verdict.status for key, verdict in readiness.verdicts(asset).items()}


def test_the_graph_has_its_assets_groups_kinds_checks_and_one_daily_definition(three_days):
    graph = build_definitions(three_days).resolve_asset_graph()

    nodes = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    groups = {name: node.group_name for name, node in nodes.items()}
    assert {
        "seed_manifests": "manifests",
        "raw_ticket_events": "bronze",
        "raw_doc_assets": "bronze",
    }.items() <= groups.items()
    assert groups["ticket_events"] == "silver" and groups["support_kpi_daily"] == "gold"
    daily = {name for name, node in nodes.items() if node.is_partitioned}
    assert daily == set(nodes) - {"seed_manifests", "ticket_fact", "knowledge_doc", "knowledge_doc_history"} - {
        "quarantine"
    }
    assert len({node.partitions_def for node in nodes.values() if node.is_partitioned}) == 1
    assert nodes["ticket_events"].partitions_def.get_first_partition_key() == "2026-04-14"
    assert {"seed_manifests"} == {key.to_user_string() for key in nodes["raw_ticket_events"].parent_keys}
    assert {"raw_ticket_events"} == {key.to_user_string() for key in nodes["ticket_events"].parent_keys}
    checks = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert {("raw_ticket_events", "conservation"), ("raw_ticket_events", "bronze_event_id_unique")} <= checks


def test_a_range_run_leaves_every_partition_ready_with_its_own_metadata(three_days):
    instance = dg.DagsterInstance.ephemeral()

    result = run_job(three_days, instance, Window.of_keys("2026-04-14", "2026-04-16"))

    assert result.success
    for asset in ("raw_ticket_events", "ticket_events", "support_kpi_daily", "support_backlog_daily"):
        assert set(statuses(three_days, asset).values()) == {Status.READY}, asset
    assert statuses(three_days, "ticket_fact") == {"": Status.READY}
    assert "OMNI_RUN_ID" not in os.environ
    records = instance.fetch_materializations(dg.AssetKey("raw_ticket_events"), limit=10).records
    loaded = {r.partition_key: r.asset_materialization.metadata["dagster/partition_row_count"].value for r in records}
    assert loaded == {"2026-04-14": 1, "2026-04-15": 1, "2026-04-16": 1}
    for asset in ("raw_ticket_events", "ticket_events"):
        listed = find_table(open_catalog(three_days), asset).inspect.files().to_pylist()
        sizes = {str(file["partition"]["occurred_at_day"]): file["file_size_in_bytes"] for file in listed}
        records = instance.fetch_materializations(dg.AssetKey(asset), limit=10).records
        told = {r.partition_key: r.asset_materialization.metadata for r in records}
        assert {day: of["size_bytes"].value for day, of in told.items()} == sizes, asset
        assert all(0 < of["seconds_from_start_to_commit"].value < 600 for of in told.values()), asset
    # A day that no document belongs to is done, says so, and shows no rows.
    records = instance.fetch_materializations(dg.AssetKey("raw_doc_assets"), limit=10).records
    shown = {r.partition_key: r.asset_materialization for r in records}
    assert {key for key, event in shown.items() if event.metadata} == {"2026-04-15"}
    assert shown["2026-04-14"].description == "nothing is expected on this day"
    # Each day has its own result of each check, in Bronze and in dbt, on its own materialization.
    for asset, check in (("raw_ticket_events", "conservation"), ("ticket_events", "event_created_at_not_null")):
        found = instance.event_log_storage.get_asset_check_partition_info([dg.AssetCheckKey(dg.AssetKey(asset), check)])
        days = {info.partition_key: (info.latest_execution_status.value, info.is_current) for info in found}
        assert {key: value for key, value in days.items() if key} == dict.fromkeys(loaded, ("SUCCEEDED", True)), asset
    # So has a day on which nothing is expected, in Bronze's own checks and in dbt's: the graph counts a day without one.
    of_documents = [c.key for c in build_definitions(three_days).resolve_asset_graph().asset_check_nodes]
    of_documents = [key for key in of_documents if key.asset_key == dg.AssetKey("raw_doc_assets")]
    found = instance.event_log_storage.get_asset_check_partition_info(of_documents)
    drawn = {(i.check_key.name, i.partition_key): i.latest_execution_status.value for i in found if i.partition_key}
    assert drawn == {(key.name, day): "SUCCEEDED" for key in of_documents for day in loaded}
    # As the models' SQL says: a class of ticket, and what depends on two columns.
    events = "ticket_events"
    assert upstream_columns(instance, "support_kpi_daily", "category") == {(events, "category")}
    assert upstream_columns(instance, "support_kpi_daily", "p1_created") == {
        (events, "event_type"),
        (events, "priority"),
    }
    assert upstream_columns(instance, events, "subject") == {("raw_ticket_events", "subject")}


def upstream_columns(instance, asset, column):
    """What the column lineage of an asset's last event says of a column."""
    event = instance.get_latest_materialization_event(dg.AssetKey(asset)).asset_materialization
    deps = event.metadata["dagster/column_lineage"].column_lineage.deps_by_column[column]
    return {(dep.asset_key.to_user_string(), dep.column_name) for dep in deps}


def test_a_day_that_fails_its_check_is_materialized_and_drawn_as_failed_until_it_is_mended(three_days):
    good = [ticket_event(14, "2026-04-14"), ticket_event(15, "2026-04-15"), ticket_event(16, "2026-04-16")]
    write_lines(three_days.manifests / "a.jsonl", [*good, ticket_event(99, "2026-04-15", status="nope")])
    instance, key = dg.DagsterInstance.ephemeral(), dg.AssetKey("raw_ticket_events")
    days = Window.of_keys("2026-04-14", "2026-04-16")

    def failed_days():
        attempts = instance.event_log_storage
        return set(attempts.get_latest_asset_partition_materialization_attempts_without_materializations(key))

    assert not run_job(three_days, instance, days, ["raw_ticket_events"]).success
    assert failed_days() == {"2026-04-15"}
    assert instance.get_materialized_partitions(key) == set(days.keys)
    write_lines(three_days.manifests / "a.jsonl", good)
    assert run_job(three_days, instance, days, ["raw_ticket_events"]).success

    assert failed_days() == set()


def test_one_day_of_one_asset_touches_nothing_else_and_may_be_materialized_again(three_days, tmp_path):
    instance = dg.DagsterInstance.local_temp(str(tmp_path))
    day = Window.of_keys("2026-04-15", "2026-04-15")

    assert run_job(three_days, instance, day, ["raw_doc_assets"]).success
    again = run_job(three_days, instance, day, ["raw_doc_assets"])

    assert again.success
    assert [key for key in open_ledger(three_days).current_materializations()] == [("raw_doc_assets", "2026-04-15")]


def test_a_failed_check_fails_its_day_and_blocks_downstream_in_the_verdicts(three_days, declare):
    odd = {"event_type": "resolved", "status": "resolved", "resolved_at": "2026-04-01T00:00:00Z"}
    events = [ticket_event(14, "2026-04-14"), ticket_event(15, "2026-04-15", **odd), ticket_event(16, "2026-04-16")]
    write_lines(three_days.manifests / "a.jsonl", events)

    result = run_job(three_days, dg.DagsterInstance.ephemeral(), Window.of_keys("2026-04-14", "2026-04-16"))

    assert not result.success
    found = statuses(three_days, "support_kpi_daily")
    assert found == {"2026-04-14": Status.READY, "2026-04-15": Status.FAILED, "2026-04-16": Status.READY}


def test_an_unreadable_source_is_missing_blocks_its_day_and_no_other(three_days):
    run_job(three_days, dg.DagsterInstance.ephemeral(), Window.of_keys("2026-04-14", "2026-04-16"))
    (three_days.manifests / "d.md").unlink()

    report = ingest(three_days)

    assert not report.is_complete
    assert statuses(three_days, "raw_doc_assets") == {"2026-04-15": Status.STALE}
    assert statuses(three_days, "doc_change_feed")["2026-04-15"] is Status.BLOCKED
    assert set(statuses(three_days, "support_kpi_daily").values()) == {Status.READY}


def test_seed_manifests_says_what_is_declared_what_it_covers_and_what_arrived_since(three_days, declare):
    instance = dg.DagsterInstance.ephemeral()

    def seeded():
        run = build_definitions(three_days).resolve_implicit_global_asset_job_def()
        result = run.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("seed_manifests")])
        (event,) = result.asset_materializations_for_node("seed_manifests")
        (check,) = result.get_asset_check_evaluations()
        return {name: value.value for name, value in event.metadata.items()}, check.passed

    first, is_valid = seeded()
    write_lines(three_days.manifests / "late.jsonl", [ticket_event(20, "2026-04-20")])
    declare(ticket_manifest([source("late", "late.jsonl")], 2))
    declare({**ticket_manifest([source("b", "b.jsonl")], 3), "owner": 7})
    second, is_still_valid = seeded()

    assert (first["manifests"], first["sources"], first["arrivals"]) == (2, {"warn": 2}, 2)
    assert (first["coverage_from"], first["coverage_to"]) == ("2026-04-14", "2026-04-16")
    assert (second["manifests"], second["arrived_files"]) == (4, ["late.jsonl"])
    assert second["coverage_to"] == "2026-04-20"
    assert (is_valid, is_still_valid) == (True, False)


def test_the_tables_are_maintained_by_a_job_of_its_own(three_days):
    ingest(three_days)

    job = build_definitions(three_days).resolve_job_def("maintenance_job")

    assert job.execute_in_process(instance=dg.DagsterInstance.ephemeral()).success
