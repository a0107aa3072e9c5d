"""What several tests need and is dear to make: the bundled sample, loaded, built and checked by the main job."""

import pytest

from lakehouse.partitions import Window
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import find_table
from lakehouse.tables.filters import day_filter
from loaders.ingest import ingest
from orchestration.readiness.readiness import open_readiness
from orchestration.runs.main_job import run_main_job
from tests.conftest import (
    TICKET_EVENTS,
    document_manifest,
    made_once,
    source,
    ticket_event,
    ticket_manifest,
    write_lines,
)


def run(settings):
    """`omni run`, which must end complete."""
    outcome = run_main_job(settings, None, lambda _: None)
    assert outcome.is_complete, outcome.lines


def statuses(settings):
    """Every verdict's status, by asset and partition as a person types them."""
    readiness = open_readiness(settings)
    return {v.name: str(v.status) for asset in readiness.graph.nodes for v in readiness.verdicts(asset).values()}


@pytest.fixture(scope="session")
def filled_sample(shared, parsed_project):
    """The lakehouse of the bundled sample after `omni run`. Shared by all workers: tests only read it."""
    settings = LakehouseSettings(home=shared / "sample" / "the home", manifests=PROJECT_ROOT / "manifests")
    with made_once(shared / "sample") as is_to_be_made:
        if is_to_be_made:
            parsed_project.give_to(settings)
            run(settings)
    return settings


@pytest.fixture
def coarse_stamps(monkeypatch):
    """A file system that tells the size of a file and the time of its content, and not that it was changed under these."""
    monkeypatch.setattr("loaders.sources.files._told", lambda found: {"size": found.st_size, "mtime": found.st_mtime})


@pytest.fixture
def three_days(settings, declare, monkeypatch):
    """Three days of events and one of documents, loaded, a commit each; the second day of events loaded twice."""
    monkeypatch.setattr("loaders.bronze.pipelines.MOST_DAYS", 1)
    write_lines(
        settings.manifests / "a.jsonl", [ticket_event(n, f"2026-04-{n:02}") for n in (1, 2, 3)] + ["not a record"]
    )
    (settings.manifests / "guide.md").write_text("# Guide\n")
    declare(ticket_manifest([source("a", "a.jsonl")]))
    declare(document_manifest("2026-04-01", [source("guide", "guide.md", "other")]))
    ingest(settings)
    ingest(settings, window=Window.of_keys("2026-04-02", "2026-04-02"))
    return settings


@pytest.fixture
def many_files(three_days):
    """The first day as twelve files in twelve commits, as a streaming writer leaves it; same content."""
    table = find_table(open_catalog(three_days), TICKET_EVENTS)
    window = day_filter(table, Window.of_keys("2026-04-01", "2026-04-01"))
    row = table.scan(row_filter=window).to_arrow()
    for number in range(11):
        again = row.set_column(row.column_names.index("event_id"), row.schema.field("event_id"), [[f"more{number}"]])
        table.append(again)
    return three_days
