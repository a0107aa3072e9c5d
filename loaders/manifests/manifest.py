"""Source manifests as typed values, and reading them from files with every breach named.

Rules: docs/reference/manifests.md. A manifest is intent: whether its sources may load is judged in
`loaders.manifests.admission`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any, Literal

from jsonschema_rs import Draft202012Validator, ValidationError
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from pydantic import ValidationError as InvalidModel

from lakehouse.contracts.registry import Contracts, load_contracts
from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings
from lakehouse.strict_json import Breach, load_json, read_declared
from lakehouse.unicode_text import WHOLE_TEXT, broken_texts, escaped, is_text, json_path
from loaders.manifests.credentials import leave_out_credentials, mark_bearers, may_hold_urls
from loaders.manifests.rules import Disposition, default_disposition, rule_breaches

SCHEMA_FILE = "source_manifest_v1.schema.json"

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")


_ALLOWED = {
    "enum": "one of {}",
    "const": "{!r}",
    "pattern": "text that matches {}",
    "format": "a {} with an offset, such as 2026-04-15T08:00:00Z",
    "type": "a value of type {0[0]}",
    "minItems": "at least {} of them",
    "minLength": "a text of at least {} character",
    "minimum": "{} or more",
    "maximum": "{} or less",
}
"""What is allowed, by the keyword of JSON Schema and its value."""


class _Declared(BaseModel):
    # The JSON Schema has checked names and types; what the loaders do not use is not repeated here.
    model_config = ConfigDict(extra="ignore", frozen=True)


def _is_absent(value: object) -> bool:
    return value is None


class SelectionWindow(_Declared):
    """Which records of the sources are meant, or (for sources that are read whole) which days they declare to hold."""

    start_at: datetime | None = None
    end_at: datetime | None = None
    cursor_field: str | None = None
    cursor_start: str | None = None
    cursor_end: str | None = None
    watermark_field: str | None = None
    replay_from_batch: str | None = None


class Source(_Declared):
    """One declared source: a ticket export (file, folder, glob), a document, a recording with its sidecars."""

    source_id: str
    source_url_or_path: str
    asset_type: str
    contract_ref: str | None = None
    size_bytes: int | None = None
    checksum_sha256: str | None = None
    metadata_status: str = "unknown"
    pii_scan_status: str = "unknown"
    language: str | None = None
    deleted: bool = False
    doc_version: str | None = None
    title: str | None = None
    had_credentials: bool = Field(default=False, exclude=True)
    """Whether a URL of it had credentials, which are left out when the manifest is read."""
    # Not written where absent: a source without them says what it said before they meant anything, and its files are
    # not read again.
    duration_sec: FiniteFloat | None = Field(default=None, exclude_if=_is_absent)
    transcript_object_path: str | None = Field(default=None, exclude_if=_is_absent)
    ocr_text_path: str | None = Field(default=None, exclude_if=_is_absent)
    keyframe_ocr_path: str | None = Field(default=None, exclude_if=_is_absent)
    audio_track_path: str | None = Field(default=None, exclude_if=_is_absent)


class Manifest(_Declared):
    """One valid manifest."""

    manifest_id: str
    schema_version: str
    batch_id: str
    modality: str
    source_type: str
    license_tag: str
    contract_ref: str
    load_mode: Literal["full_snapshot", "incremental_cursor", "cdc", "replay", "backfill"]
    assets: list[Source]
    created_at: datetime
    owner: str
    product_line: str | None = None
    selection_window: SelectionWindow = SelectionWindow()
    gate_policy: dict[str, str] = {}
    collection: str | None = None
    disposition: Disposition | None = None
    max_deleted_ratio: float = 0.3
    mapping: str | None = None
    snapshot_at: datetime | None = None

    @property
    def snapshot_date(self) -> date:
        """Day partition of a document snapshot (UTC)."""
        return (self.snapshot_at or self.created_at).astimezone(UTC).date()

    @property
    def listed_collection(self) -> str:
        """What a snapshot speaks of: a set of documents, or of records."""
        return self.collection or self.source_type

    @property
    def listing(self) -> Disposition:
        """Whether a snapshot lists its collection whole, or changes of it."""
        return self.disposition or default_disposition(self.load_mode)

    def contract_of(self, source: Source) -> str:
        """`contract_ref` that a source is read under."""
        return source.contract_ref or self.contract_ref


@dataclass(frozen=True)
class ManifestFile:
    """One file of the manifest folder, as read: a manifest, or every reason why it is none."""

    path: Path
    sha256: str
    manifest: Manifest | None
    breaches: tuple[Breach, ...] = ()
    is_readable: bool = True

    @property
    def manifest_id(self) -> str | None:
        """Id of a valid manifest."""
        return self.manifest.manifest_id if self.manifest else None


def read_manifests(settings: LakehouseSettings, paths: Sequence[Path] | None = None) -> list[ManifestFile]:
    """Read every manifest of the manifest folder, or only some files; one bad file never hides another.

    Raises:
        ConfigurationError: the folder, or the schema that manifests are checked against, is missing.
    """
    if paths is None and not settings.manifests.is_dir():
        raise ConfigurationError(f"manifest folder {settings.manifests} does not exist; next: set OMNI_MANIFESTS")
    judge = _judge(_load_schema(settings), load_contracts(settings))
    if paths is None:
        paths = sorted(p for p in settings.manifests.glob("*.json") if not p.name.startswith("source_manifest"))
    return list(_refuse_repeated_ids([_read_manifest(settings, path, judge) for path in paths]))


def document_breaches(settings: LakehouseSettings, document: dict[str, Any]) -> list[Breach]:
    """Every rule that a manifest breaks which is not in a file yet."""
    return list(_judge(_load_schema(settings), load_contracts(settings)).breaches(document))


@dataclass(frozen=True, eq=False)
class _Schema:
    document: dict[str, Any]
    validator: Draft202012Validator


def _load_schema(settings: LakehouseSettings) -> _Schema:
    path = settings.manifest_resource("schema", SCHEMA_FILE)
    try:
        return _schema(path.read_text("utf-8"))
    except (OSError, ValueError, ValidationError) as error:
        raise ConfigurationError(f"manifest schema {path} cannot be used: {error}; next: restore it") from error


@lru_cache(maxsize=1)
def _schema(text: str) -> _Schema:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    return _Schema(document, Draft202012Validator(document, validate_formats=True, formats={"date-time": _is_instant}))


def _is_instant(value: str) -> bool:
    """RFC 3339, within what UTC can express. An instant needs an offset: without one it names 26 different hours."""
    try:
        return bool(_INSTANT.fullmatch(value)) and bool(datetime.fromisoformat(value).astimezone(UTC))
    except (ValueError, OverflowError):
        return False


def _read_manifest(settings: LakehouseSettings, path: Path, judge: "_Judge") -> ManifestFile:
    if not is_text(str(path)):
        shown = Path(escaped(str(path)))
        breach = Breach("$", f'the file name "{shown.name}"', "a name in UTF-8; next: rename the file")
        return ManifestFile(shown, "", None, (breach,), is_readable=False)
    try:
        content = read_declared(path, settings.max_manifest_bytes)
    except OSError as error:
        return ManifestFile(path, "", None, (Breach("$", f"{error.strerror}", "a readable file"),), is_readable=False)
    except ValueError as error:
        allowed = f"a file of at most {settings.max_manifest_bytes} bytes, OMNI_MAX_MANIFEST_BYTES"
        return ManifestFile(path, "", None, (Breach("$", str(error), allowed),), is_readable=False)
    return judge.file(path, content)


class _Judge:
    """Judges manifests by a schema and contracts; a file whose bytes it has judged before it does not judge again.

    A run admits the folder once for each of its steps: of 11,000 manifests 1.5 s each time.
    """

    def __init__(self, schema: _Schema, contracts: Contracts) -> None:
        self._schema, self._contracts = schema, contracts.by_ref
        self._judged: dict[Path, ManifestFile] = {}

    def file(self, path: Path, content: bytes) -> ManifestFile:
        """The manifest that a file holds, or why it holds none."""
        sha256, known = hashlib.sha256(content).hexdigest(), self._judged.get(path)
        if known is None or known.sha256 != sha256:
            self._judged[path] = known = self._file(path, content, sha256)
        return known

    def _file(self, path: Path, content: bytes, sha256: str) -> ManifestFile:
        try:
            document = load_json(content)
            document, bearers = leave_out_credentials(document) if may_hold_urls(content) else (document, [])
            # Without an escape, UTF-8 holds no lone surrogate.
            if rb"\u" in content and (broken := _text_breaches(document)):
                return ManifestFile(path, sha256, None, broken)
            breaches = self.breaches(document)  # refuses to look deeper than some levels
        except (ValueError, RecursionError) as error:
            return ManifestFile(path, sha256, None, (Breach("$", str(error), "UTF-8 JSON"),), is_readable=False)
        if breaches:
            return ManifestFile(path, sha256, None, breaches)
        try:
            return ManifestFile(path, sha256, Manifest.model_validate(mark_bearers(_without_nulls(document), bearers)))
        except InvalidModel as error:  # a value that the schema allows and no program can hold
            found = tuple(Breach(json_path(e["loc"]), _shorten(e["input"]), e["msg"]) for e in error.errors())
            return ManifestFile(path, sha256, None, found)

    def breaches(self, document: object) -> tuple[Breach, ...]:
        """Every rule that a document breaks."""
        breaches = tuple(_schema_breaches(self._schema, document))
        said = {breach.path for breach in breaches}  # what the schema refuses is the schema's to report
        rules = rule_breaches(_without_nulls(document), self._contracts)
        return breaches + tuple(Breach(*rule) for rule in rules if rule[0] not in said)


@lru_cache(maxsize=1)
def _judge(schema: _Schema, contracts: Contracts) -> _Judge:
    return _Judge(schema, contracts)


def _without_nulls(value: Any) -> Any:
    """Leave out fields that are null: where the schema lets one be, it is as if the field were not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _text_breaches(document: object) -> tuple[Breach, ...]:
    allowed = f"{WHOLE_TEXT}; next: write the character itself"
    return tuple(Breach(path, _cut(found), allowed) for path, found in broken_texts(document))


