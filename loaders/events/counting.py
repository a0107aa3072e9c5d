"""How many records a ticket file holds for each day: what coverage is made of. One cheap pass over the times."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from lakehouse.settings import LakehouseSettings
from lakehouse.tables.duck import quoted
from loaders.events.dating import TIME_FIELDS, Dating, first_instant
from loaders.events.mapping import TIME_POINTERS
from loaders.events.records import TIMES, blaming, is_plain_lines, open_records, selected_by, selected_lines
from loaders.manifests.admission import Admission
from loaders.manifests.manifest import Manifest
from loaders.sources.lines import LONGEST_LINE, NO_LINES, lines_of, read_chunks
from loaders.sources.reading import LocalFile


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
            _date_records(opened, dating, _with_instant("selected"), is_first=True)
            return _counted(opened, dating)
    with blaming(name, local.path):
        if not _date_quickly(connection, admission.manifest, local, dating):
            _date_carefully(connection, admission.manifest, name, local.path, dating)
        return _counted(connection, dating)


def _counted(connection: duckdb.DuckDBPyConnection, dating: Dating) -> list[CountedDay]:
    rows = connection.execute(
        "select partition::varchar, count(*), sum(content)::varchar, "
        "min(instant) filter (day is not null)::timestamp, max(instant) filter (day is not null)::timestamp "
        f"from ({dating.partitioned('dated')}) group by 1 order by 1"
    ).fetchall()
    return [CountedDay(*row[:3], *(at and at.replace(tzinfo=UTC) for at in row[3:])) for row in rows]


def _date_quickly(connection: duckdb.DuckDBPyConnection, manifest: Manifest, local: LocalFile, dating: Dating) -> bool:
    """Date the records of a JSONL file at a tenth of the cost; whether that can be done.

    Its lines come from `read_csv`, which does not say which of them hold one object: where a selection asks for a
    field, or in any doubt, the file goes the careful way.
    """
    if selected_by(manifest) != "true" or local.has_controls:
        return False
    try:
        _date_records(connection, dating, _all_lines(local.path), is_first=True)
    except duckdb.Error:
        return False
    is_whole = connection.execute("select count(*) from dated").fetchone() == (local.lines,)
    connection.execute("delete from dated where is_blank")
    return is_whole


def _date_carefully(
    connection: duckdb.DuckDBPyConnection, manifest: Manifest, name: str, path: Path, dating: Dating
) -> None:
    """Date the records of any JSONL file, chunk by chunk."""
    connection.register("lines", NO_LINES)
    _date_records(connection, dating, _with_instant(selected_lines(manifest)), is_first=True)
    with path.open("rb") as stream:
        for chunk in read_chunks(stream, name):
            connection.register("lines", lines_of(chunk))
            _date_records(connection, dating, _with_instant(selected_lines(manifest)), is_first=False)
    connection.unregister("lines")


def _date_records(connection: duckdb.DuckDBPyConnection, dating: Dating, relation: str, *, is_first: bool) -> None:
    """Put records, with their `source_line`, `raw_record` and `instant`, into the table `dated`."""
    target = "create or replace temp table dated as" if is_first else "insert into dated"
    connection.execute(
        f"{target} select source_line, hash(raw_record) as content, {_IS_BLANK} as is_blank, instant, "
        f"{dating.day('instant')} as day from {relation}"
    )


_IS_BLANK = "case when starts_with(raw_record, '{') then false else coalesce(trim(raw_record, ' \t') = '', true) end"
"""SQL; to trim each line would cost twice as much as all the rest."""


_TIMES = [f"times[{number}]" for number in range(1, len(TIME_FIELDS) + 1)]


def _with_instant(relation: str) -> str:
    """SQL: a relation with `times`, each row with the first of them that is an `instant`."""
    return f"(select *, {first_instant(_TIMES)} as instant from {relation})"


def _all_lines(path: Path) -> str:
    """SQL: `source_line`, `raw_record` and `instant` of all lines of a JSONL file.

    Each path into a record costs: the others are followed only where the first leads to no instant.
    """
    return f"""(
        with lines as (
            select row_number() over () as source_line, raw_record,
                try(json_extract_string(raw_record, '{TIME_POINTERS[0]}')) as first_time
            from read_csv(
                {quoted(str(path))}, columns = {{'raw_record': 'VARCHAR'}}, auto_detect = false, header = false,
                delim = e'\\x01', quote = '', escape = '',
                max_line_size = {LONGEST_LINE}, buffer_size = {2 * LONGEST_LINE}
            )
        ), firstly as (
            select source_line, raw_record, {first_instant(["first_time"])} as happened from lines
        ), timed as (
            select *, case when happened is null then {TIMES} end as times from firstly
        )
        select source_line, raw_record, coalesce(happened, {first_instant(_TIMES)}) as instant from timed
    )"""
