"""Reading one ticket file: its records with their lines, adapted by a mapping, typed and judged by the contract.

Everything happens in a DuckDB connection of its own, file by file, so that memory is bounded by a file. The rules that
tell to which day a record counts are here, once, for coverage and for the load:

- A record counts to the UTC day of `occurred_at`, else `updated_at`, else `created_at`, whichever is an instant first.
- An instant before 2000, or later than two days after the batch, dates nothing.
- A record that nothing dates counts to the day of the dated record before it in the file (else the one after it, else
  the day of the batch): a broken line is counted where its neighbours are.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from lakehouse.contracts import Contract, load_contract
from lakehouse.duck import quoted
from lakehouse.settings import LakehouseSettings
from loaders.admission import Admission
from loaders.errors import MappingRefused, SourceUnreadable
from loaders.manifest import Manifest
from loaders.sources import SourceFile
from loaders.typing_sql import (
    breaches,
    extra_column,
    instant,
    parse_columns,
    record_hash,
    rest_column,
    typed_columns,
)

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST_AFTER_BATCH = timedelta(days=2)

_TIME_FIELDS = ("occurred_at", "updated_at", "created_at")


@contextmanager
def open_records(
    settings: LakehouseSettings, admission: Admission, file: SourceFile, path: Path, scratch: Path
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file as the relation `records(source_line, raw_record, doc)`, one row per record.

    `doc` is the record as JSON, after the mapping; null for a line that is no object, or that the mapping dropped.

    Raises:
        SourceUnreadable: DuckDB cannot read the file.
        MappingRefused: the mapping cannot be used.
    """
    manifest, source = admission.manifest, admission.source
    with duckdb.connect(config={"temp_directory": str(scratch)}) as connection:
        connection.execute("set timezone = 'UTC'")
        reader = _reader(source.asset_type, path)
        try:
            if manifest.mapping:
                _map_records(settings, manifest.mapping, connection, source.asset_type, reader, scratch)
            else:
                doc = "case when json_valid(raw_record) and json_type(raw_record) = 'OBJECT' then raw_record::json end"
                connection.execute(f"create view records as select *, {doc} as doc from ({reader})")
            connection.execute(f"create view selected as select * from records where {_selection(manifest)}")
            yield connection
        except (duckdb.IOException, duckdb.InvalidInputException, duckdb.ConversionException) as error:
            raise SourceUnreadable(f"{file.name}: {error}; next: export the file again") from error