def _schema_breaches(schema: _Schema, document: object) -> Iterator[Breach]:
    for error in schema.validator.iter_errors(document):
        keyword, value = error.kind.name, error.kind.value
        path, found = json_path(error.instance_path), _shorten(error.instance)
        if keyword == "required":
            yield Breach(path, f"no {value}", f"{value}, which is required")
        elif keyword == "additionalProperties":
            known: Any = reduce(lambda part, key: part[key], error.schema_path[:-1], schema.document)  # type: ignore[index]
            yield Breach(
                path, f"the unknown property {', '.join(value)}", f"only {', '.join(sorted(known['properties']))}"
            )
        else:
            say = _ALLOWED.get(keyword)
            if isinstance(value, list):  # null says that there is no value
                value = [each for each in value if each not in (None, "null")] or value
            yield Breach(path, found, say.format(value) if say else error.message)


def _shorten(value: object) -> str:
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}…"


def _refuse_repeated_ids(files: list[ManifestFile]) -> Iterator[ManifestFile]:
    """A manifest_id names one file: the second file that claims it is refused."""
    first: dict[str, Path] = {}
    for file in files:
        known = first.setdefault(file.manifest_id, file.path) if file.manifest_id else file.path
        if known == file.path:
            yield file
        else:
            breach = Breach("$.manifest_id", repr(file.manifest_id), f"an id that {known.name} does not have")
            yield ManifestFile(file.path, file.sha256, None, (breach,))
