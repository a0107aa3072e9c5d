"""Whether what is said of a content stands in its bytes: the judge of sections and passages, apart from who reads them.

Called with one content at a time, in a process that may be ended (`loaders.workers`), and by whoever cites.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.metadata import version

from lakehouse.settings import LakehouseSettings
from loaders.contents.rows import Row, boxes_of
from loaders.contents.stored import stored_content
from loaders.documents.resolving import holds_line, resolve, resolve_boxes

JUDGE = f"anchors-1 pypdfium2-{version('pypdfium2')}"
"""Version of the judgment: part of the definition of a test that asks for it."""


class AnchorJudge:
    """Finds what does not stand in a content where its anchor says."""

    def __init__(self, settings: LakehouseSettings) -> None:
        """Read from the store that the settings name."""
        self._settings = settings

    def __call__(self, content: tuple[str, list[Row]]) -> list[int]:
        """Ordinals of the rows of one content, by its fingerprint, whose anchors give another text, or none.

        Raises:
            SourceUnreadable: the store does not have the content, or other bytes under its name.
        """
        fingerprint, rows = content
        return unresolved(stored_content(self._settings, fingerprint), rows)


def unresolved(content: bytes, rows: Sequence[Row]) -> list[int]:
    """Ordinals of the rows whose anchors do not give their text, by the rules of their normalisation.

    Args:
        content: The stored bytes.
        rows: Sections or passages: `ordinal`, `text`, `encoding`, `normalisation`, `page`, `parts`.
    """
    of_pdf = [row for row in rows if row["normalisation"] == "pdf-text-1"]
    hold = {id(row) for row in _of_boxes(content, of_pdf)} if of_pdf else set()
    hold |= {id(row) for row in _of_bytes(content, rows)}
    return [row["ordinal"] for row in rows if id(row) not in hold]


def _of_bytes(content: bytes, rows: Sequence[Row]) -> Iterator[Row]:
    """The rows that hold of a text format."""

    @lru_cache(maxsize=1)  # parts of one list or table name the same bytes
    def text_of(encoding: str, normalisation: str, start: int, end: int) -> str:
        if not 0 <= start < end <= len(content):
            raise ValueError(f"bytes {start} to {end} are none of an object of {len(content)}")
        return resolve(content, encoding, normalisation, start, end)

    for row in rows:
        said = (row["encoding"], row["normalisation"])
        try:
            found = [
                text_of(*said, part["byte_start"], part["byte_end"])[part["text_start"] : part["text_end"]]
                for part in row["parts"]
            ]
        except (KeyError, TypeError, ValueError):  # an anchor that is none
            continue
        if row["text"] == "\n".join(found):
            yield row


def _of_boxes(content: bytes, rows: Sequence[Row]) -> Iterator[Row]:
    """The rows that hold of a PDF."""
    boxes = [[box for part in row["parts"] for box in boxes_of(part["boxes"])] for row in rows]
    pages = [row["page"] or 0 for row in rows]
    for row, found in zip(rows, resolve_boxes(content, zip(pages, boxes, strict=True)), strict=True):
        lines = row["text"].split("\n")
        if found and any(part["text_start"] is not None for part in row["parts"]):
            holds = all(holds_line("".join(found), line) for line in lines)
        else:
            holds = len(lines) == len(found) and all(holds_line(*each) for each in zip(found, lines, strict=True))
        if holds:
            yield row
