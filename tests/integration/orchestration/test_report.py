"""`omni report` and `omni report smoke`: over the sample as the main job leaves it, broken sources, and nothing."""

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from jsonschema_rs import Draft202012Validator
from typer.testing import CliRunner

from lakehouse.ledger.evidence import CheckResult
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.settings import PROJECT_ROOT, load_settings
from lakehouse.tables.catalog import open_catalog
from loaders.ingest import ingest, refresh
from loaders.manifests.expectation_files import load_expectations
from loaders.manifests.expectations import Expectation
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
    assert (whole.causes, whole.lineage, whole.late, whole.awaited, whole.absent_tables) == ([], [], [], [], [])
    assert (whole.counts["READY"], whole.counts["EMPTY"], whole.counts["UNKNOWN"]) == (204, 113, 108)
    assert sum(whole.counts.values()) == len(whole.evidence["partitions"]) == 204 + 113 + 108
    events, documents = whole.kept
    assert (events.sums.read, events.sums.loaded, events.sums.quarantined, documents.sums.loaded) == (
        3421,
        3046,
        30,
        64,
    )
    assert events.broken == documents.broken == []
    assert [len(held.examples) for held in whole.held] == [1] * 6  # of the latest day
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

    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|(?:src|href)=\"(?!#)|\son\w+=", page)
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert page.count("<svg") == len(whole.series) == 10
    assert 'class="cell s-empty" title="raw_ticket_events 2026-04-19: EMPTY"' in page
    assert 'class="cell s-ready warned" title="raw_ticket_events 2026-04-15: READY"' in page


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


def every_branch(branches):
    for branch in branches:
        yield branch
        yield from every_branch(branch.below)


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
    assert gone.next_step == "mend the source named above (owner: support), then: omni run"
    assert any("matches no file any more" in reason for reason in gone.reasons)
    assert (late.status, late.next_step) == ("UNCHECKED", "omni run --partition 2026-04-15")
    branches = {branch.asset: branch for branch in every_branch(content.lineage)}
    assert branches.keys() >= {"raw_ticket_events", "ticket_events", "support_kpi_daily", "ticket_fact"}
    assert content.not_ready == sum(len(branch.partitions) for branch in branches.values()) > 10
    assert [branch.asset for branch in content.lineage] == ["raw_ticket_events"]
    assert [branch.asset for branch in content.lineage[0].below] == ["ticket_events"]
    assert f"<strong>{content.not_ready} partitions are not ready</strong>, for 2 causes" in as_html(content)
    assert [kept.partition for kept in content.kept[0].broken] == ["2026-04-16"]
    assert [(c.partition, c.rows_before, c.rows_loaded) for c in content.runs[0].moved] == [("2026-04-15", 1, 2)]
    assert content.absent_tables == ["support_kpi_daily", "support_backlog_daily"]
    page, text, _ = pages(broken)
    assert "mend the source named above" in page and "mend the source named above" in text
    assert "<code>support_kpi_daily</code> does not exist yet" in page
    assert "Everything is ready" not in page + text


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


# ── the numbers, and what is new ─────────────────────────────────────────────────────────────────────────────────────
def omni(settings, *arguments):
    """What `omni` answers of a lakehouse."""
    named = {"OMNI_HOME": str(settings.home), "OMNI_MANIFESTS": str(settings.manifests)}
    named["OMNI_NOTIFY"] = " ".join(url.get_secret_value() for url in settings.notify)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in named.items():
            patch.setenv(name, value)
        load_settings.cache_clear()
        done = CliRunner().invoke(app, arguments)
    load_settings.cache_clear()
    return done


