"""Reading one ticket file: its records with their lines, adapted by a mapping, typed and judged by the contract.

Everything happens in a DuckDB connection of its own, file by file, so that memory is bounded by a file. Which day a
record counts to: `loaders.dating`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from lakehouse.duck import quoted
from lakehouse.settings import LakehouseSettings
from loaders.admission import Admission
from loaders.csv_lines import read_rows
from loaders.dating import SELECTING_MODES, TIME_FIELDS, Dating, first_instant
from loaders.errors import MappingRefused, SourceUnreadable
from loaders.lines import LONGEST_LINE, lines_table, numbered_lines, read_chunks
from loaders.manifest import Manifest
from loaders.sources import LocalFile
from loaders.typing_sql import instant


def connect(scratch: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that spills into a folder and reckons in UTC."""
    connection = duckdb.connect(config={"temp_directory": str(scratch)})
    connection.execute("set timezone = 'UTC'")
    return connection


@contextmanager
def open_records(
    settings: LakehouseSettings,
    admission: Admission,
    name: str,
    path: Path,
    connection: duckdb.DuckDBPyConnection,
    scratch: Path,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file as the relation `selected`, one row per record that the manifest means.

    Columns: `source_line`; `raw_record`, the record as text; `doc`, the record as JSON, after the mapping (null for
    what is no object, or what the mapping dropped); `times`, its `TIME_FIELDS` as text. The connection serves one file
    after another; a mapping runs in one of its own.

    Raises:
        SourceUnreadable: the file cannot be read as what it is declared to be.
        MappingRefused: the mapping cannot be used.
    """
    manifest = admission.manifest
    with connect(scratch) if manifest.mapping else nullcontext(connection) as connection, _blaming(name, path):
        _read_source(connection, admission.source.asset_type, name, path)
        if manifest.mapping:
            _map_records(settings, manifest.mapping, connection, scratch)
        else:
            _read_records(connection, "source_records")
        _select(connection, manifest)
        yield connection


def open_lines(connection: duckdb.DuckDBPyConnection, manifest: Manifest, lines: str) -> None:
    """Open a relation of lines, see `loaders.lines.lines_table`, as the relation `selected`, see `open_records`."""
    _read_records(connection, lines)
    _select(connection, manifest)


def is_plain_lines(admission: Admission) -> bool:
    """Whether a source's files are JSON lines that are read as they stand."""
    return admission.source.asset_type == "jsonl" and not admission.manifest.mapping


@contextmanager
def _blaming(name: str, path: Path) -> Iterator[None]:
    """Say of DuckDB's errors what they are about: the source, by its own name, in one line."""
    try:
        yield
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0].replace(str(path), name)
        raise SourceUnreadable(f"{name}: {reason[:_LONGEST_REASON]}; next: export the file again") from error


def _read_source(connection: duckdb.DuckDBPyConnection, asset_type: str, name: str, path: Path) -> None:
    """Open a file as `source_records`: `source_line`, `raw_record`, and `is_object`, whether it is one JSON object."""
    connection.execute("drop view if exists source_records; drop table if exists lines_of_source")
    if asset_type in ("jsonl", "csv"):
        table = "create temp table lines_of_source (source_line bigint, raw_record varchar, is_object boolean)"
        connection.execute(table)
        for batch, columns in _batches(asset_type, name, path):
            connection.register("batch", batch)
            connection.execute(f"insert into lines_of_source select {columns} from batch")
            connection.unregister("batch")
        reader = "select * from lines_of_source"
    else:
        file = quoted(str(path))
        rows = f"(select to_json(r)::varchar as raw_record from read_parquet({file}) r)"
        if asset_type == "json":
            rows = f"(select json::varchar as raw_record from read_json_objects({file}))"
        reader = (
            "select row_number() over () as source_line, raw_record, starts_with(raw_record, '{') as is_object "
            f"from {rows}"
        )
    connection.execute(f"create temp view source_records as {reader}")


def _batches(asset_type: str, name: str, path: Path) -> Iterator[tuple[pa.Table, str]]:
    """Arrow tables of a file's records, each with the SQL of the columns of `source_records`."""
    if asset_type == "csv":
        for rows in read_rows(path, name):
            yield rows, "source_line, coalesce(odd, to_json(row)::varchar), odd is null"
    else:
        for first_line, chunk in read_chunks(path, name):
            yield lines_table(numbered_lines(chunk, first_line, name)), "source_line, raw_record, is_object"


