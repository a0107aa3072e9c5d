"""How large a source may be: what holds more is refused while it is read, before it fills a disk or a memory.

Said by the settings `OMNI_MAX_…`; each refusal names its own.
"""

from dataclasses import dataclass

from lakehouse.settings import LakehouseSettings
from loaders.errors import SourceUnreadable

_ALWAYS_BYTES = 64 * 1024 * 1024
"""So much may come out of any file, however small it is: a short file of alike lines is no bomb."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a file and of its records."""

    unpacked_bytes: int
    unpacked_ratio: int
    record_bytes: int
    record_fields: int
    record_depth: int

    @classmethod
    def of(cls, settings: LakehouseSettings) -> "Bounds":
        """Those of a lakehouse."""
        return cls(
            settings.max_unpacked_bytes,
            settings.max_unpacked_ratio,
            settings.max_record_bytes,
            settings.max_record_fields,
            settings.max_record_depth,
        )

    def expect_unpacked(self, name: str, unpacked_bytes: int, stored_bytes: int) -> None:
        """Expect of a file that no more came out of it than may.

        Raises:
            SourceUnreadable: more did.
        """
        if unpacked_bytes > self.unpacked_bytes:
            raise SourceUnreadable(
                f"{name}: holds more than {shown_bytes(self.unpacked_bytes)} once it is unpacked; next: export it in "
                "parts, or raise OMNI_MAX_UNPACKED_BYTES"
            )
        if unpacked_bytes > max(_ALWAYS_BYTES, self.unpacked_ratio * stored_bytes):
            raise SourceUnreadable(
                f"{name}: unpacks to more than {self.unpacked_ratio} times its size; next: look at what it is, then "
                "raise OMNI_MAX_UNPACKED_RATIO"
            )

    def expect_fields(self, name: str, fields: int) -> None:
        """Expect of a file with columns that they are no more than a record may have fields.

        Raises:
            SourceUnreadable: they are more.
        """
        if fields > self.record_fields:
            raise SourceUnreadable(
                f"{name}: found {fields} columns, expected {self.record_fields} or less; next: export it with fewer, "
                "or raise OMNI_MAX_RECORD_FIELDS"
            )


def shown_bytes(size: int) -> str:
    """A number of bytes for a person."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} bytes"
