"""dbt in processes of their own, forks of one that has imported it (`orchestration.dbt_launcher.server`).

For who runs dbt again and again: the steps of a build, the runs of a backfill, a parse and then a build.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lakehouse.settings import load_settings

DECLARE = "omni-declare"
"""In the place of a command of dbt's: compile the project and say what it declares. Its arguments: project, file."""

_idle: list[subprocess.Popen[str]] = []
"""Servers that wait for an invocation: one, or as many as threads of this process have run dbt at a time."""


def invoke_dbt(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    on_line: Callable[[str], object],
    cwd: Path | None = None,
) -> int:
    """Run dbt and return its exit status; what it prints comes line by line.

    Should `on_line` raise, dbt is stopped.
    """
    server = _free_server()
    assert server.stdin is not None and server.stdout is not None  # asked for
    request = {"arguments": [*arguments], "environment": {**environment}, "cwd": str(cwd or Path.cwd())}
    try:
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        for line in filter(str.strip, server.stdout):
            if line.startswith('{"exit_status"'):
                _idle.append(server)
                return int(json.loads(line)["exit_status"])
            on_line(line)
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # SIGTERM would do no more, and may be ignored here, so there, too
        server.communicate()
        raise
    return server.wait() or 1  # it died, and dbt with it


def begin_server() -> None:
    """Have a server import dbt meanwhile, for an invocation that is to come."""
    server = _free_server()
    assert server.stdin is not None  # asked for
    with suppress(BrokenPipeError):  # it has died: the invocation starts another
        server.stdin.write("null\n")
        server.stdin.flush()
    _idle.append(server)


def end_servers() -> None:
    """End the servers that wait, and their memory; an invocation after it starts one anew."""
    while _idle:
        _idle.pop().communicate()  # which closes its input


def _free_server() -> subprocess.Popen[str]:
    while _idle:
        if (server := _idle.pop()).poll() is None:
            return server
    atexit.register(end_servers)
    return subprocess.Popen(
        [sys.executable, "-m", "orchestration.dbt_launcher.server", str(load_settings().dbt_manifest.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,  # to be stopped with its forks
    )
