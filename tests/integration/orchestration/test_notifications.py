"""Messages of what is not safe, overdue or safe again: to a service of this machine, once, without its URL anywhere."""

import json
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pytest
from pydantic import SecretStr

from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings
from loaders.ingest import ingest, refresh
from orchestration.report import notifications
from orchestration.report.notifications import build_notifications_sensor, notify
from orchestration.runs.main_job import RunOutcome
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.integration.orchestration.test_report import omni, pass_all_checks

DAY, GONE = "2026-04-15", "2026-04-16"
ASSET = "raw_ticket_events"


class Sink(ThreadingHTTPServer):
    """A service that takes JSON, and answers with `status`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Taking)
        self.status, self.taken = 200, []

    @property
    def url(self):
        return f"json://anna:hunter2pass@127.0.0.1:{self.server_port}/"


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status == 200:
            self.server.taken.append((message["title"], message["message"].split("\n")))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def sink():
    with Sink() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def lake(settings, declare, sink):
    """Two days are covered by files, and none is loaded."""
    for number, day in enumerate((DAY, GONE)):
        write_lines(settings.manifests / f"{day}.jsonl", [ticket_event(number, day)])
    declare(ticket_manifest([source("a", f"{DAY}.jsonl"), source("b", f"{GONE}.jsonl")]))
    refresh(settings)
    return settings.model_copy(update={"notify": (SecretStr(sink.url),)})


def test_what_is_not_safe_overdue_and_safe_again_is_told_once_with_the_page(lake, sink):
    page = lake.home / "reports" / "report.html"
    first = notify(lake)
    assert first == "told OMNI_NOTIFY: omni: 2 not safe, 11 waiting"
    assert (page.exists(), notify(lake)) == (True, None)
    ((title, lines),) = sink.taken
    assert title == "omni: 2 not safe, 11 waiting"
    assert lines[0] == f"not safe: {ASSET} {DAY}..{GONE} MISSING: expected, never materialized"
    assert lines[1].startswith("waiting for what is not ready: ticket_events, ")
    assert lines[-1] == f"page: {page}"

    ingest(lake)
    pass_all_checks(lake, ASSET, DAY)
    rhythm = {"name": "daily", "asset": ASSET, "rhythm": "daily", "due_after_hours": 0, "owner": "support\x1b[31m"}
    (lake.manifests / "expectations").mkdir()
    (lake.manifests / "expectations" / "daily.json").write_text(
        json.dumps({**rhythm, "since": DAY, "until": "2026-04-17"})
    )
    page.unlink()
    assert notify(lake) == "told OMNI_NOTIFY: omni: 5 waiting, 1 overdue, 1 safe again"
    _, lines = sink.taken[-1]
    assert lines[0].startswith(f"overdue: {ASSET} 2026-04-17 MISSING: due since 2026-04-18T00:00Z, not arrived")
    assert "owner support\\u001b[31m" in lines[0]
    assert lines[2] == f"safe again: {ASSET} {DAY} READY"
    assert page.exists() and not (lake.home / "reports" / "last_page.json").exists()  # nobody asked for it


def test_what_a_service_did_not_take_is_told_again(lake, sink):
    sink.status = 503
    failed = notify(lake)
    sink.status = 200
    told = notify(lake)

    assert failed.startswith("warning: OMNI_NOTIFY: not every service took the message, it is sent again next time: ")
    assert told == "told OMNI_NOTIFY: omni: 2 not safe, 11 waiting"
    assert (len(sink.taken), notify(lake)) == (1, None)


def test_the_url_of_a_service_is_nowhere(lake, sink, caplog):
    sink.status = 500
    with caplog.at_level(logging.DEBUG):
        failed = notify(lake)
        sink.status = 200
        told = notify(lake)
        with pytest.raises(ConfigurationError, match=r"OMNI_NOTIFY: URL 2 of 2 names no service") as refused:
            notify(
                lake.model_copy(update={"notify": (SecretStr(sink.url), SecretStr("nonsense://anna:hunter2pass@x"))})
            )

    said = [failed, told, str(refused.value), caplog.text, repr(lake), json.dumps(sink.taken)]
    written = [path.read_bytes() for path in lake.home.rglob("*") if path.is_file()]
    assert not [text for text in said if "hunter2pass" in text or str(sink.server_port) in text]
    assert written and not [content for content in written if b"hunter2pass" in content]


def test_several_urls_are_separated_by_blanks(monkeypatch):
    monkeypatch.setenv("OMNI_NOTIFY", " json://a  slack://b\n")

    assert [url.get_secret_value() for url in LakehouseSettings().notify] == ["json://a", "slack://b"]


def test_nobody_is_told_and_no_library_is_opened_where_nobody_is_named(lake, settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)  # an import of it fails

    assert (notify(settings), build_notifications_sensor(settings)) == (None, [])
    with pytest.raises(ImportError):
        notify(lake)


def test_nothing_is_told_before_any_manifest_was_admitted(settings, sink):
    assert notify(settings.model_copy(update={"notify": (SecretStr(sink.url),)})) is None
    assert sink.taken == []


def test_the_sensor_and_a_run_tell_what_is_new(lake, sink, monkeypatch):
    (sensor,) = build_notifications_sensor(lake)
    with dg.DagsterInstance.ephemeral() as instance:
        told = [sensor(dg.build_sensor_context(instance=instance)).skip_message for _ in range(2)]

    assert told == ["told OMNI_NOTIFY: omni: 2 not safe, 11 waiting", "nothing new to tell"]
    asked = []
    monkeypatch.setattr(notifications, "notify", lambda settings: asked.append(settings) or "told")
    monkeypatch.setattr("orchestration.runs.main_job.run_main_job", lambda *_: RunOutcome(["done"], True))
    assert omni(lake, "run").stdout.splitlines()[-1] == "told"
    assert [(each.home, each.notify) for each in asked] == [(lake.home, lake.notify)]
