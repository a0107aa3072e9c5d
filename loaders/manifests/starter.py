"""A starter manifest, drafted from the files that it is to declare: `omni manifests init`.

States what the files themselves say (type, checksum, size, title) and what their contract allows. Metadata and personal
data, and the licence where none is given, are a person's to judge and are declared as not known, so that admission lets
no source in before someone has. Reads no records. Which files there are, and their ids, is said by
`loaders.manifests.starter_files`.
"""

import hashlib
import html
import json
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakehouse.contracts.model import Contract
from lakehouse.contracts.registry import Contracts, load_contracts
from lakehouse.kinds import RowForm
from lakehouse.settings import LakehouseSettings
from lakehouse.unicode_text import WHOLE_TEXT, broken_texts
from loaders.errors import StarterRefused
from loaders.manifests.manifest import SCHEMA_FILE, document_breaches
from loaders.manifests.starter_files import FileSet, declared_path, file_set, some

DEFAULT_CONTRACTS: Mapping[RowForm, str] = {"records": "ticket", "files": "doc_asset"}
"""Contract that files are drafted under where none is named, by what a row of theirs is."""

_MODALITIES: Mapping[RowForm, str] = {"records": "structured", "files": "document"}
"""Where a contract leaves the modality open."""

_COMPRESSIBLE_TYPES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv"}
_RECORD_TYPES = {**_COMPRESSIBLE_TYPES, ".parquet": "parquet"}
_DOCUMENT_TYPES = {
    **dict.fromkeys((".html", ".htm"), "html"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg"), "image"),
    **dict.fromkeys((".md", ".rst", ".txt"), "other"),
    ".pdf": "pdf",
}
_MEDIA_TYPES = {
    **dict.fromkeys((".mp3", ".wav", ".m4a", ".ogg", ".flac"), "audio"),
    **dict.fromkeys((".mp4", ".webm", ".mov", ".mkv"), "video"),
}
_COMPRESSION = re.compile(r"\.(gz|zst)$")  # lower case only: `loaders.sources.files` unpacks no other
_ENDINGS: Mapping[RowForm, str] = {
    "records": f"records ({' '.join(_RECORD_TYPES)}; all but .parquet also with .gz or .zst)",
    "files": f"documents ({' '.join(_DOCUMENT_TYPES)})",
}

_HTML_TITLE = re.compile(r"<title\b[^>]*>(.*?)</title\s*>", re.IGNORECASE | re.DOTALL)
_TITLES = {".html": _HTML_TITLE, ".htm": _HTML_TITLE, ".md": re.compile(r"^# (.+)$", re.MULTILINE)}


@dataclass(frozen=True)
class Choices:
    """What a person may say of a starter beside its files; None leaves it to the files and the contract."""

    contract: str | None = None
    """Name or ref."""
    source_id: str | None = None
    """All files are one source of this id: one file, or the files of one folder or glob."""
    mapping: str | None = None
    license_tag: str | None = None


def draft_manifest(
    settings: LakehouseSettings,
    paths: Sequence[Path],
    *,
    name: str,
    owner: str,
    created_at: datetime,
    number: int = 1,
    choices: Choices = Choices(),
) -> dict[str, Any]:
    """Draft a manifest that is valid and admits nothing yet, with one source per file unless the id of one is given.

    Args:
        settings: name the roots that source paths are relative to.
        paths: files, or folders for every file below them, except what starts with `.` or `_`.
        name: goes into the ids; of files, it is the collection as well.
        owner: who answers for the sources.
        created_at: with an offset; its UTC day goes into the ids.
        number: of the manifest on that day, 1 to 999.
        choices: what else a person said.

    Raises:
        StarterRefused: the files are missing, unreadable, two of one id, or not what the contract is read from; a
            choice, the name or the owner is none that a manifest may have; or a text is no Unicode.
    """
    slug = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower())
    if not (slug := slug.strip("-")) or not owner.strip():
        raise StarterRefused(
            f"found the name {name!r} and the owner {owner!r}, expected a name with Latin letters or digits and an "
            "owner that is not blank; next: give both"
        )
    files = file_set(paths, as_one=choices.source_id is not None)
    contracts = load_contracts(settings)
    form = _form_by_endings(files.ids) if choices.contract is None else None
    ref, contract = _contract(contracts, choices.contract or DEFAULT_CONTRACTS[form or "records"])
    instant = created_at.astimezone(UTC)
    stamp = f"{slug}-{instant:%Y%m%d}-{number:03}"
    draft = {
        "$schema": f"schema/{SCHEMA_FILE}",
        "manifest_id": f"manifest-{stamp}",
        "schema_version": "source_manifest_v1",
        "batch_id": f"batch-{stamp}",
        "created_at": f"{instant:%Y-%m-%dT%H:%M:%SZ}",
        **_fitting(contract),
        "contract_ref": ref,
        "load_mode": "full_snapshot",
        **(
            {"disposition": "replace", "collection": name} if contract.form == "files" or contract.lists_records else {}
        ),
        **_mapped(settings, contract, choices.mapping),
        "license_tag": choices.license_tag or "unknown",
        "owner": owner,
        "assets": _sources(settings, files, _types(contract, files.ids), choices.source_id),
    }
    if broken := ", ".join(f"{found} at {where}" for where, found in broken_texts(draft)):
        raise StarterRefused(f"found {broken}, expected {WHOLE_TEXT}; next: rename the file, or type it in UTF-8")
    if breaches := document_breaches(settings, draft):
        raise StarterRefused(f"no valid manifest: {'; '.join(map(str, breaches))}; next: give another")
    return draft


