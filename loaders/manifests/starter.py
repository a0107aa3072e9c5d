"""A starter manifest, drafted from the files that it is to declare: `omni manifests init`.

States what the files themselves say: type, checksum, size, title. Licence, metadata and personal data are a person's to
judge and are declared as not known, so that admission lets no source in before someone has. Reads no records.
"""

import hashlib
import html
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from lakehouse.settings import LakehouseSettings
from lakehouse.unicode_text import WHOLE_TEXT, broken_texts
from loaders.errors import LoaderError
from loaders.manifests.manifest import SCHEMA_FILE

_TICKETS = {
    "modality": "structured",
    "source_type": "ticket_export",
    "contract_ref": "omni://contracts/data/ticket/v1",
    "load_mode": "full_snapshot",
}
_DOCUMENTS = {
    "modality": "document",
    "source_type": "other",
    "contract_ref": "omni://contracts/data/doc_asset/v1",
    "load_mode": "full_snapshot",
    "disposition": "replace",
}

_COMPRESSIBLE_TYPES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv"}
_TICKET_TYPES = {**_COMPRESSIBLE_TYPES, ".parquet": "parquet"}
_DOCUMENT_TYPES = {
    **dict.fromkeys((".html", ".htm"), "html"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg"), "image"),
    **dict.fromkeys((".md", ".rst", ".txt"), "other"),
    ".pdf": "pdf",
}
_COMPRESSION = re.compile(r"\.(gz|zst)$")  # lower case only: `loaders.sources.files` unpacks no other

_HTML_TITLE = re.compile(r"<title\b[^>]*>(.*?)</title\s*>", re.IGNORECASE | re.DOTALL)
_TITLES = {".html": _HTML_TITLE, ".htm": _HTML_TITLE, ".md": re.compile(r"^# (.+)$", re.MULTILINE)}


class StarterRefused(LoaderError):
    """No starter manifest can be drafted from these files, or its own file is there already."""


def draft_manifest(
    settings: LakehouseSettings,
    paths: Sequence[Path],
    *,
    name: str,
    owner: str,
    created_at: datetime,
    number: int = 1,
) -> dict[str, Any]:
    """Draft a manifest that is valid and admits nothing yet, with one source per file.

    Args:
        settings: name the roots that source paths are relative to.
        paths: files, or folders for every file below them, except what starts with `.` or `_`.
        name: goes into the ids; of documents, it is the collection as well.
        owner: who answers for the sources.
        created_at: with an offset; its UTC day goes into the ids.
        number: of the manifest on that day, 1 to 999.

    Raises:
        StarterRefused: the files are missing, unreadable, of no known kind or of both kinds, name or owner is blank, or
            the name of a file or another text is no Unicode.
    """
    slug = _slug(unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode())
    if not slug or not owner.strip():
        raise StarterRefused(
            f"found the name {name!r} and the owner {owner!r}, expected a name with Latin letters or digits and an "
            "owner that is not blank; next: give both"
        )
    names = {file: name for path in paths for file, name in _files(path)}
    kind, types = _kind(names)
    locations = {file: _declared_path(settings, file) for file in sorted(types)}
    ids = _source_ids(names)
    instant = created_at.astimezone(UTC)
    stamp = f"{slug}-{instant:%Y%m%d}-{number:03}"
    draft = {
        "$schema": f"schema/{SCHEMA_FILE}",
        "manifest_id": f"manifest-{stamp}",
        "schema_version": "source_manifest_v1",
        "batch_id": f"batch-{stamp}",
        "created_at": f"{instant:%Y-%m-%dT%H:%M:%SZ}",
        **kind,
        **({"collection": name} if kind is _DOCUMENTS else {}),
        "license_tag": "unknown",
        "owner": owner,
        "assets": [
            {
                "source_id": ids[file],
                "source_url_or_path": location,
                "asset_type": types[file],
                **_facts(file),
                "metadata_status": "unknown",
                "pii_scan_status": "not_run",
            }
            for file, location in locations.items()
        ],
    }
    if broken := ", ".join(f"{found} at {where}" for where, found in broken_texts(draft)):
        raise StarterRefused(f"found {broken}, expected {WHOLE_TEXT}; next: rename the file, or type it in UTF-8")
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


def _files(path: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """The files that a path stands for, as a folder source has them, each with its name below the path."""
    path = path.resolve()
    if path.is_file():
        yield path, PurePosixPath(path.name)
    elif path.is_dir():
        for file in path.rglob("*"):
            name = file.relative_to(path)
            if file.is_file() and not any(part.startswith((".", "_")) for part in name.parts):
                yield file, PurePosixPath(name.as_posix())
    else:
        raise StarterRefused(f"{path}: no file and no folder there; next: name one that exists")


def _kind(files: Collection[Path]) -> tuple[dict[str, str], dict[Path, str]]:
    """What a manifest of these files declares as a whole, and the asset type of each."""
    tickets = {file: found for file in files if (found := _ticket_type(file))}
    documents = {file: found for file in files if (found := _DOCUMENT_TYPES.get(file.suffix.lower()))}
    endings = (
        f"tickets ({' '.join(_TICKET_TYPES)}; all but .parquet also with .gz or .zst) "
        f"or documents ({' '.join(_DOCUMENT_TYPES)})"
    )
    if not files:
        raise StarterRefused(f"found no file, expected {endings}; next: name files, or a folder that has some")
    if unknown := set(files) - set(tickets) - set(documents):
        raise StarterRefused(f"found {_some(unknown)}, expected {endings}; next: leave out what is no source")
    if tickets and documents:
        raise StarterRefused(
            f"found tickets ({_some(tickets)}) and documents ({_some(documents)}), expected one kind per manifest; "
            "next: draft a manifest for each"
        )
    return (_TICKETS, tickets) if tickets else (_DOCUMENTS, documents)


def _ticket_type(file: Path) -> str | None:
    types = _COMPRESSIBLE_TYPES if _COMPRESSION.search(file.name) else _TICKET_TYPES
    return types.get(PurePosixPath(_COMPRESSION.sub("", file.name)).suffix.lower())


def _some(files: Collection[Path]) -> str:
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return ", ".join(file.name for file in sorted(files)[:3]) + more


def _declared_path(settings: LakehouseSettings, file: Path) -> str:
    """A path that `loaders.sources.files` resolves to this very file."""
    if file.is_relative_to(settings.manifests):
        return file.relative_to(settings.manifests).as_posix()
    if settings.source_root and file.is_relative_to(settings.source_root):
        relative = file.relative_to(settings.source_root)
        if not (settings.manifests / relative).exists():  # the manifest folder is looked into first
            return relative.as_posix()
    return str(file)


def _source_ids(names: dict[Path, PurePosixPath]) -> dict[Path, str]:
    """An id for each file from its path below the folder that was named, with its ending where two would be alike.

    So a document keeps its id from one snapshot folder to the next, whatever comes and goes beside it.
    """
    ids = {file: _slug(str(name.with_name(_plain_name(name)))) for file, name in names.items()}
    for shape in (lambda name: _slug(str(name)), str):
        counts = Counter(ids.values())
        ids = {file: slug if slug and counts[slug] == 1 else shape(names[file]) for file, slug in ids.items()}
    return ids


def _plain_name(path: PurePosixPath) -> str:
    return PurePosixPath(_COMPRESSION.sub("", path.name)).stem


def _slug(text: str) -> str:
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", text).lower()).strip("-")


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
