"""A Docker engine with Compose for the trial: the machine's; else one of the trial's own, where root may start it.

The trial's own keeps its images in ~/.cache/omni-lakehouse/docker, so that the next trial builds less.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_HOME = Path.home()  # before the tests have one of their own
_DATA = _HOME / ".cache" / "omni-lakehouse" / "docker"


@dataclass(frozen=True)
class Engine:
    """What runs `docker` against it."""

    environment: dict[str, str]
    is_own: bool

    def docker(self, *arguments: str | Path, status: int | None = 0, **options) -> subprocess.CompletedProcess[str]:
        """Run a command; another exit status than expected fails the test, None takes any."""
        command = ["docker", *map(str, arguments)]
        options = {"env": self.environment, "text": True, "capture_output": True, "check": False, **options}
        done = subprocess.run(command, **options)
        assert status in (None, done.returncode), f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done

    def has(self, image: str) -> bool:
        """Whether it has an image."""
        return self.docker("image", "inspect", image, status=None).returncode == 0


@contextmanager
def docker_engine() -> Iterator[Engine]:
    """The engine, until the end; without one the trial is skipped."""
    if not shutil.which("docker"):
        pytest.skip("no docker; next: install Docker with Compose")
    environment = {**os.environ, "HOME": str(_HOME)}
    if subprocess.run(["docker", "compose", "version"], env=environment, capture_output=True, check=False).returncode:
        pytest.skip("docker has no compose; next: install it, or make compose-plugin, which takes Go and some minutes")
    if subprocess.run(["docker", "info"], env=environment, capture_output=True, check=False).returncode == 0:
        yield Engine(environment, is_own=False)
    elif os.getuid() == 0 and shutil.which("dockerd"):
        with _own_engine(environment) as own:
            yield own
    else:
        pytest.skip("no Docker engine answers, and only root can start one of the trial's own")


@contextmanager
def _own_engine(environment: dict[str, str]) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="docker-") as root:
        socket = f"unix://{root}/docker.sock"
        settings = {"data-root": str(_DATA), "exec-root": f"{root}/run", "pidfile": f"{root}/pid", "hosts": [socket]}
        # A machine that is itself confined cannot spare its processes from the killer of large ones.
        Path(root, "daemon.json").write_text(json.dumps({**settings, "oom-score-adjust": 0}))
        with Path(root, "log").open("wb") as log:
            daemon = subprocess.Popen(["dockerd", "--config-file", f"{root}/daemon.json"], stdout=log, stderr=log)
        try:
            engine = Engine({**environment, "DOCKER_HOST": socket}, is_own=True)
            _wait_for(engine, daemon, Path(root, "log"))
            yield engine
        finally:
            daemon.terminate()
            daemon.wait(60)


def _wait_for(engine: Engine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and daemon.poll() is None:
        if engine.docker("info", status=None).returncode == 0:
            return
        time.sleep(0.2)
    pytest.skip(f"no Docker engine of the trial's own can be started here: {log.read_text()[-300:]}")
