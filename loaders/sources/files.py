"""From a declared source to its files: aliases, relative paths, globs, remote URLs.

A file is named as the manifest names it, never by a path of the machine, so that the same source has the same name
everywhere.
"""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings
from lakehouse.shown_urls import without_credentials
from lakehouse.unicode_text import escaped, is_text
from loaders.errors import SourceUnreadable
from loaders.manifests.manifest import Source
from loaders.sources.bounds import Bounds
from loaders.sources.local_files import local_matches, open_local
from loaders.sources.stores import open_stored, store_matches

_GLOB = set("*?[")
_LOCAL = "file://"
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_PACKED = 5
"""Times its size that a compressed file may be once it is unpacked: a guess, to share out work by."""


@dataclass(frozen=True)  # without slots: see loaders/plans/plan.py
class SourceFile:
    """One file of a source."""

    name: str
    """As the manifest names it; with a glob, the matched path."""
    location: str
    """URL of it; of a file on this machine, without links."""
    stamp: str
    """Changes when the file does, as far as its directory entry tells (size and times, or the store's tag)."""
    bounds: Bounds
    """How large it may be."""
    judged: os.stat_result | Literal["elsewhere"] | None = None
    """What the directory entry of a file on this machine told when it was listed, unless another machine did that."""
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    """How its store is reached; secrets, in the clear."""

    @property
    def path(self) -> str | None:
        """Path of a file on this machine."""
        return self.location.removeprefix(_LOCAL) if self.location.startswith(_LOCAL) else None

    @property
    def weight_bytes(self) -> int:
        """About how large it is once it is unpacked; 0 where neither the directory nor the store tells its size."""
        size = self.stamp.partition(":")[0]
        return (int(size) if size.isdecimal() else 0) * (_PACKED if self.compression else 1)

    @property
    def compression(self) -> str | None:
        """How its bytes are packed, as its ending tells; None where they are not."""
        return _COMPRESSIONS.get(self.name[self.name.rfind(".") :])

    def open(self) -> BinaryIO:
        """Open the bytes as they are stored.

        Raises:
            SourceUnreadable: the file is gone, may not be read, or is another than was listed.
        """
        if self.path is None:
            return cast(BinaryIO, open_stored(self.location, self.name, self.properties))
        try:
            judged = self._seen_here(self.path) if self.judged == "elsewhere" else self.judged
            return cast(BinaryIO, open_local(self.path, judged))
        except OSError as error:
            raise SourceUnreadable(f"{self.name}: cannot be opened ({error}); next: restore the file") from error

    def _seen_here(self, path: str) -> os.stat_result:
        """What this machine's directory tells of a file that was listed on another one.

        Raises:
            ConfigurationError: there is no such file here.
            SourceUnreadable: there is another one.
        """
        try:
            found = os.stat(path, follow_symlinks=False)  # noqa: PTH116
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"worker on {platform.node()}: sees no {path}, which the process that loads has listed ({self.name}); "
                "next: mount its folder there, by the same path, or read it from a store"
            ) from error
        if _stamp(_told(found)) != self.stamp:
            raise SourceUnreadable(
                f"{self.name}: on {platform.node()} it is another file than the one that was listed; next: run it "
                f"again, and if it says so still, mount there, as {path}, what the process that loads sees"
            )
        return found

    def expect_unchanged(self) -> None:
        """Compare a file on this machine with its stamp.

        Raises:
            SourceUnreadable: it has changed since it was listed.
        """
        assert self.path is not None  # the bytes of a store's file are read once, as a stream
        try:
            is_same = _stamp(_told(os.stat(self.path, follow_symlinks=False))) == self.stamp  # noqa: PTH116
        except FileNotFoundError:
            is_same = False
        if not is_same:
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
    try:
        return _files(settings, manifest_path, source, field)
    except SourceUnreadable as error:
        if not source.had_credentials:
            raise
        raise SourceUnreadable(f"{error}. {_CREDENTIALS}") from error


_CREDENTIALS = (
    "The credentials in its URL are not used, since they would be stored and shown; next: give them to fsspec "
    "(~/.config/fsspec/*.json, or FSSPEC_HTTPS and the like) or to the store's library (AWS_ACCESS_KEY_ID and the like)"
)


