"""The Dagster graph, run for real in this process: one day, a range, checks that block, evidence per partition."""

import gzip
import json
import os

import dagster as dg
import pytest

from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import find_table
from loaders.ingest import ingest, refresh
from orchestration.definitions import INGEST_ALL_JOB, build_definitions
from orchestration.graph.bronze_assets import LoadConfig
from orchestration.graph.bronze_checks import checks_step
from orchestration.graph.dbt_assets import BuildConfig
from orchestration.graph.partitions import range_tags
from orchestration.graph.verdict_checks import ARRIVALS_CHECK
from orchestration.instance.ledger_events import VERDICT_CHECK
from orchestration.instance.mirror import mirror
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import open_readiness
from orchestration.readiness.verdicts import SAFE, Status
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


@pytest.fixture
def file_a_day(settings, declare):
    """As `three_days`, with a file of tickets for each day."""
    for day in DAYS.keys:
        (settings.manifests / f"{day}.jsonl.gz").write_bytes(zipped(ticket_event(int(day[-2:]), day)))
    declare(ticket_manifest([source(day, f"{day}.jsonl.gz") for day in DAYS.keys]))
    (settings.manifests / "2026-04-15.md").write_text("text")
    declare(document_manifest("2026-04-15", [source("d", "2026-04-15.md", "other")]))
    refresh(settings)
    return settings


DAYS = Window.of_keys("2026-04-14", "2026-04-16")
TICKETS, DOCUMENTS = "raw_ticket_events", "raw_doc_assets"


def zipped(event):
    return gzip.compress(f"{json.dumps(event)}\n".encode())


def spoil(settings, asset):
    """Make the file of 2026-04-15 unreadable; its name, which the refusal tells."""
    file = settings.manifests / ("2026-04-15.jsonl.gz" if asset == TICKETS else "2026-04-15.md")
    if asset == TICKETS:
        file.write_bytes(file.read_bytes()[:-9])
    else:
        file.unlink()
    return file.name


def run_job(settings, instance, window, select=None, **configs):
    job = build_definitions(settings).resolve_job_def(INGEST_ALL_JOB)
    keys = [dg.AssetKey(name) for name in select] if select else None
    return job.execute_in_process(
        instance=instance,
        tags=range_tags(window),
        run_config=dg.RunConfig(ops=configs),
        asset_selection=keys,
        raise_on_error=False,
    )


def events(instance, result, asset):
    """The materialization events of a run, by day."""
    logs = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    found = [entry.asset_materialization for entry in logs if entry.dagster_event.asset_key == dg.AssetKey(asset)]
    return {event.partition: event for event in found}


def drawn_as_failed(instance, asset):
    """The days that Dagster draws as failed, once their run has failed."""
    attempts = instance.event_log_storage
    key = dg.AssetKey(asset)
    return set(attempts.get_latest_asset_partition_materialization_attempts_without_materializations(key))


def drawn_checks(instance, asset, check):
    """What Dagster draws of a check, by day."""
    keys = [dg.AssetCheckKey(dg.AssetKey(asset), check)]
    found = instance.event_log_storage.get_asset_check_partition_info(keys)
    return {info.partition_key: info.latest_execution_status.value for info in found if info.partition_key}


def failures(result):
    """Step → why it failed."""
    return {event.step_key: event.step_failure_data.error.message for event in result.get_step_failure_events()}


def statuses(settings, asset):
    readiness = open_readiness(settings)
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
    whole = {"ticket_fact", "knowledge_doc", "knowledge_doc_history", "knowledge_section", "knowledge_passage"}
    assert daily == set(nodes) - {"seed_manifests", "quarantine"} - whole
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
    for of_no_run in (ARRIVALS_CHECK, VERDICT_CHECK):
        of_documents.remove(dg.AssetCheckKey(dg.AssetKey("raw_doc_assets"), of_no_run))
    found = instance.event_log_storage.get_asset_check_partition_info(of_documents)
    drawn = {(i.check_key.name, i.partition_key): i.latest_execution_status.value for i in found if i.partition_key}
    assert drawn == {(key.name, day): "SUCCEEDED" for key in of_documents for day in loaded}
    assert drawn_checks(instance, "raw_doc_assets", VERDICT_CHECK) == {"2026-04-15": "SUCCEEDED"}
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
    instance = dg.DagsterInstance.ephemeral()

    assert not run_job(three_days, instance, DAYS, [TICKETS]).success
    assert drawn_as_failed(instance, TICKETS) == {"2026-04-15"}
    assert instance.get_materialized_partitions(dg.AssetKey(TICKETS)) == set(DAYS.keys)
    write_lines(three_days.manifests / "a.jsonl", good)
    assert run_job(three_days, instance, DAYS, [TICKETS]).success

    assert drawn_as_failed(instance, TICKETS) == set()


