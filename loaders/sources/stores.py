"""Files of a remote store, through fsspec: listed and opened, whatever the store's library raises.

Each library has errors of its own, some of which are no OSError (botocore's `NoCredentialsError`): all of them say that
the source cannot be read, and hold back no other source. Called by `loaders.sources.files`.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlparse

import fsspec
from fsspec import AbstractFileSystem
from fsspec.registry import available_protocols

from lakehouse.shown_urls import without_credentials
from loaders.errors import SourceUnreadable
from loaders.sources.local_files import NO_DATA

_STORES = (
    *("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "tos", "hf"),
    *("http", "https", "webdav", "ftp", "sftp", "ssh", "hdfs", "webhdfs"),
)
"""Schemes that lead to another machine. What fsspec knows beside them reads this one, or through another scheme."""


def store_matches(url: str, has_wildcard: bool, properties: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """URLs of the file at a URL, of those below it, or those that its wildcards match, each with what its store tells.

    Args:
        url: What is looked for.
        has_wildcard: Whether it has any.
        properties: How its store is reached, as pyiceberg names them; with none, as the store's own library finds out.

    Raises:
        SourceUnreadable: the store does not say. Its message does not name the source.
    """
    _expect_store(url)
    with _explained("cannot be listed"):
        fs, location = _store(url, properties)
        scheme = fs.unstrip_protocol(location).removesuffix(location)
        for path, info in _listed(fs, location, has_wildcard):
            yield f"{scheme}{path}", info


def open_stored(url: str, name: str, properties: Mapping[str, str]) -> io.RawIOBase:
    """Open a file of a store; `name` is that of the file in messages, `properties` as above.

    Raises:
        SourceUnreadable: it cannot be opened; or, from what reads it, its bytes cannot be had.
    """
    with _explained(f"{name}: cannot be opened"):
        fs, location = _store(url, properties)
        return _Stored(fs.open(location, "rb"), name)


def _store(url: str, properties: Mapping[str, str]) -> tuple[AbstractFileSystem, str]:
    if not properties:
        fs, location = fsspec.core.url_to_fs(url)
        return fs, str(location)
    from pyiceberg.io.fsspec import FsspecFileIO  # a process that stages local files does without

    where = urlparse(url)
    return FsspecFileIO(dict(properties)).get_fs(where.scheme, where.hostname), str(fsspec.core.strip_protocol(url))


class _Stored(io.RawIOBase):
    """A file of a store, whose errors are the source's."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream, self._name = stream, name

    def readable(self) -> bool:
        """It only reads."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read bytes."""
        with _explained(f"{self._name}: cannot be read"):
            return bytes(self._stream.read(size))

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._stream.close()
        super().close()


def _expect_store(url: str) -> None:
    """Refuse what fsspec would read on this machine (`zip://…::file://…`, `local://`) past every source root."""
    scheme = url.partition("://")[0]
    if "::" in url or (scheme in available_protocols() and scheme not in _STORES):
        raise SourceUnreadable(
            f"cannot be listed ({scheme} is no store of its own); next: use a path, file:// or one of "
            f"{', '.join(_STORES)}"
        )


def _listed(fs: Any, location: str, has_wildcard: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        found = fs.info(location)
    except FileNotFoundError:
        found = {"type": None}
    if found["type"] == "file":
        yield location, found
    elif has_wildcard:
        for path, info in fs.glob(location, detail=True).items():
            if info["type"] == "file":
                yield path, info
    else:
        start = len(location.rstrip("/")) + 1
        for path, info in fs.find(location, detail=True).items():
            if not any(part.startswith(NO_DATA) for part in path[start:].split("/")):
                yield path, info


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a store's library raises whatever it likes
        reason = without_credentials(str(error).partition("\n")[0]) or type(error).__name__
        raise SourceUnreadable(f"{what} ({reason}); next: mend the path or the access to it") from error
