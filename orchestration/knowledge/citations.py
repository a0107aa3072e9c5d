"""From a passage back to its bytes, batch and manifest; and from a quotation to where it stands.

Reads the tables as they are, and the stored bytes; says how safe the asset is that the answer was read from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any
from unicodedata import normalize
from urllib.parse import quote, urlparse

from lakehouse.errors import ConfigurationError
from lakehouse.partitions import WHOLE
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import find_table
from lakehouse.tables.filters import equal_to
from lakehouse.tables.objects import object_path, read_object
from loaders.stored_documents import is_resolved
from orchestration.readiness.readiness import open_readiness

PASSAGES, SECTIONS = "knowledge_passage", "knowledge_section"
_AROUND = 80
"""Characters of the neighbours that are shown."""
_NAMED_BY = 5
"""Words by which a link names the begin of a text, and its end."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage with all that proves it."""

    passage: Row
    """Its row in `knowledge_passage`."""
    prefix: str
    """End of the passage before it in the document."""
    suffix: str
    """Begin of the passage behind it."""
    is_resolved: bool
    """The stored bytes have its text where its anchor says."""
    document: Row
    """Its row in `knowledge_doc`."""
    listing: Row
    """The row of `raw_doc_assets` that brought this version."""
    link: str | None
    """Where it can be read: the document's address, with its text as a fragment."""
    verdict: str
    """Status of `knowledge_passage`."""

    @property
    def is_proved(self) -> bool:
        """It stands where it says, and what says so is safe to use."""
        return self.is_resolved and self.verdict == "READY"


def cite(settings: LakehouseSettings, passage_id: str) -> Citation:
    """Find a passage by its id.

    Raises:
        ConfigurationError: no document has it now; its last day, if it ever was one, is told.
    """
    passage = next(iter(_rows(settings, PASSAGES, passage_id=passage_id)), None)
    if passage is None:
        raise ConfigurationError(_unknown(settings, passage_id))
    whose = {"collection": passage["collection"], "doc_id": passage["doc_id"]}
    around = {row["ordinal"]: row["text"] for row in _rows(settings, PASSAGES, **whose)}
    (document,) = _rows(settings, "knowledge_doc", **whose)
    (listing,) = _rows(settings, "raw_doc_assets", **whose, snapshot_date=document["valid_from"])
    content = read_object(settings, passage["source_fingerprint"], None)
    return Citation(
        passage,
        around.get(passage["ordinal"] - 1, "")[-_AROUND:],
        around.get(passage["ordinal"] + 1, "")[:_AROUND],
        is_resolved(content, passage),
        document,
        listing,
        _link(listing["source_file"], passage),
        str(open_readiness(settings).verdict(PASSAGES, WHOLE).status),
    )


@dataclass(frozen=True, slots=True)
class Quotation:
    """A text that someone says a document has."""

    sections: tuple[Row, ...]
    """Rows of `knowledge_section` in which it stands, in their order; none where it stands nowhere."""
    passages: tuple[str, ...]
    """Ids of the passages that have some of it."""
    verdict: str
    """Status of `knowledge_section`."""


