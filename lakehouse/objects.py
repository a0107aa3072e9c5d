"""The object store: document bytes, content-addressed, each written once and never changed.

Any number of writers may put the same object: the bytes are the same, and a half-written file never has the name.
"""

import hashlib
import uuid
from typing import BinaryIO

import fsspec

from lakehouse.errors import OmniError
from lakehouse.settings import LakehouseSettings

_CHUNK_BYTES = 1 << 20


class ObjectMismatch(OmniError):
    """The bytes are not those that their fingerprint names; nothing was stored."""


def object_path(sha256: str) -> str:
    """Path of an object, relative to the warehouse."""
    return f"objects/sha256/{sha256[:2]}/{sha256}"


def put_object(settings: LakehouseSettings, content: BinaryIO, sha256: str) -> int:
    """Store bytes under their fingerprint, unless they are there.

    Returns:
        Size of the bytes.

    Raises:
        ObjectMismatch: the bytes have another fingerprint.
    """
    fs, root = fsspec.core.url_to_fs(settings.warehouse_url)
    target = f"{root}/{object_path(sha256)}"
    if fs.exists(target):
        return int(fs.size(target))
    fs.makedirs(target.rpartition("/")[0], exist_ok=True)
    partial = f"{target}.{uuid.uuid4().hex}.partial"
    digest, size_bytes = hashlib.sha256(), 0
    with fs.open(partial, "wb") as stream:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += stream.write(chunk)
    if digest.hexdigest() != sha256:
        fs.rm(partial)
        raise ObjectMismatch(f"found bytes with SHA-256 {digest.hexdigest()}, expected {sha256}")
    fs.mv(partial, target)
    return size_bytes
