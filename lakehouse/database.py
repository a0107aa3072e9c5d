"""SQLAlchemy engines for the catalog's database and the ledger: SQLite made safe for many processes, or any server."""

from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, event, make_url

from lakehouse.errors import ConfigurationError
from lakehouse.namespaces import BRONZE
from lakehouse.settings import LakehouseSettings
from lakehouse.unicode_text import load_escaped

BUSY_TIMEOUT_S = 30


def open_engine(url: SecretStr) -> Engine:
    """Open a database.

    A SQLite file is created with its folder and set to write-ahead logging (a property of the file, so that
    pyiceberg's own connections have it too); writers wait for each other instead of failing.
    """
    parsed = make_url(url.get_secret_value())
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, json_deserializer=_read_json)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S}, json_deserializer=_read_json)

    @event.listens_for(engine, "connect")
    def _set_pragmas(connection, _record) -> None:  # type: ignore[no-untyped-def]  # DBAPI objects have no types
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")

    return engine


def _read_json(text: str) -> Any:
    """Read a JSON column; what orjson refuses, a lone surrogate of a manifest that was once let in, is read escaped."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return load_escaped(text)


def refuse_lost_catalog(settings: LakehouseSettings) -> None:
    """Refuse to make an embedded catalog anew over a warehouse that holds tables.

    A new one would call everything missing, and load it all again beside what is there.

    Raises:
        ConfigurationError: the catalog's file is gone, and its tables are not.
    """
    url = make_url(settings.catalog_url.get_secret_value()) if settings.catalog_type == "sql" else None
    file = url.database if url is not None and url.get_backend_name() == "sqlite" else None
    bronze = Path(settings.warehouse_url.removeprefix("file://")) / BRONZE
    if file and file != ":memory:" and not Path(file).exists() and bronze.is_dir():
        raise ConfigurationError(
            f"no catalog at {file}, though {bronze.parent} holds tables; next: restore the catalog, or move the "
            "warehouse away to begin anew"
        )
