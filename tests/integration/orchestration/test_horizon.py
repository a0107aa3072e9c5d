"""What nobody knows is not called empty, and what cannot be read is not called well: through the commands."""

import gzip
import json

import pytest
from typer.testing import CliRunner

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.tables.catalog import open_catalog
from loaders.ingest import ingest, refresh
from orchestration.cli.main import app
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import open_readiness
from orchestration.report.pages import as_html, as_markdown
from orchestration.report.report import build_report
from orchestration.runs.main_job import run_main_job
from tests.conftest import TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines
from tests.unit.orchestration.test_readiness import NOW


@pytest.fixture
def one_day(settings, declare, monkeypatch):
    """Tickets of 2026-04-15, loaded, for the commands."""
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    for module in ("answers", "status"):
        monkeypatch.setattr(f"orchestration.cli.{module}.load_settings", lambda: settings)
    return settings


def omni(*arguments):
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output


def test_a_run_that_refused_a_manifest_does_not_end_with_everything_is_ready(one_day, declare, monkeypatch):
    monkeypatch.setattr("orchestration.cli.main.load_settings", lambda: one_day)
    declare(ticket_manifest([source("b", "a.jsonl")], 2, load_mode="by heart"))

    status, text = omni("run")

    assert (status, "U " in text, "refused: manifest-tickets-20260501-002" in text) == (1, False, True)
    assert text.splitlines()[-1] == "next: mend what is said above the days; no verdict knows of it"


@pytest.mark.parametrize("day", ["2026-04-14", "2026-04-16", "2027-04-15"])
def test_a_day_that_nothing_is_known_of_is_not_safe(one_day, day):
    status, text = omni("ready", TICKET_EVENTS, day)

    assert status == 1
    assert f"{TICKET_EVENTS} {day}: UNKNOWN" in text
    assert f"outside of what is known of {TICKET_EVENTS}, 2026-04-15: nothing declared, nothing covered" in text


def test_nothing_is_called_ready_where_nothing_is_known(one_day):
    _, text = omni("status", "--asset", "raw_audio_assets")

    assert "? unknown 1" in text
    assert text.splitlines()[-1] == "nothing is ready yet: what is known is empty, or not due"


def test_the_window_that_a_manifest_declares_is_known_and_empty_where_nothing_is(one_day, declare):
    window = {"start_at": "2026-04-14T22:00:00-04:00", "end_at": "2026-04-18T00:00:00Z"}
    declare(ticket_manifest([source("a", "a.jsonl")], selection_window=window))

    refresh(one_day)

    found = {day: open_readiness(one_day).verdict(TICKET_EVENTS, f"2026-04-{day}").status for day in range(14, 19)}
    assert found == {14: "UNKNOWN", 15: "UNCHECKED", 16: "EMPTY", 17: "EMPTY", 18: "UNKNOWN"}


def test_a_window_that_a_manifest_declares_no_more_is_not_known_any_more(one_day, declare):
    window = {"start_at": "2026-04-15T00:00:00Z", "end_at": "2026-04-18T00:00:00Z"}
    for narrow_or_wide in ({}, {"selection_window": window}, {}):
        declare(ticket_manifest([source("a", "a.jsonl")], **narrow_or_wide))
        refresh(one_day)

    assert open_readiness(one_day).verdict(TICKET_EVENTS, "2026-04-16").status == "UNKNOWN"


def test_an_unreadable_file_of_unknown_days_is_a_problem_of_its_asset_until_it_is_mended(one_day, declare):
    before = json.loads(omni("ready", TICKET_EVENTS, "2026-04-15", "--json")[1])
    (one_day.manifests / "b.jsonl.gz").write_bytes(gzip.compress(b"{}")[:-4])
    declare(ticket_manifest([source("b", "b.jsonl.gz")], 2))

    assert not ingest(one_day).is_complete
    status, text = omni("status")
    after = json.loads(omni("ready", TICKET_EVENTS, "2026-04-15", "--json")[1])

    assert status == 1
    assert "everything is ready" not in text
    assert f"problem: {TICKET_EVENTS}: b.jsonl.gz" in text
    assert (before["warnings"], after["status"]) == ([], before["status"])
    assert "b.jsonl.gz" in after["warnings"][0]
    graph, ledger, catalog = load_asset_graph(one_day), open_ledger(one_day), open_catalog(one_day)
    content = build_report(graph, ledger, catalog, expectations=[], generated_at=NOW)
    assert "b.jsonl.gz" in as_html(content) and "b.jsonl.gz" in as_markdown(content)
    assert "Everything is ready" not in as_html(content) + as_markdown(content)

    (one_day.manifests / "b.jsonl.gz").write_bytes(gzip.compress(json.dumps(ticket_event(2)).encode()))
    ingest(one_day)
    assert open_readiness(one_day).warnings == {}


def test_an_unreadable_file_blocks_the_days_of_its_declared_window(one_day, declare):
    (one_day.manifests / "b.jsonl.gz").write_bytes(b"no gzip")
    window = {"start_at": "2026-04-15T08:00:00Z", "end_at": "2026-04-15T17:00:00Z"}
    declare(ticket_manifest([source("b", "b.jsonl.gz")], 2, selection_window=window))

    ingest(one_day)

    readiness = open_readiness(one_day)
    assert readiness.warnings == {}
    assert "b.jsonl.gz" in " ".join(readiness.verdict(TICKET_EVENTS, "2026-04-15").reasons)


def test_a_run_with_an_expectation_that_is_none_loads_nothing_and_says_why(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    (settings.manifests / "expectations").mkdir()
    (settings.manifests / "expectations" / "tickets.json").write_text('{"name": "tickets"}')

    with pytest.raises(ConfigurationError, match=r"tickets.json: \$.asset: .*; next: mend it, omni manifests check"):
        run_main_job(settings, None, lambda _: None)

    assert open_ledger(settings).current_materializations() == {}


@pytest.mark.parametrize("elsewhere", ["another folder", "a folder that is not there"])
def test_what_should_have_come_is_not_forgotten_in_another_folder(settings, declare, tmp_path, elsewhere):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1), ticket_event(2, "2026-04-17")])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    expected = settings.manifests / "expectations" / "tickets.json"
    expected.parent.mkdir()
    rhythm = {
        "asset": TICKET_EVENTS,
        "rhythm": "daily",
        "due_after_hours": 1,
        "since": "2026-04-15",
        "until": "2026-04-17",
    }
    expected.write_text(json.dumps({"name": "tickets", "owner": "support", **rhythm}), "utf-8")
    ingest(settings)
    other = tmp_path / elsewhere
    if elsewhere == "another folder":
        other.mkdir()

    lost = open_readiness(settings.model_copy(update={"manifests": other})).verdict(TICKET_EVENTS, "2026-04-16")
    expected.unlink()
    before, _ = open_readiness(settings).verdict(TICKET_EVENTS, "2026-04-16").status, ingest(settings)

    assert (lost.status, before) == ("MISSING", "MISSING")
    assert lost.reasons[0].endswith("not arrived; owner support (tickets)")
    assert open_readiness(settings).verdict(TICKET_EVENTS, "2026-04-16").status == "EMPTY"
