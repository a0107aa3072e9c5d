"""A database that fails, for real: one line that says which one and what to do, and exit 2."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from lakehouse.database.engines import database_url, open_engine
from lakehouse.errors import ConfigurationError
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings, load_settings
from loaders.ingest import ingest
from orchestration.cli.main import app
from tests.conftest import ticket_lake

BIN = Path(sys.executable).parent
ONE = "2026-04-15"
SECRET = "s3cret"
SERVER = f"postgres://omni:{SECRET}@127.0.0.1:1/lake"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, parsed_project):
    """A day of events, loaded."""
    settings = ticket_lake(tmp_path_factory.mktemp("failures"), parsed_project, [ONE])
    ingest(settings)
    return settings


def typed(settings, *command, **environment):
    """A command in a process of its own, which must not show a traceback or a password."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=PROJECT_ROOT / "dbt_project",
        env={
            **os.environ,
            "OMNI_HOME": str(settings.home),
            "OMNI_MANIFESTS": str(settings.manifests),
            "DBT_LOG_PATH": str(settings.home / "dbt-logs"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("omni", "ready", "raw_ticket_events", ONE),
        ("dlt", "pipeline", "run", "ticket_events"),
        ("dbt", "--quiet", "build", "--select", "ticket_fact"),
    ],
    ids=["omni", "dlt", "dbt"],
)
def test_a_server_that_does_not_answer_is_named_without_its_password(loaded, command):
    code, output = typed(loaded, *command, OMNI_CATALOG_URI=SERVER)

    assert code == 2
    assert "postgresql+psycopg2://omni:***@127.0.0.1:1/lake" in output and "OMNI_CATALOG_URI" in output


@pytest.mark.parametrize(
    ("make", "next_step"),
    [
        (lambda file: file.mkdir(), "see what lies there"),
        (lambda file: file.write_bytes(b"no database " * 1000), "omni recover"),
        (lambda file: file.write_bytes(b""), "omni recover"),
    ],
    ids=["a folder", "no database", "an empty file"],
)
def test_what_is_no_database_is_named_with_the_next_step(loaded, monkeypatch, make, next_step):
    monkeypatch.setenv("OMNI_HOME", str(loaded.home))
    monkeypatch.setenv("OMNI_MANIFESTS", str(loaded.manifests))
    load_settings.cache_clear()
    file = loaded.home / "catalog.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    kept = file.read_bytes()
    for part in loaded.home.glob("catalog.db*"):
        part.unlink()
    make(file)

    commands = (("ready", "raw_ticket_events", ONE), ("ingest",), ("verify",), ("status",))
    results = [CliRunner().invoke(app, list(command)) for command in commands]
    shutil.rmtree(file) if file.is_dir() else file.unlink()
    file.write_bytes(kept)
    load_settings.cache_clear()

    assert [result.exit_code for result in results] == [2] * 4
    outputs = [result.output for result in results]
    assert [output for output in outputs if str(file) not in output or next_step not in output] == []


def test_the_url_of_a_server_as_hosts_print_it_is_taken_and_one_that_is_none_is_refused_unseen():
    printed = LakehouseSettings(catalog_uri=SERVER).catalog_url.get_secret_value()
    broken = SecretStr(f"postgresql+psycopg2://omni:{SECRET}@@host:port/lake")

    assert printed == f"postgresql+psycopg2://omni:{SECRET}@127.0.0.1:1/lake"
    with pytest.raises(ConfigurationError, match="expected one such as") as refused:
        database_url(broken)
    with pytest.raises(ConfigurationError, match="no driver is installed"):
        open_engine(SecretStr("postgresql://omni@host/lake"))
    assert SECRET not in str(refused.value)
