"""From a declared source to its files: aliases, relative paths, globs, remote URLs; reading a file once, proven whole.

A file is named as the manifest names it, never by a path of the machine, so that the same source has the same name
everywhere.
"""

import codecs
import glob
import hashlib
import io
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem
from isal import igzip
from isal.igzip_lib import IsalError

from lakehouse.settings import LakehouseSettings
from loaders.errors import SourceUnreadable
from loaders.manifest import Source

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_GLOB = set("*?[")
_NO_DATA = (".", "_")
"""How the names of hidden and marker files begin (`.git/…`, `_SUCCESS`, `_temporary/…`)."""


@dataclass(frozen=True)
class LocalFile:
    """A plain file on this machine, with the bytes that its source holds."""

    path: Path
    sha256: str
    """Of the bytes as the source stores them."""
    lines: int
    """Number of lines."""
    has_controls: bool
    """Whether a carriage return or a control character of the lowest (U+0001) is in it."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source."""

    name: str
    """As the manifest names it; with a glob, the matched path."""
    location: str
    """Where fsspec finds it."""
    stamp: str
    """Changes when the file does, as far as its directory entry tells (size and time, or the store's tag)."""

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


def find_files(settings: LakehouseSettings, manifest_path: Path, source: Source) -> list[SourceFile]:
    """List the files of a source, in the order of their names.

    Raises:
        SourceUnreadable: there is none.
    """
    declared = source.source_url_or_path
    url = _apply_alias(settings, declared)
    for root in _roots(settings, manifest_path, url):
        try:
            fs, location = fsspec.core.url_to_fs(f"{root}{url}")
            found = sorted(_matches(fs, location, url), key=lambda match: match[0])
        except (OSError, ValueError, TypeError, ImportError) as error:
            raise SourceUnreadable(
                f"{source.source_id}: {declared} cannot be listed ({error}); next: mend the path or the access to it"
            ) from error
        if found:
            scheme = fs.unstrip_protocol(location).removesuffix(location)
            return [
                SourceFile(_name(declared, url, location, path), f"{scheme}{path}", _stamp(info))
                for path, info in found
            ]
    raise SourceUnreadable(
        f"{source.source_id}: no file at {declared!r}, neither beside {manifest_path.name} nor under OMNI_SOURCE_ROOT; "
        f"next: bring the file or take the source out of {manifest_path.name}"
    )


def verify_file(file: SourceFile, source: Source, look_at: Callable[[bytes], object] | None = None) -> str:
    """Read a file once, through its compression, and compare it with what the manifest declares.

    Args:
        file: The file.
        source: What is declared of it.
        look_at: Is given the bytes as stored, piece by piece.

    Returns:
        SHA-256 of the bytes as stored.

    Raises:
        SourceUnreadable: the stream is broken, or size or checksum are not what was declared.
    """
    with file.open() as raw, _blaming(file):
        stored = _HashingReader(raw, look_at)
        stream = _decompressed(stored, file.name)
        while stream.read(1 << 20):
            pass
    _prove(file, source, stored)
    return stored.sha256.hexdigest()


class SourceStream:
    """The bytes of a file through its compression, without a byte-order mark; proven whole once all are read."""

    def __init__(self, file: SourceFile, source: Source, raw: BinaryIO) -> None:
        """Read what `raw`, the opened file, holds."""
        self._file, self._source, self._is_at_start = file, source, True
        self._stored = _HashingReader(raw, None)
        with _blaming(file):
            stream = _decompressed(self._stored, file.name)
        self._stream = stream if isinstance(stream, igzip.IGzipFile) else io.BufferedReader(stream)

    def read(self, size: int) -> bytes:
        """Read bytes; at the end, where there are none, compare the file with what the manifest declares.

        Raises:
            SourceUnreadable: as `verify_file`.
        """
        with _blaming(self._file):
            data = self._stream.read(size)
        if self._is_at_start:
            self._is_at_start = False
            return data.removeprefix(codecs.BOM_UTF8) or self.read(size)
        if not data:
            _prove(self._file, self._source, self._stored)
        return data

    def readline(self, size: int) -> bytes:
        """Read to the end of the line, at most so many bytes.

        Raises:
            SourceUnreadable: the stream is broken.
        """
        with _blaming(self._file):
            return self._stream.readline(size)

    @property
    def sha256(self) -> str:
        """Of the bytes as stored that are read by now."""
        return self._stored.sha256.hexdigest()


@contextmanager
def open_stream(file: SourceFile, source: Source) -> Iterator[SourceStream]:
    """Open a file to read it once, from the start to the end, without a copy.

    Raises:
        SourceUnreadable: the file cannot be opened, or changed while it was read.
    """
    with file.open() as raw:
        yield SourceStream(file, source, raw)
    if file.location.startswith("file://") and _compression(file.name) is None:
        _expect_unchanged(file)


