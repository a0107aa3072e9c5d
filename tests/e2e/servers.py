"""Dagster's servers, started from the root as a person starts them, on a free port."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lakehouse.settings import PROJECT_ROOT

BIN = Path(sys.executable).parent
STARTS_WITHIN_S = 240


@contextmanager
def serving(environment: dict[str, str], *command: str) -> Iterator[str]:
    """The address of a server, once it answers; it and all that it started end with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [BIN / command[0], *command[1:], "--port", str(port)],
        cwd=PROJECT_ROOT,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/server_info", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        _end(process)


def _end(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:  # `dagster dev` waits for children that it has started anew meanwhile
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


def _wait_for(address: str, process: subprocess.Popen) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).read()
            return
        except OSError:
            time.sleep(1)
    raise AssertionError(f"{address} does not answer; the process ended with {process.poll()}")
