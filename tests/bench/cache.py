"""Folders of input that are made once and kept under the system's temporary directory."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def kept(name: str, recipe: str, write: Callable[[Path], None]) -> str:
    """A folder of the cache.

    Args:
        name: What is in it, with its parameters.
        recipe: Text that it is made from; another recipe makes another folder.
        write: Fills an empty folder. It gets its name when it is full, so that half a folder is never taken for one.
    """
    version = hashlib.sha256(recipe.encode()).hexdigest()[:8]
    folder = Path(tempfile.gettempdir(), "omni-bench", f"{name}-{version}")
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        partial.rename(folder)
    return str(folder)
