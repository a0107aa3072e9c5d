"""Ticket days as Parquet files: each source file is typed once, then each day is put together from all its files.

One events file and one quarantine file per day, each with its evidence as Parquet metadata; the sink in
`loaders.destination` commits them. Disk holds the staged files of the load, memory at most a file or a day.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

import duckdb

from lakehouse.assets import QUARANTINE, TICKET_EVENTS
from lakehouse.contracts import load_contract
from lakehouse.duck import quoted
from lakehouse.evidence import FileKey, RowCounts
from lakehouse.provenance import snapshot_evidence
from lakehouse.settings import LakehouseSettings
from lakehouse.tables import EVENT_COLUMNS, LINEAGE, QUARANTINE_COLUMNS, Column, contract_columns
from loaders.coverage import CoveredFile
from loaders.dating import Dating
from loaders.errors import SourceUnreadable
from loaders.plan import PartitionPlan, planned_materialization
from loaders.records import connect, open_records, stage_records
from loaders.sources import local_file


class TicketStager:
    """Stages one day after another; a source file that covers many of them is typed once."""

    def __init__(self, settings: LakehouseSettings, run_id: str, folder: Path) -> None:
        """Stage into a folder of the run's own."""
        self._settings, self._run_id, self._folder = settings, run_id, folder
        self._views: dict[FileKey, str] = {}
        self._connection = connect(folder)

    def __call__(self, plan: PartitionPlan) -> Iterator[Path]:
        """Write the events file and the quarantine file of a day.

        Raises:
            SourceUnreadable: a file changed or vanished since coverage looked at it.
        """
        contract = load_contract(self._settings, "ticket_event")
        counts = _gather_day(self._connection, plan, [self._view(covered) for covered in plan.files])
        evidence = snapshot_evidence([planned_materialization(plan, counts, self._run_id)])
        stamps = f"{quoted(self._run_id)} as run_id, now() as ingested_at, now() as quarantined_at"
        rows = f"(select *, {stamps}, null::timestamptz as released_at from day_rows)"
        events = _columns((*contract_columns(contract), *EVENT_COLUMNS, *LINEAGE))
        good = f"select {events} from {rows} where is_kept order by occurred_at, event_id"
        yield _write(self._connection, good, {"omni.table": TICKET_EVENTS, **evidence}, self._folder)
        held = f"select {_columns(QUARANTINE_COLUMNS)} from {rows} where reason_code is not null"
        ordered = f"{held} order by source_file, source_line"
        yield _write(self._connection, ordered, {"omni.table": QUARANTINE, **evidence}, self._folder)

    def _view(self, covered: CoveredFile) -> str:
        key = covered.record.key
        if key not in self._views:
            view = f"staged_{len(self._views)}"
            _stage_file(self._settings, self._connection, covered, view, self._folder)
            self._views[key] = view
        return self._views[key]


def _stage_file(
    settings: LakehouseSettings, connection: duckdb.DuckDBPyConnection, covered: CoveredFile, view: str, folder: Path
) -> None:
    """Type a source file into Parquet and open it as a view, each row with its partition and lineage."""
    assert covered.file is not None  # a plan with an unreadable file is refused
    admission, manifest = covered.admission, covered.admission.manifest
    target = folder / f"{view}.parquet"
    dating = Dating.of_file(settings, manifest, covered.record.source_file)
    with local_file(covered.file, admission.source, folder) as local:
        if local.sha256 != covered.record.sha256:
            raise SourceUnreadable(f"{covered.file.name}: changed since coverage looked at it; next: run it again")
        with open_records(settings, admission, covered.file, local.path, connection, folder) as records:
            stage_records(settings, records, admission, dating, target)
    source = f"(select * from read_parquet({quoted(str(target))}))"
    undated = connection.execute(f"select count(*) from {source} where day is null").fetchone()
    if undated and undated[0]:
        connection.execute(
            f"create temp table {view}_days as select source_line, partition from ({dating.partitioned(source)})"
        )
        source = f"(select * from {source} join {view}_days using (source_line))"
    else:
        source = f"(select *, day as partition from {source})"
    lineage = {
        "source_id": admission.source.source_id,
        "source_file": covered.file.name,
        "manifest_id": manifest.manifest_id,
        "batch_id": manifest.batch_id,
        "license_tag": manifest.license_tag,
        "schema_version": manifest.schema_version,
        "asset": TICKET_EVENTS,
    }
    constants = ", ".join(f"{quoted(value)} as {name}" for name, value in lineage.items())
    connection.execute(f"create temp view {view} as select *, {constants} from {source}")


def _gather_day(connection: duckdb.DuckDBPyConnection, plan: PartitionPlan, views: list[str]) -> RowCounts:
    """Fill `day_rows` with the day's records of all its files, of each event keeping the last."""
    day = quoted(plan.partition)
    rows = " union all by name ".join(
        f"select * replace (partition::varchar as partition), {rank} as batch_rank from {view} where partition = {day}"
        for rank, view in enumerate(views)
    )
    last = (
        "row_number() over (partition by event_id order by reason_code nulls first, batch_rank desc, source_line desc)"
    )
    kept = f"reason_code is null and {last} = 1 as is_kept"
    connection.execute(f"create or replace temp table day_rows as select *, {kept} from ({rows})")
    found = connection.execute(
        "select count(*), count(*) filter (is_kept), count(*) filter (reason_code is not null) from day_rows"
    ).fetchone()
    assert found is not None  # an aggregate always returns a row
    read, loaded, quarantined = found
    if read != plan.rows_expected:
        raise SourceUnreadable(
            f"{plan.asset} {plan.partition}: {read} records read, coverage expects {plan.rows_expected}: a source file "
            "changed meanwhile; next: run the load again"
        )
    return RowCounts(plan.rows_expected, read, loaded, read - loaded - quarantined, quarantined)


def _write(connection: duckdb.DuckDBPyConnection, query: str, evidence: dict[str, str], folder: Path) -> Path:
    target = folder / f"{uuid.uuid4().hex}.parquet"
    metadata = ", ".join(f"{quoted(key)}: {quoted(value)}" for key, value in evidence.items())
    connection.execute(
        f"copy ({query}) to {quoted(str(target))} (format parquet, compression zstd, kv_metadata {{{metadata}}})"
    )
    return target


def _columns(columns: tuple[Column, ...]) -> str:
    return ", ".join(f'"{name}"' for name, _, _ in columns)
