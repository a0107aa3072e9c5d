"""The ingest: admission, coverage, and the load of every Bronze partition that is new, changed or asked for."""

from collections.abc import Iterable
from dataclasses import dataclass

from lakehouse.catalog import open_catalog
from lakehouse.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.provenance import recover_ledger
from lakehouse.settings import LakehouseSettings
from lakehouse.tables import BRONZE_ASSETS
from loaders.coverage import CoveredFile, asset_of, refresh_coverage
from loaders.pipelines import LoadReport, Progress, new_run_id, run_pipeline
from loaders.plan import plan_load
from loaders.seed_loader import AdmissionReport, admit_manifests


@dataclass(frozen=True)
class IngestReport:
    """What an ingest found and did."""

    admission: AdmissionReport
    loads: list[LoadReport]
    problems: list[str]
    """Source files that cannot be read, and why."""

    @property
    def is_complete(self) -> bool:
        """Whether all declared data is in: nothing refused, nothing unreadable. Quarantined records do not count."""
        checks = (check for load in self.loads for check in load.checks)
        is_loaded = not any(load.refused for load in self.loads) and all(check.passed for check in checks)
        return is_loaded and not self.problems and not self.admission.refused


def ingest(
    settings: LakehouseSettings,
    *,
    assets: Iterable[str] = BRONZE_ASSETS,
    window: Window | None = None,
    run_id: str | None = None,
    progress: Progress = lambda _: None,
) -> IngestReport:
    """Load Bronze.

    Idempotent: without a window only what is new or changed is loaded; with one, its partitions are computed again and
    come out the same.

    Raises:
        ConfigurationError: the manifest folder, the manifest schema or a contract is missing.
    """
    run_id = run_id or new_run_id()
    catalog, ledger = open_catalog(settings), open_ledger(settings)
    recover_ledger(catalog, ledger)
    progress("manifests")
    report = admit_manifests(settings, ledger)
    loads, problems = [], []
    for asset in assets:
        progress(f"coverage of {asset}")
        admitted = [a for a in report.admissions if a.is_admitted and asset_of(a) == asset]
        files = refresh_coverage(settings, ledger, asset, admitted)
        problems.extend(_problems(files.values()))
        loads.append(run_pipeline(settings, catalog, ledger, plan_load(ledger, asset, files, window), run_id, progress))
    return IngestReport(report, loads, problems)


def _problems(files: Iterable[CoveredFile]) -> list[str]:
    return [covered.record.problem for covered in files if covered.record.problem]
