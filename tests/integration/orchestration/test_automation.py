"""What Dagster does by itself: the arrivals sensor, the schedules, freshness, retries; and what a killed run leaves."""

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime

import dagster as dg
import pytest
from typer.testing import CliRunner

from lakehouse.database import engines
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables import catalog
from loaders.errors import StoreUnavailable
from loaders.ingest import ingest, refresh
from orchestration.cli.main import app
from orchestration.definitions import INGEST_ALL_JOB, build_definitions
from orchestration.graph import retries
from orchestration.graph.arrivals_sensor import ARRIVALS_SENSOR, RUN_KEY_TAG
from orchestration.graph.partitions import daily_partitions, window_of_tags
from orchestration.graph.schedules import ARRIVALS_JOB, DAILY_SCHEDULE, MIRROR_SENSOR
from orchestration.graph.verdict_checks import ACCEPTANCES_CHECK, ARRIVALS_CHECK, VERDICT_CHECKS, build_verdict_checks
from orchestration.instance.home import dagster_environment
from orchestration.instance.live_runs import LiveProcess, fail_dead_runs
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import open_readiness
from orchestration.runs.main_job import run_main_job
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines


@pytest.fixture
def two_days(settings, declare):
    """Tickets on 2026-04-14 and 15, declared and covered, not loaded."""
    write_lines(settings.manifests / "a.jsonl", [ticket_event(d, f"2026-04-{d}") for d in (14, 15)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    refresh(settings)
    return settings


@pytest.fixture
def instance():
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def home_instance(two_days):
    """The instance under OMNI_HOME, with the configuration that ships."""
    with dg.DagsterInstance.from_config(dagster_environment(two_days)["DAGSTER_HOME"]) as opened:
        yield opened


def look(settings, instance, definitions=None):
    """One evaluation of the sensor: its requests, and why it skips."""
    sensor = (definitions or build_definitions(settings)).get_repository_def().get_sensor_def(ARRIVALS_SENSOR)
    data = sensor.evaluate_tick(dg.build_sensor_context(instance=instance))
    return data.run_requests or [], data.skip_message


def launch(settings, instance, request):
    """Run what was asked for, as the daemon does: with the key of the request among the tags."""
    return (
        build_definitions(settings)
        .resolve_job_def(INGEST_ALL_JOB)
        .execute_in_process(
            instance=instance,
            run_config=request.run_config,
            tags={**request.tags, RUN_KEY_TAG: request.run_key},
            raise_on_error=False,
        )
    )


def ready_days(settings, asset="support_kpi_daily"):
    verdicts = open_readiness(settings).verdicts(asset)
    return [key for key, verdict in verdicts.items() if verdict.is_ready]


def windows(requests):
    return [str(window_of_tags(request.tags)) for request in requests]


# ── the sensor ───────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_sensor_asks_for_exactly_the_days_of_a_late_file_and_then_has_nothing_new(two_days, instance, declare):
    expect(two_days, since="2027-01-01")  # it goes on, and so do the days of Dagster
    first, _ = look(two_days, instance)
    assert launch(two_days, instance, first[0]).success
    after_first, why = look(two_days, instance)
    write_lines(two_days.manifests / "late.jsonl", [ticket_event(16, "2026-04-15"), ticket_event(17, "2026-04-30")])
    declare(ticket_manifest([source("late", "late.jsonl")], 2))

    late, _ = look(two_days, instance)
    results = [launch(two_days, instance, request) for request in late]
    after_late, _ = look(two_days, instance)

    assert (windows(first), after_first) == (["2026-04-14..2026-04-15"], [])
    assert "nothing new" in why
    assert windows(late) == ["2026-04-15..2026-04-30"]  # what is open on the days between hangs on the first of them
    assert all(result.success for result in results)
    assert after_late == []
    assert ready_days(two_days) == [f"2026-04-{n}" for n in range(14, 31)]


def test_a_day_before_those_that_dagster_has_loaded_waits_for_a_reload_and_holds_no_other_back(
    two_days, instance, declare
):
    write_lines(two_days.manifests / "late.jsonl", [ticket_event(3, "2026-04-03")])
    declare(ticket_manifest([source("late", "late.jsonl")], 2))
    as_loaded = build_definitions(two_days)

    held, _ = look(two_days, instance, as_loaded)
    reloaded, _ = look(two_days, instance)

    assert windows(held) == ["2026-04-14..2026-04-15"]
    assert windows(reloaded) == ["2026-04-03..2026-04-15"]  # the safe days between cost less than a second run


def test_a_state_is_asked_for_once_even_if_its_run_failed_and_again_once_a_file_changes(two_days, instance):
    expect(two_days, since="2027-01-01")
    (request,), _ = look(two_days, instance)
    job = build_definitions(two_days).resolve_job_def(INGEST_ALL_JOB)
    run = instance.create_run_for_job(job, tags={**request.tags, RUN_KEY_TAG: request.run_key})
    instance.report_run_failed(run)

    again, why = look(two_days, instance)
    write_lines(two_days.manifests / "a.jsonl", [ticket_event(d, f"2026-04-{d}") for d in (14, 15, 16)])
    (changed,), _ = look(two_days, instance)

    assert again == []
    assert f"run {run.run_id}: failure" in why and "omni run" in why
    assert changed.run_key != request.run_key


def test_nothing_is_asked_for_while_a_run_is_at_work_on_a_day_of_the_range(two_days, instance):
    job = build_definitions(two_days).resolve_job_def(INGEST_ALL_JOB)
    waiting = instance.create_run_for_job(job, tags={"dagster/partition": "2026-04-15"})

    held, why = look(two_days, instance)
    instance.report_run_canceled(waiting)
    free, _ = look(two_days, instance)

    assert held == []
    assert f"run {waiting.run_id} is not started" in why
    assert windows(free) == ["2026-04-14..2026-04-15"]


def test_what_no_run_can_mend_is_not_asked_for_and_is_named(two_days, instance):
    (two_days.manifests / "a.jsonl").unlink()

    requests, why = look(two_days, instance)

    assert requests == []
    assert "a.jsonl" in why


# ── the schedules ────────────────────────────────────────────────────────────────────────────────────────────────────
def test_whatever_starts_a_run_by_itself_is_off_until_somebody_turns_it_on_and_the_mirror_is_on(two_days):
    repository = build_definitions(expect(two_days)).get_repository_def()

    sensors, schedules = repository.sensor_defs, repository.schedule_defs
    assert {each.name for each in schedules} == {DAILY_SCHEDULE, "maintenance_job_schedule", "arrivals_job_schedule"}
    assert {each.execution_timezone for each in schedules} == {"UTC"}
    off, on = dg.DefaultSensorStatus.STOPPED, dg.DefaultSensorStatus.RUNNING
    assert {each.name: each.default_status for each in sensors} == {ARRIVALS_SENSOR: off, MIRROR_SENSOR: on}
    assert {each.default_status for each in schedules} == {dg.DefaultScheduleStatus.STOPPED}


def test_the_daily_schedule_runs_yesterday_and_no_other_day(two_days, instance):
    schedule = build_definitions(two_days).get_repository_def().get_schedule_def(DAILY_SCHEDULE)
    at = datetime(2026, 4, 15, 3, 15, tzinfo=UTC)

    (request,) = schedule.evaluate_tick(dg.build_schedule_context(instance, at)).run_requests
    result = (
        build_definitions(two_days)
        .resolve_job_def(INGEST_ALL_JOB)
        .execute_in_process(instance=instance, partition_key=request.partition_key, tags=dict(request.tags))
    )

    assert str(window_of_tags(request.tags)) == "2026-04-14"
    assert result.success
    assert ready_days(two_days) == ["2026-04-14"]


# ── arrivals ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def expect(settings, **fields):
    """Write an expectation of tickets: every day, due a day and a half after its end."""
    told = {"name": "tickets", "asset": "raw_ticket_events", "rhythm": "daily", "due_after_hours": 36}
    folder = settings.manifests / "expectations"
    folder.mkdir(exist_ok=True)
    document = {**told, "since": "2026-04-14", "owner": "support-data", **fields}
    (folder / f"{document['name']}.json").write_text(json.dumps(document))
    return settings


def checks_beside(settings, instance, now):
    """Evaluate what the verdicts say beside their status as its job does, at an instant: (asset, check) → evaluation."""
    checks = build_verdict_checks(settings, load_asset_graph(settings), lambda: now)
    definitions = dg.Definitions(
        assets=[each for each in build_definitions(settings).assets or [] if isinstance(each, dg.AssetsDefinition)],
        asset_checks=[checks],
        jobs=[dg.define_asset_job("ask", selection=dg.AssetSelection.checks(checks))],
    )
    result = definitions.resolve_job_def("ask").execute_in_process(instance=instance)
    return {(each.asset_key.to_user_string(), each.check_name): each for each in result.get_asset_check_evaluations()}


def arrivals_of(settings, instance, now):
    return checks_beside(settings, instance, now)["raw_ticket_events", ARRIVALS_CHECK]


def test_the_arrivals_check_warns_of_a_day_that_is_due_and_of_no_other(two_days, instance):
    expect(two_days)

    timely = arrivals_of(two_days, instance, datetime(2026, 4, 18, 11, 59, tzinfo=UTC))
    late = arrivals_of(two_days, instance, datetime(2026, 4, 18, 12, tzinfo=UTC))

    assert timely.passed
    assert len(timely.metadata["pending"].value) == 3  # 16 and 17, and the day that it is
    assert (late.passed, late.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert late.metadata["due"].value == [
        "2026-04-16: due since 2026-04-18T12:00Z, not arrived; owner support-data (tickets)"
    ]


def test_every_asset_shows_its_unreadable_files_of_unknown_days_until_they_are_mended(two_days, instance, declare):
    now = datetime(2026, 4, 15, 11, tzinfo=UTC)
    (two_days.manifests / "b.jsonl.gz").write_bytes(b"no gzip")
    (two_days.manifests / "guide.md").write_text("# Guide")
    declare(ticket_manifest([source("b", "b.jsonl.gz")], 2))
    declare(document_manifest("2026-04-14", [source("guide", "guide.md", "other")]))
    refresh(two_days)  # nothing is expected of any asset

    broken = checks_beside(two_days, instance, now)
    (two_days.manifests / "b.jsonl.gz").write_bytes(gzip.compress(json.dumps(ticket_event(2)).encode()))
    refresh(two_days)
    mended = checks_beside(two_days, instance, now)

    assert [key for key, each in broken.items() if not each.passed] == [("raw_ticket_events", ARRIVALS_CHECK)]
    found = broken["raw_ticket_events", ARRIVALS_CHECK]
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "b.jsonl.gz" in found.metadata["unreadable"].value[0]
    assert all(each.passed for each in mended.values())


def test_every_asset_has_a_check_of_what_its_verdicts_say_beside_their_status(two_days):
    keys = build_definitions(two_days).resolve_asset_graph().asset_check_keys

    found = {
        key.asset_key.to_user_string(): key.name for key in keys if key.name in (ARRIVALS_CHECK, ACCEPTANCES_CHECK)
    }
    nodes = load_asset_graph(two_days).nodes.values()
    assert found == {n.name: ARRIVALS_CHECK if n.layer == "bronze" else ACCEPTANCES_CHECK for n in nodes}


def test_what_stands_beside_a_verdict_is_asked_for_by_a_job_of_its_own_and_not_by_the_daily_chain(two_days):
    definitions = build_definitions(two_days)

    steps = {
        name: {node.name for node in definitions.resolve_job_def(name).nodes} for name in (INGEST_ALL_JOB, ARRIVALS_JOB)
    }

    assert steps[ARRIVALS_JOB] == {VERDICT_CHECKS}
    assert VERDICT_CHECKS not in steps[INGEST_ALL_JOB]


def test_an_expectation_of_an_unknown_asset_is_refused_with_those_there_are(two_days):
    with pytest.raises(
        ConfigurationError, match=r"tickets.json: \$.asset: found 'raw_tickets', allowed: .*raw_ticket_events.*next"
    ):
        build_definitions(expect(two_days, asset="raw_tickets"))


@pytest.mark.parametrize(("until", "last"), [("2026-04-17", "2026-04-17"), ("2026-04-10", "2026-04-15")])
def test_the_days_of_dagster_end_where_the_horizon_ends(two_days, until, last):
    keys = daily_partitions(
        expect(two_days, since="2026-04-09", until=until), open_ledger(two_days)
    ).get_partition_keys()

    assert (keys[0], keys[-1]) == ("2026-04-09", last)


def test_the_days_of_dagster_go_on_while_an_expectation_does(two_days):
    keys = daily_partitions(expect(two_days), open_ledger(two_days)).get_partition_keys()

    assert keys[0] == "2026-04-14"
    assert keys[-1] >= "2026-11-01"


def test_status_names_what_is_due_and_what_is_not_yet_and_whose_it_is(two_days, monkeypatch):
    ingest(expect(two_days, until="2026-04-16"))
    expect(two_days, name="patient", since="2026-04-17", until="2026-04-17", due_after_hours=8784)
    monkeypatch.setattr("orchestration.cli.status.load_settings", lambda: two_days)
    monkeypatch.setattr("orchestration.readiness.readiness.datetime", Clock)

    lines = CliRunner().invoke(app, ["status", "--asset", "raw_ticket_events"]).output.splitlines()

    assert "M raw_ticket_events 2026-04-16 is MISSING" in lines
    assert "    due since 2026-04-18T12:00Z, not arrived; owner support-data (tickets)" in lines
    awaited = "P raw_ticket_events 2026-04-17: expected by patient, due 2027-04-19T00:00Z; owner support-data"
    assert awaited in lines
    assert not any("everything is ready" in line for line in lines)


class Clock(datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz=None):
        return datetime(2026, 4, 20, tzinfo=tz)


# ── retries ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def impatient(monkeypatch):
    """Neither SQLite nor Dagster waits long."""
    for module in (engines, catalog):
        monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(retries, "WAIT_SECONDS", 0.1)


def run_bronze(job, instance):
    return job.execute_in_process(
        instance=instance,
        partition_key="2026-04-15",
        asset_selection=[dg.AssetKey("raw_ticket_events")],
        raise_on_error=False,
    )


def count(result, kind):
    return sum(event.event_type == kind for event in result.all_events)


def hold_lock(settings, monkeypatch, failures):
    """Lock the database really, before a load, and let go of it after so many loads have failed."""
    lock = sqlite3.connect(settings.home / "catalog.db", isolation_level=None)
    lock.execute("begin exclusive")
    seen = []

    def watched(*args, **kwargs):
        try:
            return ingest(*args, **kwargs)
        except StoreUnavailable as error:
            seen.append(error)
            if len(seen) == failures:
                lock.rollback()
            raise

    monkeypatch.setattr("loaders.ingest.ingest", watched)
    return lock


def test_a_database_that_is_locked_once_is_asked_again_and_the_day_is_loaded(
    two_days, instance, impatient, monkeypatch
):
    job = build_definitions(two_days).resolve_job_def(INGEST_ALL_JOB)
    lock = hold_lock(two_days, monkeypatch, failures=1)

    result = run_bronze(job, instance)
    lock.close()

    assert count(result, dg.DagsterEventType.STEP_RESTARTED) == 1
    assert result.success
    assert ("raw_ticket_events", "2026-04-15") in open_ledger(two_days).current_materializations()


def test_a_database_that_stays_locked_fails_the_run_after_two_more_tries(two_days, instance, impatient, monkeypatch):
    job = build_definitions(two_days).resolve_job_def(INGEST_ALL_JOB)
    lock = hold_lock(two_days, monkeypatch, failures=9)

    result = run_bronze(job, instance)
    lock.close()

    assert not result.success
    assert count(result, dg.DagsterEventType.STEP_RESTARTED) == 2


def test_a_failed_check_is_not_tried_again(two_days, instance):
    bad = [{**ticket_event(15), "status": "no such status"}, ticket_event(16)]
    write_lines(two_days.manifests / "a.jsonl", bad)
    refresh(two_days)

    result = run_bronze(build_definitions(two_days).resolve_job_def(INGEST_ALL_JOB), instance)

    failed = [each.check_name for each in result.get_asset_check_evaluations() if not each.passed]
    assert failed == ["quarantine_share", "verdict"]
    assert count(result, dg.DagsterEventType.STEP_RESTARTED) == 0


# ── killed runs, and the instance ────────────────────────────────────────────────────────────────────────────────────
def test_a_run_whose_process_was_killed_is_recorded_as_failed_and_omni_run_goes_on(two_days, home_instance, tmp_path):
    killer = tmp_path / "killed.py"
    killer.write_text(
        "import os, signal\n"
        "import loaders.ingest\n"
        "from orchestration.cli.main import app\n"
        "loaders.ingest.ingest = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "app(['run'])\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT_ROOT),
        "OMNI_HOME": str(two_days.home),
        "OMNI_MANIFESTS": str(two_days.manifests),
    }
    killed = subprocess.run([sys.executable, str(killer)], env=environment, capture_output=True, cwd=tmp_path)
    (left,) = home_instance.get_runs()

    outcome = run_main_job(two_days, None, lambda _: None)

    assert killed.returncode == -signal.SIGKILL
    assert left.status is dg.DagsterRunStatus.STARTED
    assert home_instance.get_run_by_id(left.run_id).status is dg.DagsterRunStatus.FAILURE
    assert outcome.is_complete, outcome.lines


def test_a_run_of_a_living_process_or_of_another_machine_is_left_alone(two_days, home_instance):
    job = build_definitions(two_days).resolve_job_def(INGEST_ALL_JOB)
    alive = LiveProcess(two_days.dagster_home)
    started = dg.DagsterRunStatus.STARTED
    home_instance.create_run_for_job(job, tags=alive.tags, status=started)
    home_instance.create_run_for_job(job, tags={"omni/process": "elsewhere 0"}, status=started)
    while_alive = fail_dead_runs(home_instance, two_days.dagster_home)

    mine = home_instance.get_runs(dg.RunsFilter(tags=alive.tags))
    del alive

    assert while_alive == []
    assert fail_dead_runs(home_instance, two_days.dagster_home) == [mine[0].run_id]


def test_steps_that_write_share_one_pool_that_counts_runs(two_days, home_instance):
    job = build_definitions(two_days).resolve_job_def(INGEST_ALL_JOB)

    pools = {name for node in job.nodes for name in node.definition.pools}
    assert pools == {"lakehouse_writes"}
    assert home_instance.global_op_concurrency_default_limit == 1
    assert home_instance.get_concurrency_config().pool_config.pool_granularity.value == "run"
    assert home_instance.run_monitoring_enabled and not home_instance.telemetry_enabled


@pytest.mark.parametrize("was", ["absent", "of the first version", "written by an earlier version", "edited"])
def test_the_shipped_dagster_yaml_reaches_a_home_unless_somebody_has_edited_it(settings, was):
    home = settings.dagster_home
    config, shipped = home / "dagster.yaml", (PROJECT_ROOT / "infra" / "dagster" / "dagster.yaml").read_text("utf-8")
    home.mkdir(parents=True)
    if was == "of the first version":
        config.write_text(
            "# The Dagster instance of `omni run` and `make ui`; copied to OMNI_HOME/dagster on first use.\n"
            "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
        )
    elif was != "absent":
        config.write_text("telemetry: {enabled: false}\n")
        earlier = "telemetry: {enabled: false}\n" if was == "written by an earlier version" else shipped
        (home / ".dagster.yaml.written").write_text(earlier)

    dagster_environment(settings)
    dagster_environment(settings)

    expected = "telemetry: {enabled: false}\n" if was == "edited" else shipped
    assert config.read_text("utf-8") == expected