@pytest.mark.parametrize("lake", ["filled_sample", "broken"])
def test_page_and_markdown_agree_with_the_command_to_the_digit(lake, request):
    settings = request.getfixturevalue(lake)
    verdicts = json.loads(omni(settings, "status", "--json").stdout)
    content = report(settings)
    page, text = as_html(content), as_markdown(content)

    asked = {f"{v['asset']} {v['partition'] or ''}".strip(): v["status"] for v in verdicts}
    cells = re.findall(r'<button [^>]*aria-label="([^":]+): ([A-Z]+)[",]', page)
    assert len(cells) == len(verdicts) and dict(cells) == asked
    sums = Counter((v["status"], v["decision"]) for v in verdicts)
    by_status = Counter(v["status"] for v in verdicts)
    rows = re.findall(r"</span> ([a-z]+)</th>.*?((?:<td[^>]*>[^<]*</td>)+)</tr>", page)
    shown = {status.upper(): re.findall(r"<td[^>]*>([^<]*)</td>", tds) for status, tds in rows}
    decisions = ("proceed", "manual_review", "hold")
    assert shown == {
        status: ["yes" if status in ("READY", "EMPTY") else "no", str(n), *(str(sums[status, d]) for d in decisions)]
        for status, n in by_status.items()
    }
    for status, number in by_status.items():
        numbers = " | ".join(str(sums[status, d]) for d in decisions)
        assert f"<strong>{number}</strong> {status.lower()} " in page
        assert f"| {status.lower()} | {number} | {numbers} |" in text
    safe = sum(v["ready"] for v in verdicts)
    assert f"{safe} of {len(verdicts)} partitions are safe to consume" in page
    assert f"{safe} of {len(verdicts)} partitions are safe to consume" in text
    assert content.evidence["partitions"] == verdicts and content.evidence["statuses"] == by_status
    reviewed = sum(n for (status, decision), n in sums.items() if decision == "manual_review" and status == "READY")
    assert ("Everything is ready" in page) is (safe + by_status["UNKNOWN"] == len(verdicts))
    all_ready = f"Everything is ready to consume, {reviewed} partitions with a warning."
    assert all((all_ready in each) is (lake == "filled_sample") for each in (page, text))
    not_counted = f" Not counted: {by_status['UNKNOWN']} unknown."
    assert all((not_counted in each) is (lake == "filled_sample") for each in (page, text))


def test_a_page_tells_what_is_new_since_the_one_before(settings, declare):
    write_lines(settings.manifests / "15.jsonl", [ticket_event(1, "2026-04-15")])
    write_lines(settings.manifests / "16.jsonl", [ticket_event(2, "2026-04-16")])
    declare(ticket_manifest([source("a", "1*.jsonl")]))
    rhythm = {"name": "tickets_daily", "asset": "raw_ticket_events", "rhythm": "daily", "due_after_hours": 0}
    rhythm |= {"since": "2026-04-15", "until": "2026-04-17", "owner": "support <b>desk"}
    (settings.manifests / "expectations").mkdir()
    refresh(settings)
    first = omni(settings, "report")
    before = json.loads(omni(settings, "report", "--format", "json", "--output", "-").stdout)["news"]
    asked_at = datetime.now(UTC)
    (settings.manifests / "expectations" / "tickets_daily.json").write_text(json.dumps(rhythm))
    ingest(settings, window=Window.of_keys("2026-04-15", "2026-04-15"))
    pass_all_checks(settings, "raw_ticket_events", "2026-04-15")
    now = json.loads(omni(settings, "report", "--format", "json", "--output", "-").stdout)["news"]
    page = omni(settings, "report", "--output", "-").stdout
    again = omni(settings, "report", "--format", "md", "--output", "-").stdout

    assert first.exit_code == 0, first.output
    kinds = ("unsafe", "waiting", "overdue", "safe_again", "arrived")
    assert before["since"] and not any(before[kind] for kind in kinds)
    told = {kind: {each["asset"]: each["partitions"] for each in now[kind]} for kind in kinds}
    assert told["safe_again"] == {"raw_ticket_events": ["2026-04-15"]}
    assert told["overdue"] == {"raw_ticket_events": ["2026-04-17"]}
    assert told["waiting"]["ticket_events"] == ["2026-04-17"]
    assert (told["unsafe"], told["arrived"]) == ({}, {})
    assert "owed by <strong>support &lt;b&gt;desk</strong>" in page and "<b>" not in page
    assert ">1 run</a> wrote 1 partition.</p>" in page
    assert "No partition stands otherwise." in again and "No partition stands otherwise." not in page
    since = json.loads(
        omni(settings, "report", "--since", asked_at.isoformat(), "--format", "json", "--output", "-").stdout
    )
    assert {kind: since["news"][kind] for kind in kinds} == {kind: now[kind] for kind in kinds}


def pass_all_checks(settings, asset, day):
    """Record a pass of every check that a partition must pass."""
    ledger, node = open_ledger(settings), load_asset_graph(settings)[asset]
    item = ledger.current_materializations([asset])[asset, day]
    ledger.record_checks(
        CheckResult(asset, day, name, severity, True, "", item.id, NOW, "r", definition=node.definitions.get(name))
        for name, severity in node.checks.items()
    )


