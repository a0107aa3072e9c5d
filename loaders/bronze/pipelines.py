"""The dlt pipelines, one per Bronze asset: from admitted sources to committed, checked Bronze.

One load of one asset = one dlt run in a working directory of its own (a shared one loses rows when runs overlap); the
directory of the last run is kept under its pipeline's name, for `dlt pipeline NAME info` and `trace`.
"""

import logging
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
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
from lakehouse.errors import OmniError, WindowConflict, is_of_store
from lakehouse.ledger.evidence import CheckResult, Materialization, RowCounts
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import BRONZE
from lakehouse.settings import LakehouseSettings
from loaders.bronze.checks import check_partitions, days_to_ask
from loaders.bronze.destination import BronzeDestination, Sink, rows_carried, tables_of, write_carrier
from loaders.bronze.kinds import LOADERS
from loaders.errors import LoaderError, LoadFailed, StoreUnavailable
from loaders.plans.plan import LoadPlan, PartitionPlan, StagedDay
from loaders.plans.shares import shares_of_days
from loaders.workers import Work, Workers

MOST_DAYS, LONGEST_SECONDS = 100, 60
"""So many days are one commit, or as many as are staged in that time: each commit writes all snapshots of the table
again, and a load that is killed has kept those before."""

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
    settings: LakehouseSettings,
    catalog: Catalog,
    ledger: Ledger,
    plan: LoadPlan,
    run_id: str,
    workers: Workers,
    progress: Progress,
) -> LoadReport:
    """Load the planned partitions of an asset and check them."""
    contract = load_contracts(settings).of_asset(plan.asset)
    refused, unknown_fields = dict(plan.refused), dict[str, Mapping[str, str]]()
    if plan.partitions:
        name = contract.declared_asset.pipeline
        runs = pipelines_dir(settings).parent / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=runs) as folder:
            (scratch := Path(folder) / "staging").mkdir()
            sink = Sink(settings, catalog, ledger)
            pipeline = dlt.pipeline(
                name, destination=BronzeDestination(sink=sink), dataset_name=BRONZE, pipelines_dir=folder
            )
            conflicts = list[WindowConflict]()
            work = Work(LOADERS[contract.form].stager, (settings, contract, run_id, scratch))
            try:
                with closing(stage(plan, work, workers, refused, progress)) as days:
                    for group in groups(days):
                        unknown_fields |= {day.item.partition: day.unknown_fields for day in group}
                        pipeline.run(_carried(settings, plan.asset, group, scratch), loader_file_format="parquet")
                        conflicts += sink.commit()
                if conflicts:
                    raise conflicts[0]
            except (PipelineStepFailed, WindowConflict, OSError, SQLAlchemyError) as error:
                raise failure_of(error)(
                    f"{name}: {root_cause(error)}; partitions that were committed before stay; next: run it again"
                ) from error
            _keep_last_run(settings, Path(folder) / name)
    planned = [item.partition for item in plan.partitions if item.partition not in refused]
    checks = check_partitions(settings, catalog, ledger, plan.asset, planned, run_id, unknown_fields)
    asked = set(days_to_ask(settings, ledger, plan.asset, plan.window)) - set(refused)
    checks += check_partitions(settings, catalog, ledger, plan.asset, asked, run_id)
    current = ledger.current_materializations([plan.asset])
    return LoadReport(plan.asset, [current[plan.asset, key] for key in planned], refused, plan.unchanged, checks)


def stage(
    plan: LoadPlan,
    work: Work[PartitionPlan, StagedDay],
    workers: Workers,
    refused: dict[str, str],
    progress: Progress,
) -> Generator[StagedDay, None, None]:
    """Stage the days of a plan. One whose sources fail is refused, and holds no other back."""
    shares, total = shares_of_days(plan.partitions, workers.most), len(plan.partitions)
    progress(f"{plan.asset}: {counted(total, 'partition')} to load")
    staged = workers.do(work, shares)
    for number, (item, day) in enumerate(staged, start=1):
        progress(f"{item.asset} {item.partition} ({number} of {total})")
        if isinstance(day, LoaderError):
            logger.error("%s %s refused: %s", item.asset, item.partition, day)
            refused[item.partition] = str(day)
        else:
            yield day


def groups(days: Iterable[StagedDay]) -> Iterator[list[StagedDay]]:
    """Days that are committed together, as they come."""
    group: list[StagedDay] = []
    began = time.monotonic()
    for day in days:
        group.append(day)
        if len(group) == MOST_DAYS or time.monotonic() - began > LONGEST_SECONDS:
            yield group
            group, began = [], time.monotonic()
    if group:
        yield group


def _carried(settings: LakehouseSettings, asset: str, days: Sequence[StagedDay], folder: Path) -> Any:
    """A dlt source that carries a group of days to their tables."""

    def carrier(table: str) -> Iterator[Any]:
        file = write_carrier(settings, table, days, folder)
        columns = pq.read_schema(file).empty_table()
        yield dlt.mark.with_file_import(str(file), "parquet", rows_carried(table, days), hints=columns)

    @dlt.source(name=asset)
    def staged_source() -> Iterator[Any]:
        for table in tables_of(settings, asset):
            yield dlt.resource(carrier, name=table, write_disposition="replace")(table)

    return staged_source()


def root_cause(error: BaseException) -> BaseException:
    """What an error came about by: the first of a chain, or the one of ours that says it for a person."""
    while error.__cause__ is not None and not isinstance(error, OmniError):
        error = error.__cause__
    return error


def failure_of(error: BaseException) -> type[LoadFailed]:
    """What to call a load that ended with an error: whether the same load may succeed in a moment."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OperationalError | WindowConflict) or is_of_store(cause):
            return StoreUnavailable
        cause = cause.__cause__
    return LoadFailed


def pipelines_dir(settings: LakehouseSettings) -> Path:
    """Where the working directory of each pipeline's last run is kept."""
    return settings.home / "dlt" / "pipelines"


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
