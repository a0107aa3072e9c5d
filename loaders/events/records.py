"""Reading one file of records: its records with their lines, adapted by a mapping, those that the manifest means.

Everything happens in DuckDB, file by file, so that memory is bounded by a file. Counted in `loaders.events.counting`,
typed and judged in `loaders.events.record_typing`.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts.model import Contract
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.duck import quoted
from loaders.errors import SourceUnreadable
from loaders.events.dating import SELECTING_MODES, first_instant
from loaders.events.mapping import map_records, member
from loaders.events.typing_sql import instant
from loaders.manifests.admission import Admission
from loaders.manifests.manifest import Manifest
from loaders.sources.bounds import Bounds
from loaders.sources.csv_lines import read_rows
from loaders.sources.files import SourceFile
from loaders.sources.lines import is_bounded, is_bounded_text, lines_of, read_chunks
from loaders.sources.parquet_bounds import expect_bounded


def times_of(contract: Contract, record: str) -> str:
    """SQL: the time fields of a record as text; of what is nearly JSON, too: it is dated by itself."""
    pointers = [f"$.{name}" for name in contract.time_fields]
    return f"try(json_extract_string({record}, {pointers}))" if pointers else "null::varchar[]"


def time_texts(contract: Contract) -> list[str]:
    """SQL: each of the `times` of a record."""
    return [f"times[{number}]" for number in range(1, len(contract.time_fields) + 1)]


def connect(scratch: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that spills into a folder and reckons in UTC; of one thread where pyarrow has one."""
    threads = {"threads": 1} if pa.cpu_count() == 1 else {}  # one of several processes: `loaders.workers`
    connection = duckdb.connect(config={"temp_directory": str(scratch), **threads})
    connection.execute("set timezone = 'UTC'")
    return connection


@contextmanager
def open_records(
    settings: LakehouseSettings,
    contract: Contract,
    admission: Admission,
    file: SourceFile,
    path: Path,
    connection: duckdb.DuckDBPyConnection,
    scratch: Path,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file as the relation `selected`, one row per record that the manifest means.

    Columns: `source_line`; `raw_record`, the record as text; `doc`, the record as JSON, after the mapping (null for
    what is no object, or what the mapping dropped); `times`, its time fields as text. The connection serves one file
    after another; a mapping runs in one of its own.

    Raises:
        SourceUnreadable: the file cannot be read as what it is declared to be.
        MappingRefused: the mapping cannot be used.
    """
    manifest = admission.manifest
    with connect(scratch) if manifest.mapping else nullcontext(connection) as connection, blaming(file.name, path):
        _read_source(connection, admission.source.asset_type, file, path)
        if manifest.mapping:
            map_records(settings, manifest.mapping, partial(times_of, contract), connection, scratch)
        else:
            connection.execute(f"create or replace temp view records as {_records_of(contract, 'source_records')}")
        connection.execute(
            f"create or replace temp view selected as select * from records where {selected_by(contract, manifest)}"
        )
        yield connection


def selected_lines(contract: Contract, manifest: Manifest) -> str:
    """SQL over `lines`, see `loaders.sources.lines.lines_of`: the records that are meant, see `open_records`."""
    return f"(select * from ({_records_of(contract, 'lines')}) where {selected_by(contract, manifest)})"


def is_plain_lines(admission: Admission) -> bool:
    """Whether a source's files are JSON lines that are read as they stand."""
    return admission.source.asset_type == "jsonl" and not admission.manifest.mapping


@contextmanager
def blaming(name: str, path: Path) -> Iterator[None]:
    """Say of DuckDB's errors what they are about: the source, by its own name, in one line."""
    try:
        yield
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0].replace(str(path), name)
        raise SourceUnreadable(f"{name}: {reason[:_LONGEST_REASON]}; next: export the file again") from error


def _read_source(connection: duckdb.DuckDBPyConnection, asset_type: str, file: SourceFile, path: Path) -> None:
    """Open a file as `source_records`: `source_line`, `raw_record`, and `is_object`, whether it is one JSON object."""
    connection.execute("drop view if exists source_records; drop table if exists lines_of_source")
    if asset_type in ("jsonl", "csv", "json"):
        table = "create temp table lines_of_source (source_line bigint, raw_record varchar, is_object boolean)"
        connection.execute(table)
        for batch, columns in _batches(connection, asset_type, file, path):
            connection.register("batch", batch)
            connection.execute(f"insert into lines_of_source select {columns} from batch")
            connection.unregister("batch")
        reader = "select * from lines_of_source"
    else:
        expect_bounded(path, file.name, file.bounds)
        reader = (
            "select row_number() over () as source_line, to_json(r)::varchar as raw_record, true as is_object "
            f"from read_parquet({quoted(str(path))}) r"
        )
    connection.execute(f"create temp view source_records as {reader}")


