"""What was said of a partition before: of a lake that is loaded, added to, spoiled and mended."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from lakehouse.ledger.as_of import ledger_as_of
from lakehouse.ledger.ledger import open_ledger
from loaders.ingest import ingest
from loaders.manifests.expectation_files import expectations_on_record
from orchestration.cli import answers as commands
from orchestration.cli.main import app
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import Readiness, readiness_now
from orchestration.readiness.verdicts import Status
from orchestration.report.verdict_history import verdict_history
from tests.conftest import source, write_lines
from tests.e2e.test_added_to_the_project import FILES
from tests.integration.loaders.test_added_assets import CHATS, manifest, message

DAY = "2026-04-15"


@pytest.fixture(autouse=True)
def _contract(settings):
    """An asset that has the checks of its loader alone."""
    (settings.manifests / "contracts").mkdir()
    (settings.manifests / "contracts" / "chat_message.json").write_text(FILES["contracts/chat_message.json"], "utf-8")


def history_of(settings):
    now = datetime.now(UTC)
    return verdict_history(load_asset_graph(settings), open_ledger(settings), CHATS, DAY, now, most=100)


@pytest.fixture
def told(settings, declare):
    """A day that was loaded, had a late file, was half quarantined and was mended: what was said after each, and when."""
    folder, graph = settings.manifests / "events", load_asset_graph(settings)
    declare(manifest("chat_message", [source("a", "events")]))
    said: list[tuple[datetime, Status, tuple[str, ...]]] = []

    def note() -> None:
        verdict = readiness_now(settings, graph, open_ledger(settings)).verdict(CHATS, DAY)
        said.append((datetime.now(UTC), verdict.status, verdict.reasons))

    for name, events in (
        ("a", [message(1)]),
        ("late", [message(2)]),
        ("late", [message(2, sender="martian")]),
        ("late", [message(2)]),
    ):
        write_lines(folder / f"{name}.jsonl", events)
        ingest(settings)
        note()
    (folder / "late.jsonl").write_bytes(b"\xff\xfe")
    ingest(settings)
    note()
    return said


def test_a_verdict_of_then_is_what_was_said_then(settings, told):
    ledger, graph = open_ledger(settings), load_asset_graph(settings)

    again = [(at, Readiness(graph, ledger_as_of(ledger, at), at, []).verdict(CHATS, DAY)) for at, _, _ in told]

    assert [status for _, status, _ in told] == ["READY", "READY", "FAILED", "READY", "STALE"]
    assert [(at, verdict.status, verdict.reasons) for at, verdict in again] == told


def test_the_history_of_a_verdict_names_each_change_once_and_in_order(settings, told):
    moments = history_of(settings)

    said = [(moment.verdict.status, moment.verdict.reasons) for moment in moments]
    seen = iter(said)
    assert all((status, reasons) in seen for _, status, reasons in told)  # in this order
    assert said[0][0] is Status.MISSING and said[-1] == told[-1][1:]
    assert [moment.since for moment in moments] == sorted(moment.since for moment in moments)
    assert all(before != after for before, after in zip(said, said[1:], strict=False))


def test_what_was_said_then_goes_by_the_expectations_of_then_and_a_day_is_missing_once_it_is_due(settings, declare):
    declare(manifest("chat_message", [source("a", "events")]))
    write_lines(settings.manifests / "events" / "a.jsonl", [message(1, "2026-04-14"), message(2, "2026-04-16")])
    ingest(settings)
    unexpected = datetime.now(UTC)
    due_at = unexpected + timedelta(seconds=1)
    hours = (due_at - datetime(2026, 4, 16, tzinfo=UTC)).total_seconds() / 3600
    expectation = {"name": "chats", "asset": CHATS, "rhythm": "daily", "due_after_hours": hours, "owner": "support"}
    (settings.manifests / "expectations").mkdir()
    (settings.manifests / "expectations" / "chats.json").write_text(
        json.dumps({**expectation, "since": DAY, "until": DAY})
    )
    ingest(settings)
    ledger, graph = open_ledger(settings), load_asset_graph(settings)

    then = ledger_as_of(ledger, unexpected)
    moments = verdict_history(graph, ledger, CHATS, DAY, due_at + timedelta(hours=1), most=100)

    assert expectations_on_record(then) == []
    assert Readiness(graph, then, unexpected, expectations_on_record(then)).verdict(CHATS, DAY).status == "EMPTY"
    assert [moment.verdict.status for moment in moments][-3:] == ["EMPTY", "PENDING", "MISSING"]
    assert moments[-1].since == due_at


def test_a_history_reads_no_more_than_its_verdict_hangs_on(filled_sample):
    ledger, graph, now = open_ledger(filled_sample), load_asset_graph(filled_sample), datetime.now(UTC)
    whole = readiness_now(filled_sample, graph, ledger)

    told = {
        (asset, key): verdict_history(graph, ledger, asset, key, now, most=1)[-1].verdict
        for asset in graph.nodes
        for key in {*sorted(whole.verdicts(asset))[:1], "2026-08-01"[: 10 * graph[asset].is_partitioned]}
    }

    assert {target: (each.status, each.reasons) for target, each in told.items()} == {
        target: (whole.verdict(*target).status, whole.verdict(*target).reasons) for target in told
    }
    assert len({verdict.status for verdict in told.values()}) > 1


def test_the_commands_say_what_was_known_then(settings, told, monkeypatch):
    monkeypatch.setattr(commands, "load_settings", lambda: settings)

    def run(*arguments: str):
        return CliRunner().invoke(app, arguments)

    ready = [run("ready", CHATS, DAY, "--as-of", at.isoformat()) for at, _, _ in told]
    history = run("explain", CHATS, DAY, "--history")

    assert [each.exit_code for each in ready] == [0, 0, 1, 0, 1]
    assert "READY" in ready[0].output and "FAILED" in ready[2].output
    assert history.exit_code == 0 and history.output.splitlines()[-1].strip().startswith("2 rows, run ")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--as-of", "yesterday"), "expected an instant with its offset"),
        (("--as-of", "2026-05-01T06:00:00"), "expected an instant with its offset"),
        (("--as-of", "2126-05-01T06:00:00Z"), "expected an instant that is past"),
        (("--as-of", "2026-05-01T06:00:00Z", "--wait", "1"), "what was said then will not change"),
        (("--as-of", "2016-05-01T06:00:00Z"), "at 2016-05-01T06:00:00.000000Z no manifest was admitted yet"),
    ],
)
def test_an_instant_of_which_nothing_can_be_said_is_refused(settings, declare, monkeypatch, arguments, why):
    monkeypatch.setattr(commands, "load_settings", lambda: settings)
    write_lines(settings.manifests / "a.jsonl", [message(1)])
    declare(manifest("chat_message", [source("a", "a.jsonl")]))
    ingest(settings)

    done = CliRunner().invoke(app, ["ready", CHATS, DAY, *arguments])

    assert done.exit_code == 2 and why in done.output
