"""What was said of a partition before: of a lake that is loaded, added to, spoiled and mended."""

from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from lakehouse.ledger.as_of import ledger_as_of
from lakehouse.ledger.ledger import open_ledger
from loaders.ingest import ingest
from orchestration.cli import verdicts as commands
from orchestration.cli.main import app
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import Readiness, readiness_now
from orchestration.readiness.verdicts import Status
from orchestration.report.verdict_history import verdict_history
from tests.conftest import source, write_lines
from tests.e2e.test_add_an_asset import FILES
from tests.integration.loaders.test_added_assets import CHATS, manifest, message

DAY = "2026-04-15"


@pytest.fixture(autouse=True)
def _contract(settings):
    """An asset that has the checks of its loader alone."""
    (settings.manifests / "contracts").mkdir()
    (settings.manifests / "contracts" / "chat_message.json").write_text(FILES["contracts/chat_message.json"], "utf-8")


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
    moments = verdict_history(load_asset_graph(settings), open_ledger(settings), [], CHATS, DAY, most=100)

    said = [(moment.verdict.status, moment.verdict.reasons) for moment in moments]
    seen = iter(said)
    assert all((status, reasons) in seen for _, status, reasons in told)  # in this order
    assert said[0][0] is Status.MISSING and said[-1] == told[-1][1:]
    assert [moment.since for moment in moments] == sorted(moment.since for moment in moments)
    assert all(before != after for before, after in zip(said, said[1:], strict=False))


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
