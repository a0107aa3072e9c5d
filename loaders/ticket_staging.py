"""Ticket days as Parquet files: each source file is typed once, then each day is put together from all its files.

One events file and one quarantine file per day, each with its evidence as Parquet metadata; the sink in
`loaders.destination` commits them. A small file of one day is held in memory until its day is written, any other is
staged on disk, so that memory holds at most a day of small files, or a chunk.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.assets import QUARANTINE, TICKET_EVENTS
from lakehouse.contracts import load_contract
from lakehouse.duck import quoted
from lakehouse.evidence import FileKey, RowCounts
from lakehouse.provenance import snapshot_evidence
from lakehouse.settings import LakehouseSettings
from lakehouse.tables import EVENT_COLUMNS, LINEAGE, QUARANTINE_COLUMNS, contract_columns
from loaders.coverage import CoveredFile
from loaders.dating import Dating
from loaders.errors import SourceUnreadable
from loaders.plan import PartitionPlan, planned_materialization
from loaders.record_typing import BATCH_ROWS, RecordTyper
from loaders.records import connect, is_plain_lines, open_records
from loaders.sources import local_file, open_stream
from loaders.staged import PARQUET_FORMAT, QUARANTINE_FILE, write_staged
from loaders.typing_sql import BATCH_FIELDS

HELD_BYTES = 64 * 1024 * 1024
"""Size (uncompressed) up to which a file of one day is held in memory."""


class TicketStager:
    """Stages one day after another; a source file that covers many of them is typed once."""

    def __init__(
        self, settings: LakehouseSettings, run_id: str, folder: Path, drift: dict[str, dict[str, str]]
    ) -> None:
        """Stage into a folder of the run's own.

        Args:
            settings: Of the lakehouse.
            run_id: The run that stages.
            folder: Where to.
            drift: Is told per partition which fields the contract does not name, each with the first place that has it.
        """
        self._settings, self._run_id, self._folder, self._drift = settings, run_id, folder, drift
        self._contract = load_contract(settings, "ticket_event")
        self._staged: dict[FileKey, str] = {}
        self._held: dict[str, pa.Table] = {}
        self._no_quarantine: pa.Table | None = None
        self._connection = connect(folder)

    def __call__(self, plan: PartitionPlan) -> Iterator[Path]:
        """Write the events file and the quarantine file of a day.

        Raises:
            SourceUnreadable: a file changed or vanished since coverage looked at it.
        """
        started_at = datetime.now(UTC)
        views = [self._stage(covered) for covered in plan.files]
        counts = self._gather_day(plan, views)
        self._drift[plan.partition] = self._unknown_fields(views)
        evidence = snapshot_evidence([planned_materialization(plan, counts, self._run_id, started_at)])
        yield (quarantine := self._write_quarantine(counts.quarantined, {"omni.table": QUARANTINE, **evidence}))
        named = {"omni.table": TICKET_EVENTS, QUARANTINE_FILE: str(quarantine), **evidence}
        names = [name for name, _, _ in (*contract_columns(self._contract), *EVENT_COLUMNS, *LINEAGE)]
        if (events := self._held_whole(plan, views, counts)) is not None:
            yield write_staged(events.select(names), named, self._folder)
        else:
            yield self._write(f"select {_columns(names)} from day_rows where is_kept", named)
        for name in self._held:
            self._connection.unregister(name)
        self._held.clear()

    def _stage(self, covered: CoveredFile) -> str:
        """Type a source file, once, and open it as a view, each row with its partition and lineage."""
        key = covered.record.key
        if key not in self._staged:
            view = f"staged_{len(self._staged)}"
            dating = Dating.of_file(self._settings, covered.admission.manifest, covered.record.source_file)
            rows = self._keep(view, self._typed(covered, dating))
            source = self._partitioned(view, rows, dating)
            self._connection.execute(f"create temp view {view} as select {_with_lineage(covered)} from {source}")
            self._staged[key] = view
        return self._staged[key]

    def _typed(self, covered: CoveredFile, dating: Dating) -> Iterator[pa.Table]:
        """Type a source file. Only behind the last row is it known that these are the ones that coverage counted."""
        assert covered.file is not None  # a plan with an unreadable file is refused
        file, admission = covered.file, covered.admission
        if is_plain_lines(admission):
            with open_stream(file, admission.source) as stream:
                yield from RecordTyper(self._contract, admission, dating, self._connection).type_lines(
                    stream, file.name
                )
            _expect_covered(covered, stream.sha256)
            return
        with local_file(file, admission.source, self._folder) as local:
            _expect_covered(covered, local.sha256)
            with open_records(
                self._settings, admission, file.name, local.path, self._connection, self._folder
            ) as connection:
                yield from RecordTyper(self._contract, admission, dating, connection).type_selected()

    def _keep(self, name: str, tables: Iterator[pa.Table]) -> str:
        """Keep typed rows as a relation: in memory where they are few and of one day, else on disk."""
        held: list[pa.Table] = []
        size_bytes = 0
        for table in tables:
            held.append(table)
            size_bytes += table.nbytes
            if size_bytes > HELD_BYTES:
                return self._spill(name, held, tables)
        if len({day for table in held for day in table.column("day").unique().to_pylist()} - {None}) > 1:
            return self._spill(name, held, tables)
        relation = f"{name}_rows"
        self._held[relation] = pa.concat_tables(held)
        self._connection.register(relation, self._held[relation])
        return relation

    def _spill(self, name: str, held: list[pa.Table], more: Iterator[pa.Table]) -> str:
        target = self._folder / f"{name}.parquet"
        with pq.ParquetWriter(target, held[0].schema, compression="lz4") as writer:
            while held:
                writer.write_table(held.pop(0))
            for table in more:
                writer.write_table(table)
        return f"read_parquet({quoted(str(target))})"

    def _partitioned(self, view: str, rows: str, dating: Dating) -> str:
        """SQL: typed rows with the partition that each counts to."""
        if rows in self._held:
            all_dated = not self._held[rows].column("day").null_count
        else:
            undated = self._connection.execute(f"select 1 from {rows} where day is null limit 1")
            all_dated = undated.fetchone() is None
        if all_dated:
            return f"(select *, day as partition from {rows})"
        dated = f"(select source_line, day from {rows})"
        self._connection.execute(f"create temp table {view}_days as {dating.partitioned(dated)}")
        return f"(select * from {rows} join (select source_line, partition from {view}_days) using (source_line))"

    def _gather_day(self, plan: PartitionPlan, views: list[str]) -> RowCounts:
        """Open `day_rows`: the day's records of all its files, of each event keeping the last."""
        day = quoted(plan.partition)
        files = " union all by name ".join(
            f"select * replace (partition::varchar as partition), {rank} as batch_rank from {view} "
            f"where partition = {day}"
            for rank, view in enumerate(views)
        )
        stamps = (
            f"{quoted(self._run_id)} as run_id, now() as ingested_at, now() as quarantined_at, "
            "null::timestamptz as released_at"
        )
        self._connection.execute(f"create or replace temp view records_of_day as select *, {stamps} from ({files})")
        read, quarantined, loaded = self._count_good(plan, views) or self._count_any()
        if read != plan.rows_expected:
            raise SourceUnreadable(
                f"{plan.asset} {plan.partition}: {read} records read, coverage expects {plan.rows_expected}: a source "
                "file changed meanwhile; next: run the load again"
            )
        kept = "select *, reason_code is null as is_kept from records_of_day"
        if read != loaded + quarantined:
            last = "partition by event_id order by reason_code nulls first, batch_rank desc, source_line desc"
            self._connection.execute(
                "create or replace temp table ranked as select batch_rank, source_line, reason_code is null and "
                f"row_number() over ({last}) = 1 as is_kept from records_of_day"
            )
            kept = "select * from records_of_day join ranked using (batch_rank, source_line)"
        self._connection.execute(f"create or replace temp view day_rows as {kept}")
        return RowCounts(plan.rows_expected, read, loaded, read - loaded - quarantined, quarantined)

    def _count_good(self, plan: PartitionPlan, views: list[str]) -> tuple[int, int, int] | None:
        """Count as `_count_any` where all is in memory, named, of this day and good, at a tenth of the cost."""
        tables = self._in_memory(views)
        ids = pa.chunked_array([chunk for t in tables for chunk in t.column("event_id").chunks], pa.string())
        days = {day for t in tables for day in t.column("day").unique().to_pylist()}
        good = all(t.column("reason_code").null_count == t.num_rows for t in tables)
        if len(tables) < len(views) or ids.null_count or days != {date.fromisoformat(plan.partition)} or not good:
            return None
        return len(ids), 0, pc.count_distinct(ids).as_py()

    def _count_any(self) -> tuple[int, int, int]:
        """How many records the day has, how many of them are quarantined, how many events the others are of."""
        found = self._connection.execute(
            "select count(*), count(*) filter (reason_code is not null), count(distinct event_id) filter "
            "(reason_code is null) from records_of_day"
        ).fetchone()
        assert found is not None  # an aggregate always returns a row
        return found

    def _held_whole(self, plan: PartitionPlan, views: list[str], counts: RowCounts) -> pa.Table | None:
        """The day's events where they are just what is held in memory: without a copy. Else DuckDB has to choose."""
        whole = [table for table in self._in_memory(views) if not table.column("event_id").null_count]
        if len(whole) < len(views) or sum(table.num_rows for table in whole) != counts.loaded:
            return None
        now = pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC"))
        for number, covered in enumerate(plan.files):
            constants = {**_lineage(covered), "run_id": self._run_id, "ingested_at": now}
            for name, value in constants.items():
                whole[number] = whole[number].append_column(name, pa.repeat(value, whole[number].num_rows))
        return pa.concat_tables(whole)

    def _in_memory(self, views: list[str]) -> list[pa.Table]:
        return [self._held[rows] for view in views if (rows := f"{view}_rows") in self._held]

    def _unknown_fields(self, views: list[str]) -> dict[str, str]:
        tables = self._in_memory(views)
        if len(tables) == len(views) and all(t.column("extra").null_count == t.num_rows for t in tables):
            return {}
        places = (
            "select unnest(json_keys(extra)) as field, source_file, source_line from day_rows where extra is not null"
        )
        return dict(
            self._connection.execute(
                "select field, arg_min(source_file || ':' || source_line, (source_file, source_line)) "
                f"from ({places}) where field not in ({', '.join(map(quoted, BATCH_FIELDS))}) group by 1 order by 1"
            ).fetchall()
        )

    def _write_quarantine(self, rows: int, evidence: dict[str, str]) -> Path:
        names = [name for name, _, _ in QUARANTINE_COLUMNS]
        query = (
            f"select {_columns(names)} from day_rows where reason_code is not null order by source_file, source_line"
        )
        if rows:
            return self._write(query, evidence)
        if self._no_quarantine is None:
            self._no_quarantine = self._connection.execute(f"{query} limit 0").to_arrow_table()
        return write_staged(self._no_quarantine, evidence, self._folder)

    def _write(self, query: str, evidence: dict[str, str]) -> Path:
        """Write rows with their evidence; pyarrow does it at half the cost of DuckDB's COPY."""
        target = self._folder / f"{uuid.uuid4().hex}.parquet"
        reader = self._connection.execute(query).to_arrow_reader(BATCH_ROWS)
        with pq.ParquetWriter(target, reader.schema.with_metadata(evidence), **PARQUET_FORMAT) as writer:
            for batch in reader:
                writer.write_batch(batch)
        return target


def _expect_covered(covered: CoveredFile, sha256: str) -> None:
    if sha256 != covered.record.sha256:
        raise SourceUnreadable(f"{covered.record.source_file}: changed since coverage looked at it; next: run it again")


def _lineage(covered: CoveredFile) -> dict[str, str]:
    """Where each row of a file comes from, by column."""
    admission, manifest = covered.admission, covered.admission.manifest
    return {
        "source_id": admission.source.source_id,
        "source_file": covered.record.source_file,
        "manifest_id": manifest.manifest_id,
        "batch_id": manifest.batch_id,
        "license_tag": manifest.license_tag,
        "schema_version": manifest.schema_version,
        "asset": TICKET_EVENTS,
    }


def _with_lineage(covered: CoveredFile) -> str:
    """Select list: a typed row with where it comes from, and the identity that it has where the source gives none."""
    constants = ", ".join(f"{quoted(value)} as {name}" for name, value in _lineage(covered).items())
    identity = f"[{quoted(covered.admission.source.source_id)}, ticket_id, occurred_at::varchar, record_sha256]"
    return f"* replace (coalesce(event_id, sha256(to_json({identity})::varchar)) as event_id), {constants}"


def _columns(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
