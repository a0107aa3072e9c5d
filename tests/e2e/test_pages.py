"""What a person sees in a browser: the graph, a partition, a check, the report.

`OMNI_SCREENSHOTS=docs/images` keeps the pictures of README and docs.
"""

import json
import os
import re
import subprocess
import urllib.request
from urllib.parse import urlencode

import pytest
from playwright.sync_api import ViewportSize, expect

from lakehouse.partitions import Window
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from loaders.ingest import ingest, refresh
from tests.browser import opened_browser
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.e2e.servers import BIN, serving

GOOD, FAILED, MISSING = "2026-04-14", "2026-04-15", "2026-04-16"
ASSETS = ("seed_manifests", "raw_ticket_events", "raw_doc_assets", "ticket_events", "support_kpi_daily")
GROUPS = ("manifests", "bronze", "silver", "gold")
SIZE = ViewportSize(width=1500, height=900)
SCREENSHOTS = os.environ.get("OMNI_SCREENSHOTS")  # before the tests are isolated from the environment
LOADS_WITHIN_MS = 90_000

STATUSES = """{ assetNodeOrError(assetKey: {path: ["raw_ticket_events"]}) { ... on AssetNode {
  assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } } } } }"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory, parsed_project):
    """A good day, a day half of which cannot be read, a day whose file was gone before it was loaded; one document.

    What Dagster ran of it, and a second document that was loaded without it.
    """
    root = tmp_path_factory.mktemp("pages")
    settings = LakehouseSettings(home=root / "home", manifests=root / "manifests")
    bad = ticket_event(99, FAILED, status="nope")
    write_lines(settings.manifests / "a.jsonl", [ticket_event(14, GOOD), ticket_event(15, FAILED), bad])
    write_lines(settings.manifests / "b.jsonl", [ticket_event(16, MISSING)])
    (settings.manifests / "d.md").write_text("text")
    sources = [source("a", "a.jsonl"), source("b", "b.jsonl")]
    documents = [document_manifest(day, [source("d", "d.md", "other")]) for day in (GOOD, MISSING)]
    for declared in (ticket_manifest(sources), *documents):
        (settings.manifests / f"{declared['manifest_id']}.json").write_text(json.dumps(declared))
    parsed_project.give_to(settings)
    refresh(settings)
    (settings.manifests / "b.jsonl").unlink()
    home = {"OMNI_HOME": str(settings.home), "OMNI_MANIFESTS": str(settings.manifests)}
    environment = {**os.environ, **home, "DAGSTER_HOME": str(settings.dagster_home)}
    omni(environment, "run", "--from", GOOD, "--to", FAILED)
    ingest(settings, assets=["raw_doc_assets"], window=Window.of_keys(MISSING, MISSING))
    return environment


def omni(environment, *arguments):
    return subprocess.run(
        [BIN / "omni", *arguments], cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def server(environment):
    """Address of `omni ui` over that lakehouse."""
    with serving(environment, "omni", "ui") as address:
        yield address


@pytest.fixture(scope="module")
def page():
    """A page of a browser."""
    with opened_browser() as browser:
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(LOADS_WITHIN_MS)
        expect.set_options(timeout=LOADS_WITHIN_MS)
        yield page


def keep(page, name):
    if SCREENSHOTS:
        page.wait_for_timeout(3000)  # drawings move
        page.screenshot(path=PROJECT_ROOT / SCREENSHOTS / f"{name}.png")


def ask(server, query):
    request = urllib.request.Request(
        f"{server}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    return json.loads(urllib.request.urlopen(request, timeout=120).read())["data"]


def test_the_partitions_of_an_asset_tell_good_failed_and_missing_days_apart(server, page):
    node = ask(server, STATUSES)["assetNodeOrError"]
    ranges = {each["startKey"]: each["status"] for each in node["assetPartitionStatuses"]["ranges"]}
    assert ranges == {GOOD: "MATERIALIZED", FAILED: "FAILED"}

    page.goto(f"{server}/assets/raw_ticket_events?view=partitions&partition={FAILED}")
    expect(page.get_by_text("rows_quarantined").first).to_be_visible()
    expect(page.get_by_text(re.compile("Failed")).first).to_be_visible()
    expect(page.get_by_text("Unsynced")).to_have_count(0)
    expect(page.get_by_text("Failed (1)")).to_be_visible()
    expect(page.get_by_text(re.compile(r"Missing \([1-9]\d*\)"))).to_be_visible()
    keep(page, "partitions")


def show_graph(server, page):
    """The graph with all groups open, as large as it fits; the names of its assets."""
    nodes = {node["assetKey"]["path"][0] for node in ask(server, "{ assetNodes { assetKey { path } } }")["assetNodes"]}
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    page.set_viewport_size(ViewportSize(width=2600, height=2100))
    page.goto(f"{server}/asset-groups?{urlencode({'expanded': expanded})}")
    for name in (*GROUPS, "knowledge_doc"):
        expect(page.get_by_text(name, exact=True).filter(visible=True).first).to_be_visible()
    page.mouse.dblclick(700, 500)
    for name in nodes:
        expect(page.get_by_text(name, exact=True).filter(visible=True).first).to_be_in_viewport()
    return nodes


def keep_graph(page, name):
    """The picture of the graph alone."""
    if SCREENSHOTS:
        page.wait_for_timeout(3000)
        clip = {"x": 545, "y": 109, "width": 2000, "height": 1991}
        page.screenshot(path=PROJECT_ROOT / SCREENSHOTS / f"{name}.png", clip=clip)
    page.set_viewport_size(SIZE)


def test_the_graph_shows_every_layer_and_its_assets(server, page):
    assert set(ASSETS) <= show_graph(server, page)
    keep_graph(page, "asset_graph_bad_day")


@pytest.mark.skipif(not SCREENSHOTS, reason="a picture for the README: OMNI_SCREENSHOTS=docs/images")
def test_the_graph_of_a_good_month_has_nothing_failed(page, tmp_path, parsed_project):
    settings = LakehouseSettings(home=tmp_path / "home", manifests=PROJECT_ROOT / "manifests")
    parsed_project.give_to(settings)
    home = {"OMNI_HOME": str(settings.home), "OMNI_MANIFESTS": str(settings.manifests)}
    environment = {**os.environ, **home, "DAGSTER_HOME": str(settings.dagster_home)}
    assert omni(environment, "run").returncode == 0
    with serving(environment, "dagster-webserver") as address:
        show_graph(address, page)
        expect(page.get_by_text(re.compile("failed"))).to_have_count(0)
        keep_graph(page, "asset_graph")


def test_a_check_says_on_which_day_it_failed(server, page):
    page.goto(f"{server}/assets/raw_ticket_events?view=checks&checkDetail=quarantine_share")
    expect(page.get_by_text("quarantine_share").first).to_be_visible()
    query = """{ assetNodeOrError(assetKey: {path: ["raw_ticket_events"]}) { ... on AssetNode { assetChecksOrError {
      ... on AssetChecks { checks { name partitionStatuses { ... on AssetCheckTimePartitionStatuses {
      ranges { status startKey endKey } } } } } } } } }"""
    checks = ask(server, query)["assetNodeOrError"]["assetChecksOrError"]["checks"]
    (found,) = (check["partitionStatuses"]["ranges"] for check in checks if check["name"] == "quarantine_share")
    assert {(each["startKey"], each["status"]) for each in found} == {(GOOD, "SUCCEEDED"), (FAILED, "FAILED")}
    page.get_by_role("tab", name="Partitions").last.click()
    expect(page.get_by_text("Failed (1)")).to_be_visible()
    expect(page.get_by_text("Passed (1)")).to_be_visible()
    page.get_by_text(FAILED, exact=True).filter(visible=True).first.click()
    expect(page.get_by_text("of 2 records are held in quarantine").first).to_be_visible()
    page.get_by_text("Failed (1)").scroll_into_view_if_needed()
    keep(page, "check")


def test_what_was_loaded_without_dagster_is_shown_with_who_wrote_it(server, page):
    page.goto(f"{server}/assets/raw_doc_assets?view=partitions&partition={MISSING}")
    expect(page.get_by_text("written_by").first).to_be_visible()
    expect(page.get_by_text(re.compile("a load by dlt or omni ingest, .*: no run of this")).first).to_be_visible()


def test_the_verdict_of_a_day_says_why_it_is_not_safe_and_what_to_type(server, page):
    page.goto(f"{server}/assets/raw_ticket_events?view=checks&checkDetail=verdict")
    expect(page.get_by_role("tab", name="Partitions")).to_have_count(2)  # the asset's, and the check's
    page.get_by_role("tab", name="Partitions").last.click()
    page.get_by_text(FAILED, exact=True).filter(visible=True).first.click()
    expect(page.get_by_text(re.compile("FAILED: check quarantine_share failed")).first).to_be_visible()
    expect(page.get_by_text(f"omni explain raw_ticket_events {FAILED}").first).to_be_visible()
    expect(page.get_by_text("Failed (2)")).to_be_visible()
    expect(page.get_by_text("Passed (1)")).to_be_visible()
    keep(page, "verdict")


def test_a_run_of_omni_counts_for_its_job(server, page):
    run = ask(server, "{ runsOrError { ... on Runs { results { runId } } } }")["runsOrError"]["results"][-1]["runId"]
    page.goto(f"{server}/locations/orchestration.definitions/jobs/ingest_all_job/runs")
    expect(page.get_by_text(run[:8]).first).to_be_visible()


def test_a_model_is_stored_as_an_iceberg_table_and_its_days_end_at_the_horizon(server, page):
    page.goto(f"{server}/assets/support_kpi_daily")
    expect(page.get_by_text("gold.support_kpi_daily", exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile("iceberg", re.IGNORECASE)).first).to_be_visible()
    page.goto(f"{server}/assets/support_kpi_daily?view=partitions")
    expect(page.get_by_text("3 Partitions Selected")).to_be_visible()


def test_the_report_says_what_the_command_says(environment, page, tmp_path):
    verdicts = json.loads(omni(environment, "status", "--json").stdout)
    assert {v["partition"]: v["status"] for v in verdicts if v["asset"] == "raw_ticket_events"} == {
        GOOD: "READY",
        FAILED: "FAILED",
        MISSING: "MISSING",
    }
    done = omni(environment, "report", "--output", str(tmp_path))
    assert done.returncode in (0, 1), done.stderr
    (written,) = tmp_path.rglob("*.html")
    page.goto(written.as_uri())
    not_ready = [v for v in verdicts if not v["ready"]]
    wrong = sum(v["status"] != "UNKNOWN" for v in not_ready)
    expect(page.get_by_text(f"{wrong} partitions are not ready")).to_be_visible()
    for verdict in not_ready:
        expect(page.get_by_text(verdict["asset"]).first).to_be_visible()
        assert verdict["status"].lower() in page.inner_text("body").lower()
