"""A bad day holds back its own day downstream and no other, in the graph and in a shell; a forced build says so."""

import dagster as dg
import pyarrow as pa
import pytest

from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.filters import time_filter
from loaders.ingest import ingest, refresh
from orchestration.definitions import INGEST_ALL_JOB, build_definitions
from orchestration.graph.dbt_assets import BuildConfig
from orchestration.graph.partitions import range_tags
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import build
from tests.integration.dbt.test_dbt import checks_of
from tests.integration.orchestration.test_graph import statuses

DAYS = Window.of_keys("2026-04-14", "2026-04-16")


def run_range(settings, force=False, select=None, days=DAYS):
    refresh(settings)
    job = build_definitions(settings).resolve_job_def(INGEST_ALL_JOB)
    return job.execute_in_process(
        instance=dg.DagsterInstance.ephemeral(),
        tags=range_tags(days),
        run_config=dg.RunConfig(ops={"dbt_models": BuildConfig(force=force)}),
        asset_selection=select,
        raise_on_error=False,
    )


def failure(result):
    (event,) = [event for event in result.get_step_failure_events() if event.step_key == "dbt_models"]
    return event.step_failure_data.error.message


def good(day):
    return ticket_event(int(day[-2:]), day)


@pytest.fixture
def broken_bronze(settings, declare):
    """Three days; half of the 15th cannot be read, which fails its check in Bronze."""
    events = [good("2026-04-14"), good("2026-04-15"), ticket_event(99, "2026-04-15", status="nope"), good("2026-04-16")]
    write_lines(settings.manifests / "a.jsonl", events)
    declare(ticket_manifest([source("a", "a.jsonl")]))
    return settings


def test_a_day_that_fails_in_bronze_is_held_back_and_its_neighbours_are_built(broken_bronze):
    result = run_range(broken_bronze)

    assert not result.success
    assert "ticket_events 2026-04-15 held back: raw_ticket_events 2026-04-15 is FAILED" in failure(result)
    built = sorted(open_ledger(broken_bronze).current_materializations(["ticket_events", "support_kpi_daily"]))
    assert [key for _, key in built] == ["2026-04-14", "2026-04-16"] * 2
    # What reads all days up to its own waits with the bad day; what reads every day, too.
    waiting = open_ledger(broken_bronze).current_materializations(["support_backlog_daily", "ticket_fact"])
    assert sorted(waiting) == [("support_backlog_daily", "2026-04-14")]
    assert set(statuses(broken_bronze, "support_kpi_daily").values()) == {"READY", "MISSING"}


def test_where_the_only_day_of_a_run_is_bad_what_does_not_read_it_is_built(broken_bronze, declare):
    (broken_bronze.manifests / "d.md").write_text("text")
    declare(document_manifest("2026-04-15", [source("d", "d.md", "other")]))

    result = run_range(broken_bronze, days=Window.of_keys("2026-04-15", "2026-04-15"))

    assert not result.success
    assert "ticket_events 2026-04-15 held back" in failure(result)
    built = open_ledger(broken_bronze).current_materializations(["ticket_events", "doc_change_feed", "knowledge_doc"])
    assert sorted(built) == [("doc_change_feed", "2026-04-15"), ("knowledge_doc", "")]


def test_a_day_that_fails_a_dbt_test_is_held_back_and_its_neighbours_are_built(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [good(day) for day in DAYS.keys])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    table = open_catalog(settings).load_table("bronze.raw_ticket_events")
    day = time_filter("occurred_at", Window.of_keys("2026-04-15", "2026-04-15"), False)
    rows = table.scan(row_filter=day).to_arrow()
    broken = rows.set_column(
        rows.schema.get_field_index("created_at"),
        rows.schema.field("created_at"),
        pa.nulls(1, rows.schema.field("created_at").type),
    )
    table.overwrite(broken, overwrite_filter=day)  # past the loader, which would not let it in

    result = run_range(settings, select=[dg.AssetKey(name) for name in ("ticket_events", "support_kpi_daily")])

    assert not result.success
    assert "support_kpi_daily 2026-04-15 held back: ticket_events 2026-04-15 is FAILED" in failure(result)
    assert statuses(settings, "ticket_events")["2026-04-15"] == "FAILED"
    built = open_ledger(settings).current_materializations(["support_kpi_daily"])
    assert sorted(key for _, key in built) == ["2026-04-14", "2026-04-16"]


def test_dbt_in_a_shell_refuses_to_build_upon_what_is_not_ready_unless_forced(broken_bronze):
    ingest(broken_bronze)

    refused = build(broken_bronze)
    assert refused.returncode != 0
    assert "raw_ticket_events 2026-04-15 is FAILED" in refused.stdout
    assert "--vars 'force: true'" in refused.stdout
    assert not open_ledger(broken_bronze).current_materializations(["ticket_events"])

    good_day = build(broken_bronze, "--select", "+support_kpi_daily", window=("2026-04-16", "2026-04-17"))
    assert good_day.returncode == 0, good_day.stdout

    forced = build(broken_bronze, "--vars", "force: true")
    assert forced.returncode == 0, forced.stdout
    items = open_ledger(broken_bronze).current_materializations(["ticket_events"])
    assert {key: item.is_forced for (_, key), item in items.items()}["2026-04-15"]
    assert statuses(broken_bronze, "ticket_events")["2026-04-15"] == "BLOCKED"


def test_bronze_that_was_never_loaded_is_refused_and_says_what_to_do(broken_bronze):
    refresh(broken_bronze)

    refused = build(broken_bronze)

    assert refused.returncode != 0
    assert "raw_ticket_events 2026-04-14 is MISSING (expected, never materialized)" in refused.stdout


def test_a_forced_run_of_the_graph_builds_and_is_marked(broken_bronze):
    result = run_range(broken_bronze, force=True)

    assert "dbt_models" not in {event.step_key for event in result.get_step_failure_events()}
    items = open_ledger(broken_bronze).current_materializations(["support_kpi_daily"])
    assert {key: item.is_forced for (_, key), item in items.items()} == dict.fromkeys(DAYS.keys, True)


def test_unit_tests_are_checks_of_the_partitions_that_their_model_built(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [good("2026-04-15")])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)

    assert build(settings).returncode == 0

    found = checks_of(settings, "support_backlog_daily")
    assert found["2026-04-15", "backlog_counts_each_open_ticket_once_a_day"]
    specs = {key.name for key in build_definitions(settings).resolve_asset_graph().asset_check_keys}
    assert "backlog_counts_each_open_ticket_once_a_day" in specs
