"""Is a SQLite file a sound database, and how a broken one is moved out of the way.

Looked at without being opened for writing: what is there stays as it is. Called by `lakehouse.recovery.plan`.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from lakehouse.errors import ConfigurationError

_BESIDE = ("-wal", "-shm", "")
"""The file itself last: what is left of the others, where a recovery dies between, belongs to nothing."""


@dataclass(frozen=True)
class Removal:
    """A broken file and where it goes; nothing is overwritten."""

    file: Path
    aside: Path
    problem: str


def database_problem(file: Path) -> str | None:
    """Why a file is no sound database; None for a sound, an empty or a missing one.

    Raises:
        ConfigurationError: it cannot be opened: it is a folder, say, or may not be read.
    """
    if not file.exists():
        return None
    try:
        with closing(_connect(file)) as connection:
            (found,) = connection.execute("pragma integrity_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        raise ConfigurationError(
            f"{file} cannot be opened ({error}); next: see what lies there, and who may read it"
        ) from error
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == "ok" else str(found).partition("\n")[0]


def removal_of(file: Path, problem: str, now: datetime) -> Removal:
    """Where a broken file is to go."""
    return Removal(file, file.with_name(f"{file.name}.broken-{now:%Y%m%dT%H%M%SZ}"), problem)


def move_aside(removal: Removal) -> None:
    """Move a broken file away, with what SQLite keeps beside it."""
    for suffix in _BESIDE:
        part = removal.file.with_name(removal.file.name + suffix)
        if part.exists():
            part.rename(removal.aside.with_name(removal.aside.name + suffix))


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
