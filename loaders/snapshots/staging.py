"""Document days as Parquet files: the listing of a day, its bytes and those of its sidecars in the object store.

Of a collection on one day, the last `replace` batch counts whole and later `merge` batches on top of it. A document
that one batch lists twice refuses the day.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow

from lakehouse.contracts.model import Contract
from lakehouse.kinds import SIDECARS
from lakehouse.ledger.evidence import RowCounts
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import contract_table
from lakehouse.tables.objects import ObjectMismatch, object_path, object_size, put_object, read_object
from loaders.errors import SourceUnreadable
from loaders.plans.plan import CoveredFile, Description, PartitionPlan, StagedDay, planned_materialization
from loaders.plans.staged_files import write_staged
from loaders.snapshots.formats import describe, is_paged
from loaders.sources.files import SourceFile

_PII_LEVELS = {"clear": "none", "not_applicable": "none", "redacted": "low"}


class ListingStager:
    """Stages one day after another."""

    def __init__(self, settings: LakehouseSettings, contract: Contract, run_id: str, folder: Path) -> None:
        """Stage into a folder of the run's own."""
        self._settings, self._run_id, self._folder = settings, run_id, folder
        self._schema = schema_to_pyarrow(contract_table(contract).schema, include_field_ids=False)

    def __call__(self, plan: PartitionPlan) -> StagedDay:
        """Store the documents of a day and write its listing.

        Raises:
            SourceUnreadable: a file changed or vanished since coverage looked at it, or a batch lists a document twice.
        """
        started_at = datetime.now(UTC)
        _refuse_repeated(plan)
        rows = _listing(self._settings, plan, self._run_id)
        counts = RowCounts(plan.rows_expected, len(plan.files), len(rows), len(plan.files) - len(rows))
        item = planned_materialization(plan, counts, self._run_id, started_at, with_files=False)
        of_contract = [{name: row[name] for name in self._schema.names} for row in rows]
        return StagedDay(item, write_staged(pa.Table.from_pylist(of_contract, schema=self._schema), self._folder))


def _doc_id(covered: CoveredFile) -> str:
    """The source's id; of a folder or a glob, with the path below the part that all its files share."""
    declared, name = covered.admission.source.source_url_or_path, covered.record.source_file
    if name == declared:
        return covered.admission.source.source_id
    folder = f"{declared.rstrip('/')}/"
    shared = folder if name.startswith(folder) else re.split(r"[*?[]", declared)[0].rpartition("/")[0]
    return f"{covered.admission.source.source_id}/{name.removeprefix(shared).lstrip('/')}"


def _refuse_repeated(plan: PartitionPlan) -> None:
    """Refuse a day on which one batch lists a document twice: which of the two was meant is not for us to guess."""
    first: dict[tuple[str, str], CoveredFile] = {}
    for covered in plan.files:
        manifest, doc_id = covered.admission.manifest, _doc_id(covered)
        other = first.setdefault((manifest.manifest_id, doc_id), covered)
        if other is not covered:
            places = (f"{c.record.source_file} (source {c.admission.source.source_id})" for c in (other, covered))
            raise SourceUnreadable(
                f"{covered.admission.file.path.name}: document {doc_id} of {manifest.listed_collection} stands twice: "
                f"{' and '.join(places)}; next: take one out, or give one source another source_id"
            )


def _listing(settings: LakehouseSettings, plan: PartitionPlan, run_id: str) -> list[dict[str, Any]]:
    """One row per document of the day, in the order of their keys."""
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    replaced: dict[str, str] = {}
    for covered in plan.files:
        row = _row(settings, covered, run_id)
        collection = row["collection"]
        if row["disposition"] == "replace" and replaced.get(collection) != row["manifest_id"]:
            replaced[collection] = row["manifest_id"]
            kept = {key: other for key, other in kept.items() if key[0] != collection}
        elif collection in replaced:
            row["disposition"] = "replace"  # the day lists the collection whole, with what a merge says of it
        kept[(collection, row["doc_id"])] = row
    return [kept[key] for key in sorted(kept)]


def _row(settings: LakehouseSettings, covered: CoveredFile, run_id: str) -> dict[str, Any]:
    """Whatever a listing can say of a file; the table takes the columns that its contract has."""
    manifest, source, record = covered.admission.manifest, covered.admission.source, covered.record
    size_bytes = None if source.deleted else _store(settings, covered.file, record.sha256)
    for column, sidecar in record.sidecars.items():
        _store(settings, covered.sidecars[column], sidecar.sha256)
    described = _describe(settings, covered) if size_bytes else Description()
    return {
        "doc_id": _doc_id(covered),
        "collection": manifest.listed_collection,
        "asset_type": source.asset_type,
        "source_url": record.source_file,
        "disposition": manifest.listing,
        "is_tombstone": source.deleted,
        "source_fingerprint": record.sha256,
        "raw_object_path": None if record.sha256 is None else object_path(record.sha256),
        "size_bytes": size_bytes,
        **dict.fromkeys(SIDECARS),
        **{column: object_path(sidecar.sha256) for column, sidecar in record.sidecars.items()},
        "page_count": described.pages,
        "duration_sec": source.duration_sec,
        "title": source.title or described.title or record.source_file.rstrip("/").rpartition("/")[2],
        "language": source.language,
        "doc_version": source.doc_version,
        "product_line": manifest.product_line,
        "license_tag": manifest.license_tag,
        "pii_level": _PII_LEVELS.get(source.pii_scan_status),
        "quality_gate": covered.admission.judgment,
        "owner": manifest.owner,
        "tags": None,
        "snapshot_date": manifest.snapshot_date,
        "source_id": source.source_id,
        "source_file": record.source_file,
        "source_line": None,
        "manifest_id": manifest.manifest_id,
        "batch_id": manifest.batch_id,
        "schema_version": manifest.schema_version,
        "run_id": run_id,
        "ingested_at": datetime.now(UTC),
    }


def _describe(settings: LakehouseSettings, covered: CoveredFile) -> Description:
    """What a stored document says of itself, as far as its declaration does not."""
    if covered.described is not None:
        return covered.described
    source, sha256, name = covered.admission.source, covered.record.sha256, covered.record.source_file
    assert sha256 is not None  # it is stored
    if source.title and not is_paged(source.asset_type, name):
        return Description()
    return describe(lambda size: read_object(settings, sha256, size), source.asset_type, name)


def _store(settings: LakehouseSettings, file: SourceFile | None, sha256: str | None) -> int:
    """Store the bytes that coverage read under their fingerprint, unless they are there; returns their size."""
    assert file is not None and sha256 is not None  # a plan with an unreadable file is refused
    if (size_bytes := object_size(settings, sha256)) is not None:
        return size_bytes
    try:
        with file.open() as content:
            return put_object(settings, content, sha256)
    except ObjectMismatch as error:
        raise SourceUnreadable(
            f"{file.name}: changed while it was being loaded ({error}); next: run it again"
        ) from error
