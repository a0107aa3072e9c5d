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

_UNSHOWN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""What a screen obeys and does not show: controls, ends of lines, changes of direction; and lone surrogates."""

_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def is_text(value: str) -> bool:
    """Whether it has whole characters only, which UTF-8 can write."""
    return not _LONE_SURROGATE.search(value)


def escaped(value: str) -> str:
    r"""A text to be shown, on one line: what a screen would obey is escaped as JSON does, as in `\u001b`, `\ud800`."""
    return _UNSHOWN.sub(lambda found: _SHORT.get(found[0], f"\\u{ord(found[0]):04x}"), value)


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
