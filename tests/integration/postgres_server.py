"""A Postgres of the tests' own, from the machine's binaries, on a socket that no one else has."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import URL, create_engine, text

_DRIVER = "postgresql+psycopg2"
_NAMES = ("postgres", "nobody")
"""Who may run it where root runs the tests, which Postgres refuses."""


def _binaries() -> Path | None:
    """Folder of `initdb` and `pg_ctl`: on the path, or where Debian puts them."""
    found = [shutil.which("initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    return next((Path(path).resolve().parent for path in found if path), None)


@contextmanager
def serving_postgres() -> Iterator[URL]:
    """Serve a new cluster, until the end."""
    if not (folder := _binaries()):
        pytest.skip("no Postgres; next: apt-get install postgresql")
    user = _user()
    # In the system's own folder: pytest's are closed to others, and the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="pg-") as root:
        data = Path(root, "data")
        if user:
            shutil.chown(root, user)
        # trust: the folder of the socket is open to its owner and root alone
        command = [folder / "initdb", "-D", data, "-U", "omni", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"]
        subprocess.run(command, user=user, cwd=root, check=True, stdout=subprocess.DEVNULL)
        options = f"-k '{root}' -c listen_addresses= -c fsync=off"
        control = [folder / "pg_ctl", "-D", data, "-s", "-w"]
        subprocess.run([*control, "-o", options, "-l", data / "log", "start"], user=user, cwd=root, check=True)
        try:
            yield URL.create(_DRIVER, "omni", database="postgres", query={"host": root})
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], user=user, cwd=root, check=True)


def new_database(server: URL) -> SecretStr:
    """Create an empty database; its URL, as settings have it."""
    name = f"omni_{uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    engine.dispose()
    return SecretStr(server.set(database=name).render_as_string(hide_password=False))


def _user() -> str | None:
    if os.geteuid():
        return None
    return next(name for name in _NAMES if any(entry.pw_name == name for entry in pwd.getpwall()))
