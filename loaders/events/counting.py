"""How many records a file holds for each day: what coverage is made of. One cheap pass over the times."""

import re
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa

from lakehouse.contracts.model import Contract
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.duck import quoted
from loaders.events.dating import Dating, first_instant
from loaders.events.quick_typing import plain_times
from loaders.events.records import (
    blaming,
    connect,
    is_plain_lines,
    open_records,
    selected_lines,
    selects_by_field,
    time_texts,
    times_of,
)
from loaders.manifests.admission import Admission
from loaders.manifests.manifest import Manifest
from loaders.plans.plan import CountedDay, FileContent, UnreadFile
from loaders.sources.files import SourceFile
from loaders.sources.lines import CHUNK_BYTES, NO_LINES, line_texts, lines_of, read_chunks
from loaders.sources.reading import LocalFile, SourceStream, local_file, open_stream


class RecordReader:
    """Looks at files of records: the days that they hold records of, and how many."""

    least_bytes = 1 << 20

    def __init__(self, settings: LakehouseSettings, contract: Contract, scratch: Path) -> None:
        """Read with a folder for scratch files."""
        self._settings, self._contract, self._scratch = settings, contract, scratch

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """It serves one file after another."""
        return connect(self._scratch)

    def declared_days(self, admission: Admission, name: str) -> Window | None:
        """Days that the manifest's window, or the path of the file, declares."""
        return self._dating(admission, name).window

    def days_by_name(self, admission: Admission, name: str) -> set[str]:
        """Days of the declared window, else those that the name spells."""
        dating, declared = self._dating(admission, name), admission.manifest.selection_window
        if dating.of_batch is not None:
            return {dating.of_batch.isoformat()}
        if declared.start_at and declared.end_at and (days := Window.touched(declared.start_at, declared.end_at)):
            return set(days.keys)
        return set(re.findall(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)", name))

    def __call__(self, unread: UnreadFile) -> FileContent:
        """Count the records of a file per day."""
        admission, file = unread.admission, unread.file
        dating = self._dating(admission, file.name)
        is_small = 0 < file.weight_bytes <= self.least_bytes
        if is_small and is_plain_lines(admission) and not selects_by_field(self._contract, admission.manifest):
            with open_stream(file, admission.source) as stream:
                days = count_plainly(self._contract, stream, file, dating, self._connection)
            if days is not None:
                return FileContent(stream.sha256, days)
        with local_file(file, admission.source, self._scratch) as local:
            days = count_days(
                self._settings, self._contract, admission, file, local, dating, self._connection, self._scratch
            )
        return FileContent(local.sha256, days)

    def _dating(self, admission: Admission, name: str) -> Dating:
        return Dating.of_file(self._settings, self._contract, admission.manifest, name)


def count_plainly(
    contract: Contract, stream: SourceStream, file: SourceFile, dating: Dating, connection: duckdb.DuckDBPyConnection
) -> list[CountedDay] | None:
    """Count the records of a JSONL file per day where each line is an object with a plain instant; else None.

    A third of what `count_days` takes of a small file, which is mostly to plan its SQL; of a large one it takes more.
    """
    if dating.of_batch is not None or not contract.time_fields:
        return None
    days: dict[str, CountedDay] = {}
    for chunk in read_chunks(stream, file.name, file.bounds):
        if (instants := plain_times(chunk, contract.time_fields[0])) is None:
            return None
        if (dated := dating.plain_days(instants)) is None:
            return None
        connection.register("lines", pa.table({"raw_record": line_texts(chunk), "instant": instants, "day": dated}))
        query = (
            "select day::varchar, count(*), sum(hash(raw_record))::varchar, min(instant)::timestamp, "
            "max(instant)::timestamp from lines group by 1"
        )
        for row in connection.execute(query).fetchall():
            found = _counted_day(*row)
            days[found.partition] = _both(days[found.partition], found) if found.partition in days else found
        connection.unregister("lines")
    return [days[key] for key in sorted(days)]


def count_days(
    settings: LakehouseSettings,
    contract: Contract,
    admission: Admission,
    file: SourceFile,
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
        with open_records(settings, contract, admission, file, local.path, connection, scratch) as opened:
            _date_records(opened, dating, _with_instant(contract, "selected"), is_first=True)
            return _counted(opened, dating)
    with blaming(file.name, local.path):
        if not _date_quickly(connection, contract, admission.manifest, local, dating, file.bounds.record_bytes):
            _date_carefully(connection, contract, admission.manifest, file, local.path, dating)
        return _counted(connection, dating)


def _counted(connection: duckdb.DuckDBPyConnection, dating: Dating) -> list[CountedDay]:
    rows = connection.execute(
        "select partition::varchar, count(*), sum(content)::varchar, "
        "min(instant) filter (day is not null)::timestamp, max(instant) filter (day is not null)::timestamp "
        f"from ({dating.partitioned('dated')}) group by 1 order by 1"
    ).fetchall()
    return [_counted_day(*row) for row in rows]


def _counted_day(day: str, records: int, content: str, first: datetime | None, last: datetime | None) -> CountedDay:
    return CountedDay(day, records, content, *(at and at.replace(tzinfo=UTC) for at in (first, last)))


def _both(one: CountedDay, other: CountedDay) -> CountedDay:
    """What two parts of a file hold for the same day, all of it dated."""
    assert one.first_at and one.last_at and other.first_at and other.last_at
    content = str(int(one.content) + int(other.content))
    first_at, last_at = min(one.first_at, other.first_at), max(one.last_at, other.last_at)
    return CountedDay(one.partition, one.records + other.records, content, first_at, last_at)


def _date_quickly(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    manifest: Manifest,
    local: LocalFile,
    dating: Dating,
    longest: int,
) -> bool:
    """Date the records of a JSONL file at a tenth of the cost; whether that can be done.

    Its lines come from `read_csv`, which does not say which of them hold one object: where a selection asks for a
    field, or in any doubt, the file goes the careful way.
    """
    if selects_by_field(contract, manifest) or local.has_controls:
        return False
    try:
        _date_records(connection, dating, _all_lines(contract, local.path, longest), is_first=True)
    except duckdb.Error:
        return False
    is_whole = connection.execute("select count(*) from dated").fetchone() == (local.lines,)
    connection.execute("delete from dated where is_blank")
    return is_whole


def _date_carefully(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    manifest: Manifest,
    file: SourceFile,
    path: Path,
    dating: Dating,
) -> None:
    """Date the records of any JSONL file, chunk by chunk."""
    connection.register("lines", NO_LINES)
    records = _with_instant(contract, selected_lines(contract, manifest))
    _date_records(connection, dating, records, is_first=True)
    with path.open("rb") as stream:
        for chunk in read_chunks(stream, file.name, file.bounds):
            connection.register("lines", lines_of(chunk, file.bounds))
            _date_records(connection, dating, records, is_first=False)
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


def _with_instant(contract: Contract, relation: str) -> str:
    """SQL: a relation with `times`, each row with the first of them that is an `instant`."""
    return f"(select *, {first_instant(time_texts(contract))} as instant from {relation})"


def _all_lines(contract: Contract, path: Path, longest: int) -> str:
    """SQL: `source_line`, `raw_record` and `instant` of all lines of a JSONL file.

    Each path into a record costs: the others are followed only where the first leads to no instant.
    """
    first = f"try(json_extract_string(raw_record, '$.{contract.time_fields[0]}'))" if contract.time_fields else "null"
    return f"""(
        with lines as (
            select row_number() over () as source_line, raw_record,
                {first} as first_time
            from read_csv(
                {quoted(str(path))}, columns = {{'raw_record': 'VARCHAR'}}, auto_detect = false, header = false,
                delim = e'\\x01', quote = '', escape = '',
                max_line_size = {longest}, buffer_size = {2 * max(longest, CHUNK_BYTES)}
            )
        ), firstly as (
            select source_line, raw_record, {first_instant(["first_time"])} as happened from lines
        ), timed as (
            select *, case when happened is null then {times_of(contract, "raw_record")} end as times from firstly
        )
        select source_line, raw_record, coalesce(happened, {first_instant(time_texts(contract))}) as instant from timed
    )"""