@contextmanager
def local_file(file: SourceFile, source: Source, folder: Path) -> Iterator[LocalFile]:
    """A file, proven whole as in `verify_file`, as a plain local file: itself, or a copy in the folder for a while.

    DuckDB reads a truncated or corrupt gzip stream as if it ended there, so compressed files are unpacked here. A copy
    has no byte-order mark.

    Raises:
        SourceUnreadable: as `verify_file`, or the file changed while it was read.
    """
    survey = _TextSurvey()
    if file.location.startswith("file://") and _compression(file.name) is None and not _has_mark(file):
        path = Path(file.location.removeprefix("file://"))
        sha256 = verify_file(file, source, survey.look_at)
        yield LocalFile(path, sha256, survey.lines, survey.has_controls)
        _expect_unchanged(file)
        return
    copy = folder / uuid.uuid4().hex  # without an ending: DuckDB would take .gz for compressed
    try:
        with open_stream(file, source) as stream, copy.open("wb") as sink:
            while data := stream.read(1 << 20):
                sink.write(data)
                survey.look_at(data)
        yield LocalFile(copy, stream.sha256, survey.lines, survey.has_controls)
    finally:
        copy.unlink(missing_ok=True)


class _TextSurvey:
    """What the bytes of a text file hold, looked at on their way."""

    def __init__(self) -> None:
        self._line_feeds, self._last, self.has_controls = 0, b"\n", False

    def look_at(self, chunk: bytes) -> None:
        self._line_feeds += chunk.count(b"\n")
        self._last = chunk[-1:] or self._last
        self.has_controls = self.has_controls or b"\r" in chunk or b"\x01" in chunk

    @property
    def lines(self) -> int:
        return self._line_feeds + (self._last != b"\n")


def _has_mark(file: SourceFile) -> bool:
    with file.open() as raw:
        return raw.read(3) == codecs.BOM_UTF8


def _prove(file: SourceFile, source: Source, stored: "_HashingReader") -> None:
    if not stored.size_bytes and _compression(file.name):
        raise SourceUnreadable(f"{file.name}: holds no bytes, not even an empty stream; next: export the file again")
    _compare(file, "checksum_sha256", stored.sha256.hexdigest(), source.checksum_sha256)
    _compare(file, "size_bytes", stored.size_bytes, source.size_bytes)


def _expect_unchanged(file: SourceFile) -> None:
    fs, found = fsspec.core.url_to_fs(file.location)
    if _stamp(fs.info(found)) != file.stamp:
        raise SourceUnreadable(f"{file.name}: changed while it was read; next: run it again")


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
        return [(location, fs.info(location))]
    if _GLOB & set(url):
        root = location.removesuffix(url.rpartition("://")[2])
        pattern = glob.escape(root) + location[len(root) :] if root != location else location
        return [(path, fs.info(path)) for path in fs.glob(pattern) if fs.isfile(path)]
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
            yield entry.path, {"size": found.st_size, "mtime": found.st_mtime}


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


def _compare(file: SourceFile, name: str, found: object, declared: object) -> None:
    if declared is not None and found != declared:
        raise SourceUnreadable(
            f"{file.name}: {name} is {found}, the manifest declares {declared}; "
            f"next: restore the file, or declare the new {name} in a new version of the manifest"
        )


class _HashingReader(io.RawIOBase):
    """Hashes and counts what is read through it, and shows it to who looks at it."""

    def __init__(self, raw: BinaryIO, look_at: Callable[[bytes], object] | None) -> None:
        self.raw, self._look_at = raw, look_at
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def readable(self) -> bool:
        """It only reads."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read from the underlying stream; without a buffer in between, which costs more than a small file."""
        data = self.raw.read(size)
        self.sha256.update(data)
        self.size_bytes += len(data)
        if self._look_at is not None:
            self._look_at(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the underlying stream."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _decompressed(stream: _HashingReader, name: str) -> Any:
    compression = _compression(name)
    if compression == "gzip":
        return igzip.IGzipFile(fileobj=stream, mode="rb")  # type: ignore[no-untyped-call]  # has no types
    return pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), compression) if compression else stream


def _compression(name: str) -> str | None:
    return next((kind for ending, kind in _COMPRESSIONS.items() if name.endswith(ending)), None)


@contextmanager
def _blaming(file: SourceFile) -> Iterator[None]:
    """Say of a broken stream which file it is."""
    try:
        yield
    except (OSError, EOFError, IsalError) as error:  # type: ignore[misc]  # isal's stub calls the class an instance
        raise SourceUnreadable(f"{file.name}: {error}; next: export the file again") from error