def _read_records(connection: duckdb.DuckDBPyConnection, relation: str) -> None:
    """Create `records`. Of what is nearly JSON the times are read, too: a broken record is dated by itself."""
    connection.execute(
        "create or replace temp view records as select source_line, raw_record, "
        "case when is_object then raw_record::json end as doc, "
        f"try(json_extract_string(raw_record, {_POINTERS})) as times from {relation}"
    )


def _select(connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
    connection.execute(f"create or replace temp view selected as select * from records where {_selected(manifest)}")


def _selected(manifest: Manifest) -> str:
    times = [f"times[{number}]" for number in range(1, len(TIME_FIELDS) + 1)]
    return selection(manifest, times, lambda field: "doc ->> " + quoted(_member(field)))


_POINTERS = [f"$.{name}" for name in TIME_FIELDS]
_LONGEST_REASON = 200


@dataclass(frozen=True)
class CountedDay:
    """What a file holds for one day."""

    partition: str
    records: int
    content: str
    """Hash of the records' text, whatever their order."""
    first_at: datetime | None
    """Instant of the earliest record that is dated (UTC)."""
    last_at: datetime | None


def count_days(
    settings: LakehouseSettings,
    admission: Admission,
    name: str,
    local: LocalFile,
    dating: Dating,
    connection: duckdb.DuckDBPyConnection,
    scratch: Path,
) -> list[CountedDay]:
    """Count the records of a file per day.

    Raises:
        SourceUnreadable, MappingRefused: as `open_records`.
    """
    if not is_plain_lines(admission):
        with open_records(settings, admission, name, local.path, connection, scratch) as opened:
            _date_records(opened, dating, "selected", is_first=True)
            return _counted(opened, dating)
    with _blaming(name, local.path):
        if not _date_clean_lines(connection, admission.manifest, local, dating):
            _date_lines(connection, admission.manifest, name, local.path, dating)
        return _counted(connection, dating)


def _counted(connection: duckdb.DuckDBPyConnection, dating: Dating) -> list[CountedDay]:
    rows = connection.execute(
        "select partition::varchar, count(*), sum(content)::varchar, "
        "min(instant) filter (day is not null)::timestamp, max(instant) filter (day is not null)::timestamp "
        f"from ({dating.partitioned('dated')}) group by 1 order by 1"
    ).fetchall()
    return [CountedDay(*row[:3], *(at and at.replace(tzinfo=UTC) for at in row[3:])) for row in rows]


def _date_clean_lines(
    connection: duckdb.DuckDBPyConnection, manifest: Manifest, local: LocalFile, dating: Dating
) -> bool:
    """Date the records of a JSONL file in which every line is an object, at half the cost; whether this is one.

    `read_json` parses the time columns alone, but tells no line and stops at a line that is no JSON: the lines come
    from `read_csv`, in the same order, and any doubt sends the file the careful way.
    """
    if _selected(manifest) != "true" or local.has_controls:
        return False
    try:
        _date_records(connection, dating, f"({_clean_lines(local.path)})", is_first=True)
    except duckdb.Error:
        return False
    found = connection.execute("select count(*), count(*) filter (head is distinct from '{') from dated").fetchone()
    return found == (local.lines, 0)


def _date_lines(
    connection: duckdb.DuckDBPyConnection, manifest: Manifest, name: str, path: Path, dating: Dating
) -> None:
    """Date the records of any JSONL file, chunk by chunk."""
    connection.register("lines", lines_table([]))
    open_lines(connection, manifest, "lines")
    _date_records(connection, dating, "selected", is_first=True)
    for first_line, chunk in read_chunks(path, name):
        connection.register("lines", lines_table(numbered_lines(chunk, first_line, name)))
        open_lines(connection, manifest, "lines")
        _date_records(connection, dating, "selected", is_first=False)
    connection.unregister("lines")


def _date_records(connection: duckdb.DuckDBPyConnection, dating: Dating, relation: str, *, is_first: bool) -> None:
    instant = first_instant([f"times[{number}]" for number in range(1, len(TIME_FIELDS) + 1)])
    target = "create or replace temp table dated as" if is_first else "insert into dated"
    connection.execute(
        f"{target} select source_line, content, head, instant, {dating.day('instant')} as day from ("
        f"select source_line, hash(raw_record)::hugeint as content, left(raw_record, 1) as head, {instant} as instant "
        f"from {relation})"
    )


def _clean_lines(path: Path) -> str:
    """SQL: `source_line`, `raw_record` and `times` of a JSONL file that holds an object on every line."""
    file = quoted(str(path))
    lines = (
        f"read_csv({file}, columns = {{'raw_record': 'VARCHAR'}}, auto_detect = false, header = false, "
        f"delim = e'\\x01', quote = '', escape = '', max_line_size = {LONGEST_LINE}, buffer_size = {2 * LONGEST_LINE})"
    )
    columns = ", ".join(f"{name}: 'VARCHAR'" for name in TIME_FIELDS)
    return (
        f"select row_number() over () as source_line, raw_record, [{', '.join(TIME_FIELDS)}] as times from {lines} "
        f"positional join read_json({file}, format = 'newline_delimited', columns = {{{columns}}})"
    )


def selection(manifest: Manifest, times: list[str], value: Callable[[str], str]) -> str:
    """SQL: the records that the manifest's load mode and window select.

    Args:
        manifest: Whose records.
        times: SQL of the `TIME_FIELDS`, as text.
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


def _map_records(
    settings: LakehouseSettings, mapping: str, connection: duckdb.DuckDBPyConnection, scratch: Path
) -> None:
    """Create `records` through a mapping: a SELECT over the view `raw` (all columns text, and `source_line`).

    From here on the connection reaches no file but those in `scratch`.
    """
    connection.execute("create temp table mappable as select * from source_records")
    keys: dict[str, list[str]] = {}
    found = connection.execute(
        "select distinct unnest(json_keys(raw_record)) from mappable where is_object order by 1"
    ).fetchall()
    for (key,) in found:  # columns that differ in case alone are one column
        keys.setdefault(key.lower(), []).append(key)
    fields = "".join(
        f", coalesce({', '.join(f'raw_record ->> {quoted(_member(key))}' for key in alike)}) as "
        f"{_identifier(name if name in alike else alike[0])}"
        for name, alike in keys.items()
        if name not in ("", "source_line")
    )
    connection.execute(f"create view raw as select source_line{fields} from mappable where is_object")
    connection.execute(f"set allowed_directories = [{quoted(str(scratch) + '/')}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    file = f"{mapping}.sql"
    try:
        connection.execute(f"create temp table mapped as {_mapping_query(settings, mapping, connection)}")
        twice = connection.execute("select source_line from mapped group by 1 having count(*) > 1 limit 1").fetchone()
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise MappingRefused(
            f"{file}: {reason}; next: mend the mapping; it reads only raw, and keeps source_line"
        ) from error
    if twice:
        raise MappingRefused(
            f"{file}: line {twice[0]} comes out twice; next: mend the mapping, a record must stay one record"
        )
    connection.execute(
        "create temp view records as select s.source_line, s.raw_record, m.doc, "
        f"json_extract_string(m.doc, {_POINTERS}) as times from mappable s left join "
        "(select source_line, json_merge_patch(to_json(mapped), '{\"source_line\": null}') as doc from mapped) m "
        "using (source_line)"
    )


def _mapping_query(settings: LakehouseSettings, mapping: str, connection: duckdb.DuckDBPyConnection) -> str:
    path = settings.manifest_resource("mappings", f"{mapping}.sql")
    if not path.is_file():
        raise MappingRefused(f"mapping {mapping!r}: no such file {path.name} in mappings/; next: write it")
    try:
        query = path.read_text("utf-8").strip().rstrip(";")
    except UnicodeDecodeError as error:
        raise MappingRefused(f"{path.name}: is no UTF-8; next: write it as UTF-8") from error
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise MappingRefused(
            f"{path.name}: found {kinds}, expected one SELECT over the view raw; next: mend the mapping"
        )
    return query


def _member(key: str) -> str:
    return '$."' + key.replace('"', '\\"') + '"'


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
