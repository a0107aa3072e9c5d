"""How many records a file holds for each day: what coverage is made of. One cheap pass over the times."""

import re
from datetime import UTC
from pathlib import Path

import duckdb

from lakehouse.contracts.model import Contract
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.duck import quoted
from loaders.events.dating import Dating, first_instant
from loaders.events.records import (
    blaming,
    is_plain_lines,
    open_records,
    selected_by,
    selected_lines,
    time_texts,
    times_of,
)
from loaders.manifests.admission import Admission
from loaders.manifests.manifest import Manifest
from loaders.plans.plan import CountedDay, FileContent
from loaders.sources.files import SourceFile
from loaders.sources.lines import CHUNK_BYTES, NO_LINES, lines_of, read_chunks
from loaders.sources.reading import LocalFile, local_file


class RecordReader:
    """Looks at files of records: the days that they hold records of, and how many."""

    def __init__(
        self, settings: LakehouseSettings, contract: Contract, connection: duckdb.DuckDBPyConnection, scratch: Path
    ) -> None:
        """Read on a connection that serves one file after another."""
        self._settings, self._contract, self._connection, self._scratch = settings, contract, connection, scratch

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

    def read(self, admission: Admission, file: SourceFile) -> FileContent:
        """Count the records of a file per day."""
        dating = self._dating(admission, file.name)
        with local_file(file, admission.source, self._scratch) as local:
            days = count_days(
                self._settings, self._contract, admission, file, local, dating, self._connection, self._scratch
            )
        return FileContent(local.sha256, days)

    def _dating(self, admission: Admission, name: str) -> Dating:
        return Dating.of_file(self._settings, self._contract, admission.manifest, name)


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
    return [CountedDay(*row[:3], *(at and at.replace(tzinfo=UTC) for at in row[3:])) for row in rows]


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
    if selected_by(contract, manifest) != "true" or local.has_controls:
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
