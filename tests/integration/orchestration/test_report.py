"""`omni report` and `omni report smoke`: over the sample as the main job leaves it, broken sources, and nothing."""

import json
import re
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from jsonschema_rs import Draft202012Validator
from typer.testing import CliRunner

from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.catalog import open_catalog
from loaders.ingest import ingest, refresh
from loaders.manifests.expectation_files import load_expectations
from orchestration.cli import report as report_command
from orchestration.cli.main import app
from orchestration.definitions import INGEST_ALL_JOB, build_definitions
from orchestration.graph.partitions import range_tags
from orchestration.instance.home import dagster_environment
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.report.pages import as_html, as_markdown
from orchestration.report.report import UnknownRun, build_report
from orchestration.report.smoke_report import build_smoke_report, smoke_markdown
from tests.conftest import source, ticket_event, ticket_manifest, write_lines

NOW = datetime(2026, 5, 2, 3, 4, 5, tzinfo=UTC)
SCHEMA = PROJECT_ROOT / "docs/reference/evidence.schema.json"


def report(settings, **options):
    graph, ledger, catalog = load_asset_graph(settings), open_ledger(settings), open_catalog(settings)
    return build_report(
        graph, ledger, catalog, **{"expectations": load_expectations(settings), "generated_at": NOW, **options}
    )


def pages(settings, **options):
    content = report(settings, **options)
    return as_html(content), as_markdown(content), json.dumps(content.evidence)


@pytest.fixture(scope="module")
def whole(filled_sample):
    return report(filled_sample)


# ── the sample ───────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_sample_is_told_whole(whole):
    assert (whole.days[0], whole.days[-1], len(whole.days)) == ("2026-04-01", "2026-04-30", 30)
    assert (whole.causes, whole.waiting, whole.absent_tables) == ([], [], [])
    assert (whole.counts["READY"], whole.counts["EMPTY"], whole.counts["UNKNOWN"]) == (190, 59, 84)
    assert sum(whole.counts.values()) == len(whole.evidence["partitions"]) == 190 + 59 + 84
    events, documents = whole.kept
    assert (events.sums.read, events.sums.loaded, events.sums.quarantined, documents.sums.loaded) == (
        3421,
        3046,
        30,
        64,
    )
    assert events.broken == documents.broken == []
    assert {held.reason_code: held.held for held in whole.held} == {
        "broken_record": 5,
        "instant_without_offset": 5,
        "invalid_instant": 5,
        "missing_required": 5,
        "value_not_allowed": 5,
        "wrong_type": 5,
    }
    values = {series.name: series.values for series in whole.series}
    assert sum(values["events"].values()) == 3046
    assert "2026-04-19" not in values["events"] and values["open tickets at the end of the day"]["2026-04-19"] == 64
    assert [(w.asset, w.check, len(w.partitions)) for w in whole.warned] == [
        ("raw_ticket_events", "contract_drift", 29)
    ]


def test_the_evidence_fits_its_schema_and_the_verdict_is_not_the_decision(whole):
    validator = Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")), validate_formats=True)

    assert [error.message for error in validator.iter_errors(whole.evidence)] == []
    of = {(p["asset"], p["partition"]): p for p in whole.evidence["partitions"]}
    drifted = of["raw_ticket_events", "2026-04-15"]
    assert (drifted["status"], drifted["decision"]) == ("READY", "manual_review")
    assert of["support_kpi_daily", "2026-04-15"]["decision"] == "proceed"
    assert of["ticket_fact", None]["materialization"]["rows"]["loaded"] == 540


def test_the_same_ledger_gives_the_same_bytes_but_for_the_clock(filled_sample):
    first, second = pages(filled_sample), pages(filled_sample)
    later = pages(filled_sample, generated_at=NOW + timedelta(days=1))

    assert first == second
    assert [text.replace("2026-05-03", "2026-05-02") for text in later] == list(first)
    assert all("2026-05-03" in text for text in later)


