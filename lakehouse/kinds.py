"""The kinds of Bronze assets, and what follows from a kind: the one table that everything else asks.

A contract names its kind (`lakehouse.contracts.registry`); the loaders' half (read, stage, check) is
`loaders.bronze.kinds`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FieldType = Literal["string", "boolean", "long", "double", "date", "timestamp", "list<string>"]
Severity = Literal["error", "warn"]
KindName = Literal["events", "snapshots"]
RowForm = Literal["records", "files"]

Column = tuple[str, FieldType, str]
"""Name, type, meaning."""


@dataclass(frozen=True)
class Kind:
    """How an asset's partitions come about."""

    time_type: FieldType
    """Type of the column whose UTC day is the partition."""
    is_dated_by_batch: bool
    """The partition is the day of the batch; else each row dates itself."""
    dated: str
    """What a partition is, for a person."""


KINDS: Mapping[KindName, Kind] = {
    "events": Kind("timestamp", False, "Rows date themselves: a partition is a UTC day of their time."),
    "snapshots": Kind("date", True, "Listings are dated by their batch: a partition is the UTC day of the snapshot."),
}


@dataclass(frozen=True)
class Form:
    """What a row is."""

    columns: tuple[Column, ...]
    """What Bronze adds to the fields of the contract, beside the origin."""
    checks: tuple[str, ...]
    """Checks beside `conservation`."""
    asset_types: tuple[str, ...] | None
    """Formats of source files that can be read; None: any."""
    is_quarantined: bool
    """Whether a row that breaks the contract is held in quarantine."""


FORMS: Mapping[RowForm, Form] = {
    "records": Form(
        columns=(
            (
                "extra",
                "string",
                "JSON object of the source fields that the contract does not name, and of words that are aliases.",
            ),
            ("record_sha256", "string", "SHA-256 over the record as typed, without its batch fields."),
        ),
        checks=("quarantine_share", "contract_drift", "volume"),
        asset_types=("csv", "json", "jsonl", "parquet"),
        is_quarantined=True,
    ),
    "files": Form(columns=(), checks=("mass_delete",), asset_types=None, is_quarantined=False),
}
"""A row is a record of a source file, or a source file itself, whose bytes are stored as an object."""

SIDECARS = ("transcript_object_path", "ocr_text_path", "keyframe_ocr_path", "audio_track_path")
"""Fields of a manifest's source that name a file beside its own. A contract that declares one as its sidecar has that
file's object in the column of the name."""

FILE_FIELDS: Mapping[str, FieldType] = {
    **dict.fromkeys(("doc_id", "collection", "asset_type", "source_url", "disposition", "title", "language"), "string"),
    **dict.fromkeys(("source_fingerprint", "raw_object_path", "doc_version", "product_line", "pii_level"), "string"),
    **dict.fromkeys(("quality_gate", "owner", *SIDECARS), "string"),
    "is_tombstone": "boolean",
    **dict.fromkeys(("size_bytes", "page_count"), "long"),
    "duration_sec": "double",
    "tags": "list<string>",
    "snapshot_date": "date",
}
"""What can be said of a file without reading records from it: the fields that a contract of files may have."""

NEEDED_OF_FILES = ("doc_id", "collection", "disposition", "is_tombstone", "source_fingerprint", "raw_object_path")
"""Those of them by which listings are compared and objects found."""

OBJECT_COLUMN = "raw_object_path"
"""Where a row is a file: the path of the object with its bytes."""

OBJECT_COLUMNS = (OBJECT_COLUMN, *SIDECARS)
"""Columns that may hold the path of an object, in any table and under any contract."""


ORIGIN: tuple[Column, ...] = (
    ("source_id", "string", "Source in the manifest."),
    ("source_file", "string", "File that the row was read from."),
    ("source_line", "long", "Line (JSONL, CSV) or row of the file, from 1; null for a document."),
    ("manifest_id", "string", "Manifest that declares the source."),
    ("batch_id", "string", "Batch of that manifest."),
    ("license_tag", "string", "Licence of the source."),
    ("schema_version", "string", "Version of the manifest format."),
    ("run_id", "string", "Run that wrote the row."),
    ("ingested_at", "timestamp", "When the row was written (UTC)."),
)
"""Columns of every Bronze table that say where a row comes from."""


@dataclass(frozen=True)
class Check:
    """A check that the loaders run on a Bronze partition."""

    severity: Severity
    """Unless the contract gives another."""
    description: str
    limit: Literal["at_most", "at_least"] | None = None
    """Key by which the contract sets its limit."""


CONSERVATION = "conservation"

CHECKS: Mapping[str, Check] = {
    CONSERVATION: Check(
        "error",
        "Rows read = loaded + deduplicated + quarantined = expected by coverage, and the tables hold them.",
    ),
    "quarantine_share": Check(
        "error",
        "No more of the day's records are held in quarantine than the contract, or else the settings, allow.",
        "at_most",
    ),
    "contract_drift": Check("warn", "The source brings no field that the contract does not name."),
    "volume": Check(
        "warn", "No fewer records than the contract expects of what the day's weekday usually holds.", "at_least"
    ),
    "mass_delete": Check(
        "error", "No replace listing drops more of its collection's documents than max_deleted_ratio allows."
    ),
}
