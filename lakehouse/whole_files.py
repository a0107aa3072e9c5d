"""Files that are replaced whole or not at all: whoever reads meanwhile has the one before or the new one."""

from pathlib import Path
from uuid import uuid4


def replace_file(path: Path, text: str) -> None:
    """Put a text (UTF-8) in the place of a file, also where others do so at the same time; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{uuid4().hex}")
    beside.write_text(text, "utf-8")
    beside.replace(path)
