"""Coverage: which partitions each admitted source file holds records of, and how many; what is expected in Bronze.

Kept in the ledger by the stamp of the file and its sidecars, so that an unchanged file is never read again. A file that
cannot be read (or whose sidecar cannot) keeps the partitions that it covered (or that its name or declared window
tells) with a problem: these are not loaded, their old rows stay, and their verdict says why.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

from lakehouse.contracts.registry import load_contracts
from lakehouse.kinds import KINDS
from lakehouse.ledger.evidence import Coverage, FileKey, ManifestVersion, SourceFileRecord
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import Window
from lakehouse.scratch import scratch_folder
from lakehouse.settings import LakehouseSettings
from loaders.bronze.kinds import LOADERS
from loaders.errors import LoaderError, SourceUnreadable
from loaders.manifests.admission import Admission
from loaders.plans.plan import CountedDay, CoveredFile, FileContent, UnreadFile
from loaders.plans.shares import shares_of_files
from loaders.snapshots.sidecars import find_sidecars
from loaders.sources.files import find_files
from loaders.workers import Work, Workers


def refresh_coverage(
    settings: LakehouseSettings,
    ledger: Ledger,
    asset: str,
    admissions: Iterable[Admission],
    workers: Workers,
    doubtful: Mapping[str, str] | None = None,
    window: Window | None = None,
) -> dict[FileKey, CoveredFile]:
    """Bring the coverage of an asset up to date with its admitted sources.

    Reads the files that are new or changed, and forgets those that no admitted source declares any more. Of a manifest
    that is refused now and was admitted before (`doubtful`: its id, and why) nothing is forgotten: what it covered
    stays as it is, with a problem. With a window, a file that declares to hold other days is expected there, unread.

    Returns:
        Every file of the admitted sources by its key, with the problem of those that cannot be read.
    """
    known, admissions = ledger.known_files(asset), list(admissions)
    if not known and not admissions:
        return {}  # as of most assets that ship: nobody declares any of it
    with scratch_folder(settings) as scratch:
        survey = _Survey(settings, ledger, asset, known, window, scratch)
        seen = [each for admission in admissions for each in survey.look_at(admission)]
        read = survey.read([each for each in seen if isinstance(each, UnreadFile)], workers)
    files = (read[each.record.key] if isinstance(each, UnreadFile) else each for each in seen)
    found = {covered.record.key: covered for covered in files}
    anew = [covered for covered in found.values() if covered.coverage is not None]
    ledger.replace_file_coverage([c.record for c in anew], [row for c in anew for row in c.coverage or ()])
    for manifest_id, problem in (doubtful or {}).items():
        ledger.doubt_files(asset, manifest_id, problem)
    ledger.forget_files(asset, [key for key in known.keys() - found.keys() if key[0] not in (doubtful or {})])
    return found


class _Survey:
    """One look at the files of an asset's sources."""

    def __init__(
        self,
        settings: LakehouseSettings,
        ledger: Ledger,
        asset: str,
        known: dict[FileKey, SourceFileRecord],
        window: Window | None,
        scratch: Path,
    ) -> None:
        self._settings, self._ledger, self._asset = settings, ledger, asset
        self._window, self._scratch = window, scratch
        self._known: dict[tuple[str, str], dict[FileKey, SourceFileRecord]] = {}
        for key, record in known.items():
            self._known.setdefault(key[:2], {})[key] = record
        self._bounds = " ".join(map(str, _record_bounds(settings)))
        contract = load_contracts(settings).of_asset(asset)
        self._contract = contract
        self._is_dated_by_batch = KINDS[contract.declared_asset.kind].is_dated_by_batch
        self._readings: dict[tuple[str, str], tuple[str, str]] = {}
        self._work = Work(LOADERS[contract.form].reader, (settings, contract, scratch))
        self._reader = LOADERS[contract.form].reader(settings, contract, scratch)

    def look_at(self, admission: Admission) -> Iterator[CoveredFile | UnreadFile]:
        """Look at every file of a source, and at those that it had and that are gone."""
        declaration, reading = self._reading(admission)
        declared = admission.source.source_url_or_path
        known = self._known.get(admission.key, {})
        gone = {key: record for key, record in known.items() if record.stamp.endswith(declaration)}
        problem = f"{declared}: matches no file any more; next: restore it, or declare a new version of the manifest"
        ordered_at = self._batch_at(admission)
        batch_at = ordered_at or admission.manifest.created_at
        if admission.source.deleted:
            record = SourceFileRecord(self._asset, *admission.key, declared, f"deleted|{reading}")
            day = CountedDay(admission.manifest.snapshot_date.isoformat(), 1, "deleted")
            rows = [_covered_day(record, day, reading)]
            yield CoveredFile(admission, None, record, rows, batch_at)
            return
        try:
            if ordered_at is None:
                batch = admission.manifest.selection_window.replay_from_batch
                raise SourceUnreadable(
                    f"{admission.file.path.name}: replays batch {batch}, which was never admitted; "
                    "next: name a batch of `omni manifests list --all`"
                )
            files = find_files(self._settings, admission.file.path, admission.source)
            sidecars = find_sidecars(self._settings, self._contract, admission, files)
        except SourceUnreadable as error:
            # Whatever the source had is expected still, under a new declaration, too.
            files, sidecars, problem, gone = [], {}, str(error), dict(known)
            gone.setdefault(
                (*admission.key, declared), SourceFileRecord(self._asset, *admission.key, declared, reading)
            )
        for file in files:
            gone.pop((*admission.key, file.name), None)
            stamps = (file.stamp, *(f"{column}={beside.stamp}" for column, beside in sidecars.items()))
            stamp, same = "|".join((*stamps, reading)), known.get((*admission.key, file.name))
            if same is not None and same.stamp == stamp and same.problem is None:
                yield CoveredFile(admission, file, same, None, batch_at, sidecars=sidecars)
            else:
                record = SourceFileRecord(self._asset, *admission.key, file.name, stamp)
                days = self._reader.declared_days(admission, file.name)
                if self._window and days and not days.overlaps(self._window):
                    record, coverage = self._unread(record, days)
                    yield CoveredFile(admission, file, record, coverage, batch_at, sidecars=sidecars)
                else:
                    yield UnreadFile(admission, file, sidecars, record, batch_at)
        for record in gone.values():
            record, coverage = self._unreadable(admission, record, problem)
            yield CoveredFile(admission, None, record, coverage, batch_at)

    def read(self, files: Sequence[UnreadFile], workers: Workers) -> dict[FileKey, CoveredFile]:
        """Read new or changed files and their sidecars: is all whole, which days has it rows of, and how many."""
        weights = [max(each.file.weight_bytes, self._reader.least_bytes) for each in files]
        done = workers.do(self._work, shares_of_files(files, weights, workers.most))
        return {each.record.key: self._read_file(each, content) for each, content in done}

    def _read_file(self, unread: UnreadFile, content: FileContent | LoaderError) -> CoveredFile:
        admission, file, sidecars, batch_at = unread.admission, unread.file, unread.sidecars, unread.batch_at
        if isinstance(content, LoaderError):
            record, coverage = self._unreadable(admission, unread.record, str(content))
            return CoveredFile(admission, file, record, coverage, batch_at, sidecars=sidecars)
        record = replace(unread.record, sha256=content.sha256, sidecars=content.sidecars)
        rows = [_covered_day(record, day, self._reading(admission)[1]) for day in content.days]
        return CoveredFile(admission, file, record, rows, batch_at, content.described, sidecars)

    def _unread(self, record: SourceFileRecord, declared: Window) -> tuple[SourceFileRecord, list[Coverage]]:
        """Expect a file on the days that it declares; it is read when one of them is loaded."""
        rows = [
            Coverage(record.asset, day, *record.key, None, _sha256(record.stamp, record.source_file, day))
            for day in declared.keys
        ]
        return replace(record, stamp=f"unread|{record.stamp}"), rows

    def _unreadable(
        self, admission: Admission, record: SourceFileRecord, problem: str
    ) -> tuple[SourceFileRecord, list[Coverage]]:
        """Keep the partitions that an unreadable file is to hold: as before, as declared, or as its name says."""
        days = set() if self._is_dated_by_batch else self._days_before.get(record.key, set())
        days = days or self._reader.days_by_name(admission, record.source_file)
        rows = [Coverage(record.asset, day, *record.key, None, _sha256(problem, day), problem) for day in sorted(days)]
        return replace(record, sha256=None, sidecars={}, problem=problem), rows

    @cached_property
    def _days_before(self) -> dict[FileKey, set[str]]:
        """Days that each file covers as the ledger has it."""
        days: dict[FileKey, set[str]] = {}
        for (_, day), rows in self._ledger.coverage(self._asset).items():
            for row in rows:
                days.setdefault((row.manifest_id, row.source_id, row.source_file), set()).add(day)
        return days

    @cached_property
    def _recorded(self) -> list[ManifestVersion]:
        """Every batch that was ever admitted, for replays."""
        return self._ledger.manifest_versions()

    def _batch_at(self, admission: Admission) -> datetime | None:
        """Instant that orders a source's records among other batches; None for a replay of an unknown batch.

        A replay takes the place of the batch that it repeats: what arrived since stays the later word.
        """
        manifest = admission.manifest
        if manifest.load_mode != "replay":
            return manifest.created_at
        batch = manifest.selection_window.replay_from_batch
        repeated = [v for v in self._recorded if v.batch_id == batch and v.manifest_id != manifest.manifest_id]
        return max((version.declared_at for version in repeated if version.declared_at), default=None)

    def _reading(self, admission: Admission) -> tuple[str, str]:
        """What decides, beside the bytes, what a file's rows look like: what is declared; all that, and how it is read.

        Hashes. The first is the end of the second: with another contract, mapping or bound a source declares the same.
        """
        if admission.key not in self._readings:
            manifest, mapping = admission.manifest, ""
            if manifest.mapping:
                path = self._settings.manifest_resource("mappings", f"{manifest.mapping}.sql")
                mapping = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            declared = manifest.model_dump_json(exclude={"assets", "gate_policy"})
            declaration = _sha256(declared, admission.source.model_dump_json())
            how = _sha256(self._contract.sha256, mapping, self._bounds)
            self._readings[admission.key] = declaration, f"{how}|{declaration}"
        return self._readings[admission.key]


def _record_bounds(settings: LakehouseSettings) -> Iterator[object]:
    """The settings that decide which records are good; those of their size where they are not the default.

    So a lakehouse that keeps the defaults reads no file again for them.
    """
    yield from (settings.earliest_instant, settings.latest_after_batch_hours)
    for name in ("max_record_depth", "max_record_fields"):
        if (bound := getattr(settings, name)) != type(settings).model_fields[name].default:
            yield f"{name}={bound}"


def _covered_day(record: SourceFileRecord, day: CountedDay, reading: str) -> Coverage:
    sidecars = (f"{column}={sidecar.sha256}" for column, sidecar in sorted(record.sidecars.items()))
    return Coverage(
        asset=record.asset,
        partition=day.partition,
        manifest_id=record.manifest_id,
        source_id=record.source_id,
        source_file=record.source_file,
        rows_expected=day.records,
        fingerprint=_sha256(reading, record.source_file, day.partition, str(day.records), day.content, *sidecars),
        first_at=day.first_at,
        last_at=day.last_at,
    )


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
