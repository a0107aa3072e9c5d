"""The bytes of a content: those that its fingerprint names, or none."""

import hashlib

from lakehouse.settings import LakehouseSettings
from lakehouse.tables.objects import object_path, read_object
from loaders.errors import SourceUnreadable


def stored_content(settings: LakehouseSettings, fingerprint: str) -> bytes:
    """Read a content whole.

    Raises:
        SourceUnreadable: the store does not have it, or other bytes under its name.
    """
    try:
        content = read_object(settings, fingerprint, None)
    except FileNotFoundError as error:
        raise SourceUnreadable(f"{object_path(fingerprint)} is gone from the warehouse; next: omni verify") from error
    if hashlib.sha256(content).hexdigest() != fingerprint:
        raise SourceUnreadable(f"{object_path(fingerprint)} holds other bytes than were stored; next: omni verify")
    return content
