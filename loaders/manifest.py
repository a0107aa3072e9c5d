"""Source manifests as typed values, and reading them from files with every breach named.

Rules: docs/reference/manifests.md. A manifest is intent: whether its sources may load is judged in `loaders.admission`.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from pydantic import BaseModel, ConfigDict
from pydantic import ValidationError as InvalidModel

from lakehouse.contracts import contract_name
from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings
from loaders.manifest_rules import rule_breaches

SCHEMA_FILE = "source_manifest_v1.schema.json"

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")


class _Declared(BaseModel):
    # The JSON Schema has checked names and types; what the loaders do not use is not repeated here.
    model_config = ConfigDict(extra="ignore", frozen=True)


class SelectionWindow(_Declared):
    """Which records of the sources are meant. Instants carry an offset."""

    start_at: datetime | None = None
    end_at: datetime | None = None
    cursor_field: str | None = None
    cursor_start: str | None = None
    cursor_end: str | None = None
    watermark_field: str | None = None


class Source(_Declared):
    """One declared source: a ticket export (file, folder glob) or a document."""

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
    disposition: Literal["merge", "replace"] | None = None
    mapping: str | None = None
    snapshot_at: datetime | None = None

    @property
    def snapshot_date(self) -> date:
        """Day partition of a document snapshot (UTC)."""
        return (self.snapshot_at or self.created_at).astimezone(UTC).date()

    def contract_of(self, source: Source) -> str:
        """Name of the contract that a source is read under."""
        return contract_name(source.contract_ref or self.contract_ref)


@dataclass(frozen=True)
class Breach:
    """One rule that a manifest breaks."""

    path: str
    """JSON path of the value, such as `$.assets[2].source_id`."""
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.path}: found {self.found}, allowed: {self.allowed}"


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


def read_manifests(settings: LakehouseSettings) -> list[ManifestFile]:
    """Read every manifest of the manifest folder; one bad file never hides another.

    Raises:
        ConfigurationError: the folder, or the schema that manifests are checked against, is missing.
    """
    if not settings.manifests.is_dir():
        raise ConfigurationError(f"manifest folder {settings.manifests} does not exist; next: set OMNI_MANIFESTS")
    validator = _schema_validator(settings)
    paths = sorted(p for p in settings.manifests.glob("*.json") if not p.name.startswith("source_manifest"))
    files = [_read_manifest(path, validator) for path in paths]
    return list(_refuse_repeated_ids(files))


def _schema_validator(settings: LakehouseSettings) -> Draft202012Validator:
    path = settings.manifest_resource("schema", SCHEMA_FILE)
    try:
        schema = json.loads(path.read_text("utf-8"))
        Draft202012Validator.check_schema(schema)
    except (OSError, ValueError, SchemaError) as error:
        raise ConfigurationError(f"manifest schema {path} cannot be used: {error}; next: restore it") from error
    formats = FormatChecker(formats=())
    formats.checks("date-time", raises=(ValueError, OverflowError))(_is_instant)
    validator = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]
    return validator(schema, format_checker=formats)  # type: ignore[no-any-return]  # `extend` has no types


def _is_instant(value: object) -> bool:
    """RFC 3339, within what UTC can express. An instant needs an offset: without one it names 26 different hours."""
    if not isinstance(value, str):
        return True
    return bool(_INSTANT.fullmatch(value)) and bool(datetime.fromisoformat(value).astimezone(UTC))


def _pattern(validator: object, pattern: str, instance: object, schema: object) -> Iterator[ValidationError]:
    """`pattern` as JSON Schema means it: `$` is the end of the text; Python's stands before a last line feed, too."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _read_manifest(path: Path, validator: Draft202012Validator) -> ManifestFile:
    try:
        content = path.read_bytes()
    except OSError as error:
        return ManifestFile(path, "", None, (Breach("$", f"{error.strerror}", "a readable file"),), is_readable=False)
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        text = content.decode("utf-8-sig")
        document = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return ManifestFile(path, sha256, None, (Breach("$", str(error), "UTF-8 JSON"),), is_readable=False)
    breaches = tuple(_schema_breach(error) for error in validator.iter_errors(document))
    if not breaches:
        breaches = tuple(Breach(*rule) for rule in rule_breaches(document))
    if breaches:
        return ManifestFile(path, sha256, None, breaches)
    try:
        return ManifestFile(path, sha256, Manifest.model_validate(document))
    except InvalidModel as error:  # a value that the schema allows and no program can hold
        found = tuple(Breach(_json_path(e["loc"]), _shorten(e["input"]), e["msg"]) for e in error.errors())
        return ManifestFile(path, sha256, None, found)


def _json_path(location: tuple[int | str, ...]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice: which value was meant is not for us to guess."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _schema_breach(error: ValidationError) -> Breach:
    allowed = {
        "enum": lambda: f"one of {error.validator_value}",
        "const": lambda: repr(error.validator_value),
        "pattern": lambda: f"text that matches {error.validator_value}",
        "type": lambda: f"a value of type {error.validator_value}",
        "format": lambda: f"a {error.validator_value} with an offset, such as 2026-04-15T08:00:00Z",
    }.get(str(error.validator), lambda: error.message)()
    if error.validator == "additionalProperties":
        known: Any = dict(error.schema)["properties"]  # type: ignore[arg-type]  # a schema with this keyword is an object
        unknown = ", ".join(sorted(set(dict(error.instance)) - set(known)))  # type: ignore[arg-type]
        return Breach(error.json_path, f"the unknown property {unknown}", f"only {', '.join(sorted(known))}")
    return Breach(error.json_path, _shorten(error.instance), allowed)


def _shorten(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
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
