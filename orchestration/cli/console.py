"""What all commands share: consoles, errors as one line, settings and days from options, the filled ledger."""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.json import JSON
from rich.text import Text

from lakehouse.errors import ConfigurationError, OmniError, is_of_store
from lakehouse.partitions import named_day
from lakehouse.settings import LakehouseSettings, load_settings
from lakehouse.unicode_text import escaped

if TYPE_CHECKING:  # SQLAlchemy is opened by the commands that need it
    from lakehouse.ledger.ledger import Ledger

_STARTED = time.monotonic()


class Screen(Console):
    """A console that obeys nothing that stands in what is printed: each text is one line, its controls escaped."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does."""
        super().print(*map(_harmless, objects), **options)

    def on_broken_pipe(self) -> None:
        """End as what has lost its reader ends: that answers nothing. What shows progress goes on unseen."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
        if not self.stderr:
            raise SystemExit(128 + signal.SIGPIPE)


def _harmless(printed: Any) -> Any:
    if isinstance(printed, JSON):  # in which these characters can only stand in a text
        lines = printed.text.plain.split("\n")
        return printed if lines == (shown := [escaped(line) for line in lines]) else "\n".join(shown)
    if isinstance(printed, Text):
        return printed if printed.plain == escaped(printed.plain) else Text(escaped(printed.plain))
    return escaped(printed) if isinstance(printed, str) else printed


class OneLine(logging.Formatter):
    """Formats a log record on one line, with the controls of its message escaped; a traceback follows as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name is logging's
        """Format the message."""
        return escaped(super().formatMessage(record))


# Names from outside stand in what is printed: nothing in it is markup, or the code of an emoji such as ":100:".
console = Screen(highlight=False, soft_wrap=True, markup=False, emoji=False)
errors = Screen(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

ManifestDirOption = Annotated[Path | None, typer.Option("--manifest-dir", help="Default: OMNI_MANIFESTS.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def settings_of(manifest_dir: Path | None) -> LakehouseSettings:
    """The settings, with another manifest folder where one is given."""
    settings = load_settings()
    return settings.model_copy(update={"manifests": manifest_dir.resolve()}) if manifest_dir else settings


def examples(*commands: str) -> str:
    """The end of a command's help."""
    return "\n\n".join([f"Example{'s' if len(commands) > 1 else ''}:", *commands])


def asset_names() -> list[str]:
    """Names for the completion of a shell, which shows no error: none where the project cannot be read."""
    settings = load_settings()
    try:
        nodes = json.loads(settings.dbt_manifest.read_text("utf-8"))
        named = [*nodes["sources"].values(), *nodes["nodes"].values()]
    except (OSError, ValueError, KeyError):
        return []
    return sorted({each["name"] for each in named if each["resource_type"] in ("model", "source")})


@contextmanager
def reported() -> Iterator[None]:
    """Turn the project's own errors, and files or databases that fail, into one message and exit status 2."""
    try:
        yield
    except Exception as error:
        if (said := _said(error)) is None:
            raise
        errors.print(f"error: {said}", style="red")
        raise typer.Exit(2) from error


def _said(error: Exception) -> str | None:
    """What to say of an error; None for one that nobody has foreseen."""
    if isinstance(error, OmniError):
        return str(error)
    if is_of_store(error):
        return f"{error}; next: mend the disk, store or path that it speaks of, and type it again"
    if "sqlalchemy.exc" not in sys.modules:  # no database was opened
        return None
    from sqlalchemy.exc import SQLAlchemyError

    from lakehouse.database.failures import describe

    return describe(error) if isinstance(error, SQLAlchemyError) else None


def say(*lines: str) -> None:
    """Print lines, each on a line of its own."""
    for line in lines:
        console.print(line)


def show_progress(step: str) -> None:
    """Print a step on standard error, with the seconds since the command began."""
    errors.print(f"{time.monotonic() - _STARTED:6.1f} s  {step}", style="dim")


def day(text: str) -> str:
    """The partition key of a day that a person types, judged before anything else happens."""
    with reported():
        return named_day(text, datetime.now(UTC)).isoformat()


DAY = "DAY"
PartitionOption = Annotated[
    str | None, typer.Option("--partition", parser=day, metavar=DAY, help="One UTC day: 2026-04-15, today, yesterday.")
]
FromOption = Annotated[str | None, typer.Option("--from", parser=day, metavar=DAY, help="First UTC day.")]
ToOption = Annotated[str | None, typer.Option("--to", parser=day, metavar=DAY, help="Last UTC day, inside.")]


def open_filled_ledger(settings: LakehouseSettings) -> "Ledger":
    """The ledger of a lakehouse that has looked at its manifests at least once.

    Raises:
        ConfigurationError: nothing was ever admitted: no partition may be called empty, or ready.
    """
    from lakehouse.ledger.ledger import open_ledger

    ledger = open_ledger(settings)
    if not ledger.has_admissions():
        raise ConfigurationError(
            f"no manifest was ever admitted into {settings.home}; next: put manifests into {settings.manifests}, then: "
            "omni run"
        )
    return ledger
