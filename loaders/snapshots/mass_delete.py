"""The mass-delete guard (check `mass_delete`, error): a `replace` listing drops no more than its manifest allows.

Judged against the listings of earlier days, whatever was loaded later; a tombstone is a declared deletion and does not
count. When an earlier day is loaded again, later days keep their results. Called by `loaders.bronze.checks`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow.compute as pc
from pyiceberg.table import Table

from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import bronze
from lakehouse.partitions import Window
from lakehouse.tables.filters import day_filter
from loaders.manifests.manifest import Manifest
from loaders.plans.findings import Finding, Found, Inspection

_NAMED_DOCUMENTS = 10


@dataclass
class _Listing:
    """What one day says of one collection."""

    is_whole: bool = False
    documents: dict[str, bool] = field(default_factory=dict)
    """Document → whether the day deletes it."""


MASS_DELETE = "mass_delete"


def listing_findings(inspection: Inspection) -> Iterator[Found]:
    """Judge days of a listing."""
    table = inspection.catalog.load_table(bronze(inspection.contract.declared_asset.name))
    guard = MassDeleteGuard(table, inspection.ledger, inspection.days_with_rows)
    for item in inspection.items:
        yield item, MASS_DELETE, guard.judge(item)


class MassDeleteGuard:
    """Compares the `replace` listings of a day with the documents that were there before."""

    def __init__(self, table: Table, ledger: Ledger, days: Iterable[str]) -> None:
        """Judge by the days that the table holds listings of."""
        self._table, self._days = table, sorted(days)
        versions = ledger.manifest_versions()
        self._versions = {(v.manifest_id, v.manifest_sha256): v for v in versions}
        self._last = {v.manifest_id: v for v in versions}

    def judge(self, item: Materialization) -> Finding:
        """Judge the listings of a day."""
        listed = {name: day for name, day in self._read(item.partition).items() if day.is_whole}
        before = self._documents_before(item.partition, set(listed))
        found, failures = [], 0
        for collection, listing in sorted(listed.items()):
            removed = sorted(before[collection] - listing.documents.keys())
            manifest = self._replacing(item, collection)
            allowed = manifest.max_deleted_ratio if manifest else 0
            ratio = len(removed) / max(len(before[collection]), 1)
            message = f"{collection}: lacks {len(removed)} of the {len(before[collection])} documents listed before"
            if ratio > allowed:
                failures += len(removed)
                message += f" ({ratio:.1%}), {_mended_by(manifest, removed)}"
            found.append((ratio <= allowed, message))
        message = "; ".join(text for _, text in sorted(found)) or "no collection is listed whole"
        return message, failures

    def _documents_before(self, day: str, collections: set[str]) -> dict[str, set[str]]:
        """Documents of some collections at the end of the day before: of each, the last word back to a whole listing.

        Reads backwards and stops there, so the cost is not that of the history.
        """
        last_words: dict[str, dict[str, bool]] = {name: {} for name in collections}
        sought = set(collections)
        for earlier in reversed([key for key in self._days if key < day]):
            if not sought:
                break
            for collection, listing in self._read(earlier, sought).items():
                last_words[collection] = listing.documents | last_words[collection]
                if listing.is_whole:
                    sought.remove(collection)
        return {name: {doc for doc, is_gone in words.items() if not is_gone} for name, words in last_words.items()}

    def _read(self, day: str, collections: set[str] | None = None) -> dict[str, _Listing]:
        """The listings of a day, of all collections or of some."""
        columns = ("collection", "doc_id", "disposition", "is_tombstone")
        of_day = day_filter(self._table, Window.of_keys(day, day))
        rows = self._table.scan(row_filter=of_day, selected_fields=columns).to_arrow()
        if collections is not None:
            rows = rows.filter(pc.field("collection").isin(list(collections)))
        found: dict[str, _Listing] = {}
        for collection, doc_id, disposition, is_tombstone in zip(*(rows[c].to_pylist() for c in columns), strict=True):
            listing = found.setdefault(collection, _Listing())
            listing.is_whole |= disposition == "replace"
            listing.documents[doc_id] = is_tombstone
        return found

    def _replacing(self, item: Materialization, collection: str) -> Manifest | None:
        """The last manifest of the day that lists a collection whole: the one that counts.

        Of a version that a recovered ledger does not have, the last one speaks; None where it has none of the manifest.
        """
        keys = zip(item.manifest_ids, item.manifest_hashes, strict=True)
        versions = [self._versions.get(key) or self._last.get(key[0]) for key in keys]
        manifests = [Manifest.model_validate({**(v.declared or {}), "assets": []}) for v in versions if v]
        return next(
            (m for m in reversed(manifests) if (m.listed_collection, m.listing) == (collection, "replace")), None
        )


def _mended_by(manifest: Manifest | None, removed: list[str]) -> str:
    """The limit of a manifest, the documents that would go, and what to do about it."""
    if manifest is None:
        return "and the manifest that listed it is not on record; next: declare it again"
    more = len(removed) - _NAMED_DOCUMENTS
    return (
        f"max_deleted_ratio of {manifest.manifest_id} is {manifest.max_deleted_ratio:g}: "
        f"{', '.join(removed[:_NAMED_DOCUMENTS])}{f' and {more} more' if more > 0 else ''} would go; next: list them "
        "again (a source that admission holds back is not listed), or, if they are to go, raise max_deleted_ratio in a "
        f"new version of {manifest.manifest_id}"
    )
