"""Many check evaluations at once in Dagster's own SQLite storage, against what Dagster writes one by one."""

from datetime import UTC, datetime
from threading import Event

import dagster as dg
import pytest
from dagster_shared.serdes.errors import SerializationError

from orchestration.instance.ledger_events import as_event
from orchestration.instance.sqlite_events import open_instance, report_events, takes_many

CHECKS = [dg.AssetCheckKey(dg.AssetKey("tickets"), name) for name in ("unique", "not_null")]
DAYS = [f"2026-04-{day:02}" for day in range(1, 28)]


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as opened:
        yield opened


def evaluations(failing=()):
    """Each check on each day."""
    return [
        dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
            job_name="job",
            step_key="step",
            event_specific_data=dg.AssetCheckEvaluation(key.asset_key, key.name, day not in failing, {}, partition=day),
        )
        for key in CHECKS
        for day in DAYS
    ]


def begun(instance):
    """A run that has recorded an event already."""
    run = instance.create_run_for_job(dg.job(name="job")(lambda: None))
    instance.report_engine_event("begun", run)
    return run.run_id


def recorded(instance, run_id):
    """What the checks page and the run's page read."""
    infos = instance.event_log_storage.get_asset_check_partition_info(CHECKS)
    drawn = {(i.check_key.name, i.partition_key): (i.latest_execution_status.value, i.is_current) for i in infos}
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    said = [(e.step_key, e.level, e.dagster_event.event_specific_data.partition) for e in logged]
    return drawn, said


def test_what_is_recorded_at_once_reads_as_what_is_recorded_one_by_one(instance, tmp_path_factory):
    events, run_id = evaluations(failing={"2026-04-03"}), begun(instance)
    report_events(instance, run_id, events)

    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("other"))) as other:
        other_id = begun(other)
        for event in events:
            other.report_dagster_event(event, run_id=other_id)
        expected = recorded(other, other_id)

    assert recorded(instance, run_id) == expected
    assert expected[0]["unique", "2026-04-03"][0] == "FAILED" and len(expected[0]) == len(events)


def test_materializations_recorded_at_once_read_as_those_recorded_one_by_one(instance, tmp_path_factory):
    found = [dg.AssetMaterialization("tickets", partition=day, tags={"dagster/data_version": day}) for day in DAYS]
    made = [as_event(each, "job", None) for each in found]
    times = [datetime(2026, 5, day, tzinfo=UTC) for day in range(1, len(DAYS) + 1)]
    report_events(instance, "", made, times)

    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("other"))) as other:
        for event, at in zip(made, times, strict=True):
            other.report_dagster_event(event, run_id="", timestamp=at.timestamp())
        expected = materialized(other)

    assert materialized(instance) == expected
    assert expected[0] == dict.fromkeys(DAYS) | {day: {"dagster/data_version": day} for day in DAYS}


def materialized(instance):
    """What the pages of an asset read: versions, times, the last event, that there is such an asset."""
    key, kind = dg.AssetKey("tickets"), dg.DagsterEventType.ASSET_MATERIALIZATION
    storage = instance.event_log_storage
    versions = storage.get_latest_tags_by_partition(key, kind, ["dagster/data_version"])
    records = [(r.storage_id, r.partition_key, r.timestamp) for r in storage.fetch_materializations(key, 100).records]
    (asset,) = storage.get_asset_records([key])
    last = asset.asset_entry.last_materialization
    return versions, records, last.dagster_event.partition, instance.all_asset_keys(), instance.all_logs("")[-1].run_id


def test_later_runs_and_other_processes_go_on_writing(instance):
    first, second = begun(instance), begun(instance)
    report_events(instance, first, evaluations(failing=set(DAYS)))

    report_events(instance, second, evaluations())
    instance.report_dagster_event(evaluations(failing=DAYS[:1])[0], run_id=second)

    drawn, _ = recorded(instance, second)
    assert {day for (name, day), (status, _) in drawn.items() if status == "FAILED"} == {DAYS[0]}


def test_an_error_in_the_midst_leaves_nothing_of_its_batch(instance):
    run_id, events = begun(instance), evaluations()
    broken = events[0]._replace(message=object())

    with pytest.raises(SerializationError):
        report_events(instance, run_id, [*events, broken])

    assert recorded(instance, run_id) == ({}, [])


def test_a_storage_in_memory_is_written_to_one_by_one():
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = begun(instance)
        report_events(instance, run_id, evaluations())

        drawn, said = recorded(instance, run_id)

    assert not takes_many(instance) and len(drawn) == len(said) == len(DAYS) * len(CHECKS)


@pytest.mark.parametrize("config", ["", "storage:\n  sqlite:\n    base_dir: {folder}/elsewhere\n"])
def test_a_process_that_keeps_the_files_open_writes_what_others_read_and_who_follows_a_run_sees(tmp_path, config):
    (tmp_path / "dagster.yaml").write_text(config.format(folder=tmp_path))
    runs = [begun(opened := open_instance(tmp_path)) for _ in range(6)]  # of more runs than it keeps open
    with dg.DagsterInstance.from_config(str(tmp_path)) as other:
        seen = {run_id: Event() for run_id in runs}
        for run_id in runs:
            cursor = other.get_records_for_run(run_id).cursor
            other.watch_event_logs(run_id, cursor, lambda entry, _: seen[entry.run_id].set())
        for run_id in runs:
            opened.report_dagster_event(evaluations()[0], run_id=run_id)

            assert len(other.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)) == 1
        assert all(each.wait(timeout=60) for each in seen.values())
        other.report_dagster_event(evaluations()[1], run_id=runs[0])

    assert len(opened.all_logs(runs[0], of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)) == 2
    assert next(tmp_path.rglob("index.db-wal"), None)
    opened.dispose()
