"""A backfill that is launched from the page, and one from Dagster's own command line, end with what `omni run` writes."""

import json
import os
import subprocess
import time

import pytest

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest, find_table
from loaders.ingest import refresh
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.e2e.servers import BIN, serving
from tests.e2e.test_pages import ask, omni

DAYS = ("2026-04-14", "2026-04-15", "2026-04-16")
TABLES = ("raw_ticket_events", "raw_doc_assets", "ticket_events", "support_kpi_daily", "doc_change_feed")
ENDS_WITHIN_S = 420

LAUNCH = """mutation { launchPartitionBackfill(backfillParams: {
  assetSelection: [%s], partitionNames: [%s], title: "from the page" }) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS = """{ partitionBackfillOrError(backfillId: "%s") { ... on PartitionBackfill { status } } }"""


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """Three days of tickets; one document on the second."""
    folder = tmp_path_factory.mktemp("declared") / "manifests"
    write_lines(folder / "a.jsonl", [ticket_event(int(day[-2:]), day) for day in DAYS])
    (folder / "d.md").write_text("text")
    for declared in (
        ticket_manifest([source("a", "a.jsonl")]),
        document_manifest(DAYS[1], [source("d", "d.md", "other")]),
    ):
        (folder / f"{declared['manifest_id']}.json").write_text(json.dumps(declared))
    return folder


@pytest.fixture(scope="module")
def environment_of(manifests, parsed_project):
    """The environment of a lakehouse in a folder, where nothing is loaded yet."""

    def made(home):
        settings = LakehouseSettings(home=home, manifests=manifests)
        parsed_project.give_to(settings)
        refresh(settings)
        named = {"OMNI_HOME": str(home), "OMNI_MANIFESTS": str(manifests), "DAGSTER_HOME": str(settings.dagster_home)}
        settings.dagster_home.mkdir(parents=True, exist_ok=True)
        return {**os.environ, **named}

    return made


@pytest.fixture(scope="module")
def expected(environment_of, tmp_path_factory):
    """What `omni run` writes."""
    environment = environment_of(tmp_path_factory.mktemp("by omni") / "home")
    assert omni(environment, "run").returncode == 0
    return digests(environment)


def digests(environment):
    catalog = open_catalog(LakehouseSettings(home=environment["OMNI_HOME"]))
    return {table: content_digest(find_table(catalog, table)) for table in TABLES}


def test_a_backfill_from_the_page_writes_what_omni_run_writes(environment_of, expected, tmp_path):
    environment = environment_of(tmp_path / "home")
    with serving(environment, "dagster", "dev") as server:
        nodes = ask(server, "{ assetNodes { assetKey { path } isPartitioned } }")["assetNodes"]
        daily = [node["assetKey"]["path"][0] for node in nodes if node["isPartitioned"]]
        assets = ", ".join(f'{{path: ["{name}"]}}' for name in daily)
        launched = ask(server, LAUNCH % (assets, ", ".join(f'"{day}"' for day in DAYS)))["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        assert end_of(server, launched["backfillId"]) == "COMPLETED_SUCCESS"

    assert digests(environment) == expected


def end_of(server, backfill):
    until = time.monotonic() + ENDS_WITHIN_S
    while time.monotonic() < until:
        status = ask(server, STATUS % backfill)["partitionBackfillOrError"]["status"]
        if status not in ("REQUESTED", "CANCELING"):
            return status
        time.sleep(2)
    return f"not ended within {ENDS_WITHIN_S} s"


def test_a_partition_range_from_dagsters_command_line_writes_what_omni_run_writes(environment_of, expected, tmp_path):
    environment = environment_of(tmp_path / "home")
    selection = ["--select", "*support_kpi_daily,*doc_change_feed"]
    window = ["--partition-range", f"{DAYS[0]}...{DAYS[-1]}"]

    done = subprocess.run(
        [BIN / "dagster", "asset", "materialize", "-m", "orchestration.definitions", *selection, *window],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert digests(environment) == expected
