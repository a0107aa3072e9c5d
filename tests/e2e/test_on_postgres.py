"""Catalog, ledger and Dagster on Postgres, together: runs at once, page, daemon and sensor leave what one run leaves."""

import json
import os
import subprocess
import threading
import time

import dagster as dg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from lakehouse.database.engines import POOL
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest
from orchestration.instance.home import dagster_environment
from orchestration.instance.sqlite_events import open_instance
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.e2e.servers import BIN, serving
from tests.e2e.test_pages import ask, omni
from tests.integration.conftest import run, statuses
from tests.integration.postgres_server import new_database, serving_postgres

DAYS = ("2026-04-14", "2026-04-15", "2026-04-16")
SAFE = {"READY", "EMPTY", "UNKNOWN"}
TICKS_WITHIN_S = 400

END_OTHERS = text(
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where pid <> pg_backend_pid() and backend_type = 'client backend'"
)
START = """mutation { startSensor(sensorSelector: { repositoryLocationName: "%s", repositoryName: "%s",
  sensorName: "arrivals_sensor" }) { __typename } }"""
WHERE = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
RUNS = "{ runsOrError { ... on Runs { results { status tags { key value } } } } }"


@pytest.fixture(scope="module")
def server():
    with serving_postgres() as url:
        yield url


@pytest.fixture
def lake(server, tmp_path, parsed_project, monkeypatch):
    """A lakehouse of which nothing but files lies on this machine, and its environment."""
    urls = {name: new_database(server).get_secret_value() for name in ("lake", "dagster")}
    monkeypatch.setenv("OMNI_CATALOG_URI", urls["lake"])
    monkeypatch.setenv("OMNI_DAGSTER_POSTGRES_URL", urls["dagster"])
    settings = LakehouseSettings(home=tmp_path / "home", manifests=tmp_path / "manifests")
    parsed_project.give_to(settings)
    declare(settings, "first")
    home = {"OMNI_HOME": str(settings.home), "OMNI_MANIFESTS": str(settings.manifests)}
    return settings, {**os.environ, **home, "DAGSTER_HOME": str(settings.dagster_home)}


def declare(settings, subject):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(int(d[-2:]), d, subject=subject) for d in DAYS])
    (settings.manifests / "m.json").write_text(json.dumps(ticket_manifest([source("a", "a.jsonl")])))


def digests(settings):
    catalog = open_catalog(settings)
    names = [".".join(each) for of in catalog.list_namespaces() for each in catalog.list_tables(of)]
    return {name: content_digest(catalog.load_table(name)) for name in names}


class Connections(threading.Thread):
    """Counts the connections that a server has, until it is told to end."""

    def __init__(self, server):
        super().__init__()
        self.most, self.is_over = 0, threading.Event()
        self._engine = create_engine(server, poolclass=NullPool)

    def run(self):
        own = text("select count(*) from pg_stat_activity where backend_type = 'client backend'")
        while not self.is_over.wait(0.5):
            with self._engine.connect() as connection:
                self.most = max(self.most, connection.execute(own).scalar_one())


def test_runs_at_once_page_daemon_and_sensor_leave_what_one_run_leaves(
    lake, server, tmp_path, parsed_project, monkeypatch
):
    settings, environment = lake
    (counted := Connections(server)).start()
    first = omni(environment, "run")
    assert first.returncode == 0, first.stdout + first.stderr

    with serving(environment, "omni", "ui") as page:
        declare(settings, "second")
        runs = [subprocess.Popen([BIN / "omni", "run"], cwd=PROJECT_ROOT, env=environment) for _ in range(2)]
        for each in runs:
            each.wait()
        declare(settings, "third")
        (repository,) = ask(page, WHERE)["repositoriesOrError"]["nodes"]
        started = ask(page, START % (repository["location"]["name"], repository["name"]))["startSensor"]
        assert started["__typename"] == "Sensor", started
        status = of_the_sensor(page)
    counted.is_over.set()
    counted.join()

    assert status == "SUCCESS"
    assert omni(environment, "run").returncode == 0
    assert set(statuses(settings).values()) <= SAFE
    assert not [*settings.home.rglob("*.db")]
    found = digests(settings)
    monkeypatch.delenv("OMNI_CATALOG_URI")
    monkeypatch.delenv("OMNI_DAGSTER_POSTGRES_URL")
    in_files = LakehouseSettings(home=tmp_path / "other", manifests=settings.manifests)
    parsed_project.give_to(in_files)
    run(in_files)
    assert found == digests(in_files)
    assert counted.most <= 6 * POOL, counted.most


def of_the_sensor(page):
    """How the run ended that the sensor asked for."""
    until = time.monotonic() + TICKS_WITHIN_S
    while time.monotonic() < until:
        for each in ask(page, RUNS)["runsOrError"]["results"]:
            if any(tag["key"] == "dagster/sensor_name" for tag in each["tags"]) and each["status"] in (
                "SUCCESS",
                "FAILURE",
            ):
                return each["status"]
        time.sleep(2)
    return f"not ended within {TICKS_WITHIN_S} s"


def test_an_instance_goes_on_where_the_server_has_ended_its_connections(server, lake):
    settings, _ = lake
    dagster_environment(settings)
    with open_instance(settings.dagster_home) as instance:
        for _ in range(2):
            instance.report_runless_asset_event(dg.AssetMaterialization("a"))
            with create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
                connection.execute(END_OTHERS)

        assert len(instance.fetch_materializations(dg.AssetKey("a"), limit=9).records) == 2
