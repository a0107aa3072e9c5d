"""The dlt pipelines, one per Bronze asset: from admitted sources to committed, checked Bronze.

One load of one asset = one dlt run in a working directory of its own (a shared one loses rows when runs overlap); the
directory of the last run is kept under its pipeline's name, for `dlt pipeline NAME info` and `trace`.
"""

import logging
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dlt
import pyarrow.parquet as pq
from dlt.pipeline.exceptions import PipelineStepFailed
from pyiceberg.catalog import Catalog
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from lakehouse.contracts.registry import load_contracts
from lakehouse.counted import counted
from lakehouse.errors import OmniError, WindowConflict
from lakehouse.ledger.evidence import CheckResult, Materialization, RowCounts
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import BRONZE, QUARANTINE
from lakehouse.settings import LakehouseSettings
from loaders.bronze.checks import check_partitions, days_to_ask
from loaders.bronze.destination import BronzeDestination, Sink, table_of
from loaders.bronze.kinds import LOADERS
from loaders.errors import LoadFailed, SourceUnreadable, StoreUnavailable
from loaders.plans.plan import LoadPlan, PartitionPlan, StagedDay
from loaders.plans.staged_files import stage_emptied

logger = logging.getLogger(__name__)

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

    @property
    def has_partitions(self) -> bool:
        """Whether anything is known of the asset in what was looked at."""
        return bool(self.loaded or self.refused or self.unchanged)

    def summary(self) -> str:
        """One line: what was loaded, with the sums of its rows."""
        rows = {name: sum(getattr(item.rows, name) for item in self.loaded) for name in asdict(RowCounts())}
        return (
            f"{self.asset}: {counted(len(self.loaded), 'partition')} loaded, {self.unchanged} unchanged, "
            f"{len(self.refused)} refused; {counted(rows['read'], 'record')} read = {rows['loaded']} loaded + "
            f"{rows['deduplicated']} deduplicated + {rows['quarantined']} quarantined"
        )


def new_run_id() -> str:
    """Identity of one run."""
    return uuid.uuid4().hex


def run_pipeline(
    settings: LakehouseSettings, catalog: Catalog, ledger: Ledger, plan: LoadPlan, run_id: str, progress: Progress
) -> LoadReport:
    """Load the planned partitions of an asset and check them."""
    contract = load_contracts(settings).of_asset(plan.asset)
    staging = _Staging(settings, plan, run_id, progress)
    if plan.partitions:
        name = contract.declared_asset.pipeline
        runs = pipelines_dir(settings).parent / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=runs) as folder:
            (scratch := Path(folder) / "staging").mkdir()
            sink = Sink(settings, catalog, ledger, scratch)
            pipeline = dlt.pipeline(
                name, destination=BronzeDestination(sink=sink), dataset_name=BRONZE, pipelines_dir=folder
            )
            stager = LOADERS[contract.form].stager(settings, contract, run_id, scratch)
            try:
                pipeline.run(staging.source(stager, scratch), loader_file_format="parquet")
                sink.commit()
            except (PipelineStepFailed, WindowConflict, OSError, SQLAlchemyError) as error:
                raise failure_of(error)(
                    f"{name}: {root_cause(error)}; partitions that were committed before stay; next: run it again"
                ) from error
            _keep_last_run(settings, Path(folder) / name)
    refused = {**plan.refused, **staging.refused}
    planned = [item.partition for item in plan.partitions if item.partition not in refused]
    checks = check_partitions(settings, catalog, ledger, plan.asset, planned, run_id, staging.unknown_fields)
    asked = set(days_to_ask(settings, ledger, plan.asset, plan.window)) - set(refused)
    checks += check_partitions(settings, catalog, ledger, plan.asset, asked, run_id)
    current = ledger.current_materializations([plan.asset])
    return LoadReport(plan.asset, [current[plan.asset, key] for key in planned], refused, plan.unchanged, checks)


def root_cause(error: BaseException) -> BaseException:
    """What an error came about by: the first of a chain, or the one of ours that says it for a person."""
    while error.__cause__ is not None and not isinstance(error, OmniError):
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


class _Staging:
    """Stages day after day. A day whose sources fail is refused and holds no other day back."""

    def __init__(self, settings: LakehouseSettings, plan: LoadPlan, run_id: str, progress: Progress) -> None:
        self._settings, self._plan, self._run_id, self._progress = settings, plan, run_id, progress
        self.refused: dict[str, str] = {}
        """Partition → what is wrong with its sources."""
        self.unknown_fields: dict[str, Mapping[str, str]] = {}
        """Partition → fields that the contract does not name."""

    def source(self, stager: Callable[[PartitionPlan], StagedDay], folder: Path) -> Any:
        """A dlt source that hands each staged file to the resource of its table."""

        def files_of(file: Path, table: str) -> Iterator[Any]:
            if table_of(file) == table:
                rows = pq.read_metadata(file).num_rows
                yield dlt.mark.with_file_import(str(file), "parquet", rows, hints=pq.read_schema(file).empty_table())

        @dlt.source(name=self._plan.asset)
        def staged_source() -> Iterator[Any]:
            files = dlt.resource(self._files(stager, folder), name="staged_files", selected=False)
            for table in (QUARANTINE, self._plan.asset):
                yield files | dlt.transformer(files_of, name=table, write_disposition="replace")(table)

        return staged_source()

    def _files(self, stager: Callable[[PartitionPlan], StagedDay], folder: Path) -> Iterator[Path]:
        planned = self._plan.partitions
        for number, item in enumerate(planned, start=1):
            self._progress(f"{item.asset} {item.partition} ({number} of {len(planned)})")
            try:
                day = stager(item) if item.files else stage_emptied(self._settings, item, self._run_id, folder)
            except SourceUnreadable as error:
                logger.error("%s %s refused: %s", item.asset, item.partition, error)
                self.refused[item.partition] = str(error)
            else:
                self.unknown_fields[item.partition] = day.unknown_fields
                yield from day.files


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