def _files(settings: LakehouseSettings, manifest_path: Path, source: Source, field: str) -> list[SourceFile]:
    declared: str = getattr(source, field)
    who, what = source.source_id, "the source"
    if field != "source_url_or_path":
        who, what = f"{who}, {field}", field
    url = _apply_alias(settings, declared)
    roots = [manifest_path.parent, *settings.all_source_roots]
    for location in _locations(roots, url):
        files = _bounded(
            _found(settings, who, declared, url, location, roots), who, declared, settings.max_source_files
        )
        if found := sorted(files, key=lambda file: file.name):
            for file in (file for file in found if not is_text(file.name)):
                raise SourceUnreadable(
                    f'{who}: found a file named "{escaped(file.name)}", expected a path in UTF-8; next: rename it'
                )
            return found
    raise SourceUnreadable(
        f"{who}: no file at {declared!r}, neither beside {manifest_path.name} nor under OMNI_SOURCE_ROOT; "
        f"next: bring the file or take {what} out of {manifest_path.name}"
    )


def _apply_alias(settings: LakehouseSettings, url: str) -> str:
    for prefix, replacement in settings.source_aliases.items():
        if url.startswith(prefix := without_credentials(prefix)):
            return replacement + url[len(prefix) :]
    return url


def _locations(roots: list[Path], url: str) -> list[str]:
    """Where a source may be, the first place first: a path on this machine, or the URL of a store."""
    if "://" in url and not url.startswith(_LOCAL):
        return [url]
    path = url.removeprefix(_LOCAL)
    if path.startswith("/"):
        return [path.rstrip("/") or "/"]
    return [f"{root}/{path.rstrip('/')}" for root in roots]


def _bounded(files: Iterator[SourceFile], who: str, declared: str, most: int) -> Iterator[SourceFile]:
    for number, file in enumerate(files):
        if number == most:
            raise SourceUnreadable(
                f"{who}: {declared} stands for more than {most} files; next: declare fewer, or raise "
                "OMNI_MAX_SOURCE_FILES"
            )
        yield file


def _found(
    settings: LakehouseSettings, who: str, declared: str, url: str, location: str, roots: list[Path]
) -> Iterator[SourceFile]:
    """Files at a location: itself, those below it, or those that its wildcards match (wildcards of `url` only)."""
    named, bounds = partial(_name, declared, url, location), Bounds.of(settings)
    if "://" in location:
        with _prefixed(f"{who}: {declared} "):
            properties = settings.properties_of_source(location)
            for path, info in store_matches(location, bool(_GLOB & set(url)), properties):
                yield SourceFile(named(path), path, _stamp(info), bounds, properties=properties)
        return
    try:
        with _prefixed(f"{who}: "):
            for match in local_matches(location, _wildcard(url, location), roots, named):
                url_of_file, stamp = f"{_LOCAL}{match.real_path}", _stamp(_told(match.told))
                yield SourceFile(named(match.path), url_of_file, stamp, bounds, match.told)
    except OSError as error:
        raise SourceUnreadable(
            f"{who}: {declared} cannot be listed ({error}); next: mend the path or the access to it"
        ) from error


@contextmanager
def _prefixed(words: str) -> Iterator[None]:
    """Say of which source or file an error is."""
    try:
        yield
    except SourceUnreadable as error:
        raise SourceUnreadable(f"{words}{error}") from error


def _told(found: os.stat_result) -> dict[str, Any]:
    """Size, and both times: whoever copies or edits a file may set the time of its content, not that of the change."""
    return {"size": found.st_size, "mtime": f"{found.st_mtime}:{found.st_ctime}"}


def _name(declared: str, url: str, location: str, path: str) -> str:
    """A file as the manifest names it: the declared path, with what a folder or a wildcard stands for."""
    if path == location:
        return declared
    if not _GLOB & set(url):
        return f"{declared.rstrip('/')}{path[len(location.rstrip('/')) :]}"
    return declared[: _before_wildcard(declared)] + path[_wildcard(url, location) :]


def _wildcard(url: str, location: str) -> int:
    """Where the first part of a location with a wildcard of its URL begins; its length where none does."""
    of_url = url.rpartition("://")[2].rstrip("/")
    return len(location) - len(of_url) + _before_wildcard(of_url) if _GLOB & set(of_url) else len(location)


def _before_wildcard(path: str) -> int:
    """Length of the part of a path before its first wildcard, up to a slash."""
    wild = min((path.index(c) for c in _GLOB if c in path), default=len(path))
    return path.rfind("/", 0, wild) + 1


def _stamp(info: dict[str, Any]) -> str:
    key = next(filter(info.__contains__, ("ETag", "mtime", "LastModified", "etag")), "")
    return f"{info.get('size')}:{info.get(key, '')}"
