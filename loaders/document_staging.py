"""Document days as Parquet files: the listing of a day, its bytes in the object store.

Of a collection on one day, the last `replace` batch counts whole and later `merge` batches on top of it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow

from lakehouse.assets import DOC_ASSETS
from lakehouse.evidence import RowCounts
from lakehouse.objects import ObjectMismatch, object_path, put_object
from lakehouse.provenance import snapshot_evidence
from lakehouse.settings import LakehouseSettings
from lakehouse.tables import bronze_table
from loaders.coverage import CoveredFile
from loaders.errors import SourceUnreadable
from loaders.plan import PartitionPlan, planned_materialization
from loaders.staged import write_staged

_PII_LEVELS = {"clear": "none", "not_applicable": "none", "redacted": "low"}


class DocumentStager:
    """Stages one day after another."""

    def __init__(self, settings: LakehouseSettings, run_id: str, folder: Path) -> None:
        """Stage into a folder of the run's own."""
        self._settings, self._run_id, self._folder = settings, run_id, folder

    def __call__(self, plan: PartitionPlan) -> Iterator[Path]:
        """Store the documents of a day and write its listing.

        Raises:
            SourceUnreadable: a file changed or vanished since coverage looked at it.
        """
        rows = _listing(self._settings, plan, self._run_id)
        counts = RowCounts(plan.rows_expected, len(plan.files), len(rows), len(plan.files) - len(rows))
        evidence = snapshot_evidence([planned_materialization(plan, counts, self._run_id, with_files=False)])
        schema = schema_to_pyarrow(bronze_table(self._settings, DOC_ASSETS).schema, include_field_ids=False)
        yield write_staged(
            pa.Table.from_pylist(rows, schema=schema), {"omni.table": DOC_ASSETS, **evidence}, self._folder
        )


def _listing(settings: LakehouseSettings, plan: PartitionPlan, run_id: str) -> list[dict[str, Any]]:
    """One row per document of the day, in the order of their keys."""
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    replaced: set[tuple[str, str]] = set()
    for covered in plan.files:
        row = _row(settings, covered, run_id)
        collection, batch = row["collection"], (row["collection"], row["manifest_id"])
        if row["disposition"] == "replace" and batch not in replaced:
            replaced.add(batch)
            kept = {key: other for key, other in kept.items() if key[0] != collection}
        kept[(collection, row["doc_id"])] = row
    return [kept[key] for key in sorted(kept)]


def _row(settings: LakehouseSettings, covered: CoveredFile, run_id: str) -> dict[str, Any]:
    manifest, source, record = covered.admission.manifest, covered.admission.source, covered.record
    is_declared = record.source_file == source.source_url_or_path
    name = PurePosixPath(record.source_file).name
    size_bytes = None if source.deleted else _store(settings, covered)
    return {
        "doc_id": source.source_id if is_declared else f"{source.source_id}/{name}",
        "collection": manifest.collection or manifest.source_type,
        "asset_type": source.asset_type,
        "source_url": record.source_file,
        "disposition": manifest.disposition or ("replace" if manifest.load_mode == "full_snapshot" else "merge"),
        "is_tombstone": source.deleted,
        "source_fingerprint": record.sha256,
        "raw_object_path": None if record.sha256 is None else object_path(record.sha256),
        "size_bytes": size_bytes,
        "title": source.title or name,
        "language": source.language,
        "doc_version": source.doc_version,
        "product_line": manifest.product_line,
        "license_tag": manifest.license_tag,
        "pii_level": _PII_LEVELS.get(source.pii_scan_status),
        "quality_gate": covered.admission.judgment,
        "owner": manifest.owner,
        "snapshot_date": manifest.snapshot_date,
        "source_id": source.source_id,
        "source_file": record.source_file,
        "manifest_id": manifest.manifest_id,
        "batch_id": manifest.batch_id,
        "schema_version": manifest.schema_version,
        "run_id": run_id,
        "ingested_at": datetime.now(UTC),
    }


def _store(settings: LakehouseSettings, covered: CoveredFile) -> int:
    file, sha256 = covered.file, covered.record.sha256
    assert file is not None and sha256 is not None  # a plan with an unreadable file is refused
    try:
        with file.open() as content:
            return put_object(settings, content, sha256)
    except ObjectMismatch as error:
        raise SourceUnreadable(
            f"{file.name}: changed while it was being loaded ({error}); next: run it again"
        ) from error
