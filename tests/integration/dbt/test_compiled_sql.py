"""The SQL that dbt makes of models and data tests: it is SQL for Spark, too, and a window of a day reads that day's files.

Spark itself is not here (`test_spark.py` has it). sqlglot reads what Spark would get as Spark SQL, and back in DuckDB's
words it must give the rows that the models gave.
"""

import json
import re
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel

from lakehouse.builds.dialects import spark_sql
from lakehouse.dbt.doors.engine_differences import engine_differences
from lakehouse.dbt.doors.session import asks_python
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import list_tables, open_catalog
from lakehouse.tables.digest import find_table
from lakehouse.tables.duck import load_iceberg_extension, scan_sql
from tests.dbt_shell import dbt

DAY = "2026-04-15"
WINDOW = ("--vars", "{start: 2026-04-15, end: 2026-04-16}")
OF_PYTHON = {"doc_sections", "int_doc_passages__cut"}
"""Models whose rows DuckDB computes on either target."""
MODELS = {path.stem for path in (PROJECT_ROOT / "dbt_project" / "models").rglob("*.sql")} - OF_PYTHON


@pytest.fixture(scope="module")
def lake(filled_sample: LakehouseSettings) -> LakehouseSettings:
    """The bundled sample, built whole."""
    return filled_sample


@pytest.fixture(scope="module", params=[WINDOW, ()], ids=["a day", "whole"])
def for_spark(lake: LakehouseSettings, request: pytest.FixtureRequest, tmp_path_factory) -> dict[str, str]:
    """Model or data test → its SQL for Spark, with names in backticks, as sqlglot expects them."""
    sqls = for_both(compiled(lake, tmp_path_factory, *request.param))
    found = {name: spark_sql(sql) for name, sql in sqls.items()}
    assert found.keys() > MODELS
    return {name: sql.replace('"', "`") for name, sql in found.items()}


def compiled(lake: LakehouseSettings, tmp_path_factory, *options: str) -> dict[str, str]:
    """Model or data test → its SQL."""
    target = tmp_path_factory.mktemp("compiled")
    done = dbt(lake, "compile", "--target-path", str(target), *options)
    assert done.returncode == 0, done.stdout
    return {path.stem: path.read_text("utf-8") for path in (target / "compiled").rglob("*.sql")}


def for_both(sqls: dict[str, str]) -> dict[str, str]:
    """What is not for DuckDB alone."""
    return {name: sql for name, sql in sqls.items() if not asks_python(sql)}


@pytest.fixture(scope="module")
def reader(lake: LakehouseSettings) -> duckdb.DuckDBPyConnection:
    """DuckDB over the tables of the lakehouse, by the names that dbt gives them."""
    connection = duckdb.connect()
    load_iceberg_extension(connection, {})
    catalog = open_catalog(lake)
    for namespace in ("bronze", "silver", "gold"):
        connection.execute(f"create schema {namespace}")
        for identifier in list_tables(catalog, namespace):
            scan = scan_sql(catalog.load_table(identifier))
            connection.execute(f"create view {identifier} as select * from {scan}")
            connection.execute(f'create view "{identifier}" as select * from {scan}')  # as Spark has it
    return connection


def test_everything_is_sql_that_spark_parses_without_a_word_that_only_duckdb_knows(for_spark):
    for name, sql in for_spark.items():
        tree = sqlglot.parse_one(sql, dialect="spark", error_level=ErrorLevel.RAISE)

        uncommented = re.sub(r"/\*.*?\*/", "", sql, flags=re.DOTALL)
        assert not re.search(r"::|\bqualify\b|\bilike\b|\btimestamptz\b|\[\]", uncommented, re.IGNORECASE), name
        # Spark: "Generators are not supported when it's nested in expressions".
        assert all(isinstance(rows.parent, exp.Alias) for rows in tree.find_all(exp.Explode)), name


def test_in_a_window_of_a_day_too_everything_means_the_same_to_both(windowed):
    with duckdb.connect() as connection:
        found = {
            name: engine_differences(name, sql, connection.cursor(), has_fractions=name not in MODELS)
            for name, sql in for_both(windowed).items()
        }

    assert {name: what for name, what in found.items() if what} == {}


def test_what_spark_says_differently_is_really_rendered(for_spark):
    assert "explode(sequence(" in for_spark["support_backlog_daily"]
    assert "unix_micros(resolved_at)" in for_spark["support_kpi_daily"]
    assert "generate_series" not in "".join(for_spark.values())


@pytest.mark.parametrize("model", sorted(MODELS))
def test_a_model_in_the_words_of_spark_gives_the_rows_that_dbt_built(lake, reader, for_spark, model):
    table = find_table(open_catalog(lake), model)
    columns = [field.name for field in table.schema().fields]
    (column,) = [table.schema().find_column_name(field.source_id) for field in table.spec().fields] or [None]
    is_window = "< timestamp '2026-04-16" in for_spark["ticket_events"]
    where = f"where cast({column} as date) = date '{DAY}'" if column and is_window else ""
    (translated,) = sqlglot.transpile(for_spark[model], read="spark", write="duckdb")

    found = rows(reader, columns, f"({translated})", "")

    assert found or model == "int_open_tickets__monthly"  # no month begins after the sample's first day
    assert found == rows(reader, columns, f"{table.name()[-2]}.{model}", where)


def rows(reader: duckdb.DuckDBPyConnection, columns: list[str], relation: str, where: str) -> list[tuple[Any, ...]]:
    """Rows in order; a day is a date, whatever type a dialect gives it."""
    named = ", ".join(f"cast({name} as date) as {name}" if name.endswith("_date") else name for name in columns)
    return reader.execute(f"select {named} from {relation} {where} order by all").fetchall()


@pytest.mark.parametrize(
    "name, read",
    [
        ("ticket_events", {"raw_ticket_events"}),
        ("support_kpi_daily", {"ticket_events"}),
        ("event_rows_conserved", {"raw_ticket_events", "ticket_events"}),
        ("kpi_created_conserved", {"ticket_events", "support_kpi_daily"}),
        ("event_event_id_unique", {"ticket_events"}),
        ("int_open_tickets__monthly", set()),  # no month begins on that day
    ],
)
def test_a_window_of_one_day_reads_the_files_of_that_day_and_no_others(lake, reader, windowed, name, read):
    (plan,) = reader.execute(f"explain (analyze, format json) {windowed[name]}").fetchall()

    expected = {path for table in read for path in files_of_day(lake, table)}
    assert len(expected) == len(read)
    assert sorted(files_read(json.loads(plan[1]))) == sorted(expected)


@pytest.fixture(scope="module")
def windowed(lake: LakehouseSettings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Model or data test → its SQL for DuckDB and one day."""
    return compiled(lake, tmp_path_factory, *WINDOW)


def files_of_day(settings: LakehouseSettings, name: str) -> list[str]:
    """Data files of a table's partition."""
    listed = find_table(open_catalog(settings), name).inspect.files().to_pylist()
    paths = [file["file_path"] for file in listed if DAY in map(str, file["partition"].values())]
    assert len(listed) > 20, "nothing to prune"
    return paths


def files_read(node: dict[str, Any]) -> list[str]:
    """Files that the scans of a plan read, as DuckDB's profiler names them."""
    extra = node.get("extra_info", {})
    found = []
    if extra.get("Total Files Read", "0") != "0":
        names = extra.get("Filename(s)", "")
        found = re.split(r"[\n,]\s*", names) if names else [f"{extra['Total Files Read']} files"]
    return found + [path for child in node["children"] for path in files_read(child)]