def _batches(
    connection: duckdb.DuckDBPyConnection, asset_type: str, file: SourceFile, path: Path
) -> Iterator[tuple[pa.Table, str]]:
    """Arrow tables of a file's records, each with the SQL of the columns of `source_records`."""
    if asset_type == "csv":
        for rows in read_rows(path, file.name, file.bounds):
            yield rows, "source_line, coalesce(odd, to_json(row)::varchar), odd is null"
    elif asset_type == "json":
        for objects in _objects(connection.cursor(), path, file.bounds):
            yield objects, "source_line, raw_record, is_object"
    else:
        with path.open("rb") as stream:
            for chunk in read_chunks(stream, file.name, file.bounds):
                yield lines_of(chunk, file.bounds), "source_line, raw_record, is_object"


def _objects(connection: duckdb.DuckDBPyConnection, path: Path, bounds: Bounds) -> Iterator[pa.Table]:
    """What a JSON file holds, in an array or one after another, as the columns of `source_records`."""
    options = f"maximum_object_size = {bounds.record_bytes}"
    query = f"select json::varchar as raw_record from read_json_objects({quoted(str(path))}, {options})"
    numbers = itertools.count(1)
    for batch in connection.execute(query).to_arrow_reader(_BATCH_ROWS):
        texts = batch.column("raw_record")
        are_objects = pc.starts_with(texts, "{")
        if not is_bounded(texts, bounds):
            are_objects = pa.array(t.startswith("{") and is_bounded_text(t, bounds) for t in texts.to_pylist())
        are_objects = pc.and_(are_objects, pc.less_equal(pc.binary_length(texts), bounds.record_bytes))
        lines = pa.array(list(itertools.islice(numbers, len(texts))), pa.int64())
        yield pa.table({"source_line": lines, "raw_record": texts, "is_object": are_objects})


def _records_of(contract: Contract, relation: str) -> str:
    """SQL: records as they stand."""
    doc = "case when is_object then raw_record::json end as doc"
    return f"select source_line, raw_record, {doc}, {times_of(contract, 'raw_record')} as times from {relation}"


def selected_by(contract: Contract, manifest: Manifest) -> str:
    """SQL over `records`: those that the manifest means."""
    return selection(manifest, time_texts(contract), lambda field: "doc ->> " + quoted(member(field)))


def selects_by_field(contract: Contract, manifest: Manifest) -> bool:
    """Whether a field of a record says whether it is meant; else all are."""
    return selected_by(contract, manifest) != "true"


_LONGEST_REASON = 200
_BATCH_ROWS = 10_000


def selection(manifest: Manifest, times: list[str], value: Callable[[str], str]) -> str:
    """SQL: the records that the manifest's load mode and window select.

    Args:
        manifest: Whose records.
        times: SQL of the fields that date a record, as text.
        value: From the name of a field to the SQL of its value, as text.
    """
    window = manifest.selection_window
    if manifest.load_mode in SELECTING_MODES:
        bounds = ((">=", window.start_at), ("<", window.end_at))
        return _all(f"{first_instant(times)} {sign} timestamptz '{bound}'" for sign, bound in bounds if bound)
    field = window.cursor_field or window.watermark_field
    if manifest.load_mode not in ("incremental_cursor", "cdc") or field is None:
        return "true"
    cursors = ((">=", window.cursor_start), ("<", window.cursor_end))
    return _all(_cursor_bound(value(field), sign, bound) for sign, bound in cursors if bound)


def _all(conditions: Iterable[str]) -> str:
    """SQL: all conditions hold, or cannot be told: a record whose time is unreadable is for the contract to judge."""
    return " and ".join(f"coalesce({condition}, true)" for condition in conditions) or "true"


def _cursor_bound(value: str, sign: str, bound: str) -> str:
    """SQL: a cursor against one end of its range, as instants where the bound is one, else as numbers, else as text."""
    try:
        at = datetime.fromisoformat(bound)
        return f"{instant(value)} {sign} timestamptz '{at if at.tzinfo else at.replace(tzinfo=UTC)}'"
    except ValueError:
        is_number = re.fullmatch(r"-?\d+(\.\d+)?", bound)
    return f"try_cast({value} as double) {sign} {bound}" if is_number else f"{value} {sign} {quoted(bound)}"
