"""An S3 server of the tests' own, over a folder: versitygw, which refuses wrong secrets. `make s3-server` builds it."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_BUILT = Path("~/.cache/omni-lakehouse/bin/versitygw").expanduser()  # before the tests have a home of their own
KEY, SECRET, REGION = "omni-key", "omni-secret", "us-east-1"


@dataclass(frozen=True)
class Server:
    """Where it is, and the folder that has a folder for each bucket."""

    endpoint: str
    folder: Path

    def properties(self, **others: str) -> dict[str, str]:
        """How it is reached, as pyiceberg names it."""
        own = {"endpoint": self.endpoint, "access-key-id": KEY, "secret-access-key": SECRET, "region": REGION}
        return {f"s3.{name}": value for name, value in {**own, **others}.items()}

    def bucket(self, name: str) -> str:
        """URL of a new bucket."""
        (self.folder / name).mkdir()
        return f"s3://{name}"


def binary() -> Path | None:
    """The server: on the path, or where it was built."""
    return next((Path(each) for each in (shutil.which("versitygw"), _BUILT) if each and Path(each).exists()), None)


@contextmanager
def serving_s3() -> Iterator[Server]:
    """Serve an empty folder on this machine alone, until the end."""
    if (program := binary()) is None:
        pytest.skip("no S3 server; next: make s3-server, which takes Go and some minutes")
    with tempfile.TemporaryDirectory(prefix="s3-") as root, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        environment = {**os.environ, "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
        (folder := Path(root, "buckets")).mkdir()
        with Path(root, "log").open("wb") as log:
            command = [program, "--port", address, "--region", REGION, "posix", folder]
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(address, server)
            yield Server(f"http://{address}", folder)
        finally:
            server.kill()
            server.wait()


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    host, _, port = address.partition(":")
    until = time.monotonic() + 30
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the S3 server at {address} did not start")
