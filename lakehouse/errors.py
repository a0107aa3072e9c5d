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

_OF_STORES = frozenset({"aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google"})
"""Libraries of stores, not all of whose errors are OSErrors."""


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


def is_of_store(error: BaseException) -> bool:
    """Whether a disk or a store of files says that it cannot be reached, is full, or refuses who asks."""
    names = {each.__module__.partition(".")[0] for each in type(error).__mro__}
    return isinstance(error, OSError) or not names.isdisjoint(_OF_STORES)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to add to a name that is unknown: the known one that is most like it, if any is."""
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
