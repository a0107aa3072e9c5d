"""The document collections: which documents exist, and which version of each one stands in which snapshot.

The histories are fixed, so that a reader can predict every change; the seed only chooses the sentences.
Writes nothing; called by `sample`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from loaders.simulator.dice import Dice

_ABSENT = "."
_TOMBSTONE = "x"


class Document(NamedTuple):
    """A document; `history` has one sign per snapshot: a version, `.` not listed, `x` a tombstone."""

    slug: str
    title: str
    suffix: Literal["html", "md"]
    history: str
    is_suspected: bool = False
    unchecked_snapshot: int | None = None


class Collection(NamedTuple):
    """A collection and how its snapshots are to be read: the whole (`replace`) or the changes (`merge`)."""

    name: Literal["help_center", "release_notes"]
    disposition: Literal["replace", "merge"]
    documents: tuple[Document, ...]

    @property
    def slug(self) -> str:
        """The name as it stands in ids."""
        return self.name.replace("_", "-")


class Listing(NamedTuple):
    """One document in one snapshot; `first_listed` is the snapshot (index) that first held this version."""

    document: Document
    version: int
    first_listed: int
    is_tombstone: bool
    is_unchecked: bool


@dataclass(frozen=True)
class DocCounts:
    """What a snapshot says, of documents that admission lets through.

    `listed` has bytes; `added`, `changed` (other bytes than at its last listing) and `removed` compare with
    the state after the snapshot before; a document that comes back is added. `removed` under merge is a
    tombstone, under replace an absence.
    """

    listed: int
    added: int
    changed: int
    removed: int
    quarantined: int


HELP_CENTER = Collection(
    "help_center",
    "replace",
    (
        Document("reset-password", "Reset your password", "html", "1123"),
        Document("invite-members", "Invite members", "html", "1111"),
        Document("single-sign-on", "Single sign-on", "html", "1122"),
        Document("billing-seats", "Seats on the invoice", "html", "1112"),
        Document("billing-contact", "Change the billing contact", "md", "1111"),
        Document("gateway-install", "Install the edge gateway", "html", "1222"),
        Document("gateway-tunnels", "Tunnels that drop", "html", "1111"),
        Document("gateway-certificates", "Renew certificates", "md", "1122", unchecked_snapshot=2),
        Document("studio-projects", "Projects in Studio", "html", "1111"),
        Document("studio-export", "Export from Studio", "md", "11.."),
        Document("sync-stuck", "When a sync is stuck", "html", "1.11"),
        Document("sync-duplicates", "Rows that come twice", "html", "1112"),
        Document("legacy-client", "The legacy client", "html", "1..."),
        Document("slow-dashboards", "Slow dashboards", "html", ".111"),
        Document("service-levels", "Service levels", "md", "..12"),
        Document("refund-form", "Refund form", "html", "...1", is_suspected=True),
    ),
)
RELEASE_NOTES = Collection(
    "release_notes",
    "merge",
    (
        Document("workspace-5-1", "Workspace 5.1", "md", "1..."),
        Document("workspace-5-2", "Workspace 5.2", "md", ".12."),
        Document("edge-gateway-2-9", "Edge Gateway 2.9", "md", "12.."),
        Document("edge-gateway-3-0-beta", "Edge Gateway 3.0 beta", "md", "1.x."),
        Document("edge-gateway-3-0", "Edge Gateway 3.0", "md", "..1."),
        Document("studio-1-5", "Studio 1.5", "html", "1.12"),
        Document("studio-1-6-draft", "Studio 1.6 draft", "html", ".1.x"),
    ),
)
COLLECTIONS = (HELP_CENTER, RELEASE_NOTES)

_SENTENCES = (
    "Open Settings and choose your workspace.",
    "An administrator has to confirm the change.",
    "The change takes effect within five minutes.",
    "Keep the old value until the new one works.",
    "Restart the gateway when the status stays yellow.",
    "Fixed: the importer wrote rows twice.",
    "Fixed: sign-in looped on expired sessions.",
    "New: exports include attachments.",
    "If nothing helps, open a ticket and name the error code.",
    "The limit is 200 users per region.",
)


def listings(collection: Collection, snapshot: int) -> list[Listing]:
    """Return what the snapshot (index) lists, tombstones included."""
    found = []
    for document in collection.documents:
        sign = document.history[snapshot]
        if sign != _ABSENT:
            is_tombstone = sign == _TOMBSTONE
            known = [past for past in document.history[: snapshot + 1] if past.isdigit()]
            first_listed = document.history.index(known[-1])
            is_unchecked = document.unchecked_snapshot == snapshot
            found.append(Listing(document, int(known[-1]), first_listed, is_tombstone, is_unchecked))
    return found


def count_changes(collection: Collection, snapshot: int) -> DocCounts:
    """Compare the snapshot with the state after the one before."""
    before = _state_after(collection, snapshot - 1)
    after = _state_after(collection, snapshot)
    listed = listings(collection, snapshot)
    return DocCounts(
        listed=sum(not (item.is_tombstone or item.document.is_suspected) for item in listed),
        added=len(after.keys() - before.keys()),
        changed=sum(after[slug] != before[slug] for slug in after.keys() & before.keys()),
        removed=len(before.keys() - after.keys()),
        quarantined=sum(item.document.is_suspected for item in listed),
    )


def _state_after(collection: Collection, snapshot: int) -> dict[str, int]:
    """Return the version of each document that lives after the snapshot (index); none before the first."""
    state: dict[str, int] = {}
    for index in range(snapshot + 1):
        kept = state if collection.disposition == "merge" else {}
        listed = [item for item in listings(collection, index) if not item.document.is_suspected]
        gone = {item.document.slug for item in listed if item.is_tombstone}
        fresh = {item.document.slug: item.version for item in listed if not item.is_tombstone}
        state = {slug: version for slug, version in (kept | fresh).items() if slug not in gone}
    return state


def render(seed: int, document: Document, version: int) -> str:
    """Return the text of one version of a document."""
    dice = Dice(seed, f"documents/{document.slug}/{version}")
    unused = list(_SENTENCES)
    sentences = [unused.pop(dice.below(len(unused))) for _ in range(4)]
    if document.is_suspected:
        sentences.append("Write to refunds.ana@example.com and add your card number.")
    if document.suffix == "md":
        return "\n\n".join([f"# {document.title}", f"Version {version}", *sentences]) + "\n"
    body = "\n".join(f"<p>{sentence}</p>" for sentence in (f"Version {version}", *sentences))
    head = f'<html lang="en"><head><title>{document.title}</title></head>'
    return f"<!doctype html>\n{head}\n<body>\n<h1>{document.title}</h1>\n{body}\n</body></html>\n"
