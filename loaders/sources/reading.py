"""Reading a source file once, through its compression, proven whole: as a stream, or as a plain local file."""

import codecs
import hashlib
import io
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from isal import igzip
from isal.igzip_lib import IsalError

from loaders.errors import SourceUnreadable
from loaders.manifests.manifest import Source
from loaders.sources.files import SourceFile
from loaders.sources.lines import count_lines


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
        stream = _decompressed(stored, file.compression)
        unpacked_bytes = 0
        while data := stream.read(1 << 20):
            unpacked_bytes += len(data)
            _expect_bounded(file, unpacked_bytes, stored)
    _prove(file, source, stored)
    return stored.sha256.hexdigest()


class SourceStream:
    """The bytes of a file through its compression, without a byte-order mark; proven whole once all are read."""

    def __init__(self, file: SourceFile, source: Source, raw: BinaryIO) -> None:
        """Read what `raw`, the opened file, holds."""
        self._file, self._source, self._is_at_start, self._unpacked_bytes = file, source, True, 0
        self._stored = _HashingReader(raw)
        with _blaming(file):
            stream = _decompressed(self._stored, file.compression)
        self._stream = stream if isinstance(stream, igzip.IGzipFile) else io.BufferedReader(stream)

    def read(self, size: int) -> bytes:
        """Read bytes; at the end, where there are none, compare the file with what the manifest declares.

        Raises:
            SourceUnreadable: as `verify_file`.
        """
        with _blaming(self._file):
            data = self._stream.read(size)
        self._unpacked_bytes += len(data)
        _expect_bounded(self._file, self._unpacked_bytes, self._stored)
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
            line = self._stream.readline(size)
        self._unpacked_bytes += len(line)
        return line

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
    if file.path is not None and file.compression is None:
        file.expect_unchanged()


@contextmanager
def local_file(file: SourceFile, source: Source, folder: Path) -> Iterator[LocalFile]:
    """A file, proven whole as in `verify_file`, as a plain local file: itself, or a copy in the folder for a while.

    DuckDB reads a truncated or corrupt gzip stream as if it ended there, so compressed files are unpacked here. A copy
    has no byte-order mark.

    Raises:
        SourceUnreadable: as `verify_file`, or the file changed while it was read.
    """
    survey = _TextSurvey()
    if file.path is not None and file.compression is None and not _has_mark(file):
        sha256 = verify_file(file, source, survey.look_at)
        yield LocalFile(Path(file.path), sha256, survey.lines, survey.has_controls)
        file.expect_unchanged()
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
        self._line_feeds += count_lines(chunk) - (chunk[-1:] not in (b"", b"\n"))
        self._last = chunk[-1:] or self._last
        self.has_controls = self.has_controls or b"\r" in chunk or b"\x01" in chunk

    @property
    def lines(self) -> int:
        return self._line_feeds + (self._last != b"\n")


def _has_mark(file: SourceFile) -> bool:
    with file.open() as raw:
        return raw.read(3) == codecs.BOM_UTF8


def _prove(file: SourceFile, source: Source, stored: "_HashingReader") -> None:
    if not stored.size_bytes and file.compression:
        raise SourceUnreadable(f"{file.name}: holds no bytes, not even an empty stream; next: export the file again")
    _compare(file, "checksum_sha256", stored.sha256.hexdigest(), source.checksum_sha256)
    _compare(file, "size_bytes", stored.size_bytes, source.size_bytes)


def _expect_bounded(file: SourceFile, unpacked_bytes: int, stored: "_HashingReader") -> None:
    if file.compression:
        file.bounds.expect_unpacked(file.name, unpacked_bytes, stored.size_bytes)


def _compare(file: SourceFile, name: str, found: object, declared: object) -> None:
    if declared is not None and found != declared:
        raise SourceUnreadable(
            f"{file.name}: {name} is {found}, the manifest declares {declared}; "
            f"next: restore the file, or declare the new {name} in a new version of the manifest"
        )


class _HashingReader(io.RawIOBase):
    """Hashes and counts what is read through it, and shows it to who looks at it."""

    def __init__(self, raw: BinaryIO, look_at: Callable[[bytes], object] | None = None) -> None:
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


def _decompressed(stream: _HashingReader, compression: str | None) -> Any:
    if compression == "gzip":
        return igzip.IGzipFile(fileobj=stream, mode="rb")  # type: ignore[no-untyped-call]  # has no types
    return pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), compression) if compression else stream


@contextmanager
def _blaming(file: SourceFile) -> Iterator[None]:
    """Say of a broken stream which file it is."""
    try:
        yield
    except (OSError, EOFError, IsalError) as error:  # type: ignore[misc]  # isal's stub calls the class an instance
        raise SourceUnreadable(f"{file.name}: {error}; next: export the file again") from error
