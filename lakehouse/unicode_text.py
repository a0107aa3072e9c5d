"""Text that every store can keep, and JSON made of it: what is no Unicode text, where it stands, how it is shown.

A lone surrogate is half a character. JSON can escape one, and Python names a file with them whose name is no UTF-8.
SQLite, Postgres, Arrow and Iceberg take none.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

WHOLE_TEXT = "Unicode text without a lone surrogate"
"""What is expected of a text."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def is_text(value: str) -> bool:
    """Whether it has whole characters only, which UTF-8 can write."""
    return not _LONE_SURROGATE.search(value)


def escaped(value: str) -> str:
    r"""A text to be shown: its lone surrogates are escaped, as in `\ud800`."""
    return value.encode(errors="backslashreplace").decode()


def json_path(location: Sequence[int | str]) -> str:
    """Where a value stands, such as `$.assets[2].source_id`."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{escaped(part)}" for part in location)


def broken_texts(document: object) -> Iterator[tuple[str, str]]:
    """JSON path and text, to be shown, of every value and every key that is no Unicode text."""
    waiting: list[tuple[tuple[int | str, ...], Any]] = [((), document)]
    for location, value in waiting:  # grows on the way; JSON may be nested deeper than calls may be
        for text in (*location[-1:], value):
            if isinstance(text, str) and not is_text(text):
                yield json_path(location), f'"{escaped(text)}"'
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        waiting.extend(((*location, part), child) for part, child in children)


def load_escaped(text: str) -> Any:
    """Load JSON that may hold lone surrogates, each of them escaped as it is to be shown."""
    plain = json.dumps(json.loads(text), ensure_ascii=False)
    return json.loads(_LONE_SURROGATE.sub(lambda half: rf"\\u{ord(half[0]):x}", plain))
