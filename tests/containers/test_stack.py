"""The stack does what the page says: two commands, all healthy, all READY, nothing lost, nothing open, no root."""

import json
import os
import time

import pytest

from tests.browser import opened_browser
from tests.containers.engine import docker_engine
from tests.containers.stack import COMPOSE, COPY, OURS, PLANTED, UP, Stack, copy_project
from tests.containers.stand_ins import images_asked_for, provide

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("OMNI_CONTAINERS"), reason="takes a quarter of an hour; next: make containers"
    ),
    pytest.mark.timeout(3600),
]
SCREENSHOT = os.environ.get("OMNI_SCREENSHOTS")  # before the tests are isolated from the environment
SAFE = {"READY", "EMPTY", "UNKNOWN"}
SERVICES = {"postgres", "minio", "phoenix", *OURS}
PASSWORD = "for-this-machine-alone"
PROCESSES = "cat /proc/[0-9]*/status | grep -E '^(Uid|CapEff):'"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Started by the two commands; gone with its volumes at the end."""
    with docker_engine() as engine:
        engine.environment["COMPOSE_PROJECT_NAME"] = "omni-trial"
        print("stand-ins:", provide(engine, images_asked_for()) or "none")
        folder = tmp_path_factory.mktemp("project")
        copy_project(folder)
        folder.chmod(0o755)  # as a clone is: the devbox reads it as another user
        stack = Stack(engine, folder)
        try:
            assert stack.type(COPY).returncode == 0
            with (folder / "infra/env/.env.local").open("a") as settings:
                settings.write("OMNI_WORKERS=1\n")
            started = stack.type(UP)
            assert started.returncode == 0, started.stderr + stack.type(f"{COMPOSE} logs prepare").stdout
            yield stack
        finally:
            stack.compose("--profile", "tools", "down", "--volumes", status=None)


@pytest.fixture(scope="module")
def filled(stack):
    """All verdicts and digests, after a run inside."""
    done = stack.inside("code", "omni", "run")
    print(
        done.splitlines()[-2], stack.engine.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}").stdout
    )
    return stack.lake()


def test_every_service_is_healthy(stack):
    assert stack.wait_until_healthy() == {**dict.fromkeys(SERVICES, "healthy"), "prepare": "exited 0"}


def test_the_image_holds_no_secret_of_the_folder_that_it_was_built_from(stack):
    found = stack.inside("code", "grep", "-rlF", PLANTED, "/app", status=None)

    assert found == ""
    assert stack.inside("code", "ls", "-A", "/app/infra/env").split() == [".env.example"]


@pytest.mark.parametrize("service", OURS)
def test_no_process_of_ours_is_root_or_may_become_it(stack, service):
    lines = stack.inside(service, "sh", "-c", PROCESSES).splitlines()

    assert {tuple(line.split()[1:]) for line in lines} == {("1000",) * 4, ("0000000000000000",)}
    assert stack.inspected(service)["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", OURS)
def test_ours_write_nothing_but_their_data_and_tmp(stack, service):
    stack.inside(service, "sh", "-c", "touch /data/.trial /tmp/.trial && rm /data/.trial")

    for path in ("/x", "/app/x", "/usr/x", "/manifests/x"):
        assert "Read-only" in stack.compose("exec", "-T", service, "touch", path, status=1).stderr


@pytest.mark.parametrize("service", [*sorted(SERVICES), "prepare"])
def test_every_container_is_bounded_and_open_to_this_machine_alone(stack, service):
    host = stack.inspected(service)["HostConfig"]

    assert host["ReadonlyRootfs"] and host["Memory"] > 0 and host["PidsLimit"] > 0 and host["CapDrop"] == ["ALL"]
    assert {binding["HostIp"] for bindings in host["PortBindings"].values() for binding in bindings} <= {"127.0.0.1"}


def test_a_setting_of_the_one_env_file_arrives_and_no_fixed_one_is_changed_by_it(stack):
    show = "from lakehouse.settings import load_settings as s; print(s().workers, s().warehouse_url, s().home)"

    assert stack.inside("daemon", "python", "-c", show).split() == ["1", "s3://lake/warehouse", "/data"]


def test_a_run_inside_leaves_everything_safe_in_the_store(filled, stack):
    statuses = list(filled["verdicts"].values())

    assert set(statuses) <= SAFE and statuses.count("READY") == 204
    assert stack.inside("code", "omni", "verify").endswith("ledger and tables agree\n")
    assert stack.inside("code", "ls", "/data").split() == [
        "dagster",
        "dbt",
        "dlt",
        "scratch",
    ]  # no catalog.db, no warehouse


def test_the_page_has_the_code_loaded_and_lists_the_assets(filled, stack):
    entries = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError { __typename } } } } }"
    loaded = stack.ask_dagster(entries)["workspaceOrError"]["locationEntries"]
    keys = [
        node["assetKey"]["path"][-1] for node in stack.ask_dagster("{ assetNodes { assetKey { path } } }")["assetNodes"]
    ]

    assert loaded == [{"loadStatus": "LOADED", "locationOrLoadError": {"__typename": "RepositoryLocation"}}]
    assert {"seed_manifests", "raw_ticket_events", "support_kpi_daily"} <= set(keys)
    with opened_browser() as browser:
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.goto("http://127.0.0.1:3000/assets/raw_ticket_events?view=partitions")
        page.get_by_text("2026-04-30").filter(visible=True).first.wait_for(timeout=90_000)
        page.wait_for_timeout(3000)
        if SCREENSHOT:
            page.screenshot(path=f"{SCREENSHOT}/containers.png")


def test_the_daemon_takes_a_run_from_the_queue_and_the_code_server_runs_it(filled, stack):
    healthy = stack.ask_dagster("{ instance { daemonHealth { allDaemonStatuses { required healthy } } } }")
    daemons = healthy["instance"]["daemonHealth"]["allDaemonStatuses"]
    launch = ("dagster", "job", "launch", "-w", "/tmp/workspace.yaml", "-j", "arrivals_job")
    stack.inside("code", "sh", "-c", "echo 'load_from: [{grpc_server: {host: code, port: 4000}}]' >/tmp/workspace.yaml")

    stack.inside("code", *launch)

    assert all(daemon["healthy"] for daemon in daemons if daemon["required"])
    assert ended(stack, "arrivals_job") == "SUCCESS"


def test_the_devbox_runs_the_seed_loader_on_the_folder_as_it_is(filled, stack):
    loader = "devbox python -m loaders.seed_loader --manifest-dir manifests"

    done = stack.type(f"{COMPOSE} run --rm -T {loader}")
    (stack.folder / "manifests/manifest-broken.json").write_text("{}")
    broken = stack.type(f"{COMPOSE} run --rm -T {loader}")
    (stack.folder / "manifests/manifest-broken.json").unlink()

    assert "11 manifests, 0 refused; sources: 94 accept, 1 quarantine, 1 warn" in done.stdout, done.stdout + done.stderr
    assert "12 manifests, 1 refused" in broken.stdout
    assert (done.returncode, broken.returncode) == (1, 1)


def test_nothing_is_lost_when_all_is_stopped_and_started_again(filled, stack):
    assert stack.type(f"{COMPOSE} down").returncode == 0
    assert stack.type(UP).returncode == 0

    assert stack.lake() == filled
    assert ended(stack, "arrivals_job") == "SUCCESS"  # Dagster's own history, too


def test_a_run_that_dies_with_its_container_is_ended_by_the_next_and_nothing_is_wrong(filled, stack):
    stack.compose("exec", "-d", "code", "omni", "run", "--from", "2026-04-01", "--to", "2026-04-30")
    died = ended(stack, "ingest_all_job", among=("STARTED",))
    stack.compose("kill", "code")
    stack.compose("rm", "--force", "code")
    assert stack.type(UP).returncode == 0

    stack.inside("code", "omni", "run", "--partition", "2026-04-15")
    stack.inside("code", "omni", "run")

    assert died == "STARTED"
    assert set(runs(stack, "ingest_all_job")) == {"SUCCESS", "FAILURE"}
    assert stack.lake() == filled


@pytest.mark.parametrize("wrong", ["access-key-id", "secret-access-key"])
def test_a_store_that_refuses_says_so_in_one_line_without_the_secret(stack, wrong):
    own = json.loads(stack.inside("code", "printenv", "OMNI_CATALOG_PROPERTIES"))
    other = json.dumps({**own, f"s3.{wrong}": "guessed-wrongly"})

    refused = stack.compose(
        "run", "--rm", "-T", "--no-deps", "-e", f"OMNI_CATALOG_PROPERTIES={other}", "prepare", status=2
    )

    said = " ".join(refused.stderr.split())
    assert "s3://lake/warehouse: the store refuses" in said and "next: see OMNI_WAREHOUSE" in said
    assert PASSWORD not in said and "guessed-wrongly" not in said


def test_a_wrong_password_of_postgres_ends_the_start_with_a_message_that_says_so(stack):
    env = stack.folder / "infra/env/.env.local"
    right = env.read_text()
    env.write_text(right.replace(f"POSTGRES_PASSWORD={PASSWORD}", "POSTGRES_PASSWORD=guessed-wrongly"))
    try:
        refused = stack.type(UP)
        said = " ".join(stack.type(f"{COMPOSE} logs --no-log-prefix prepare").stdout.split())
    finally:
        env.write_text(right)

    assert refused.returncode != 0 and "prepare" in refused.stderr
    assert 'password authentication failed for user "omni"' in said and "OMNI_CATALOG_URI" in said
    assert "guessed-wrongly" not in said and "Traceback" not in said


def test_without_the_env_file_compose_says_what_to_copy(stack):
    refused = stack.type("docker compose -f infra/compose.yaml up -d")

    assert refused.returncode != 0 and "copy infra/env/.env.example" in refused.stderr


def runs(stack, job):
    query = f'{{ runsOrError(filter: {{pipelineName: "{job}"}}) {{ ... on Runs {{ results {{ status }} }} }} }}'
    return [run["status"] for run in stack.ask_dagster(query)["runsOrError"]["results"]]


def ended(stack, job, among=("SUCCESS", "FAILURE", "CANCELED"), within_s=180):
    """Status of the latest run of a job, once it is one of some."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            latest = (runs(stack, job) or ["none"])[0]
        except OSError:  # the page is still starting
            latest = "no page"
        if latest in among:
            return latest
        time.sleep(0.5)
    return latest