def test_the_page_needs_nothing_but_itself(whole):
    page = as_html(whole)

    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|(?:src|href)=\"(?!#)", page)
    assert page.count("<svg") == len(whole.series) == 10
    assert 'title="raw_ticket_events 2026-04-19: EMPTY" aria-label="EMPTY">·</td>' in page
    assert '<td class="cell s-ready" title="raw_ticket_events 2026-04-15: READY"' in page


def test_a_window_and_a_run_tell_of_their_own_days(filled_sample, whole):
    (run,) = whole.runs

    week = report(filled_sample, window=Window.of_keys("2026-04-13", "2026-04-19"))
    of_run = report(filled_sample, run_id=run.run_id)

    assert (week.days[0], week.days[-1]) == ("2026-04-13", "2026-04-19")
    assert [kept.asset for kept in week.kept] == ["raw_ticket_events", "raw_doc_assets"]
    assert len(week.kept[0].partitions) == 6 and {day for held in week.held for day in held.partitions} <= set(
        week.days
    )
    assert sum(week.series[0].values.values()) == sum(whole.series[0].values[day] for day in week.days[:-1])
    assert of_run.days == whole.days and of_run.runs == whole.runs
    assert of_run.evidence["run_id"] == run.run_id in of_run.title
    with pytest.raises(UnknownRun, match=f"next: omni report --run {run.run_id}"):
        report(filled_sample, run_id="nope")


# ── broken, and empty ────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def broken(settings, declare):
    """Two days loaded; then the file of the second is cut short, and a late file names the first."""
    for day in ("2026-04-15", "2026-04-16"):
        write_lines(settings.manifests / f"<b>{day}.jsonl", [ticket_event(1, day, event_id=day)])
    declare(ticket_manifest([source("a", "<b>*.jsonl")]))
    ingest(settings)
    (settings.manifests / "<b>2026-04-16.jsonl").unlink()
    write_lines(settings.manifests / "<b>late.jsonl", [ticket_event(2, "2026-04-15")])
    ingest(settings)
    return settings


def test_broken_sources_are_root_causes_with_their_next_step(broken):
    content = report(broken)

    late, gone = content.causes
    assert (gone.asset, gone.partitions) == ("raw_ticket_events", ["2026-04-16"])
    assert gone.next_step == "mend the source named above, then: omni run"
    assert any("matches no file any more" in reason for reason in gone.reasons)
    assert (late.status, late.next_step) == ("UNCHECKED", "omni run --partition 2026-04-15")
    assert {group.asset for group in content.waiting} >= {"ticket_events", "support_kpi_daily", "ticket_fact"}
    waiting = sum(len(group.partitions) for group in content.waiting)
    assert content.not_ready == 2 + waiting > 10
    assert f"<strong>{content.not_ready} partitions are not ready</strong>, for 2 causes" in as_html(content)
    assert [kept.partition for kept in content.kept[0].broken] == ["2026-04-16"]
    assert [(c.partition, c.rows_before, c.rows_loaded) for c in content.runs[0].moved] == [("2026-04-15", 1, 2)]
    assert content.absent_tables == ["support_kpi_daily", "support_backlog_daily"]
    page, text, _ = pages(broken)
    assert "mend the source named above" in page and "mend the source named above" in text
    assert "<code>support_kpi_daily</code> does not exist yet" in page


def test_names_from_outside_cannot_become_markup(broken):
    page, text, _ = pages(broken)

    assert "&lt;b&gt;*.jsonl: matches no file any more" in page and "<b>" not in page
    assert "&lt;b>*.jsonl: matches no file any more" in text and "<b>" not in text


def test_before_any_admission_nothing_is_called_ready_or_empty(settings):
    page, text, evidence = pages(settings)

    assert json.loads(evidence)["partitions"] == []
    assert "Nothing has arrived yet. Next: <code>omni run</code>" in page
    assert "Nothing has arrived yet. Next: `omni run`" in text
    assert "ready to consume" not in page


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_command_writes_three_files_to_the_home_and_to_the_folder_that_is_named(broken, tmp_path, monkeypatch):
    monkeypatch.setattr(report_command, "load_settings", lambda: broken)

    done = CliRunner().invoke(
        app, ["report", "--from", "2026-04-15", "--to", "2026-04-16", "--output", str(tmp_path / "o")]
    )

    assert done.exit_code == 0, done.output
    name = "2026-04-15-to-2026-04-16"
    names = {f"report-{name}.html", f"report-{name}.md", f"evidence-{name}.json"}
    assert {path.name for path in (broken.home / "reports").iterdir()} == names
    assert {path.name for path in (tmp_path / "o").iterdir()} == names