def write_starter(settings: LakehouseSettings, draft: dict[str, Any]) -> Path:
    """Write a draft into the manifest folder, under its id.

    Raises:
        StarterRefused: a file of that name exists, and stays as it is; or the folder cannot be written to.
    """
    path = settings.manifests / f"{draft['manifest_id']}.json"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(draft, indent=2, ensure_ascii=False) + "\n")
    except FileExistsError as error:
        raise StarterRefused(
            f"{path} exists, and a starter overwrites nothing; next: edit that file, or take another number or name"
        ) from error
    except OSError as error:
        raise StarterRefused(f"{path} cannot be written ({error.strerror}); next: check OMNI_MANIFESTS") from error
    return path


def _contract(contracts: Contracts, given: str) -> tuple[str, Contract]:
    """The ref that a manifest names, and the contract of the asset that it is loaded into."""
    ref = contracts.by_name[given].ref if given in contracts.by_name else given
    if ref not in contracts.by_ref:
        loadable = sorted(name for name, each in contracts.by_name.items() if each.ref in contracts.by_ref)
        raise StarterRefused(
            f"found the contract {given!r}, expected one that an asset is loaded by: {', '.join(loadable)}; next: name "
            "one, or write it (docs/how-to/add_an_asset.md)"
        )
    return ref, contracts.by_ref[ref]


def _fitting(contract: Contract) -> dict[str, str]:
    """Modality and source type that the contract allows; of several, the one that says least."""
    modality, source_type = contract.fits.modality, contract.fits.source_type
    return {
        "modality": modality[0] if modality else _MODALITIES[contract.form],
        "source_type": "other" if not source_type or "other" in source_type else source_type[0],
    }


def _mapped(settings: LakehouseSettings, contract: Contract, mapping: str | None) -> dict[str, str]:
    if mapping is None:
        return {}
    if contract.form == "files":
        raise StarterRefused(
            f"found the mapping {mapping!r} for {contract.name}, expected none: its rows are files, and a mapping "
            "adapts records; next: leave it out"
        )
    if not settings.manifest_resource("mappings", f"{mapping}.sql").is_file():
        raise StarterRefused(
            f"found no mapping {mapping!r}, expected {settings.manifests / 'mappings' / f'{mapping}.sql'}; next: write "
            "it first"
        )
    return {"mapping": mapping}


