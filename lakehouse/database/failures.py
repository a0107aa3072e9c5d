"""A database that fails, in one line for a person: which one, what it says, what to do. Passwords are never shown.

Every engine that opens a database of ours is named here, so that its errors say where they come from. Commands, loads
and dbt turn them into their own errors with `describe`; nothing branches on the text of an error.
"""

import sqlite3
from typing import Final
from urllib.parse import unquote

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

_PLACE = "database: "
_SEE = "next: see what lies there, and who may read and write it"
_RECOVER = "next: omni recover --dry-run, which says what the warehouse still holds"
_LOOK = "what was committed before stays; next: see what lies there, and whether its disk has room"
_ROOM = "what was committed before stays; next: make room on its disk, and run it again"
_SERVER = "next: see that the server runs, and that OMNI_CATALOG_URI and OMNI_LEDGER_URI name it"
_AGAIN = "what was committed before stays; next: run it again"

_BY_CODE: Final = {
    sqlite3.SQLITE_NOTADB: _RECOVER,
    sqlite3.SQLITE_CORRUPT: _RECOVER,
    sqlite3.SQLITE_CANTOPEN: _SEE,
    sqlite3.SQLITE_READONLY: _SEE,
    sqlite3.SQLITE_PERM: _SEE,
    sqlite3.SQLITE_FULL: _ROOM,
    sqlite3.SQLITE_IOERR: _LOOK,
}
"""Primary result code of SQLite → what to do."""


def name_errors_of(engine: Engine) -> None:
    """Have the errors of an engine say which database they come from."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        place = unquote(str(url.database).removeprefix("file:").partition("?")[0])
    else:
        place = url.render_as_string(hide_password=True)

    @event.listens_for(engine, "handle_error")
    def _note(context: ExceptionContext) -> None:
        if context.sqlalchemy_exception is not None:
            context.sqlalchemy_exception.add_note(_PLACE + place)


def describe(error: SQLAlchemyError) -> str:
    """Which database, what it says, what to do."""
    cause = getattr(error, "orig", None)
    notes = (note for note in getattr(error, "__notes__", ()) if note.startswith(_PLACE))
    place = next(notes, _PLACE).removeprefix(_PLACE) or "a database"
    reason = str(cause or error).partition("\n")[0]
    if isinstance(cause, sqlite3.Error):
        step = _BY_CODE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF, _AGAIN)
    else:
        step = _SERVER if isinstance(error, DBAPIError) else _AGAIN
    return f"{place}: {reason}; {step}"
