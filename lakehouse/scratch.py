"""A folder for the files of one piece of work, under OMNI_HOME: nothing of a lakehouse lies in the system's own.

What a process leaves that dies, `omni maintain` removes.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lakehouse.settings import LakehouseSettings


def scratch_root(settings: LakehouseSettings) -> Path:
    """Where these folders are."""
    return settings.home / "scratch"


@contextmanager
def scratch_folder(settings: LakehouseSettings) -> Iterator[Path]:
    """A new folder, removed at the end."""
    root = scratch_root(settings)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        yield Path(folder)