def find_quotation(settings: LakehouseSettings, text: str, doc_id: str) -> Quotation:
    """Find where a text stands in a document as it is now; white space and Unicode's ways to write a letter aside.

    Args:
        settings: Those of the lakehouse.
        text: As it was quoted.
        doc_id: The document, with `collection/` before it where several collections have one of that name.

    Raises:
        ConfigurationError: there is no such document, several, or one that has no sections; or nothing is quoted.
    """
    if not (wanted := _words(text)):
        raise ConfigurationError("found a quotation without words; expected those that a copilot quoted")
    whose = _document(settings, doc_id)
    sections = sorted(_rows(settings, SECTIONS, **whose), key=lambda row: int(row["ordinal"]))
    if refused := next((row for row in sections if row["reason"]), None):
        raise ConfigurationError(f"{doc_id} has no sections to look in ({refused['reason']}): it {refused['text']}")
    said, spans = "", []
    for row in sections:
        said = f"{said} {_words(row['text'])}".lstrip()
        spans.append((len(said) - len(_words(row["text"])), len(said)))
    at = said.find(wanted)
    found = [
        row
        for row, (start, end) in zip(sections, spans, strict=True)
        if at >= 0 and start < at + len(wanted) and at < end
    ]
    passages = sorted(_rows(settings, PASSAGES, **whose), key=lambda row: int(row["ordinal"])) if found else []
    ids = [row["passage_id"] for row in passages if any(_overlap(row, section) for section in found)]
    return Quotation(tuple(found), tuple(ids), str(open_readiness(settings).verdict(SECTIONS, WHOLE).status))


def _words(text: str) -> str:
    return " ".join(normalize("NFC", text).split())


def _overlap(passage: Row, section: Row) -> bool:
    if section["byte_start"] is None:
        return bool(passage["page"] == section["page"])
    return bool(passage["byte_start"] < section["byte_end"] and section["byte_start"] < passage["byte_end"])


def _document(settings: LakehouseSettings, doc_id: str) -> dict[str, str]:
    documents = find_table(open_catalog(settings), "knowledge_doc").scan(selected_fields=("collection", "doc_id"))
    keys = [(row["collection"], row["doc_id"]) for row in documents.to_arrow().to_pylist()]
    found = [key for key in keys if doc_id in (key[1], "/".join(key))]
    if len(found) != 1:
        several = f"{len(found)} documents of that name, in {', '.join(sorted(key[0] for key in found))}"
        raise ConfigurationError(
            f"{doc_id}: found {several if found else 'no such document'}; expected the doc_id of one in knowledge_doc, "
            "with its collection and a slash before it where there are several"
        )
    return dict(zip(("collection", "doc_id"), found[0], strict=True))


def _rows(settings: LakehouseSettings, asset: str, **values: str | date) -> list[Row]:
    """Rows of an asset that have these values."""
    rows: list[Row] = (
        find_table(open_catalog(settings), asset).scan(row_filter=equal_to(**values)).to_arrow().to_pylist()
    )
    return rows


def _unknown(settings: LakehouseSettings, passage_id: str) -> str:
    gone = _rows(settings, "passage_change_feed", passage_id=passage_id)
    last = max((row["snapshot_date"] for row in gone if row["change_type"] == "forget"), default=None)
    if last is None:
        return f"{passage_id}: found no passage of that id; expected a passage_id of {PASSAGES}"
    return f"{passage_id}: no document has this passage any more; it was forgotten on {last}"


def _link(source_file: str, passage: Row) -> str | None:
    """A link to the passage in a page: https://wicg.github.io/scroll-to-text-fragment."""
    if urlparse(source_file).scheme not in ("http", "https"):
        return None
    if passage["normalisation"] != "html-text-1":
        return source_file
    words = passage["text"].split()
    ends = [words[:_NAMED_BY], words[-_NAMED_BY:]] if len(words) > 2 * _NAMED_BY else [words]
    return f"{source_file.partition('#')[0]}#:~:text={','.join(map(_fragment, ends))}"


def _fragment(words: Iterable[str]) -> str:
    return quote(" ".join(words), safe="").replace("-", "%2D")


def provenance(citation: Citation) -> dict[str, str]:
    """By what a passage came, from its bytes to its manifest, each by its name."""
    listing = citation.listing
    return {
        "document": f"{listing['collection']}/{listing['doc_id']}",
        "version": f"{citation.document['version_number']}, since {citation.document['valid_from']}",
        "object": object_path(listing["source_fingerprint"]),
        "file": listing["source_file"],
        "snapshot": str(listing["snapshot_date"]),
        "batch": listing["batch_id"],
        "manifest": listing["manifest_id"],
    }
