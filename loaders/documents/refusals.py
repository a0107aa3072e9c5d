"""Why bytes become no sections, and how much a document may ask for: closed lists, said once.

* LoaderError
  * NotParsable: the bytes are kept, and have no sections; the reason says why
"""

from dataclasses import dataclass
from typing import Literal

from loaders.errors import LoaderError

Reason = Literal[
    "damaged",
    "empty",
    "encrypted",
    "no_text_layer",
    "not_what_it_says",
    "timed_out",
    "too_deep",
    "too_large",
    "too_many_blocks",
    "too_many_pages",
    "undecodable",
    "unsupported",
]
"""`timed_out` is for whoever ends a parse that takes too long; nothing here reads a clock."""


class NotParsable(LoaderError):
    """A document has no sections, for one of the known reasons."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason

    def __reduce__(self) -> tuple[type["NotParsable"], tuple[Reason, str]]:
        return type(self), (self.reason, str(self))  # else another process could not say why


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a document may have; past it, it is not parsed at all rather than in part."""

    size_bytes: int = 64 * 1024 * 1024
    depth: int = 256
    """Elements one inside another."""
    pages: int = 5_000
    blocks: int = 200_000
    parts: int = 1_000_000
    """Lines of a text, tags of HTML: what a parser has in memory one by one."""


def refuse_large(content: bytes, bounds: Bounds) -> None:
    """Stop at more bytes than a document may have.

    Raises:
        NotParsable: it has.
    """
    if len(content) > bounds.size_bytes:
        raise NotParsable(
            "too_large", f"has {len(content):,} bytes, at most {bounds.size_bytes:,} are parsed; next: split it"
        )


def refuse_parts(text: str, marks: str, bounds: Bounds) -> None:
    """Stop at more of these characters, each of which begins or ends a part, than a document may have.

    Raises:
        NotParsable: it has.
    """
    parts = sum(text.count(mark) for mark in marks)
    if parts > bounds.parts:
        what = "tags" if "<" in marks else "lines"
        raise NotParsable("too_large", f"has {parts:,} {what}, at most {bounds.parts:,} are parsed; next: split it")
