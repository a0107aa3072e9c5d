"""From a declared source to its files: aliases, relative paths, globs, remote URLs.

A file is named as the manifest names it, never by a path of the machine, so that the same source has the same name
everywhere.
"""

import glob
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from lakehouse.settings import LakehouseSettings
from lakehouse.unicode_text import escaped, is_text
from loaders.errors import SourceUnreadable
from loaders.manifests.manifest import Source

_GLOB = set("*?[")
_NO_DATA = (".", "_")
"""How the names of hidden and marker files begin (`.git/…`, `_SUCCESS`, `_temporary/…`)."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source."""

    name: str
    """As the manifest names it; with a glob, the matched path."""
    location: str
    """Where fsspec finds it."""
    stamp: str
    """Changes when the file does, as far as its directory entry tells (size and times, or the store's tag)."""

    def open(self) -> BinaryIO:
        """Open the bytes as they are stored.

        Raises:
            SourceUnreadable: the file is gone or may not be read.
        """
        try:
            if self.location.startswith("file://"):  # fsspec and pathlib cost more than to read a document
                return io.FileIO(self.location.removeprefix("file://"))
            return fsspec.open(self.location, "rb").open()  # type: ignore[no-any-return]  # fsspec has no types
        except OSError as error:
            raise SourceUnreadable(f"{self.name}: cannot be opened ({error}); next: restore the file") from error

    def expect_unchanged(self) -> None:
        """Compare the file with its stamp.

        Raises:
            SourceUnreadable: it has changed since it was listed.
        """
        fs, found = fsspec.core.url_to_fs(self.location)
        if _stamp(_info(fs, found)) != self.stamp:
            raise SourceUnreadable(f"{self.name}: changed while it was read; next: run it again")


def find_files(
    settings: LakehouseSettings, manifest_path: Path, source: Source, field: str = "source_url_or_path"
) -> list[SourceFile]:
    """List the files of a source, in the order of their names.

    Args:
        settings: Where files are looked for.
        manifest_path: The manifest that declares the source.
        source: What is declared.
        field: The field of the source that names them: its own, or that of a sidecar.

    Raises:
        SourceUnreadable: there is none, or one has a name that is no UTF-8: which days it holds cannot be kept.
    """
    declared: str = getattr(source, field)
    who, what = source.source_id, "the source"
    if field != "source_url_or_path":
        who, what = f"{who}, {field}", field
    url = _apply_alias(settings, declared)
    for root in _roots(settings, manifest_path, url):
        try:
            fs, location = fsspec.core.url_to_fs(f"{root}{url}")
            found = sorted(_matches(fs, location, url), key=lambda match: match[0])
        except (OSError, ValueError, TypeError, ImportError) as error:
            raise SourceUnreadable(
                f"{who}: {declared} cannot be listed ({error}); next: mend the path or the access to it"
            ) from error
        for path in (path for path, _ in found if not is_text(path)):
            raise SourceUnreadable(
                f'{who}: found a file named "{escaped(_name(declared, url, location, path))}", '
                "expected a path in UTF-8; next: rename it"
            )
        if found:
            scheme = fs.unstrip_protocol(location).removesuffix(location)
            return [
                SourceFile(_name(declared, url, location, path), f"{scheme}{path}", _stamp(info))
                for path, info in found
            ]
    raise SourceUnreadable(
        f"{who}: no file at {declared!r}, neither beside {manifest_path.name} nor under OMNI_SOURCE_ROOT; "
        f"next: bring the file or take {what} out of {manifest_path.name}"
    )


def _apply_alias(settings: LakehouseSettings, url: str) -> str:
    for prefix, replacement in settings.source_aliases.items():
        if url.startswith(prefix):
            return replacement + url[len(prefix) :]
    return url


def _roots(settings: LakehouseSettings, manifest_path: Path, url: str) -> list[str]:
    if "://" in url or Path(url).is_absolute():
        return [""]
    roots = [manifest_path.parent, *([settings.source_root] if settings.source_root else [])]
    return [f"{root}/" for root in roots]


def _matches(fs: Any, location: str, url: str) -> list[tuple[str, dict[str, Any]]]:
    """Files at a location: itself, those below it, or those that its wildcards match (wildcards of `url` only).

    Each with what its directory entry tells.
    """
    if fs.isfile(location):
        return [(location, _info(fs, location))]
    if _GLOB & set(url):
        root = location.removesuffix(url.rpartition("://")[2])
        pattern = glob.escape(root) + location[len(root) :] if root != location else location
        return [(path, _info(fs, path)) for path in fs.glob(pattern) if fs.isfile(path)]
    if not fs.isdir(location):
        return []
    if isinstance(fs, LocalFileSystem):
        return list(_files_below(location))
    start = len(location.rstrip("/")) + 1
    return [
        (path, info)
        for path, info in fs.find(location, detail=True).items()
        if not any(part.startswith(_NO_DATA) for part in path[start:].split("/"))
    ]


def _files_below(folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files below a local folder; the size and time of a link are those of the file that it leads to.

    Without fsspec, whose listing costs three times as much. Every load lists all snapshots that are declared.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_NO_DATA):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path)
                continue
            try:
                found = entry.stat()
            except FileNotFoundError:
                if entry.is_symlink():
                    raise
                continue  # renamed or removed since it was listed
            yield entry.path, _told(found)


def _info(fs: Any, path: str) -> dict[str, Any]:
    """What the directory entry of a file tells; of a link, that of the file that it leads to."""
    return _told(Path(path).stat()) if isinstance(fs, LocalFileSystem) else fs.info(path)


def _told(found: os.stat_result) -> dict[str, Any]:
    """Size, and both times: whoever copies or edits a file may set the time of its content, not that of the change."""
    return {"size": found.st_size, "mtime": f"{found.st_mtime}:{found.st_ctime}"}


def _name(declared: str, url: str, location: str, path: str) -> str:
    """A file as the manifest names it: the declared path, with what a folder or a wildcard stands for."""
    if path == location:
        return declared
    if not _GLOB & set(url):
        return f"{declared.rstrip('/')}{path[len(location.rstrip('/')) :]}"
    fixed = declared[: _before_wildcard(declared)]
    return fixed + path[len(location) - len(url.rpartition("://")[2]) + _before_wildcard(url.rpartition("://")[2]) :]


def _before_wildcard(path: str) -> int:
    """Length of the part of a path before its first wildcard, up to a slash."""
    wild = min((path.index(c) for c in _GLOB if c in path), default=len(path))
    return path.rfind("/", 0, wild) + 1


def _stamp(info: dict[str, Any]) -> str:
    key = next(filter(info.__contains__, ("ETag", "mtime", "LastModified", "etag")), "")
    return f"{info.get('size')}:{info.get(key, '')}"
