"""Evidence as JSON, the decision over it, root causes and changes: over a hand-built graph and a real ledger."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from jsonschema_rs import Draft202012Validator
from rich.console import Console

from lakehouse.ledger.evidence import CheckResult, RowCounts
from lakehouse.ledger.history import changes
from lakehouse.partitions import WHOLE, Window
from lakehouse.settings import PROJECT_ROOT
from orchestration.readiness.decisions import decide_use
from orchestration.readiness.root_causes import by_reason, explain
from orchestration.readiness.verdicts import Status
from orchestration.report.evidence import evidence_document, verdicts_on
from orchestration.report.verdict_table import print_matrix
from tests.unit.orchestration.test_readiness import AT, GRAPH, ONE, THREE, TWO, Lake, expectation

NOW = datetime(2026, 5, 2, 3, 4, 5, tzinfo=UTC)
SCHEMA = json.loads((PROJECT_ROOT / "docs/reference/evidence.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA, validate_formats=True)


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def document(lake, *days):
    return evidence_document(GRAPH, verdicts_on(lake.read(), days), lake.ledger.current_checks(), generated_at=NOW)


def found(lake, asset, day=ONE):
    (item,) = [p for p in document(lake, day)["partitions"] if p["asset"] == asset]
    return item


# ── the decision ─────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("status", "is_blocked", "has_warning", "decision"),
    [
        (Status.READY, False, False, "proceed"),
        (Status.EMPTY, False, False, "proceed"),
        (Status.EMPTY, True, True, "proceed"),
        (Status.READY, False, True, "manual_review"),
        (Status.UNCHECKED, False, False, "manual_review"),
        (Status.STALE, False, False, "manual_review"),
        (Status.UNCHECKED, True, False, "hold"),
        (Status.STALE, True, False, "hold"),
        (Status.MISSING, False, False, "hold"),
        (Status.FAILED, False, False, "hold"),
        (Status.BLOCKED, True, False, "hold"),
        (Status.UNKNOWN, False, False, "hold"),
        (Status.PENDING, False, False, "hold"),
    ],
)
def test_a_decision_follows_the_strictest_of_all_that_is_known(status, is_blocked, has_warning, decision):
    assert decide_use(status, is_blocked=is_blocked, has_warning=has_warning) == decision


def test_only_a_failed_warn_check_asks_for_a_person(lake):
    GRAPH["raw"].checks["polite"] = "warn"
    try:
        lake.cover(ONE)
        lake.build_all(ONE)
        before = found(lake, "raw")

        lake.check("raw", ONE, passed=False, name="polite")
        after = found(lake, "raw")
    finally:
        del GRAPH["raw"].checks["polite"]

    assert (before["status"], before["decision"]) == ("READY", "proceed")
    assert (after["status"], after["decision"]) == ("READY", "manual_review")
    outcomes = {check["check"]: check["outcome"] for check in before["checks"]}
    assert outcomes == {"polite": "not_run", "sound": "passed"}


# ── the document ─────────────────────────────────────────────────────────────────────────────────────────────────────
def test_every_kind_of_verdict_fits_the_schema(lake):
    days = [f"2026-04-{number:02}" for number in range(1, 8)]
    lake.cover(*days[:6])
    lake.build_all(*days[:5])
    lake.check("daily", days[0], passed=False)
    lake.write_unchecked("raw", days[1])
    lake.cover(days[2], file="late.jsonl")
    lake.cover("2026-04-09", file="later.jsonl")
    rhythm = expectation(since="2026-04-08", until="2026-04-08", due_after_hours=8784)

    content = evidence_document(GRAPH, verdicts_on(lake.read(rhythm), [*days, "2026-04-08"]), {}, generated_at=NOW)

    assert {item["status"] for item in content["partitions"]} == {str(status) for status in Status}
    assert [error.message for error in VALIDATOR.iter_errors(content)] == []
    assert (content["first_day"], content["last_day"]) == (days[0], "2026-04-08")
    assert sum(content["decisions"].values()) == len(content["partitions"]) == 8 * 4 + 2


def test_an_empty_document_fits_the_schema_too():
    content = evidence_document(GRAPH, [], {}, generated_at=NOW, run_id="r")

    assert VALIDATOR.is_valid(content)
    assert (content["first_day"], content["decisions"], content["generated_at"]) == (
        None,
        {},
        "2026-05-02T03:04:05+00:00",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [("decision", "proceed"), ("status", "GOOD"), ("reasons", []), ("partition", "yesterday"), ("surprise", 1)],
)
def test_the_schema_refuses_what_the_rules_exclude(lake, field, value):
    lake.cover(ONE)
    content = document(lake, ONE)
    assert content["partitions"][0]["status"] == "MISSING"

    content["partitions"][0][field] = value

    assert not VALIDATOR.is_valid(content)


def test_what_the_ledger_knows_is_told_and_what_it_does_not_know_is_null(lake):
    lake.cover(ONE)
    lake.build_all(ONE)
    item = replace(
        lake.ledger.current_materializations(["raw"])["raw", ONE],
        rows=RowCounts(5, 5, 2, 2, 1),
        snapshot_id=2**63 - 1,
        batch_ids=("b1",),
        manifest_ids=("m1", "m2"),
        manifest_hashes=("a" * 64, "b" * 64),
    )
    lake.ledger.record_materializations([item])
    lake.check("raw", ONE)
    timed = lake.ledger.current_materializations(["daily"])["daily", ONE]
    began = timed.committed_at - timedelta(seconds=90)
    lake.ledger.record_materializations([replace(timed, started_at=began, size_bytes=4711)])

    written = found(lake, "raw")["materialization"]

    assert written["rows"] == {"expected": 5, "read": 5, "loaded": 2, "deduplicated": 2, "quarantined": 1}
    assert written["snapshot_id"] == written["written_by_snapshot_id"] == "9223372036854775807"
    assert written["forced"] is False
    assert written["batch_ids"] == ["b1"]
    assert written["manifests"] == [
        {"manifest_id": "m1", "sha256": "a" * 64},
        {"manifest_id": "m2", "sha256": "b" * 64},
    ]
    assert (written["started_at"], written["finished_at"]) == (None, "2026-05-01T00:00:00+00:00")
    assert written["size_bytes"] is None
    daily = found(lake, "daily")["materialization"]
    assert (daily["started_at"], daily["size_bytes"]) == ("2026-04-30T23:58:30+00:00", 4711)
    assert found(lake, "daily")["materialization"]["upstream_versions"].keys() == {"raw"}
    assert found(lake, "raw", TWO)["materialization"] is None
    assert found(lake, "whole")["partition"] is None


def test_the_snapshot_to_read_is_the_one_that_the_ledger_cites_and_who_wrote_it_stands_beside(lake):
    lake.cover(ONE)
    lake.build_all(ONE)
    item = lake.ledger.current_materializations(["raw"])["raw", ONE]
    lake.ledger.cite([item], 2**63 - 2)

    written = found(lake, "raw")["materialization"]

    assert written["snapshot_id"] == "9223372036854775806"
    assert written["written_by_snapshot_id"] == (None if item.snapshot_id is None else str(item.snapshot_id))


# ── root causes ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_root_causes_are_named_once_with_what_waits_for_them(lake):
    lake.cover(ONE, TWO, THREE)
    lake.build_all(ONE, TWO, THREE)
    lake.check("daily", ONE, passed=False)
    lake.check("daily", TWO, passed=False)
    lake.write_unchecked("raw", THREE)

    causes, waiting = explain(verdicts_on(lake.read(), [ONE, TWO, THREE]))

    assert [(c.asset, c.status, c.partitions, c.waiting) for c in causes] == [
        ("raw", Status.UNCHECKED, [THREE], 4),  # daily, running, whole, report
        ("daily", Status.FAILED, [ONE, TWO], 5),  # three days of running, whole, report
    ]
    assert [c.next_step for c in causes] == [
        f"omni run --partition {THREE}",
        f"mend what the check found, then: omni run --from {ONE} --to {TWO}",
    ]
    assert [(w.asset, w.partitions, w.causes) for w in waiting] == [
        ("daily", [THREE], {1}),
        ("running", [ONE, TWO, THREE], {1, 2}),
        ("whole", [WHOLE], {1, 2}),
        ("report", [WHOLE], {1, 2}),
    ]


def test_a_reason_that_partitions_of_several_states_share_is_said_once_with_all_of_them(lake):
    lake.cover(ONE, TWO)
    lake.load(ONE)
    lake.cover(ONE, TWO, content="2", problem="the file is gone")

    causes, _ = explain(v for v in verdicts_on(lake.read(), [ONE, TWO]) if v.asset == "raw")

    groups = [([(c.status, c.partitions) for c in members], reasons) for members, reasons in by_reason(causes)]
    assert groups == [
        ([(Status.STALE, [ONE]), (Status.MISSING, [TWO])], ["the file is gone"]),
        ([(Status.STALE, [ONE])], ["the coverage of its sources has changed since"]),
    ]


def test_days_that_fail_a_check_by_other_numbers_are_one_cause(lake):
    lake.cover(ONE, TWO, THREE)
    lake.load(ONE, TWO, THREE)
    for day, message in ((ONE, "1 row lost"), (TWO, "2 rows lost"), (THREE, "2 rows lost")):
        item = lake.ledger.current_materializations(["raw"])["raw", day]
        lake.ledger.record_checks([CheckResult("raw", day, "sound", "error", False, message, item.id, AT, "run")])

    readings = [verdicts_on(lake.read(), days) for days in ([ONE, TWO, THREE], [TWO, THREE])]
    (several,), (alike,) = (explain(v for v in verdicts if v.asset == "raw")[0] for verdicts in readings)

    assert (several.partitions, several.reasons) == ([ONE, TWO, THREE], ("check sound failed",))
    assert alike.reasons == ("check sound failed: 2 rows lost",)


def test_days_that_are_due_and_have_not_come_are_one_cause(lake):
    lake.cover(ONE, TWO, THREE)
    lake.load(ONE, TWO, THREE)
    readiness = lake.read(expectation(until="2026-04-05"), now=datetime(2026, 4, 8, tzinfo=UTC))

    causes, _ = explain(v for v in readiness.verdicts("raw").values() if v.is_problem)

    found = [(c.status, c.partitions, c.reasons[0]) for c in causes]
    assert found == [
        (Status.MISSING, ["2026-04-04", "2026-04-05"], "due, not arrived; owner support (raw_daily)"),
    ]


def test_a_week_without_anything_is_one_column_and_says_in_which_month_its_neighbours_lie(lake):
    days = Window.of_keys("2026-04-28", "2026-06-02").keys
    lake.cover("2026-04-28", "2026-05-30", "2026-06-02")
    lake.load("2026-04-28", "2026-05-30", "2026-06-02")
    printed = StringIO()

    print_matrix(Console(file=printed, width=80), lake.read(), days, [GRAPH["raw"]])

    assert [line.split() for line in printed.getvalue().splitlines()[:4]] == [
        ["2026-04-28", "…", "2026-06-02"],
        ["04", "05", "05", "06", "06"],
        ["28", "…", "30", "31", "01", "02"],
        ["raw", "R", "R", "·", "·", "R"],
    ]


def test_earlier_days_than_are_drawn_are_counted_and_said(lake):
    days = Window.of_keys("2026-04-01", "2026-04-05").keys
    lake.cover(*days)
    lake.load(*days[2:])
    printed = StringIO()

    print_matrix(Console(file=printed, width=80), lake.read(), days, [GRAPH["raw"]], most=2)

    *title, _, row, legend, earlier = printed.getvalue().splitlines()
    assert (" ".join(title).split(), row.split()) == (["2026-04-04", "…", "2026-04-05"], ["raw", "R", "R"])
    assert legend == "M missing 2  R ready 3"
    assert earlier == "counted, not drawn: 3 earlier days; next: omni status --from 2026-04-01"


def test_six_days_are_not_folded(lake):
    days = Window.of_keys("2026-04-01", "2026-04-08").keys
    lake.cover(days[0], days[-1])
    printed = StringIO()

    print_matrix(Console(file=printed, width=80), lake.read(), days, [GRAPH["raw"]])

    assert printed.getvalue().splitlines()[2].split() == ["raw", "M", *"······", "M"]


def test_a_cause_outside_of_the_days_is_named_where_days_inside_wait_for_it(lake):
    lake.cover(ONE, TWO)
    lake.build_all(ONE, TWO)
    lake.check("daily", ONE, passed=False)

    causes, waiting = explain(v for v in verdicts_on(lake.read(), [TWO]) if v.asset != "whole")

    assert [(c.asset, c.partitions) for c in causes] == [("daily", [ONE])]
    assert [w.asset for w in waiting] == ["running", "report"]


def test_a_failed_check_is_a_cause_of_its_own_whatever_stands_in_the_way_upstream(lake):
    lake.cover(ONE)
    lake.build_all(ONE)
    lake.check("daily", ONE, passed=False)
    lake.write_unchecked("raw", ONE)

    causes, _ = explain(verdicts_on(lake.read(), [ONE]))

    assert [(c.asset, c.status, c.waiting) for c in causes] == [
        ("raw", Status.UNCHECKED, 3),
        ("daily", Status.FAILED, 3),  # running, whole, report
    ]


def test_what_a_run_finds_by_itself_needs_no_days(lake):
    lake.cover(ONE, THREE)

    causes, waiting = explain(verdicts_on(lake.read(), [ONE, TWO, THREE]))

    assert [(c.asset, c.partitions, c.next_step) for c in causes] == [("raw", [ONE, THREE], "omni run")]
    assert [(w.asset, w.partitions) for w in waiting][:2] == [("daily", [ONE, THREE]), ("running", [ONE, TWO, THREE])]


# ── what changed ─────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_change_stands_beside_what_it_replaced(lake):
    lake.cover(ONE, TWO)
    lake.load(ONE, TWO)
    lake.cover(ONE, file="late.jsonl")
    lake.load(ONE, loaded=7)
    lake.load(TWO)

    done = changes(lake.ledger)

    assert [(c.partition, c.kind, c.rows_before, c.rows_loaded) for c in done] == [
        (ONE, "new", None, 2),
        (TWO, "new", None, 2),
        (ONE, "changed", 2, 7),
        (TWO, "repeated", 2, 2),
    ]
    assert done[2].version_before == done[0].version


def test_changes_of_a_run_or_a_window_know_what_was_before_either(lake):
    lake.cover(ONE, TWO)
    lake.build_all(ONE, TWO)
    item = lake.ledger.current_materializations(["raw"])["raw", ONE]
    lake.ledger.record_materializations([replace(item, run_id="another", rows=RowCounts(loaded=9))])

    (of_run,) = changes(lake.ledger, run_id="another")
    of_window = changes(lake.ledger, window=Window.of_keys(TWO, TWO))

    assert (of_run.asset, of_run.rows_before, of_run.rows_loaded) == ("raw", 2, 9)
    assert {change.partition for change in of_window} == {TWO, WHOLE}
