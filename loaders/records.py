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

from lakehouse.duck import quoted
from lakehouse.settings import LakehouseSettings
from loaders.admission import Admission
from loaders.dating import SELECTING_MODES, TIME_FIELDS, Dating, first_instant
from loaders.errors import MappingRefused, SourceUnreadable
from loaders.manifest import Manifest
from loaders.sources import SourceFile
from loaders.typing_sql import (
    instant,
)


def connect(scratch: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that spills into a folder and reckons in UTC."""
    connection = duckdb.connect(config={"temp_directory": str(scratch)})
    connection.execute("set timezone = 'UTC'")
    return connection


@contextmanager
def open_records(
    settings: LakehouseSettings,
    admission: Admission,
    file: SourceFile,
    path: Path,
    connection: duckdb.DuckDBPyConnection,
    scratch: Path,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file as the relation `selected`, one row per record that the manifest means.

    Columns: `source_line`; `raw_record`, the record as text; `doc`, the record as JSON, after the mapping (null for a
    line that is no object, or that the mapping dropped); `times`, its `TIME_FIELDS` as text. The connection serves one
    file after another; a mapping runs in one of its own.

    Raises:
        SourceUnreadable: DuckDB cannot read the file.
        MappingRefused: the mapping cannot be used.
    """
    manifest, source = admission.manifest, admission.source
    with connect(scratch) if manifest.mapping else nullcontext(connection) as connection:
        reader = _reader(source.asset_type, path)
        try:
            if manifest.mapping:
                _map_records(settings, manifest.mapping, connection, source.asset_type, reader, scratch)
            else:
                _read_records(connection, reader)
            connection.execute("drop view if exists clean_lines")
            if is_plain_lines(admission) and _selected(manifest) == "true":
                connection.execute(f"create temp view clean_lines as {_clean_lines(path)}")
            connection.execute(
                f"create or replace temp view selected as select * from records where {_selected(manifest)}"
            )
            yield connection
        except (duckdb.IOException, duckdb.InvalidInputException, duckdb.ConversionException) as error:
            raise SourceUnreadable(f"{file.name}: {error}; next: export the file again") from error


def open_lines(connection: duckdb.DuckDBPyConnection, manifest: Manifest, lines: str) -> None:
    """Open a relation of `source_line` and `raw_record` as the relation `selected`, see `open_records`."""
    _read_records(connection, f"select * from {lines}")
    connection.execute(f"create or replace temp view selected as select * from records where {_selected(manifest)}")


def is_plain_lines(admission: Admission) -> bool:
    """Whether a source's files are JSON lines that are read as they stand."""
    return admission.source.asset_type == "jsonl" and not admission.manifest.mapping


def _read_records(connection: duckdb.DuckDBPyConnection, reader: str) -> None:
    connection.execute(
        f"create or replace temp view records as select *, {_DOC} as doc, {_TIMES} as times from ({reader})"
    )


def _selected(manifest: Manifest) -> str:
    times = [f"times[{number}]" for number in range(1, len(TIME_FIELDS) + 1)]
    return selection(manifest, times, lambda field: "doc ->> " + quoted(_member(field)))


_LONGEST = 16 * 1024 * 1024
"""Bytes of the longest record of a JSONL file: what `read_json` allows by default."""

_POINTERS = [f"$.{name}" for name in TIME_FIELDS]
_IS_OBJECT = "(starts_with(raw_record, '{') or starts_with(ltrim(raw_record, e' \\t\\r'), '{'))"
_DOC = f"case when {_IS_OBJECT} then try_cast(raw_record as json) end"
# Coverage needs the times alone: one parse, and a record that is no JSON costs no other a second one.
_TIMES = f"case when {_IS_OBJECT} then try(json_extract_string(raw_record, {_POINTERS})) end"


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


def count_days(connection: duckdb.DuckDBPyConnection, dating: Dating) -> list[CountedDay]:
    """Count the records of `selected` per day."""
    if not _date_clean_lines(connection, dating):
        _date_records(connection, dating, "selected")
    rows = connection.execute(
        "select partition::varchar, count(*), sum(content)::varchar, "
        "min(instant) filter (day is not null)::timestamp, max(instant) filter (day is not null)::timestamp "
        f"from ({dating.partitioned('dated')}) group by 1 order by 1"
    ).fetchall()
    return [CountedDay(*row[:3], *(at and at.replace(tzinfo=UTC) for at in row[3:])) for row in rows]


def _date_clean_lines(connection: duckdb.DuckDBPyConnection, dating: Dating) -> bool:
    """Date the records of a JSONL file in which every line is an object, at half the cost; whether this is one.

    `read_json` parses the time columns alone, but tells no line and stops at a line that is no JSON: the lines come
    from `read_csv`, in the same order, and any doubt sends the file the careful way.
    """
    if not connection.execute("select 1 from duckdb_views() where view_name = 'clean_lines'").fetchone():
        return False
    try:
        _date_records(connection, dating, "clean_lines")
    except duckdb.InvalidInputException:
        return False
    odd = "select 1 from dated where head is distinct from '{' limit 1"
    return connection.execute(odd).fetchone() is None


def _date_records(connection: duckdb.DuckDBPyConnection, dating: Dating, relation: str) -> None:
    instant = first_instant([f"times[{number}]" for number in range(1, len(TIME_FIELDS) + 1)])
    connection.execute(
        "create or replace temp table dated as select source_line, content, head, instant, "
        f"{dating.day('instant')} as day from (select source_line, hash(raw_record)::hugeint as content, "
        f"left(raw_record, 1) as head, {instant} as instant from {relation})"
    )


def _reader(asset_type: str, path: Path) -> str:
    """SQL: `source_line` and `raw_record`, the record as text, for each record of a file."""
    file = quoted(str(path))
    if asset_type == "jsonl":
        numbered = f"select row_number() over () as source_line, raw_record from {_lines(path)}"
        # To trim a record is dear, and needed only of those that look odd.
        return f"select * from ({numbered}) where starts_with(raw_record, '{{') or trim(raw_record) <> ''"
    if asset_type == "csv":
        rows = f"read_csv({file}, all_varchar = true, header = true)"
        return f"select row_number() over () + 1 as source_line, to_json(r)::varchar as raw_record from {rows} r"
    if asset_type == "parquet":
        return (
            f"select row_number() over () as source_line, to_json(r)::varchar as raw_record from read_parquet({file}) r"
        )
    return f"select row_number() over () as source_line, json::varchar as raw_record from read_json_objects({file})"


def _lines(path: Path) -> str:
    """SQL: one column up to the end of the line, so that every line keeps its number, broken ones included."""
    return (
        f"read_csv({quoted(str(path))}, columns = {{'raw_record': 'VARCHAR'}}, auto_detect = false, header = false, "
        f"delim = e'\\x01', quote = '', escape = '', max_line_size = {_LONGEST}, buffer_size = {2 * _LONGEST})"
    )


def _clean_lines(path: Path) -> str:
    """SQL: `source_line`, `raw_record` and `times` of a JSONL file that holds an object on every line."""
    columns = ", ".join(f"{name}: 'VARCHAR'" for name in TIME_FIELDS)
    times = f"read_json({quoted(str(path))}, format = 'newline_delimited', columns = {{{columns}}})"
    return (
        f"select row_number() over () as source_line, raw_record, [{', '.join(TIME_FIELDS)}] as times "
        f"from {_lines(path)} positional join {times}"
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
    settings: LakehouseSettings,
    mapping: str,
    connection: duckdb.DuckDBPyConnection,
    asset_type: str,
    reader: str,
    scratch: Path,
) -> None:
    """Create `records` through a mapping: a SELECT over the view `raw` (all columns text, and `source_line`).

    From here on the connection reaches no file but those in `scratch`.
    """
    path = settings.manifest_resource("mappings", f"{mapping}.sql")
    if not path.is_file():
        raise MappingRefused(f"mapping {mapping!r}: no such file {path.name} in mappings/; next: write it")
    query = path.read_text("utf-8").strip().rstrip(";")
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise MappingRefused(f"{path.name}: expected one SELECT over the view raw, found {len(statements)} statements")
    connection.execute(f"create temp table source_records as {reader}")
    keys = connection.execute(
        "select distinct unnest(json_keys(raw_record)) from source_records where json_valid(raw_record) order by 1"
    ).fetchall()
    fields = "".join(f", raw_record ->> {quoted(_member(key))} as {_identifier(key)}" for (key,) in keys)
    connection.execute(
        f"create view raw as select source_line{fields} from source_records where json_valid(raw_record)"
    )
    connection.execute(f"set allowed_directories = [{quoted(str(scratch) + '/')}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    try:
        connection.execute(f"create temp table mapped as {query}")
        twice = connection.execute("select source_line from mapped group by 1 having count(*) > 1 limit 1").fetchone()
    except duckdb.Error as error:
        raise MappingRefused(f"{path.name}: {error}; a mapping reads only raw, and keeps source_line") from error
    if twice:
        raise MappingRefused(f"{path.name}: line {twice[0]} comes out twice; a record must stay one record")
    connection.execute(
        "create temp view records as select s.source_line, s.raw_record, m.doc, "
        f"json_extract_string(m.doc, {_POINTERS}) as times from source_records s left join "
        "(select source_line, json_merge_patch(to_json(mapped), '{\"source_line\": null}') as doc from mapped) m "
        "using (source_line)"
    )


def _member(key: str) -> str:
    return '$."' + key.replace('"', '\\"') + '"'


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
