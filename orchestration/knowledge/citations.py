"""From a passage back to its bytes, batch and manifest; and from a quotation to where it stands.

Reads what the verdicts speak for, and the stored bytes; says what the verdict is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from unicodedata import normalize
from urllib.parse import quote, urlparse

from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.objects import object_path
from loaders.contents.judging import unresolved
from loaders.contents.stored import stored_content
from orchestration.knowledge.tables import JudgedTables, Row

PASSAGES, SECTIONS = "knowledge_passage", "knowledge_section"
_AROUND = 80
"""Characters of the neighbours that are shown."""
_NAMED_BY = 5
"""Words by which a link names the begin of a text, and its end."""


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
        ConfigurationError: no document has it now; when it was forgotten, if it ever was one, is told.
        SourceUnreadable: its bytes are gone, or others lie under their name.
    """
    tables = JudgedTables(settings)
    passage = next(iter(tables.rows(PASSAGES, passage_id=passage_id)), None)
    if passage is None:
        raise ConfigurationError(_unknown(tables, passage_id))
    whose = {"collection": passage["collection"], "doc_id": passage["doc_id"]}
    around = {row["ordinal"]: row["text"] for row in tables.rows(PASSAGES, **whose)}
    document = tables.row("knowledge_doc", **whose, source_fingerprint=passage["source_fingerprint"])
    day = document["valid_from"]
    listing = tables.row("raw_doc_assets", str(day), **whose, snapshot_date=day)
    return Citation(
        passage,
        around.get(passage["ordinal"] - 1, "")[-_AROUND:],
        around.get(passage["ordinal"] + 1, "")[:_AROUND],
        not unresolved(stored_content(settings, passage["source_fingerprint"]), [passage]),
        document,
        listing,
        _link(listing["source_file"], passage),
        tables.status(PASSAGES),
    )


@dataclass(frozen=True, slots=True)
class Quotation:
    """A text that someone says a document has."""

    sections: tuple[Row, ...]
    """Rows of `knowledge_section` in which it first stands, in their order; none where it stands nowhere."""
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
    tables = JudgedTables(settings)
    whose = _document(tables, doc_id)
    sections = sorted(tables.rows(SECTIONS, **whose), key=lambda row: int(row["ordinal"]))
    if refused := next((row for row in sections if row["reason"]), None):
        raise ConfigurationError(f"{doc_id} has no sections to look in ({refused['reason']}): it {refused['text']}")
    found = _sections_of(wanted, sections)
    passages = sorted(tables.rows(PASSAGES, **whose), key=lambda row: int(row["ordinal"])) if found else []
    first, last = (found[0]["ordinal"], found[-1]["ordinal"]) if found else (0, -1)
    ids = (row["passage_id"] for row in passages if row["first_section"] <= last and first <= row["last_section"])
    return Quotation(tuple(found), tuple(ids), tables.status(SECTIONS))


def _sections_of(wanted: str, sections: Sequence[Row]) -> list[Row]:
    """The sections that have some of the first place at which words stand."""
    said = [_words(row["text"]) for row in sections]
    at = " ".join(said).find(wanted)
    starts = accumulate((len(words) + 1 for words in said[:-1]), initial=0)
    spans = zip(sections, starts, said, strict=True)
    return [row for row, start, words in spans if start - len(wanted) < at < start + len(words)] if at >= 0 else []


def _words(text: str) -> str:
    return " ".join(normalize("NFC", text).split())


def _document(tables: JudgedTables, doc_id: str) -> dict[str, str]:
    keys = [(row["collection"], row["doc_id"]) for row in tables.rows("knowledge_doc")]
    found = [key for key in keys if doc_id in (key[1], "/".join(key))]
    if len(found) != 1:
        several = f"{len(found)} documents of that name, in {', '.join(sorted(key[0] for key in found))}"
        raise ConfigurationError(
            f"{doc_id}: found {several if found else 'no such document'}; expected the doc_id of one in knowledge_doc, "
            "with its collection and a slash before it where there are several"
        )
    return dict(zip(("collection", "doc_id"), found[0], strict=True))


def _unknown(tables: JudgedTables, passage_id: str) -> str:
    days = tables.days("passage_change_feed")
    gone = tables.rows("passage_change_feed", days[-1], passage_id=passage_id) if days else []
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
