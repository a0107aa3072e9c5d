"""Days of records as Parquet files: each source file is typed once, then each day is put together from all its files.

One file of rows and one of held records per day, which the sink in `loaders.bronze.destination` commits; no database
and no catalog is asked. A day of plain rows is written as it was typed; any other is put together by DuckDB. Memory
holds at most a day of small files, or a group of rows (`loaders.events.typed_rows`).
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.contracts.model import Contract
from lakehouse.ledger.evidence import FileKey, RowCounts
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import QUARANTINE_COLUMNS, contract_table
from lakehouse.tables.duck import quoted
from loaders.errors import SourceUnreadable
from loaders.events.dating import Dating
from loaders.events.derivations import key_columns
from loaders.events.record_typing import BATCH_ROWS, RecordTyper
from loaders.events.records import connect, is_plain_lines, open_records
from loaders.events.typed_rows import TypedRows
from loaders.events.typing_sql import known_in_extra
from loaders.plans.plan import CoveredFile, PartitionPlan, StagedDay, planned_materialization
from loaders.plans.staged_files import PARQUET_FORMAT, new_file, write_staged
from loaders.sources.reading import local_file, open_stream


class RecordStager:
    """Stages one day after another; a source file that covers many of them is typed once."""

    def __init__(self, settings: LakehouseSettings, contract: Contract, run_id: str, folder: Path) -> None:
        """Stage into a folder of the run's own."""
        self._settings, self._contract, self._run_id, self._folder = settings, contract, run_id, folder
        self._columns = [field.name for field in contract_table(contract).schema.fields]
        self._files: dict[FileKey, TypedRows] = {}
        self._views: dict[FileKey, str] = {}
        self._connection = connect(folder)

    def __call__(self, plan: PartitionPlan) -> StagedDay:
        """Write the file of rows and that of the held records of a day.

        Raises:
            SourceUnreadable: a file changed or vanished since coverage looked at it.
        """
        try:
            return self._stage(plan)
        finally:
            self._forget(plan)

    def _stage(self, plan: PartitionPlan) -> StagedDay:
        started_at = datetime.now(UTC)
        files = [self._typed_once(covered) for covered in plan.files]
        is_plain, rows = not self._replaced(plan) and _is_plain(plan, files), plan.rows_expected
        counts = RowCounts(rows, rows, rows) if is_plain else self._gather_day(plan)
        unknown = _unknown_fields(self._contract, plan, files) if is_plain else self._unknown_fields_of_day()
        item = planned_materialization(plan, counts, self._run_id, started_at)
        held = self._write_held() if counts.quarantined else None
        if not counts.loaded:
            rows_of_day = None
        elif not is_plain:
            rows_of_day = self._write(f"select {_columns(self._columns)} from day_rows where is_kept")
        elif files[0].is_held:
            rows_of_day = write_staged(pa.concat_tables([file.as_in_bronze() for file in files]), self._folder)
        else:
            rows_of_day = files[0].file_of_day()
        return StagedDay(item, rows_of_day, held, unknown)

    def _typed_once(self, covered: CoveredFile) -> TypedRows:
        key = covered.record.key
        if key not in self._files:
            origin = {
                **_origin(covered),
                **self._of_batch(covered),
                "run_id": self._run_id,
                "ingested_at": pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC")),
            }
            path = self._folder / f"typed_{uuid.uuid4().hex}"
            self._files[key] = TypedRows(
                self._typed(covered), path, self._columns, self._contract.key, origin, self._connection
            )
        return self._files[key]

    def _of_batch(self, covered: CoveredFile) -> dict[str, pa.Scalar]:
        """The column of the partition's day, where the batch says it and not the record."""
        day = self._dating(covered).of_batch
        return {} if day is None else {self._contract.declared_asset.time: pa.scalar(day, pa.date32())}

    def _dating(self, covered: CoveredFile) -> Dating:
        return Dating.of_file(self._settings, self._contract, covered.admission.manifest, covered.record.source_file)

    def _typed(self, covered: CoveredFile) -> Iterator[pa.Table]:
        """Type a source file. Only behind the last row is it known that these are the ones that coverage counted."""
        assert covered.file is not None  # a plan with an unreadable file is refused
        file, admission = covered.file, covered.admission
        dating = self._dating(covered)
        if is_plain_lines(admission):
            with open_stream(file, admission.source) as stream:
                yield from RecordTyper(self._contract, admission, dating, self._connection).type_lines(
                    stream, file.name, file.bounds
                )
            _expect_covered(covered, stream.sha256)
            return
        with local_file(file, admission.source, self._folder) as local:
            _expect_covered(covered, local.sha256)
            with open_records(
                self._settings, self._contract, admission, file, local.path, self._connection, self._folder
            ) as connection:
                yield from RecordTyper(self._contract, admission, dating, connection).type_selected()

    def _view(self, covered: CoveredFile) -> str:
        """A source file's typed rows as a view, each row with its partition and origin."""
        key = covered.record.key
        if key not in self._views:
            view = f"{self._files[key].name}_of_days"
            source = self._partitioned(view, covered)
            self._connection.execute(f"create temp view {view} as select {self._with_origin(covered)} from {source}")
            self._views[key] = view
        return self._views[key]

    def _with_origin(self, covered: CoveredFile) -> str:
        """Select list: a typed row with where it comes from, and the key that it has where the source gives none."""
        texts = {**_origin(covered), "asset": covered.record.asset}
        constants = [f"{quoted(value)} as {name}" for name, value in texts.items()]
        constants += [f"date '{day.as_py()}' as {name}" for name, day in self._of_batch(covered).items()]
        return f"*{key_columns(self._contract, covered.admission.source.source_id)}, {', '.join(constants)}"

    def _partitioned(self, view: str, covered: CoveredFile) -> str:
        """SQL: typed rows with the partition that each counts to."""
        file = self._files[covered.record.key]
        rows = file.open()
        if file.are_dated:
            return f"(select *, day as partition from {rows})"
        dating = self._dating(covered)
        dated = f"(select source_line, day from {rows})"
        self._connection.execute(f"create temp table {view}_days as {dating.partitioned(dated)}")
        return f"(select * from {rows} join (select source_line, partition from {view}_days) using (source_line))"

    def _gather_day(self, plan: PartitionPlan) -> RowCounts:
        """Open `day_rows`: the day's records of all its files, of each key keeping the last.

        What a later whole list of its collection replaces counts as deduplicated, however broken it was.
        """
        day, replaced = quoted(plan.partition), self._replaced(plan)
        files = " union all by name ".join(
            f"select * replace (partition::varchar as partition{_NO_REASON if rank in replaced else ''}), "
            f"{rank} as batch_rank, {rank in replaced} as is_replaced from {self._view(covered)} "
            f"where partition = {day}"
            for rank, covered in enumerate(plan.files)
        )
        stamps = (
            f"{quoted(self._run_id)} as run_id, now() as ingested_at, now() as quarantined_at, "
            "null::timestamptz as released_at"
        )
        self._connection.execute(f"create or replace temp view records_of_day as select *, {stamps} from ({files})")
        key = _columns(self._contract.key)
        found = self._connection.execute(
            f"select count(*), count(*) filter (reason_code is not null), count(distinct ({key})) filter "
            "(reason_code is null and not is_replaced) from records_of_day"
        ).fetchone()
        assert found is not None  # an aggregate always returns a row
        read, quarantined, loaded = found
        if read != plan.rows_expected:
            raise SourceUnreadable(
                f"{plan.asset} {plan.partition}: {read} records read, coverage expects {plan.rows_expected}: a source "
                "file changed meanwhile; next: run the load again"
            )
        kept = "select *, reason_code is null as is_kept from records_of_day"
        if read != loaded + quarantined:
            order = "is_replaced, reason_code nulls first, batch_rank desc, source_line desc"
            self._connection.execute(
                "create or replace temp table ranked as select batch_rank, source_line, reason_code is null and "
                f"not is_replaced and row_number() over (partition by {key} order by {order}) = 1 as is_kept "
                "from records_of_day"
            )
            kept = "select * from records_of_day join ranked using (batch_rank, source_line)"
        self._connection.execute(f"create or replace temp view day_rows as {kept}")
        return RowCounts(plan.rows_expected, read, loaded, read - loaded - quarantined, quarantined)

    def _replaced(self, plan: PartitionPlan) -> set[int]:
        """Ranks of the files of batches behind which a later one lists their collection whole."""
        if not self._contract.lists_records:
            return set()
        manifests = [covered.admission.manifest for covered in plan.files]
        whole = {each.listed_collection: each.manifest_id for each in manifests if each.listing == "replace"}
        first = {
            each.listed_collection: rank
            for rank, each in reversed([*enumerate(manifests)])
            if each.manifest_id == whole.get(each.listed_collection)
        }
        return {rank for rank, each in enumerate(manifests) if rank < first.get(each.listed_collection, 0)}

    def _unknown_fields_of_day(self) -> dict[str, str]:
        known = ", ".join(map(quoted, known_in_extra(self._contract)))
        places = (
            "select unnest(json_keys(extra)) as field, source_file, source_line from day_rows where extra is not null"
        )
        return dict(
            self._connection.execute(
                "select field, arg_min(source_file || ':' || source_line, (source_file, source_line)) "
                f"from ({places}) where field not in ({known}) group by 1 order by 1"
            ).fetchall()
        )

    def _write_held(self) -> Path:
        names = _columns([name for name, _, _ in QUARANTINE_COLUMNS])
        return self._write(
            f"select {names} from day_rows where reason_code is not null order by source_file, source_line"
        )

    def _write(self, query: str) -> Path:
        """Write rows; pyarrow does it at half the cost of DuckDB's COPY."""
        target = new_file(self._folder)
        reader = self._connection.execute(query).to_arrow_reader(BATCH_ROWS)
        with pq.ParquetWriter(target, reader.schema, **PARQUET_FORMAT) as writer:
            for batch in reader:
                writer.write_batch(batch)
        return target

    def _forget(self, plan: PartitionPlan) -> None:
        """Make room, however the day ended: a file whose rows are of one day is asked for once."""
        for key in (covered.record.key for covered in plan.files):
            if key in self._files and self._files[key].are_of_one_day:
                self._connection.unregister(self._files.pop(key).name)
                self._views.pop(key, None)


