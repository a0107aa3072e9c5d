"""Files on this machine that a source may name: below a source root once links are resolved, and files indeed.

A path is judged before anything is opened, and what is opened is what was judged: a link, a pipe or another file that
takes its place meanwhile is refused. Called by `loaders.sources.files`.
"""

import io
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fsspec.utils import glob_translate

from loaders.errors import SourceUnreadable

NO_DATA = (".", "_")
"""How the names of hidden and marker files begin (`.git/…`, `_SUCCESS`, `_temporary/…`)."""

_OF_THE_SYSTEM = ("/proc/", "/sys/")
"""What the kernel shows of itself as files: environments, memory, settings."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a link"),
)

_OPENED = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""No link is followed, and a pipe that nobody writes to does not wait."""


@dataclass(frozen=True, slots=True)
class LocalMatch:
    """A file that was found and judged."""

    path: str
    """As it was looked for."""
    real_path: str
    """Without links."""
    told: os.stat_result


def local_matches(
    location: str, wildcard: int, roots: Sequence[str | Path], shown: Callable[[str], str]
) -> Iterator[LocalMatch]:
    """The file at a location; those below it, where it is a folder; or those that its wildcards match.

    A folder stands for what does not begin with `.` or `_`. A link to a file counts as the file that it leads to; one
    to a folder is not followed.

    Args:
        location: Absolute path.
        wildcard: Where in it the first part with a wildcard begins; its length where none does.
        roots: Folders that files must lie below.
        shown: A path as the manifest names it, for messages.

    Raises:
        SourceUnreadable: one is no file, or lies outside of the roots. Its message does not name the source.
        OSError: one cannot be looked at.
    """
    resolved = [os.path.realpath(root) for root in roots]
    is_folder = _is_folder(location)
    if is_folder is False:
        yield _judged(location, os.path.realpath(location), resolved, shown)
    elif wildcard < len(location):
        pattern = location[wildcard:]
        depth = None if "**" in pattern else pattern.count("/")
        fits = re.compile(glob_translate(pattern)).match
        for path, real_path in _files_below(location[:wildcard], resolved, shown, (), depth):
            if fits(path[wildcard:]) and not stat.S_ISDIR(os.stat(real_path, follow_symlinks=False).st_mode):  # noqa: PTH116  # to make a Path costs more than to look
                yield _judged(path, real_path, resolved, shown)
    elif is_folder:
        for path, real_path in _files_below(f"{location}/", resolved, shown, NO_DATA, None):
            try:
                yield _judged(path, real_path, resolved, shown)
            except FileNotFoundError:
                if os.path.islink(path):  # noqa: PTH114  # as above
                    raise
                # else renamed or removed since it was listed


def open_local(path: str, judged: os.stat_result | None) -> io.FileIO:
    """Open a file of a path without links, as it was judged (None: whichever file it is).

    Raises:
        OSError: it cannot be opened, or is another file than the one that was judged.
    """
    opened = os.open(path, _OPENED)
    found = os.fstat(opened)
    if not stat.S_ISREG(found.st_mode) or (judged is not None and not os.path.samestat(found, judged)):
        os.close(opened)
        raise OSError("it is another file than the one that was listed")
    return io.FileIO(opened)


def _is_folder(location: str) -> bool | None:
    """Whether a folder or something else is there; None where nothing is."""
    try:
        return stat.S_ISDIR(os.stat(location).st_mode)  # noqa: PTH116  # as above
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a null character
        return None


def _files_below(
    folder: str, roots: list[str], shown: Callable[[str], str], passed_over: tuple[str, ...], depth: int | None
) -> Iterator[tuple[str, str]]:
    """Everything below a folder (which ends in a slash) that is no folder itself, with its path without links.

    Without fsspec, whose listing costs three times as much and is made whole before it is seen. Every load lists all
    snapshots that are declared.
    """
    real_folder = os.path.realpath(folder)
    if _is_folder(folder):
        _expect_inside(real_folder, roots, partial(shown, folder.rstrip("/")))
    waiting = [(folder, f"{real_folder.rstrip('/')}/", 0)] if _is_folder(folder) else []
    while waiting:
        folder, real_folder, level = waiting.pop()
        with os.scandir(real_folder) as entries:
            for entry in entries:
                path, real_path = f"{folder}{entry.name}", f"{real_folder}{entry.name}"
                if entry.name.startswith(passed_over):
                    continue
                if not entry.is_dir(follow_symlinks=False):
                    yield path, os.path.realpath(real_path) if entry.is_symlink() else real_path
                elif depth is None or level < depth:
                    waiting.append((f"{path}/", f"{real_path}/", level + 1))


def _judged(path: str, real_path: str, roots: list[str], shown: Callable[[str], str]) -> LocalMatch:
    told = os.stat(real_path, follow_symlinks=False)  # noqa: PTH116  # as above
    if not stat.S_ISREG(told.st_mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(told.st_mode)), "no file")
        raise SourceUnreadable(f"{shown(path)} leads to {kind}, expected a file; next: declare the file itself")
    _expect_inside(real_path, roots, partial(shown, path))
    return LocalMatch(path, real_path, told)


def _expect_inside(real_path: str, roots: list[str], shown: Callable[[], str]) -> None:
    """Refuse what lies outside of the roots, without a word of where it lies."""
    if f"{real_path}/".startswith(_OF_THE_SYSTEM):
        raise SourceUnreadable(
            f"{shown()} leads to /proc or /sys, which hold no data; next: take it out of the manifest"
        )
    if not any(f"{real_path}/".startswith(f"{root.rstrip('/')}/") for root in roots):
        raise SourceUnreadable(
            f"{shown()} leads outside of the folders that sources may lie in: the manifest's, OMNI_SOURCE_ROOT and "
            "those of OMNI_SOURCE_ROOTS; next: bring it below one of them, or add its folder to OMNI_SOURCE_ROOTS"
        )
