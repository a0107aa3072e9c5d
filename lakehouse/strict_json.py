"""JSON that a person wrote, read so that it means one thing; and how a rule that it breaks is told."""

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Breach:
    """One rule that a document breaks."""

    path: str
    """JSON path of the value, such as `$.assets[2].source_id`."""
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.path}: found {self.found}, allowed: {self.allowed}"


def read_declared(path: Path, most: int) -> bytes:
    """Read a file that a person wrote, of so many bytes at most; a pipe or a device is not waited for, nor read.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, or is larger; what is wrong, with what to do.
    """
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123  # an opened one
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("no file but a pipe or a device; next: take it out of the folder")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"more than {most} bytes; next: make it smaller")
    return content


def load_json(content: bytes) -> Any:
    """Load JSON in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: it is none, is nested too deeply, holds NaN or an infinity, or an object that names a key twice.
    """
    text = content.decode("utf-8-sig")
    try:
        return json.loads(text, object_pairs_hook=_each_key_once, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError(f"nested too deeply ({error})") from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice: which value was meant is not for us to guess."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
