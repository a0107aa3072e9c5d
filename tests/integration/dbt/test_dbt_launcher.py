"""The dbt of a run: one server, a fork of it for each invocation, nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT_ROOT
from orchestration.dbt_launcher import forks
from orchestration.dbt_launcher.forks import begin_server, end_servers
from orchestration.dbt_launcher.manifest import PARSE, dbt_environment
from orchestration.dbt_launcher.process import run_dbt

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

ENDS_WITHIN_S = 60


class Said:
    """What dbt said, the forks that said it, and the server that they come from."""

    def __init__(self, then=lambda said: None):
        self.messages, self.forks, self.servers, self._then = [], set(), set(), then

    def __call__(self, event):
        self.messages.append(event["info"]["msg"])
        if "pid" in event["info"]:
            self.forks.add(event["info"]["pid"])
            self.servers.update(map(int, stat(event["info"]["pid"])[1:]))
            self._then(self)


def stat(pid):
    """State and parent of a process; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return []


def ends(pid):
    """Whether a process ends soon: one that was killed takes a moment, and longer on a busy machine."""
    until = time.monotonic() + ENDS_WITHIN_S
    while (state := stat(pid)[:1]) not in ([], ["Z"]) and time.monotonic() < until:
        time.sleep(0.05)
    return state in ([], ["Z"])  # dead, though nobody may have looked yet


def threads_of(pid):
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@pytest.fixture(autouse=True)
def no_server_of_another_test():
    """Each test starts a server of its own."""
    end_servers()


def invoke(settings, said, *arguments):
    return run_dbt(settings, arguments, window=None, run_id="a run", on_event=said)


def test_each_invocation_ends_as_it_does_in_a_fork_of_one_server_that_has_one_thread(settings):
    threads = []
    said = Said(lambda said: threads.extend(map(threads_of, said.servers)))

    parsed = invoke(settings, said, "parse")
    unknown = invoke(settings, said, "no-such-command")
    listed = invoke(settings, said, "ls")

    assert [outcome.succeeded for outcome in (parsed, unknown, listed)] == [True, False, True]
    assert any("No such command" in message for message in said.messages)
    assert (len(said.forks), len(said.servers), set(threads)) == (2, 1, {1})
    assert not any(stat(pid) for pid in said.forks)
    assert all(stat(pid) for pid in said.servers)
    end_servers()
    assert not any(stat(pid) for pid in said.servers)
    assert "a run Running with dbt" in (settings.home / "dbt" / "logs" / "dbt.log").read_text("utf-8")


def test_a_server_that_was_begun_serves_the_invocations_that_come(settings):
    said = Said()

    begin_server()
    begun = {server.pid for server in forks._idle}
    outcomes = [invoke(settings, said, "ls") for _ in range(2)]

    assert all(outcome.succeeded for outcome in outcomes) and said.servers == begun and len(begun) == 1


WARMS = """
import sys
from pathlib import Path
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.project import Project
import orchestration.dbt_launcher.declaring
from orchestration.dbt_launcher.warming import flags, warm
kept, *others = map(Path, sys.argv[1:])
before = flags.get_flags()
for path in (*others, kept):
    warm(path)
assert flags.get_flags() is before and len(list(Path("/proc/self/task").iterdir())) == 1
written = []
sys.addaudithook(lambda event, arguments: written.append(arguments) if event == "exec" else None)
manifest = Manifest.from_msgpack(kept.read_bytes())
manifest.build_flat_graph()
[node.to_resource().to_dict(omit_none=False) for node in manifest.nodes.values()]
print(len(written), Project.json_schema.cache_info().currsize > 0)
"""


def test_what_dbt_writes_on_first_use_is_written_before_a_fork_whatever_is_left_of_the_last_parse(settings, tmp_path):
    kept, torn, foreign = settings.dbt_manifest.with_name(PARSE), tmp_path / "torn", tmp_path / "foreign"
    torn.write_bytes(kept.read_bytes()[:-100_000])
    foreign.write_bytes(b"\x00")

    done = subprocess.run(
        [sys.executable, "-c", WARMS, kept, torn, foreign, tmp_path / "none"],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout == "0 True\n", done.stderr


@pytest.mark.parametrize("prefix", ["DBT_", "DBT_ENGINE_"])
def test_a_variable_of_the_shell_leads_no_run_to_another_target_or_folder(settings, monkeypatch, prefix):
    for name in ("TARGET", "TARGET_PATH", "PROFILE"):
        monkeypatch.setenv(f"{prefix}{name}", "dev")
    monkeypatch.setenv(f"{prefix}EMPTY", "1")

    environment = dbt_environment(settings)

    assert environment["DBT_TARGET_PATH"] == str(settings.dbt_target_dir) and environment[f"{prefix}EMPTY"] == "1"
    assert "dev" not in environment.values()


@pytest.fixture
def sigterm_is_ignored():
    """As Dagster leaves it; processes that start here inherit it."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_run_that_is_stopped_ends_what_dbt_is_at_even_where_sigterm_is_ignored(settings, sigterm_is_ignored):
    def stop(said):
        raise KeyboardInterrupt

    said = Said(stop)

    with pytest.raises(KeyboardInterrupt):
        invoke(settings, said, "show", "--inline", "select count(*) from range(1000000000000) as a, range(1000) as b")

    assert said.forks
    assert not any(stat(pid) for pid in said.servers)
    assert all(ends(pid) for pid in said.forks)


def test_a_server_that_died_fails_the_invocation_and_not_the_next_one(settings):
    def kill_the_first(said):
        for server in said.servers if len(said.messages) == 1 else ():
            os.kill(server, signal.SIGKILL)

    first = invoke(settings, Said(kill_the_first), "ls")
    second = invoke(settings, Said(), "ls")

    assert (first.succeeded, second.succeeded) == (False, True)


def test_a_server_ends_with_the_process_that_started_it(settings):
    program = (
        "from lakehouse.settings import load_settings; from orchestration.dbt_launcher.process import run_dbt; from orchestration.dbt_launcher.forks import _idle; "
        "run_dbt(load_settings(), ['ls'], window=None, run_id='', on_event=lambda _: None); print(_idle[0].pid)"
    )
    environment = {**os.environ, "OMNI_HOME": str(settings.home), "PYTHONPATH": str(PROJECT_ROOT)}

    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)

    assert not stat(int(done.stdout))
