"""The mirror: Dagster shows what the ledger knows, whoever did the work; against real instances of their own."""

from collections import Counter

import dagster as dg
import pytest

from loaders.ingest import ingest, refresh
from orchestration.definitions import build_definitions
from orchestration.graph.schedules import MIRROR_SENSOR
from orchestration.instance import mirror as mirroring
from orchestration.instance.ledger_events import VERDICT_CHECK
from orchestration.instance.mirror import mirror
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import open_readiness
from tests.conftest import TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines

KPI = "support_kpi_daily"


@pytest.fixture
def instance(tmp_path):
    """An instance that has never run anything."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as opened:
        yield opened


@pytest.fixture
def two_days(settings, declare):
    """Tickets on 2026-04-14 and 15, loaded without Dagster."""
    write_lines(settings.manifests / "a.jsonl", [ticket_event(d, f"2026-04-{d}") for d in (14, 15)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    return settings


def shown(settings, instance):
    return mirror(settings, load_asset_graph(settings), instance)


def has_shown_nothing(found):
    return (found.materializations, found.verdicts) == (0, 0)


def events(instance, asset):
    """Its materializations, the latest first."""
    return instance.fetch_materializations(dg.AssetKey(asset), limit=500).records


def verdict_of(instance, asset, day):
    """The evaluation of its verdict that Dagster shows."""
    key = dg.AssetCheckKey(dg.AssetKey(asset), VERDICT_CHECK)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    found = [record.event.dagster_event.asset_check_evaluation_data for record in records]
    return next(each for each in found if each.partition == day)


def drawn(instance, asset):
    """Partition → whether its verdict is drawn as passed, and speaks for what is there."""
    infos = instance.event_log_storage.get_asset_check_partition_info(
        [dg.AssetCheckKey(dg.AssetKey(asset), VERDICT_CHECK)]
    )
    return {i.partition_key or "": (i.latest_execution_status.value == "SUCCEEDED", i.is_current) for i in infos}


def test_what_the_ledger_knows_is_shown_once_with_who_wrote_it_and_every_verdict(filled_sample, instance):
    readiness = open_readiness(filled_sample)

    first, second = shown(filled_sample, instance), shown(filled_sample, instance)

    assert first.materializations == len(readiness.materializations)
    assert has_shown_nothing(second)
    for asset in readiness.graph.nodes:
        items = {key: item for (name, key), item in readiness.materializations.items() if name == asset}
        told = {record.partition_key or "": record for record in events(instance, asset)}
        assert {key: r.asset_materialization.metadata["ledger_id"].value for key, r in told.items()} == {
            key: item.id for key, item in items.items()
        }
        assert {key: r.timestamp for key, r in told.items()} == {
            key: pytest.approx(item.committed_at.timestamp()) for key, item in items.items()
        }
        safe = {key: (verdict.is_ready, True) for key, verdict in readiness.verdicts(asset).items()}
        assert safe.items() <= drawn(instance, asset).items()
    run = readiness.materializations[KPI, "2026-04-15"].run_id
    (kpi,) = (r.asset_materialization.metadata for r in events(instance, KPI) if r.partition_key == "2026-04-15")
    assert kpi["written_by"].value == f"dbt, {run}: no run of this Dagster instance"
    assert (kpi["rows_in"].value, kpi["rows_out"].value) == ({"ticket_events": 98}, 44)
    (raw,) = (
        r.asset_materialization.metadata for r in events(instance, TICKET_EVENTS) if r.partition_key == "2026-04-15"
    )
    assert (raw["rows_in"].value, raw["rows_out"].value) == (100, 98)
    assert raw["batch_ids"].value and raw["snapshot_id"].value


def test_the_latest_materialization_is_the_latest_day_with_rows(filled_sample, instance):
    shown(filled_sample, instance)

    latest = {asset: events(instance, asset)[0].partition_key for asset in ("doc_change_feed", KPI)}
    held = open_readiness(filled_sample).materializations
    assert latest == {
        asset: max(key for (name, key), item in held.items() if name == asset and item.rows.loaded) for asset in latest
    }


def test_a_mirror_that_was_killed_goes_on_and_shows_nothing_twice(two_days, instance, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(mirroring, "keep_mirrored", lambda *_: 1 / 0)  # after the events, before it knows of them
        with pytest.raises(ZeroDivisionError):
            shown(two_days, instance)

    again = shown(two_days, instance)

    assert Counter(r.partition_key for r in events(instance, TICKET_EVENTS)) == {"2026-04-14": 1, "2026-04-15": 1}
    assert again.materializations == 0 and has_shown_nothing(shown(two_days, instance))


def test_what_was_deleted_in_dagster_is_shown_again(two_days, instance):
    before = shown(two_days, instance)
    instance.wipe_assets([dg.AssetKey(TICKET_EVENTS)])
    assert events(instance, TICKET_EVENTS) == []

    again = shown(two_days, instance)

    assert again.materializations == before.materializations == len(events(instance, TICKET_EVENTS)) == 2
    assert {day: is_there for day, (_, is_there) in drawn(instance, TICKET_EVENTS).items()} == {
        "2026-04-14": True,
        "2026-04-15": True,
    }
    assert has_shown_nothing(shown(two_days, instance))


def test_the_verdict_follows_the_ledger_without_a_run(two_days, instance, declare):
    shown(two_days, instance)
    unchecked = verdict_of(instance, TICKET_EVENTS, "2026-04-15")
    write_lines(two_days.manifests / "a.jsonl", [ticket_event(d, f"2026-04-{d}") for d in (14, 15, 16)])
    refresh(two_days)

    added = shown(two_days, instance)
    missing = verdict_of(instance, TICKET_EVENTS, "2026-04-16")
    (two_days.manifests / "manifest-tickets-20260501-001.json").unlink()
    ingest(two_days)
    shown(two_days, instance)
    withdrawn = verdict_of(instance, TICKET_EVENTS, "2026-04-16")

    error, warn = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
    assert (unchecked.passed, unchecked.severity) == (False, error)
    assert unchecked.description.startswith("UNCHECKED: check bronze_")
    assert (added.materializations, missing.passed, missing.severity) == (0, False, error)
    assert missing.description == "MISSING: expected, never materialized"
    assert missing.metadata["next"].value == "omni run --partition 2026-04-16"
    assert missing.metadata["ask"].value == f"omni explain {TICKET_EVENTS} 2026-04-16"
    assert (withdrawn.passed, withdrawn.severity) == (False, warn)
    assert withdrawn.description.startswith("UNKNOWN: ")


def test_the_sensor_shows_what_is_new_and_says_how_much(two_days, instance):
    sensor = build_definitions(two_days).get_repository_def().get_sensor_def(MIRROR_SENSOR)

    first, second = (sensor.evaluate_tick(dg.build_sensor_context(instance=instance)) for _ in range(2))

    assert first.skip_message.startswith("2 materializations and ")
    assert second.skip_message == "0 materializations and 0 verdicts were not shown yet"
    assert {r.run_id for r in events(instance, TICKET_EVENTS)} == {""}


def test_a_person_who_executes_the_verdict_of_a_day_is_answered_in_that_run_and_the_mirror_goes_on_from_there(
    two_days, instance
):
    shown(two_days, instance)
    asked = dg.AssetCheckKey(dg.AssetKey(TICKET_EVENTS), VERDICT_CHECK)
    whole = build_definitions(two_days).resolve_implicit_global_asset_job_def()  # what the page runs
    job = whole.get_subset(asset_check_selection={asked})

    result = job.execute_in_process(instance=instance, partition_key="2026-04-15")

    (evaluation,) = result.get_asset_check_evaluations()
    assert result.success and not evaluation.passed
    assert evaluation.description.startswith("UNCHECKED: ")
    assert has_shown_nothing(shown(two_days, instance))
    assert verdict_of(instance, TICKET_EVENTS, "2026-04-15").description == evaluation.description
