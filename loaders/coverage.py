"""Coverage: which partitions each admitted source file holds records of, and how many; what is expected in Bronze.

Kept in the ledger by the file's stamp, so that an unchanged file is never read again. A file that cannot be read keeps
the partitions that it covered (or that its name or declared window tells) with a problem: these are not loaded, their
old rows stay, and their verdict says why.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lakehouse.assets import DOC_ASSETS, TICKET_EVENTS
from lakehouse.contracts import load_contract
from lakehouse.evidence import Coverage, FileKey, SourceFileRecord
from lakehouse.ledger import Ledger
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from loaders.admission import Admission
from loaders.errors import MappingRefused, SourceUnreadable
from loaders.records import count_days, open_records
from loaders.sources import SourceFile, find_files, local_copy, verify_file

_ASSETS = {"ticket": TICKET_EVENTS, "doc_asset": DOC_ASSETS}


@dataclass(frozen=True)
class CoveredFile:
    """One file of an admitted source; `file` is None for a tombstone and for a file that cannot be found."""

    admission: Admission
    file: SourceFile | None
    record: SourceFileRecord
    coverage: list[Coverage] | None
    """What the file holds, where it was read anew; None where the ledger already knows."""


def asset_of(admission: Admission) -> str | None:
    """Bronze asset that a source is loaded into; None for audio and video, which have no loader yet."""
    return _ASSETS.get(admission.manifest.contract_of(admission.source))


def refresh_coverage(
    settings: LakehouseSettings,
    ledger: Ledger,
    asset: str,
    admissions: Iterable[Admission],
    doubtful: Mapping[str, str] | None = None,
) -> dict[FileKey, CoveredFile]:
    """Bring the coverage of an asset up to date with its admitted sources.

    Reads the files that are new or changed, and forgets those that no admitted source declares any more. Of a manifest
    that is refused now and was admitted before (`doubtful`: its id, and why) nothing is forgotten: what it covered
    stays as it is, with a problem.

    Returns:
        Every file of the admitted sources by its key, with the problem of those that cannot be read.
    """
    known = ledger.known_files(asset)
    old = _coverage_by_source(ledger, asset)
    scratch_root = settings.home / "scratch"
    scratch_root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch_root) as scratch:
        found = {
            covered.record.key: covered
            for admission in admissions
            for covered in _cover_source(settings, asset, admission, known, old.get(admission.key, []), Path(scratch))
        }
    anew = [covered for covered in found.values() if covered.coverage is not None]
    ledger.replace_file_coverage([c.record for c in anew], [row for c in anew for row in c.coverage or ()])
    for manifest_id, problem in (doubtful or {}).items():
        ledger.doubt_files(asset, manifest_id, problem)
    ledger.forget_files(asset, [key for key in known.keys() - found.keys() if key[0] not in (doubtful or {})])
    return found


def _cover_source(
    settings: LakehouseSettings,
    asset: str,
    admission: Admission,
    known: dict[FileKey, SourceFileRecord],
    old: list[Coverage],
    scratch: Path,
) -> Iterator[CoveredFile]:
    """Look at every file of a source, and at those that it had and that are gone."""
    reading = _reading(settings, admission)
    declared = admission.source.source_url_or_path
    gone = {k: r for k, r in known.items() if k[:2] == admission.key and r.stamp.endswith(reading)}
    problem = f"{declared}: matches no file any more; next: restore it, or declare a new version of the manifest"
    try:
        files = [] if admission.source.deleted else find_files(settings, admission.file.path, admission.source)
    except SourceUnreadable as error:
        # Whatever the source had is expected still, under a new declaration, too.
        files, problem = [], str(error)
        gone = {key: record for key, record in known.items() if key[:2] == admission.key}
        gone.setdefault((*admission.key, declared), SourceFileRecord(asset, *admission.key, declared, reading))
    if admission.source.deleted:
        gone.clear()
        record = SourceFileRecord(asset, *admission.key, declared, f"deleted|{reading}")
        yield CoveredFile(admission, None, record, [_document_coverage(record, admission, reading)])
    for file in files:
        gone.pop((*admission.key, file.name), None)
        record = SourceFileRecord(asset, *admission.key, file.name, f"{file.stamp}|{reading}")
        same = known.get(record.key)
        if same is not None and same.stamp == record.stamp and same.problem is None:
            yield CoveredFile(admission, file, same, None)
        else:
            yield _read_file(settings, admission, file, record, reading, old, scratch)
    for record in gone.values():
        yield _unreadable(admission, None, record, old, problem)


def _read_file(
    settings: LakehouseSettings,
    admission: Admission,
    file: SourceFile,
    record: SourceFileRecord,
    reading: str,
    old: list[Coverage],
    scratch: Path,
) -> CoveredFile:
    """Read a new or changed file once: is it whole, and which days does it hold records of."""
    try:
        sha256 = verify_file(file, admission.source)
        record = replace(record, sha256=sha256)
        if record.asset == DOC_ASSETS:
            return CoveredFile(admission, file, record, [_document_coverage(record, admission, reading + sha256)])
        path = local_copy(file, scratch)
        with open_records(settings, admission, file, path, scratch) as connection:
            days = count_days(connection, admission.manifest)
    except (SourceUnreadable, MappingRefused) as error:
        return _unreadable(admission, file, record, old, str(error))
    rows = [
        Coverage(record.asset, day, *record.key, records, _sha256(reading, file.name, day, str(records), content))
        for day, records, content in days
    ]
    return CoveredFile(admission, file, record, rows)


def _document_coverage(record: SourceFileRecord, admission: Admission, content: str) -> Coverage:
    day = admission.manifest.snapshot_date.isoformat()
    return Coverage(record.asset, day, *record.key, 1, _sha256(content, record.source_file))


def _unreadable(
    admission: Admission, file: SourceFile | None, record: SourceFileRecord, old: list[Coverage], problem: str
) -> CoveredFile:
    """Keep the partitions that an unreadable file is expected to hold: as before, as declared, or as its name says."""
    days = {row.partition for row in old if row.source_file == record.source_file}
    window = admission.manifest.selection_window
    if record.asset == DOC_ASSETS:
        days = {admission.manifest.snapshot_date.isoformat()}
    elif not days and window.start_at and window.end_at:
        days = set(Window(window.start_at.date(), window.end_at.date()).keys)
    elif not days:
        days = set(re.findall(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)", record.source_file))
    rows = [Coverage(record.asset, day, *record.key, None, _sha256(problem, day), problem) for day in sorted(days)]
    return CoveredFile(admission, file, replace(record, sha256=None, problem=problem), rows)


def _reading(settings: LakehouseSettings, admission: Admission) -> str:
    """Hash of all but the bytes that decides what a file's rows look like: declaration, contract, mapping."""
    manifest, source = admission.manifest, admission.source
    contract = "doc_asset" if asset_of(admission) == DOC_ASSETS else "ticket_event"
    mapping = ""
    if manifest.mapping:
        path = settings.manifest_resource("mappings", f"{manifest.mapping}.sql")
        mapping = path.read_text("utf-8") if path.is_file() else ""
    declared = manifest.model_dump_json(exclude={"assets", "gate_policy"}), source.model_dump_json()
    return _sha256(*declared, load_contract(settings, contract).sha256, mapping)


def _coverage_by_source(ledger: Ledger, asset: str) -> dict[tuple[str, str], list[Coverage]]:
    found: dict[tuple[str, str], list[Coverage]] = {}
    for rows in ledger.coverage(asset).values():
        for row in rows:
            found.setdefault((row.manifest_id, row.source_id), []).append(row)
    return found


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
