"""The two dlt pipelines: `ticket_events` and `doc_snapshots`, from admitted sources to committed, checked Bronze.

One load of one asset = one dlt run in a working directory of its own (a shared one loses rows when runs overlap); the
directory of the last run is kept under its pipeline's name, for `dlt pipeline NAME info` and `trace`.
"""

import logging
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dlt
import pyarrow.parquet as pq
from dlt.pipeline.exceptions import PipelineStepFailed
from pyiceberg.catalog import Catalog
from sqlalchemy.exc import OperationalError

from lakehouse.assets import DOC_ASSETS, QUARANTINE, TICKET_EVENTS
from lakehouse.errors import WindowConflict
from lakehouse.ledger.evidence import CheckResult, Materialization, RowCounts
from lakehouse.ledger.ledger import Ledger
from lakehouse.settings import LakehouseSettings
from loaders.bronze.checks import check_partitions
from loaders.bronze.destination import Sink, bronze, table_of
from loaders.errors import LoadFailed, SourceUnreadable, StoreUnavailable
from loaders.events.staging import TicketStager
from loaders.plans.plan import LoadPlan
from loaders.plans.staged_files import stage_emptied
from loaders.snapshots.staging import DocumentStager

logger = logging.getLogger(__name__)

PIPELINES = {"ticket_events": TICKET_EVENTS, "doc_snapshots": DOC_ASSETS}
"""dlt pipeline → Bronze asset."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class LoadReport:
    """What a load did, partition by partition."""

    asset: str
    loaded: list[Materialization]
    refused: dict[str, str]
    """Partitions whose sources cannot be read: what is wrong. Their old rows stay."""
    unchanged: int = 0
    checks: list[CheckResult] = field(default_factory=list)

    def summary(self) -> str:
        """One line: what was loaded, with the sums of its rows."""
        rows = {name: sum(getattr(item.rows, name) for item in self.loaded) for name in asdict(RowCounts())}
        return (
            f"{self.asset}: {len(self.loaded)} partitions loaded, {self.unchanged} unchanged, "
            f"{len(self.refused)} refused; {rows['read']} records read = {rows['loaded']} loaded + "
            f"{rows['deduplicated']} deduplicated + {rows['quarantined']} quarantined"
        )


def new_run_id() -> str:
    """Identity of one run."""
    return uuid.uuid4().hex


def run_pipeline(
    settings: LakehouseSettings, catalog: Catalog, ledger: Ledger, plan: LoadPlan, run_id: str, progress: Progress
) -> LoadReport:
    """Load the planned partitions of an asset and check them."""
    refused, drift = dict(plan.refused), dict[str, dict[str, str]]()
    if plan.partitions:
        name = next(name for name, asset in PIPELINES.items() if asset == plan.asset)
        runs = pipelines_dir(settings).parent / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=runs) as folder:
            staging = Path(folder) / "staging"
            staging.mkdir()
            pipeline = dlt.pipeline(
                name,
                destination=bronze(sink=Sink(settings, catalog, ledger)),
                dataset_name="bronze",
                pipelines_dir=folder,
            )
            source = _bronze_source(settings, plan, run_id, staging, refused, drift, progress)
            try:
                pipeline.run(source, loader_file_format="parquet")
            except PipelineStepFailed as error:
                raise failure_of(error)(
                    f"{name}: {root_cause(error)}; partitions that were committed before stay; next: run it again"
                ) from error
            _keep_last_run(settings, Path(folder) / name)
    planned = [item.partition for item in plan.partitions if item.partition not in refused]
    checks = check_partitions(settings, catalog, ledger, plan.asset, planned, run_id, drift)
    current = ledger.current_materializations([plan.asset])
    return LoadReport(plan.asset, [current[plan.asset, key] for key in planned], refused, plan.unchanged, checks)


def root_cause(error: BaseException) -> BaseException:
    """The first error of a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def failure_of(error: BaseException) -> type[LoadFailed]:
    """What to call a load that ended with an error: whether the same load may succeed in a moment."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError | OperationalError | WindowConflict):
            return StoreUnavailable
        cause = cause.__cause__
    return LoadFailed


def pipelines_dir(settings: LakehouseSettings) -> Path:
    """Where the working directory of each pipeline's last run is kept."""
    return settings.home / "dlt" / "pipelines"


def _bronze_source(
    settings: LakehouseSettings,
    plan: LoadPlan,
    run_id: str,
    folder: Path,
    refused: dict[str, str],
    drift: dict[str, dict[str, str]],
    progress: Progress,
) -> Any:
    """A dlt source that stages day after day, and hands each file to the resource of its table.

    A day whose sources fail is refused and holds no other day back.
    """
    stager = (
        TicketStager(settings, run_id, folder, drift)
        if plan.asset == TICKET_EVENTS
        else DocumentStager(settings, run_id, folder)
    )

    def staged_files() -> Iterator[Path]:
        for number, item in enumerate(plan.partitions, start=1):
            progress(f"{plan.asset} {item.partition} ({number} of {len(plan.partitions)})")
            try:
                yield from list(stager(item) if item.files else stage_emptied(settings, item, run_id, folder))
            except SourceUnreadable as error:
                logger.error("%s %s refused: %s", item.asset, item.partition, error)
                refused[item.partition] = str(error)

    def files_of(file: Path, table: str) -> Iterator[Any]:
        if table_of(file) == table:
            rows = pq.read_metadata(file).num_rows
            yield dlt.mark.with_file_import(str(file), "parquet", rows, hints=pq.read_schema(file).empty_table())

    @dlt.source(name=plan.asset)
    def staged_source() -> Iterator[Any]:
        files = dlt.resource(staged_files, name="staged_files", selected=False)
        for table in (QUARANTINE, plan.asset):
            yield files | dlt.transformer(files_of, name=table, write_disposition="replace")(table)

    return staged_source()


def _keep_last_run(settings: LakehouseSettings, working_dir: Path) -> None:
    """Keep a run's working directory, without its packages' data, in place of that of the run before."""
    for package in (working_dir / "load" / "loaded").glob("*/completed_jobs/*.parquet"):
        package.unlink()
    target = pipelines_dir(settings) / working_dir.name
    target.parent.mkdir(parents=True, exist_ok=True)
    old = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        target.rename(old)
    with suppress(OSError):  # another run of this pipeline has just put its own there
        working_dir.rename(target)
    shutil.rmtree(old, ignore_errors=True)
