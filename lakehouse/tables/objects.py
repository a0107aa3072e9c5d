"""The object store: document bytes, content-addressed, each written once and never changed.

Any number of writers may put the same object: the bytes are the same, and a half-written file never has the name.
"""

import hashlib
import os
import uuid
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlparse

import fsspec
from fsspec import AbstractFileSystem

from lakehouse.errors import OmniError
from lakehouse.settings import LakehouseSettings

_CHUNK_BYTES = 1 << 20
_SMALL_BYTES = 4 << 20
"""What is smaller is held in memory on its way to a store; a multipart upload's first part is 5 MiB at least."""


class ObjectMismatch(OmniError):
    """The bytes are not those that their fingerprint names; nothing was stored."""


def object_path(sha256: str) -> str:
    """Path of an object, relative to the warehouse."""
    return f"objects/sha256/{sha256[:2]}/{sha256}"


def object_size(settings: LakehouseSettings, sha256: str) -> int | None:
    """Size of an object; None while there is none."""
    fs, path, is_local = _locate(settings, sha256)
    try:
        if is_local:
            return os.stat(path).st_size  # noqa: PTH116  # to make a Path costs more than to look
        return int(fs.info(path)["size"])
    except FileNotFoundError:
        return None


def read_object(settings: LakehouseSettings, sha256: str, size_bytes: int | None) -> bytes:
    """The first bytes of an object, so many at most; all of them for None."""
    fs, path, is_local = _locate(settings, sha256)
    if not is_local:
        return bytes(fs.cat_file(path, end=size_bytes))
    with Path(path).open("rb") as stream:
        return stream.read(size_bytes)


def put_object(settings: LakehouseSettings, content: BinaryIO, sha256: str) -> int:
    """Store bytes under their fingerprint, unless they are there.

    Returns:
        Size of the bytes.

    Raises:
        ObjectMismatch: the bytes have another fingerprint.
    """
    if (found := object_size(settings, sha256)) is not None:
        return found
    fs, target, is_local = _locate(settings, sha256)
    first = b"" if is_local else _read(content, _SMALL_BYTES)
    if len(first) < _SMALL_BYTES and _shows_whole(settings.warehouse_url):
        _expect(sha256, hashlib.sha256(first).hexdigest())
        fs.pipe_file(target, first)  # one request, not eight
        return len(first)
    fs.makedirs(target.rpartition("/")[0], exist_ok=True)
    partial = f"{target}.{uuid.uuid4().hex}.partial"
    digest, size_bytes = hashlib.sha256(), 0
    with fs.open(partial, "wb") as stream:
        while chunk := first or content.read(_CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += stream.write(chunk)
            first = b""
    try:
        _expect(sha256, digest.hexdigest())
    except ObjectMismatch:
        fs.rm(partial)
        raise
    fs.mv(partial, target)
    return size_bytes


def _read(content: BinaryIO, size_bytes: int) -> bytes:
    """So many bytes, or all that are left; a stream may give fewer at a time."""
    found = bytearray()
    while len(found) < size_bytes and (chunk := content.read(size_bytes - len(found))):
        found += chunk
    return bytes(found)


def _shows_whole(url: str) -> bool:
    """Whether a store shows what is put as a whole, or not at all."""
    return urlparse(url).scheme in ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")


def _expect(sha256: str, found: str) -> None:
    if found != sha256:
        raise ObjectMismatch(f"found bytes with SHA-256 {found}, expected {sha256}")


def open_store(settings: LakehouseSettings) -> tuple[AbstractFileSystem, str]:
    """The file system that holds the warehouse, reached as the catalog's tables are, and the warehouse's path in it."""
    url = settings.warehouse_url
    return _open_store(url, () if _is_local(url) else tuple(sorted(settings.plain_catalog_properties.items())))


# To look them up costs more than to ask for an object.
@lru_cache(maxsize=8)
def _open_store(url: str, properties: tuple[tuple[str, str], ...]) -> tuple[AbstractFileSystem, str]:
    if _is_local(url):
        fs, root = fsspec.core.url_to_fs(url)
        return fs, str(root)
    from pyiceberg.io.fsspec import FsspecFileIO  # costs half a second, which a folder need not pay

    location = urlparse(url)
    fs = FsspecFileIO(dict(properties)).get_fs(location.scheme, location.hostname)
    return fs, str(fsspec.core.strip_protocol(url))


def _locate(settings: LakehouseSettings, sha256: str) -> tuple[AbstractFileSystem, str, bool]:
    """File system and path of an object, and whether it is a local file: fsspec costs more than to read a document."""
    fs, root = open_store(settings)
    return fs, f"{root}/{object_path(sha256)}", _is_local(settings.warehouse_url)


def _is_local(url: str) -> bool:
    return url.startswith("file://")