def test_a_refused_day_is_failed_with_its_refusal_has_no_event_and_holds_no_other_day_back(file_a_day):
    ingest(file_a_day)
    refused = {asset: spoil(file_a_day, asset) for asset in (TICKETS, DOCUMENTS)}
    instance = dg.DagsterInstance.ephemeral()

    result = run_job(file_a_day, instance, DAYS)

    assert not result.success
    held_back = failures(result)["dbt_models"]
    assert "support_kpi_daily 2026-04-15 held back: " in held_back
    for asset, name in refused.items():
        why = failures(result)[checks_step(asset)]
        assert f"{asset} 2026-04-15: refused: " in why and name in why
        assert f"{asset} 2026-04-15: refused: " not in held_back
        assert events(instance, result, asset).keys() == {"2026-04-14", "2026-04-16"}
        assert drawn_as_failed(instance, asset) == {"2026-04-15"}
        checked = {"2026-04-14": "SUCCEEDED", "2026-04-15": "FAILED", "2026-04-16": "SUCCEEDED"}
        assert drawn_checks(instance, asset, "conservation") == checked
        found = statuses(file_a_day, asset)
        told = {day: "SUCCEEDED" if status in SAFE else "FAILED" for day, status in found.items()}
        assert drawn_checks(instance, asset, VERDICT_CHECK) == told
        assert found["2026-04-15"] not in SAFE
    written = {*events(instance, result, "support_kpi_daily"), *events(instance, result, "doc_change_feed")}
    assert "2026-04-15" not in written
    found = statuses(file_a_day, "support_kpi_daily")
    assert found == {"2026-04-14": Status.READY, "2026-04-15": Status.MISSING, "2026-04-16": Status.READY}


def test_a_refused_day_that_never_had_rows_fails_a_run_of_that_day_alone(file_a_day):
    instance, day = dg.DagsterInstance.ephemeral(), Window.of_keys("2026-04-15", "2026-04-15")
    refused = {asset: spoil(file_a_day, asset) for asset in (TICKETS, DOCUMENTS)}

    result = run_job(file_a_day, instance, day, refused)

    assert not result.success
    for asset, name in refused.items():
        assert name in failures(result)[checks_step(asset)]
        assert events(instance, result, asset) == {}
        assert drawn_as_failed(instance, asset) == {"2026-04-15"}
        assert drawn_checks(instance, asset, "conservation") == {"2026-04-15": "FAILED"}


@pytest.mark.parametrize(("select", "is_forced"), [([DOCUMENTS, TICKETS, "ticket_events"], False), (None, True)])
def test_a_refused_day_fails_a_run_in_which_nothing_is_held_back_for_it(file_a_day, select, is_forced):
    name, instance = spoil(file_a_day, DOCUMENTS), dg.DagsterInstance.ephemeral()

    result = run_job(file_a_day, instance, DAYS, select, dbt_models=BuildConfig(force=is_forced))

    assert failures(result).keys() == {checks_step(DOCUMENTS)}
    assert name in failures(result)[checks_step(DOCUMENTS)]
    assert events(instance, result, "ticket_events").keys() == set(DAYS.keys)


def test_the_good_days_beside_a_refused_one_are_tested_where_bronze_runs_alone(file_a_day):
    spoil(file_a_day, TICKETS)

    assert not run_job(file_a_day, dg.DagsterInstance.ephemeral(), DAYS, [TICKETS]).success

    found = statuses(file_a_day, TICKETS)
    assert found == {"2026-04-14": Status.READY, "2026-04-15": Status.MISSING, "2026-04-16": Status.READY}


def test_a_check_that_is_asked_of_a_day_that_was_never_loaded_has_not_passed(three_days):
    key = dg.AssetCheckKey(dg.AssetKey(TICKETS), "conservation")
    whole = build_definitions(three_days).resolve_implicit_global_asset_job_def()
    asked = whole.get_subset(asset_check_selection={key})

    with dg.DagsterInstance.ephemeral() as instance:
        result = asked.execute_in_process(instance=instance, partition_key="2026-04-15", raise_on_error=False)

    assert "2026-04-15: has not run" in failures(result)[checks_step(TICKETS)]
    assert [each.passed for each in result.get_asset_check_evaluations()] == [False]


def test_a_refused_day_fails_its_own_step_where_its_checks_are_not_asked_for(file_a_day):
    name, instance = spoil(file_a_day, TICKETS), dg.DagsterInstance.ephemeral()
    job = dg.define_asset_job("only", dg.AssetSelection.assets(TICKETS).without_checks())
    definitions = dg.Definitions.merge(build_definitions(file_a_day), dg.Definitions(jobs=[job]))

    result = definitions.resolve_job_def("only").execute_in_process(
        instance=instance, tags=range_tags(DAYS), raise_on_error=False
    )

    assert name in failures(result)[TICKETS]
    assert drawn_as_failed(instance, TICKETS) == {"2026-04-15"}


def test_a_day_that_a_failed_run_found_unchanged_has_the_event_of_the_run_that_wrote_it_and_is_not_drawn_as_failed(
    file_a_day,
):
    instance = dg.DagsterInstance.ephemeral()
    first = run_job(file_a_day, instance, DAYS, [TICKETS])
    spoil(file_a_day, TICKETS)

    again = run_job(file_a_day, instance, DAYS, [TICKETS], raw_ticket_events=LoadConfig(reload_unchanged=False))
    mirror(file_a_day, load_asset_graph(file_a_day), instance)

    assert (first.success, again.success) == (True, False)
    assert events(instance, again, TICKETS) == {}
    assert drawn_as_failed(instance, TICKETS) == {"2026-04-15"}
    latest = instance.fetch_materializations(dg.AssetKey(TICKETS), limit=2).records
    assert {(r.partition_key, r.run_id) for r in latest} == {
        (day, first.run_id) for day in ("2026-04-14", "2026-04-16")
    }


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
