"""The ingest: admission, coverage, and the load of every Bronze partition that is new, changed or asked for."""

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pyiceberg.catalog import Catalog
from sqlalchemy.exc import SQLAlchemyError

from lakehouse.builds.commit_evidence import recover_ledger
from lakehouse.contracts.registry import bronze_contracts
from lakehouse.counted import counted
from lakehouse.database.failures import describe
from lakehouse.errors import ConfigurationError, OmniError, is_of_store
from lakehouse.ledger.evidence import CheckResult, FileKey
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.partitions import Window, named, said_once
from lakehouse.proof.foreign_writes import find_foreign_writes
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from loaders.bronze.coverage import refresh_coverage
from loaders.bronze.pipelines import LoadReport, Progress, failure_of, new_run_id, run_pipeline
from loaders.plans.plan import CoveredFile
from loaders.plans.planning import plan_load
from loaders.seed_loader import AdmissionReport, admit_manifests
from loaders.workers import Workers


@dataclass(frozen=True)
class IngestReport:
    """What an ingest found and did."""

    admission: AdmissionReport
    loads: list[LoadReport]
    problems: list[str]
    """Source files that cannot be read, and why."""

    def load_of(self, asset: str) -> LoadReport:
        """What was loaded of an asset that was asked for."""
        return next(load for load in self.loads if load.asset == asset)

    @property
    def is_complete(self) -> bool:
        """Whether all declared data is in: nothing refused, nothing unreadable, no blocking check failed."""
        checks = (check for load in self.loads for check in load.checks)
        is_loaded = not any(load.refused for load in self.loads) and all(
            c.passed or c.severity == "warn" for c in checks
        )
        return is_loaded and not self.problems and not self.admission.refused

    def table(self) -> list[str]:
        """Rows of each partition that was loaded, as aligned text."""
        header = ("partition", "read", "loaded", "deduplicated", "quarantined")
        rows = [
            (f"{item.asset} {item.partition}", *map(str, (r.read, r.loaded, r.deduplicated, r.quarantined)))
            for load in self.loads
            for item in load.loaded
            if (r := item.rows)
        ]
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        return [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)
        ]

    def lines(self) -> list[str]:
        """What was done, for a person."""
        judged = ", ".join(f"{number} {name}" for name, number in sorted(self.admission.judgments.items()))
        found = [f"manifests: {len(self.admission.files)}, sources: {judged or 'none'}"]
        found += _refused(self.admission)
        refused = {why for load in self.loads for why in load.refused.values()}
        found += [f"unreadable: {problem}" for problem in self.problems if problem not in refused]
        for load in [load for load in self.loads if load.has_partitions] or self.loads:
            found += _refused_days(load.asset, load.refused)
            found += _failed_checks(load.checks)
            found.append(load.summary())
        return found


@dataclass(frozen=True)
class RefreshReport:
    """What is declared and what has arrived, before anything is loaded."""

    admission: AdmissionReport
    unreadable: list[str]
    """Source files that cannot be read, and why."""

    @property
    def problems(self) -> list[str]:
        """What stands in the way: manifests that are refused, source files that cannot be read."""
        return [*_refused(self.admission), *(f"unreadable: {problem}" for problem in self.unreadable)]


@contextmanager
def _explained() -> Iterator[None]:
    """Say of a disk or a database that fails what it means, and what to do."""
    try:
        yield
    except SQLAlchemyError as error:
        raise failure_of(error)(describe(error)) from error
    except Exception as error:
        if isinstance(error, OmniError) or not is_of_store(error):
            raise
        reason = str(error).partition("\n")[0]
        raise failure_of(error)(
            f"{reason}; what was committed before stays; next: mend the disk, store or catalog, and run it again"
        ) from error