def count_days(connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> list[tuple[str, int, str]]:
    """Count the records of `selected` per day: (partition, records, hash of their text)."""
    shape = quoted(json.dumps(dict.fromkeys(_TIME_FIELDS, "VARCHAR")))
    connection.execute(
        f"create temp table dated as select source_line, hash(raw_record) as h, {_dated_day('f', manifest)} as day "
        f"from (select source_line, raw_record, from_json(doc, {shape}) as f from selected)"
    )
    return connection.execute(
        "select partition::varchar, count(*), sum(h::hugeint)::varchar "
        f"from ({partitioned('dated', manifest)}) group by 1 order by 1"
    ).fetchall()


def stage_records(
    settings: LakehouseSettings, connection: duckdb.DuckDBPyConnection, admission: Admission, target: Path
) -> None:
    """Type and judge the records of `selected`, and write them to a Parquet file.

    Grain: one row per record. Columns: the contract's, `extra`, `record_sha256`, `source_line`, `raw_record`,
    `reason_code` and `reason` (null for a good record), and `day` (null where nothing dates the record).
    """
    manifest, source = admission.manifest, admission.source
    contract = load_contract(settings, "ticket_event")
    rules = breaches(contract, is_text=source.asset_type == "csv" or manifest.mapping is not None)
    limits = f", expected {EARLIEST:%Y} or later, and at most two days after the batch"
    rules = [
        ("doc is null", "broken_record", quoted("not a JSON object, or dropped by the mapping")),
        *((f"doc is not null and ({condition})", code, message) for condition, code, message in rules),
        (_is_implausible(manifest), "implausible_instant", f"'found ' || {_first_instant('f')} || {quoted(limits)}"),
    ]
    is_bad = " or ".join(f"coalesce({condition}, false)" for condition, _, _ in rules)
    cases = ", ".join(f"case when {c} then {{code: {quoted(code)}, message: {m}}} end" for c, code, m in rules)
    connection.execute(f"""copy (
        with parsed as (
            select source_line, raw_record, doc, {parse_columns(contract)} from selected
        ), judged as (
            select *, {rest_column(contract)} as rest, {is_bad} as is_bad from parsed
        ), reasoned as (
            select *, case when is_bad then list_filter([{cases}], lambda r: r is not null) end as reasons from judged
        ), typed as (
            select source_line, raw_record, reasons, {typed_columns(contract)}, {extra_column("rest")} as extra,
                {_dated_day("f", manifest)} as day
            from reasoned
        ), hashed as (
            select *, {record_hash(contract)} as record_sha256 from typed
        )
        select * exclude (reasons, raw_record) replace ({_derived(contract, source.source_id)}),
            case when reasons is not null then raw_record end as raw_record, reasons[1].code as reason_code,
            array_to_string(list_transform(reasons, lambda r: r.message), '; ') as reason
        from hashed
    ) to {quoted(str(target))} (format parquet, compression zstd)""")


def partitioned(relation: str, manifest: Manifest) -> str:
    """SQL: a relation with `source_line` and `day`, each row with the `partition` that it counts to."""
    dated = f"(select source_line, day as near from {relation} where day is not null)"
    undated = f"(select * from {relation} where day is null)"
    first = f"(select arg_min(day, source_line) from {relation})"
    batch = manifest.created_at.astimezone(UTC).date()
    return (
        f"select *, day as partition from {relation} where day is not null union all by name "
        f"select u.*, coalesce(d.near, {first}, date '{batch}') as partition "
        f"from {undated} u asof left join {dated} d on u.source_line >= d.source_line"
    )


def _reader(asset_type: str, path: Path) -> str:
    """SQL: `source_line` and `raw_record`, the record as text, for each record of a file."""
    file = quoted(str(path))
    if asset_type == "jsonl":
        # One column up to the end of the line: every line keeps its number, broken ones included.
        lines = (
            f"read_csv({file}, columns = {{'raw_record': 'VARCHAR'}}, auto_detect = false, header = false, "
            "delim = e'\\x01', quote = '', escape = '', max_line_size = 100000000)"
        )
        numbered = f"select row_number() over () as source_line, raw_record from {lines}"
        return f"select * from ({numbered}) where trim(raw_record) <> ''"
    if asset_type == "csv":
        rows = f"read_csv({file}, all_varchar = true, header = true)"
        return f"select row_number() over () + 1 as source_line, to_json(r)::varchar as raw_record from {rows} r"
    if asset_type == "parquet":
        return (
            f"select row_number() over () as source_line, to_json(r)::varchar as raw_record from read_parquet({file}) r"
        )
    return f"select row_number() over () as source_line, json::varchar as raw_record from read_json_objects({file})"


def _dated_day(fields: str, manifest: Manifest) -> str:
    """SQL: the UTC day that dates a record; null where nothing does."""
    when = _first_instant(fields)
    return f"case when not ({_is_implausible(manifest, fields)}) then cast(timezone('UTC', {when}) as date) end"


def _first_instant(fields: str) -> str:
    return "coalesce(" + ", ".join(instant(f"{fields}.{name}") for name in _TIME_FIELDS) + ")"


def _is_implausible(manifest: Manifest, fields: str = "f") -> str:
    when, latest = _first_instant(fields), manifest.created_at + LATEST_AFTER_BATCH
    return f"{when} < timestamptz '{EARLIEST}' or {when} >= timestamptz '{latest}'"


def _derived(contract: Contract, source_id: str) -> str:
    """SQL replacements over typed columns: what a record of the plain ticket contract says without saying it."""
    assert {"event_id", "event_type", *_TIME_FIELDS} <= {field.name for field in contract.fields}
    when = f"coalesce({', '.join(_TIME_FIELDS)})"
    kind = (
        "case when updated_at is null or updated_at = created_at then 'created' "
        "when status in ('resolved', 'escalated', 'closed') then status else 'updated' end"
    )
    identity = f"sha256(to_json([{quoted(source_id)}, ticket_id, {when}::varchar, record_sha256])::varchar)"
    return (
        f"coalesce(event_id, {identity}) as event_id, coalesce(event_type, {kind}) as event_type, {when} as occurred_at"
    )


def _selection(manifest: Manifest) -> str:
    """SQL over `doc`: the records that the manifest's load mode and window select."""
    window = manifest.selection_window
    if manifest.load_mode == "backfill":
        when = "coalesce(" + ", ".join(instant(f"doc ->> '$.{name}'") for name in _TIME_FIELDS) + ")"
        return f"coalesce({when} >= timestamptz '{window.start_at}' and {when} < timestamptz '{window.end_at}', true)"
    if manifest.load_mode not in ("incremental_cursor", "cdc"):
        return "true"
    field = window.cursor_field or window.watermark_field
    value = "doc ->> " + quoted(f'$."{field}"')
    bounds = ((">=", window.cursor_start), ("<", window.cursor_end))
    return (
        " and ".join(f"coalesce({_cursor_bound(value, sign, bound)}, true)" for sign, bound in bounds if bound)
        or "true"
    )


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
        "create temp view records as select s.source_line, s.raw_record, m.doc from source_records s left join "
        "(select source_line, json_merge_patch(to_json(mapped), '{\"source_line\": null}') as doc from mapped) m "
        "using (source_line)"
    )


def _member(key: str) -> str:
    return '$."' + key.replace('"', '\\"') + '"'


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
