"""A Dask cluster of the tests' own on loopback: a scheduler, and workers with a home and a working directory each."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT_ROOT

requires_dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="no Dask; next: make dask")


@dataclass
class Cluster:
    """What was started, and what it has written."""

    folder: Path
    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add(
        self, code: Path = PROJECT_ROOT, hidden: Path | None = None, is_nursed: bool = False, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker that runs the code of a folder, sees another folder empty, and is started again when it dies."""
        number = len(self.workers)
        (place := self.folder / f"worker{number}").mkdir()
        own = {"OMNI_HOME": f"{place}/home", "OMNI_MANIFESTS": f"{place}/none", "PYTHONPATH": str(code)}
        nanny = "--nanny" if is_nursed else "--no-nanny"
        options = ["--nthreads", "1", nanny, "--no-dashboard", "--local-directory", str(place / "dask")]
        command = ["worker", self.address, "--host", "127.0.0.1", "--name", f"worker{number}", *options]
        self.workers.append(_started(command, place, self.folder / f"worker{number}.log", own | environment, hidden))
        return self.workers[-1]

    def has(self, workers: int) -> None:
        """Wait until so many have come."""
        self.says("Register worker", workers)

    def says(self, text: str, times: int = 1) -> None:
        """Wait until a text is in what they have written."""
        _expect(lambda: self.logs().count(text) >= times, self)

    def logs(self) -> str:
        """What all of them have written."""
        return "".join(file.read_text("utf-8") for file in sorted(self.folder.glob("*.log")))


@contextmanager
def cluster(folder: Path, workers: int = 2, **environment: str) -> Iterator[Cluster]:
    """Serve until the end."""
    folder.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    command += ["--dashboard-address", "127.0.0.1:0"]  # what tells whether it is well
    started = _started(command, folder, folder / "scheduler.log", environment)
    found = Cluster(folder, f"tcp://127.0.0.1:{port}", started)
    try:
        found.says("Scheduler at")
        for _ in range(workers):
            found.add(**environment)
        found.has(workers)
        yield found
    finally:
        for process in [*found.workers, found.scheduler]:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a nanny with its worker
            process.wait()


def _started(
    command: list[str], place: Path, log: Path, environment: Mapping[str, str], hidden: Path | None = None
) -> subprocess.Popen[bytes]:
    hiding = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden)] if hidden else []
    with log.open("wb") as stream:
        return subprocess.Popen(
            [*hiding, sys.executable, "-P", "-m", "dask", *command],
            cwd=place,
            env={**{k: v for k, v in os.environ.items() if not k.startswith("OMNI_")}, **environment},
            stdout=stream,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


def _expect(is_so, cluster: Cluster, within_seconds: int = 60) -> None:
    until = time.monotonic() + within_seconds
    while not is_so():
        assert time.monotonic() < until and cluster.scheduler.poll() is None, cluster.logs()
        time.sleep(0.1)