def test_the_command_refuses_what_it_cannot_answer_with_status_2(broken, monkeypatch):
    monkeypatch.setattr(report_command, "load_settings", lambda: broken)

    asked = [["--run", "nope"], ["--run", "r", "--from", "2026-04-15", "--to", "2026-04-16"], ["--from", "2026-04-15"]]

    assert [CliRunner().invoke(app, ["report", *options]).exit_code for options in asked] == [2, 2, 2]


# ── what Dagster recorded ────────────────────────────────────────────────────────────────────────────────────────────
VOLATILE = {
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC": "INSTANT",
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}": "RUN",
}
"""What differs between two runs over the same sample."""


def masked(text):
    for pattern, name in VOLATILE.items():
        text = re.sub(pattern, name, text)
    return text


def test_the_committed_smoke_report_is_what_a_run_over_the_sample_gives(filled_sample):
    content = build_smoke_report(filled_sample, load_asset_graph(filled_sample), NOW)
    committed = PROJECT_ROOT / "reports/week03/dagster_materialization_smoke_report.md"

    assert content.is_sound
    hint = f"next: omni run on the sample, then: omni report smoke --output {committed.relative_to(PROJECT_ROOT)}"
    assert masked(smoke_markdown(content)) == masked(committed.read_text("utf-8")), hint


def test_a_smoke_report_names_what_is_missing_failed_or_never_ran(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1), "broken"])
    two_days = {"start_at": "2026-04-15T00:00:00Z", "end_at": "2026-04-17T00:00:00Z"}
    declare(ticket_manifest([source("a", "a.jsonl")], selection_window=two_days))
    refresh(settings)
    with dg.DagsterInstance.from_config(dagster_environment(settings)["DAGSTER_HOME"]) as instance:
        job = build_definitions(settings).resolve_job_def(INGEST_ALL_JOB)
        tags, chosen = range_tags(Window.of_keys("2026-04-15", "2026-04-16")), [dg.AssetKey("raw_ticket_events")]
        job.execute_in_process(instance=instance, tags=tags, asset_selection=chosen, raise_on_error=False)
        lean = dg.AssetMaterialization(
            "raw_doc_assets", partition="2026-04-15", metadata={"rows_read": 3, "version": ""}
        )
        instance.report_runless_asset_event(lean)

    content = build_smoke_report(settings, load_asset_graph(settings), NOW)

    of = {asset.name: asset for asset in content.assets}
    assert not content.is_sound
    assert (of["raw_ticket_events"].events, of["raw_ticket_events"].told, of["raw_ticket_events"].missing) == (2, 1, {})
    results = {check.name: (check.result, len(check.failed)) for check in of["raw_ticket_events"].checks}
    assert results["quarantine_share"] == ("failed", 1) and results["conservation"] == ("passed", 0)
    assert of["raw_doc_assets"].present == ["rows_read"] and of["raw_doc_assets"].missing["version"] == 1
    assert {check.result for check in of["raw_doc_assets"].checks} == {"not run"}
    assert (of["ticket_fact"].events, of["ticket_fact"].present) == (0, [])
    text = smoke_markdown(content)
    assert "| `ticket_fact` | silver | **no** | 0 | 0 |  |" in text
    assert "not sound: see what is missing, failed or not run" in text and "version (1)" in text
    assert "| manifest directory | `the manifests` |" in text


def test_a_lakehouse_that_dagster_never_saw_has_no_smoke_report(settings, monkeypatch):
    monkeypatch.setattr(report_command, "load_settings", lambda: settings)

    done = CliRunner().invoke(app, ["report", "smoke"])

    assert done.exit_code == 2 and "next: omni run" in done.stderr
    assert not settings.dagster_home.exists()
