"""SQLAlchemy engines for the catalog's database and the ledger: SQLite made safe for many processes, or any server."""

import atexit
import os
from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from weakref import WeakSet

import orjson
from pydantic import SecretStr
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from lakehouse.database.failures import name_errors_of
from lakehouse.errors import ConfigurationError
from lakehouse.unicode_text import load_escaped

BUSY_TIMEOUT_S = 30
POOL = 8
"""Connections to a server that a process may have; half of them are kept open. Others wait, 30 seconds at most."""

_EXPECTED = (
    "expected one such as postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE or sqlite:////FOLDER/catalog.db, with what "
    "is no letter or digit in the password as %XX; next: set OMNI_CATALOG_URI or OMNI_LEDGER_URI so"
)


def open_engine(url: SecretStr) -> Engine:
    """Open a database.

    A SQLite file is created with its folder and set to write-ahead logging (a property of the file, so that
    pyiceberg's own connections have it too); writers wait for each other instead of failing.

    Raises:
        ConfigurationError: the URL is none, or names what no driver is installed for.
    """
    parsed = database_url(url)
    if parsed.get_backend_name() != "sqlite":
        return _server(parsed, os.getpid())
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S}, json_deserializer=_read_json)
    look_after(engine)

    @event.listens_for(engine, "connect")
    def _set_pragmas(connection, _record) -> None:  # type: ignore[no-untyped-def]  # DBAPI objects have no types
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")

    return engine


@lru_cache
def _server(url: URL, process: int) -> Engine:
    """The one engine of a process to a server; a fork opens its own, and leaves its parent's connections alone."""
    try:
        # Of the connections beyond the pool none is kept.
        pool = {"pool_size": POOL // 2, "max_overflow": POOL - POOL // 2, "pool_pre_ping": True}
        server = create_engine(url, json_deserializer=_read_json, **pool)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError(f"{url.drivername}: no driver is installed for it; {_EXPECTED}") from error
    os.register_at_fork(after_in_child=partial(server.dispose, close=False))
    look_after(server)
    return server


def look_after(engine: Engine) -> None:
    """Have the errors of an engine name its database, and its connections closed when the process ends.

    The last one to a SQLite file that is closed folds the `-wal` in: the file alone is whole then. Nothing keeps an
    engine that nobody uses any more; a daemon opens thousands of them.
    """
    name_errors_of(engine)
    _engines_of(os.getpid()).add(engine)


@lru_cache
def _engines_of(process: int) -> WeakSet[Engine]:
    """The engines that a process has opened; a fork of it closes none of them."""
    engines = WeakSet[Engine]()
    atexit.register(_close, engines, process)
    return engines


def _close(engines: Iterable[Engine], process: int) -> None:
    for engine in engines if process == os.getpid() else ():
        engine.dispose()


def open_to_look(file: Path) -> Engine:
    """Open a SQLite file without writing to it; a missing one is not made."""
    url = f"sqlite:///file:{quote(str(file))}?mode=ro&uri=true"
    # Each connection ends with its use: were one of these the last to be closed, SQLite could not fold the -wal in.
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, poolclass=NullPool)
    name_errors_of(engine)
    return engine


def database_url(url: SecretStr) -> URL:
    """The URL of a database, read.

    Raises:
        ConfigurationError: it is none; it is not shown, since a password may stand anywhere in it.
    """
    try:
        return make_url(url.get_secret_value())
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(f"the URL of a database cannot be read; {_EXPECTED}") from error


def sqlite_file(url: SecretStr) -> Path | None:
    """File of a SQLite database; None for a server, or one in memory."""
    parsed = database_url(url)
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:")
    return Path(str(parsed.database)) if is_file else None


def _read_json(text: str) -> Any:
    """Read a JSON column; what orjson refuses, a lone surrogate of a manifest that was once let in, is read escaped."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return load_escaped(text)