_NO_REASON = ", null::varchar as reason_code, null::varchar as reason"


def _is_plain(plan: PartitionPlan, files: list[TypedRows]) -> bool:
    """Whether a day is just the rows of its files as they were typed: all plain, none twice, none missing."""
    ids = [file.plain_ids(date.fromisoformat(plan.partition)) for file in files]
    if any(each is None for each in ids) or (len(files) > 1 and not all(file.is_held for file in files)):
        return False
    column = pa.chunked_array([array for each in ids for array in each or ()], pa.string())
    return len(column) == plan.rows_expected == int(pc.count_distinct(column).as_py())


def _unknown_fields(contract: Contract, plan: PartitionPlan, files: list[TypedRows]) -> dict[str, str]:
    """Fields that the contract does not name, each with the first place that has it, of a plain day."""
    first: dict[str, tuple[str, int]] = {}
    known = known_in_extra(contract)
    for covered, file in zip(plan.files, files, strict=True):
        for name, line in file.unknown_fields.items():
            place = (covered.record.source_file, line)
            first[name] = min(place, first.get(name, place))
    return {name: f"{file}:{line}" for name, (file, line) in sorted(first.items()) if name not in known}


def _expect_covered(covered: CoveredFile, sha256: str) -> None:
    if sha256 != covered.record.sha256:
        raise SourceUnreadable(f"{covered.record.source_file}: changed since coverage looked at it; next: run it again")


def _origin(covered: CoveredFile) -> dict[str, str]:
    """Where each row of a file comes from, by column."""
    admission, manifest = covered.admission, covered.admission.manifest
    return {
        "source_id": admission.source.source_id,
        "source_file": covered.record.source_file,
        "manifest_id": manifest.manifest_id,
        "batch_id": manifest.batch_id,
        "license_tag": manifest.license_tag,
        "schema_version": manifest.schema_version,
    }


def _columns(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