@contextmanager
def _imports_apart() -> Iterator[None]:
    """Keep the garbage collector off what is there already.

    A load makes objects by the hundred thousand, and each full collection would walk through all that the imports made.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@_explained()
def refresh(settings: LakehouseSettings, progress: Progress = lambda _: None) -> RefreshReport:
    """Admit the manifests and bring the coverage of all assets up to date, without loading anything."""
    return look_again(settings, open_catalog(settings), open_ledger(settings), progress)


def look_again(
    settings: LakehouseSettings, catalog: Catalog, ledger: Ledger, progress: Progress = lambda _: None
) -> RefreshReport:
    """The same, of a catalog and a ledger that are open."""
    recover_ledger(catalog, ledger)
    find_foreign_writes(catalog, ledger)
    progress("manifests")
    admission = admit_manifests(settings, ledger)
    unreadable: list[str] = []
    with _open_workers(settings) as workers:
        for asset in bronze_contracts(settings):
            progress(f"coverage of {asset}")
            unreadable += _problems(cover(settings, ledger, asset, admission, workers).values())
    return RefreshReport(admission, unreadable)


@_explained()
@_imports_apart()
def ingest(
    settings: LakehouseSettings,
    *,
    assets: Iterable[str] | None = None,
    window: Window | None = None,
    reload_unchanged: bool = True,
    run_id: str | None = None,
    progress: Progress = lambda _: None,
) -> IngestReport:
    """Load Bronze.

    Idempotent: without a window only what is new or changed is loaded; with one, its partitions are computed again
    (unless `reload_unchanged` is off) and come out the same.

    Raises:
        ConfigurationError: the manifest folder, the manifest schema, a contract or the catalog is missing.
        LoadFailed: a disk or a database failed.
    """
    run_id = run_id or new_run_id()
    catalog, ledger = open_catalog(settings), open_ledger(settings)
    recover_ledger(catalog, ledger)
    find_foreign_writes(catalog, ledger)
    progress("manifests")
    report = admit_manifests(settings, ledger)
    loads, problems = [], []
    with _open_workers(settings) as workers:
        for asset in _named(settings, assets):
            progress(f"coverage of {asset}")
            files = cover(settings, ledger, asset, report, workers, window)
            problems.extend(_problems(files.values()))
            plan = plan_load(ledger, asset, files, window, reload_unchanged)
            loads.append(run_pipeline(settings, catalog, ledger, plan, run_id, workers, progress))
    return IngestReport(report, loads, problems)


@_explained()
def preview(
    settings: LakehouseSettings, *, assets: Iterable[str] | None = None, window: Window | None = None
) -> list[str]:
    """Say which partitions a load would compute or refuse, with the records expected and held now; loads nothing."""
    ledger = open_ledger(settings)
    report = admit_manifests(settings, ledger)
    lines = _refused(report)
    for asset in _named(settings, assets):
        with _open_workers(settings) as workers:
            plan = plan_load(ledger, asset, cover(settings, ledger, asset, report, workers, window), window)
        current = ledger.current_materializations([asset])
        for item in plan.partitions:
            held = current.get((asset, item.partition))
            now = f"{held.rows.read} read before" if held else "never loaded"
            records = f"{counted(item.rows_expected, 'record')} from {counted(len(item.files), 'file')}"
            lines.append(f"{asset} {item.partition}: {records}, {now}")
        lines += _refused_days(asset, plan.refused)
        loaded = counted(len(plan.partitions), "partition")
        lines.append(f"{asset}: {loaded} would be loaded, {plan.unchanged} unchanged")
    return lines


def _open_workers(settings: LakehouseSettings) -> Workers:
    """Who looks at source files and stages them: processes of this machine, or the workers of a cluster."""
    if settings.dask_scheduler is None:
        return Workers(settings.workers)
    try:
        from loaders.dask_workers import DaskWorkers
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"OMNI_DASK_SCHEDULER is set, and {error.name} is not installed; next: make dask, or unset it"
        ) from error
    return DaskWorkers(settings)


def _named(settings: LakehouseSettings, assets: Iterable[str] | None) -> Iterable[str]:
    """The assets that are meant: all of the lakehouse, where none is named."""
    return bronze_contracts(settings) if assets is None else assets


def cover(
    settings: LakehouseSettings,
    ledger: Ledger,
    asset: str,
    admission: AdmissionReport,
    workers: Workers,
    window: Window | None = None,
) -> dict[FileKey, CoveredFile]:
    """Bring the coverage of an asset up to date with what was admitted; every file of it by its key."""
    admitted = [a for a in admission.admissions if a.is_admitted and a.asset == asset]
    valid = {file.manifest_id for file in admission.files}
    doubtful = {
        manifest_id: f"{file.path.name} is refused: {'; '.join(map(str, file.breaches))}"
        for file in admission.refused
        for manifest_id in ledger.manifests_of(file.path.name) - valid
    }
    return refresh_coverage(settings, ledger, asset, admitted, workers, doubtful, window)


def _refused(admission: AdmissionReport) -> list[str]:
    return [f"refused: {file.path.name}: {'; '.join(map(str, file.breaches))}" for file in admission.refused]


def _refused_days(asset: str, refused: Mapping[str, str]) -> list[str]:
    said = said_once((asset, partition, why) for partition, why in sorted(refused.items()))
    return [f"refused: {partitions}: {why}" for partitions, why in said]


def _failed_checks(checks: Iterable[CheckResult]) -> Iterator[str]:
    """Each check that failed once, with its days; where they differ in what it found, what it found on the first."""
    failed: dict[tuple[str, str, str], dict[str, str]] = {}
    for c in checks:
        if not c.passed:
            failed.setdefault((c.severity, c.asset, c.check), {})[c.partition] = c.message
    for (severity, asset, check), found in failed.items():
        first = min(found)
        of_first = f" (on {first}; of another day: omni explain {asset} DAY)" if len({*found.values()}) > 1 else ""
        kind = "failed" if severity == "error" else "warning"
        yield f"{kind}: {named(asset, found)} {check}: {found[first]}{of_first}"


def _problems(files: Iterable[CoveredFile]) -> list[str]:
    return [covered.record.problem for covered in files if covered.record.problem]
