"""The files under a folder of the warehouse, by one listing; and what a table's metadata name that is not there.

A file that lies elsewhere is asked for by itself. Called by `lakehouse.proof`, `lakehouse.upkeep.orphans`, and, to
tell what a commit wrote, by `lakehouse.tables.catalog`.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlparse

import fsspec
import orjson
from fsspec import AbstractFileSystem
from pyiceberg.io import FileIO
from pyiceberg.io.fsspec import FsspecFileIO
from pyiceberg.manifest import read_manifest_list
from pyiceberg.table import Table

from lakehouse.database.written_files import WrittenFile, named_files

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file as a listing shows it."""

    path: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file that a table's metadata name and that is not what they say."""

    location: str
    found_bytes: int | None
    """None: it is not there."""
    expected_bytes: int | None
    """None where the metadata do not say."""

    @property
    def found(self) -> str:
        """What is there, for a person."""
        return f"no file {self.location}" if self.found_bytes is None else f"{self.location}: {self.found_bytes} bytes"

    @property
    def expected(self) -> str:
        """What the metadata say, for a person."""
        return "the file" if self.expected_bytes is None else f"{self.expected_bytes} bytes by the table's metadata"


class TableFiles:
    """What is stored under a table's folder, as listed when this was made."""

    def __init__(self, table: Table) -> None:
        """List the folder."""
        self._io = table.io
        self._sizes = {file.path: file.size_bytes for file in list_table(table)}

    def broken(self, location: str, expected_bytes: int | None) -> BrokenFile | None:
        """The file, where it is gone or has another size; None for a sound one."""
        size = self._sizes.get(path_of(location))
        found = self._size_elsewhere(location) if size is None else size
        is_sound = found is not None and expected_bytes in (None, found)
        return None if is_sound else BrokenFile(location, found, expected_bytes)

    def has(self, location: str) -> bool:
        """Whether a file of the folder is there."""
        return path_of(location) in self._sizes

    def _size_elsewhere(self, location: str) -> int | None:
        try:
            return len(self._io.new_input(location))
        except FileNotFoundError:
            return None


def hashed_file(io: FileIO, location: str) -> WrittenFile:
    """What a file is as it stands, read as a stream.

    Raises:
        FileNotFoundError: it is gone.
    """
    digest, size_bytes = hashlib.sha256(), 0
    with io.new_input(location).open() as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += len(chunk)
    return WrittenFile(location, size_bytes, digest.hexdigest())


def new_files(io: FileIO, location: str, known: Callable[[Sequence[str]], set[str]]) -> Iterator[WrittenFile]:
    """What a commit wrote: its metadata, manifest lists and manifests, and the data files that its snapshots name.

    Args:
        io: Reads the files.
        location: The metadata file that the commit left.
        known: Those of some locations that are recorded.
    """
    yield hashed_file(io, location)
    with io.new_input(location).open() as stream:
        metadata = orjson.loads(stream.read())
    latest = sorted(metadata.get("snapshots", ()), key=lambda each: -each["sequence-number"])
    recorded: set[str] = set()
    for snapshot in latest:
        if known([snapshot["manifest-list"]]):
            break  # it was there before the commit
        try:
            yield hashed_file(io, snapshot["manifest-list"])
        except FileNotFoundError:  # of an old one, in a table whose files were not recorded then
            break
        if snapshot in latest[:2]:  # a commit makes two at most: what goes, and what comes
            manifests = [each.manifest_path for each in read_manifest_list(io.new_input(snapshot["manifest-list"]))]
            recorded |= known(manifests)
            yield from (hashed_file(io, path) for path in manifests if path not in recorded)
            recorded.update(manifests)
        yield from named_files(metadata["location"], snapshot.get("summary", {}))


def list_table(table: Table) -> list[StoredFile]:
    """The data and metadata files under a table's folder, whether or not it refers to them."""
    fs = file_system(table)
    return [file for part in ("data", "metadata") for file in list_files(fs, path_of(f"{table.location()}/{part}"))]


def file_system(table: Table) -> AbstractFileSystem:
    """The file system of a table's folder."""
    uri = urlparse(table.location())
    return FsspecFileIO(table.io.properties).get_fs(uri.scheme or "file", uri.hostname)


def list_files(fs: AbstractFileSystem, folder: str) -> list[StoredFile]:
    """The files under a folder, named as the file system names it; none where there is no such folder."""
    fs.invalidate_cache()
    return [_stored_file(path, info) for path, info in fs.find(folder, detail=True).items()]


def path_of(location: str) -> str:
    """A location as fsspec lists it, whatever its scheme is called."""
    return str(fsspec.core.strip_protocol(location))


def _stored_file(path: str, info: dict[str, Any]) -> StoredFile:
    at = info["LastModified"] if "LastModified" in info else datetime.fromtimestamp(info["mtime"], UTC)
    return StoredFile(path, info["size"], at)