def _form_by_endings(files: Collection[Path]) -> RowForm:
    """What rows of these files are, where no contract says it."""
    records = [file for file in files if _record_type(file)]
    documents = [file for file in files if file.suffix.lower() in _DOCUMENT_TYPES]
    endings = " or ".join(_ENDINGS.values())
    if not files:
        raise StarterRefused(f"found no file, expected {endings}; next: name files, or a folder that has some")
    if unknown := set(files) - set(records) - set(documents):
        raise StarterRefused(
            f"found {some(unknown)}, expected {endings}; next: leave out what is no source, or say what it is with "
            "--contract"
        )
    if records and documents:
        raise StarterRefused(
            f"found records ({some(records)}) and documents ({some(documents)}), expected one kind per manifest; "
            "next: draft a manifest for each"
        )
    return "records" if records else "files"


def _types(contract: Contract, files: Collection[Path]) -> dict[Path, str]:
    """The asset type of each file, which the contract allows."""
    allowed = contract.fits.asset_type
    types = {file: found for file in files if (found := _type(contract.form, file, allowed))}
    if not files or (unknown := set(files) - set(types)):
        expected = ", ".join(allowed) if allowed else _ENDINGS[contract.form]
        raise StarterRefused(
            f"found {some(unknown) if files else 'no file'}, expected files that {contract.name} is read from: "
            f"{expected}; next: name those alone"
        )
    return types


def _type(form: RowForm, file: Path, allowed: Collection[str] | None) -> str | None:
    """Asset type by the ending; of a file whose bytes are the row, `other` where no better one is allowed."""
    if form == "records":
        found = _record_type(file)
        return found if allowed is None or found in allowed else None
    by_ending = {**_DOCUMENT_TYPES, **_MEDIA_TYPES, **_RECORD_TYPES}.get(file.suffix.lower(), "other")
    fitting = (each for each in (by_ending, "other") if allowed is None or each in allowed)
    return next(fitting, None)


def _record_type(file: Path) -> str | None:
    types = _COMPRESSIBLE_TYPES if _COMPRESSION.search(file.name) else _RECORD_TYPES
    return types.get(Path(_COMPRESSION.sub("", file.name)).suffix.lower())


def _sources(
    settings: LakehouseSettings, files: FileSet, types: Mapping[Path, str], source_id: str | None
) -> list[dict[str, Any]]:
    """The declared sources: a source per file, or one that stands for all of them."""
    unjudged = {"metadata_status": "unknown", "pii_scan_status": "not_run"}
    if source_id is None or files.root is None:
        return [
            {
                "source_id": files.ids[file] if source_id is None else source_id,
                "source_url_or_path": declared_path(settings, file),
                "asset_type": types[file],
                **_facts(file),
                **unjudged,
            }
            for file in sorted(files.ids)
        ]
    if len(found := sorted(set(types.values()))) > 1:
        raise StarterRefused(
            f"found files of the types {' and '.join(found)}, expected one type in the source {source_id!r}; next: a "
            "glob in quotes such as '…/*.jsonl', or leave out --source-id"
        )
    declared = {"source_url_or_path": declared_path(settings, files.root), "asset_type": found[0]}
    return [{"source_id": source_id, **declared, **unjudged}]  # its files come and go: no checksum


def _facts(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            size_bytes = content.tell()
        title = _title(file)
    except OSError as error:
        raise StarterRefused(f"{file} cannot be read ({error.strerror}); next: mend the access to it") from error
    return {**({"title": title} if title else {}), "size_bytes": size_bytes, "checksum_sha256": sha256}


def _title(file: Path) -> str | None:
    """The title that an HTML or Markdown file gives itself, on one line; none where it is not UTF-8."""
    pattern = _TITLES.get(file.suffix.lower())
    if pattern is None:
        return None
    try:
        found = pattern.search(file.read_text("utf-8-sig"))
    except UnicodeDecodeError:
        return None
    return " ".join(html.unescape(found[1]).split()) if found else None