def test_what_was_said_last_is_not_taken_from_a_file_that_somebody_broke(broken):
    assert omni(broken, "report").exit_code == 0
    (broken.home / "reports" / "last_page.json").write_text("{")

    done = omni(broken, "report")

    assert done.exit_code == 2 and "last_page.json: found JSONDecodeError" in done.stderr and "delete it" in done.stderr


def test_a_day_that_is_not_due_is_not_called_ready(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    refresh(settings)
    told = {"name": "tickets", "asset": "raw_ticket_events", "rhythm": "daily", "due_after_hours": 48, "owner": "desk"}
    late = Expectation.model_validate_json(json.dumps({**told, "since": "2026-05-01", "until": "2026-05-01"}))

    page, text, evidence = pages(settings, expectations=[late])

    assert json.loads(evidence)["statuses"]["PENDING"] == 6
    assert all("Nothing is ready yet. " in each and "Everything is ready" not in each for each in (page, text))
    assert "6 pending." in page and "6 pending." in text
    assert "expected by tickets, due 2026-05-04T00:00Z; owner desk" in page and "owed by" not in page


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_command_writes_one_file_to_the_home_or_where_it_is_told(broken, tmp_path):
    days, folder = ["--from", "2026-04-15", "--to", "2026-04-16"], tmp_path / "o"
    folder.mkdir()

    done = [
        omni(broken, "report", *options)
        for options in (
            [],
            days,
            [*days, "--format", "md", "--output", str(folder)],
            ["--format", "json", "--output", str(tmp_path / "new folder" / "of mine.json")],
        )
    ]

    assert [each.exit_code for each in done] == [0] * 4, done
    name = "report-2026-04-15-to-2026-04-16"
    kept = {path.name for path in (broken.home / "reports").iterdir()}
    assert kept == {"report.html", f"{name}.html", "last_page.json"}
    assert [path.name for path in folder.iterdir()] == [f"{name}.md"]
    assert json.loads((tmp_path / "new folder" / "of mine.json").read_text("utf-8"))["format"] == "omni_evidence_v1"


def test_the_command_refuses_what_it_cannot_answer_with_status_2(broken):
    asked = [
        ["--run", "nope"],
        ["--run", "r", "--from", "2026-04-15", "--to", "2026-04-16"],
        ["--run", "r", "--since", "2026-04-15"],
        ["--from", "2026-04-15"],
        ["--since", "soon"],
        ["--since", "2026-05-01T06:00:00"],
        ["--since", "2999-01-01"],
        ["--since", "2001-01-01"],
        ["--format", "pdf"],
    ]

    assert [omni(broken, "report", *options).exit_code for options in asked] == [2] * len(asked)


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
        lean = dg.AssetMaterialization("raw_doc_assets", partition="2026-04-15", metadata={"rows_in": 3, "version": ""})
        instance.report_runless_asset_event(lean)

    content = build_smoke_report(settings, load_asset_graph(settings), NOW)

    of = {asset.name: asset for asset in content.assets}
    assert not content.is_sound
    assert (of["raw_ticket_events"].events, of["raw_ticket_events"].told, of["raw_ticket_events"].missing) == (2, 1, {})
    results = {check.name: (check.result, len(check.failed)) for check in of["raw_ticket_events"].checks}
    assert results["quarantine_share"] == ("failed", 1) and results["conservation"] == ("passed", 0)
    assert of["raw_doc_assets"].present == ["rows_in"] and of["raw_doc_assets"].missing["version"] == 1
    assert {check.result for check in of["raw_doc_assets"].checks} == {"not run"}
    assert (of["ticket_fact"].events, of["ticket_fact"].present) == (0, [])
    text = smoke_markdown(content)
    assert "| `ticket_fact` | silver | **no** | 0 | 0 |  |" in text
    assert "not sound: see what is missing, failed or not run" in text and "version (1)" in text
    assert "| manifest directory | `the manifests` |" in text


def test_a_lakehouse_that_dagster_never_saw_has_no_smoke_report(settings):
    done = omni(settings, "report", "smoke")

    assert done.exit_code == 2 and "next: omni run" in done.stderr
    assert not settings.dagster_home.exists()
