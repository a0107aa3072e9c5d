"""The Dagster instance under OMNI_HOME: its folder, its storage, its `dagster.yaml` as infra/dagster has it.

The file is kept up to date until somebody edits it: a copy of what was written lies beside it, and tells. The storage
is made by one process, while those that come at the same time wait: two that make Dagster's SQLite files at once can
leave two versions in a file, which Dagster then never opens again.
"""

import fcntl
import hashlib
import os
from pathlib import Path

import dagster as dg
from alembic.util import CommandError

from lakehouse.errors import ConfigurationError
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.whole_files import replace_file

_POSTGRES_URL = "OMNI_DAGSTER_POSTGRES_URL"
_FIRST_VERSION = "d6788fecaa47bc94db91b2e82708992930cd43dab88527661cd4d83c92f6f765"
"""SHA-256 of the file as it was before copies were kept."""


def dagster_environment(settings: LakehouseSettings) -> dict[str, str]:
    """Environment that makes Dagster's own commands use the instance under OMNI_HOME, prepared on first use.

    Raises:
        ConfigurationError: Dagster cannot open its storage there.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".prepared.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        name = "dagster-postgres.yaml" if settings.dagster_postgres_url else "dagster.yaml"
        _bring_up_to_date(home, (PROJECT_ROOT / "infra" / "dagster" / name).read_text("utf-8"))
        url = settings.dagster_postgres_url
        of_storage = {_POSTGRES_URL: url.get_secret_value()} if url else {}
        os.environ.update(of_storage)  # this process opens it, too; Dagster reads no .env for that
        _make_storage(home)
    return {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "true", **of_storage}


def _make_storage(home: Path) -> None:
    """Open the storage once: what is missing of it, Dagster makes. About 0.1 s of CPU where it is complete."""
    try:
        dg.DagsterInstance.from_config(str(home)).dispose()
    except CommandError as error:
        raise ConfigurationError(
            f"the storage of Dagster in {home} cannot be opened: {error}; expected: one version per database; "
            f"next: end what uses it, delete {home / 'history'} and {home / 'schedules'}, and start again: "
            "only Dagster's own run history is lost, no table, ledger or verdict"
        ) from error


def _bring_up_to_date(home: Path, shipped: str) -> None:
    """Write the shipped configuration, unless there is one that somebody has made or changed."""
    config, written = home / "dagster.yaml", home / ".dagster.yaml.written"
    found = _text(config)
    if found == shipped == _text(written):
        return
    if found is None or found in (shipped, _text(written)) or _sha256(found) == _FIRST_VERSION:
        if found != shipped:
            replace_file(config, shipped)
        # Last: a process that dies in between leaves what the next one takes for its own.
        replace_file(written, shipped)


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
