"""Mappings: foreign exports adapted by one SQL select, in a DuckDB that reaches no file but its own scratch."""

from collections.abc import Callable
from pathlib import Path

import duckdb

from lakehouse.settings import LakehouseSettings
from lakehouse.tables.duck import quoted
from loaders.errors import MappingRefused


def map_records(
    settings: LakehouseSettings,
    mapping: str,
    times: Callable[[str], str],
    connection: duckdb.DuckDBPyConnection,
    scratch: Path,
) -> None:
    """Create `records` through a mapping: a SELECT over the view `raw` (all columns text, and `source_line`).

    `times` gives the SQL of what dates a record, from the SQL of the record.

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
        f", coalesce({', '.join(f'raw_record ->> {quoted(member(key))}' for key in alike)}) as "
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
        f"{times('m.doc')} as times from mappable s left join "
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


def member(key: str) -> str:
    """JSON path of a field."""
    return '$."' + key.replace('"', '\\"') + '"'


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
