"""Errors that the floor raises; loaders and orchestration derive theirs from the same root.

* OmniError
  * ConfigurationError: a setting, contract or schema is missing or unusable
  * WindowConflict: another writer replaced the same window meanwhile
  * RowsOutsideWindow: a write had rows that its window does not cover
  * IncompatibleSchema: a column has become another type than its table can hold

A message says what was found, what was expected and what to do next. "Not ready" is an answer, not an error.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class OmniError(Exception):
    """Root of every error that this project raises on purpose."""


class ConfigurationError(OmniError):
    """A setting, contract or schema is missing or unusable."""


class WindowConflict(OmniError):
    """Another writer replaced the same window of a table while this one was at work."""


class RowsOutsideWindow(OmniError):
    """A write had rows outside the window that it was to replace; nothing was written."""


class IncompatibleSchema(OmniError):
    """A contract or model asks for a column type that its table can neither hold nor widen to; nothing was written."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to add to a name that is unknown: the known one that is most like it, if any is."""
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
