"""Spark itself builds Silver and Gold: the rows, types, versions and verdicts of DuckDB, and the same doors.

Skipped without Java, pyspark or the jars. Spark takes ten seconds to start, so there is one whole build by it, one of
models that must not be built, and one session beside them.
"""

import shutil
from collections import Counter
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lakehouse.dbt.spark import jars
from lakehouse.dbt.spark.plugin import Reader
from lakehouse.dbt.spark.session import Spark
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import GOLD, SILVER
from lakehouse.proof.verification import VerificationReport, verify
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import ensure_table, list_tables, open_catalog
from lakehouse.tables.digest import content_digest, find_table
from loaders.ingest import ingest
from orchestration.readiness.readiness import open_readiness
from tests.conftest import ticket_lake
from tests.dbt_shell import build, dbt
from tests.integration.conftest import statuses

KEPT = jars.jars_folder()  # before the tests have a home of their own
OF_PYTHON = ("doc_sections", "int_doc_passages__cut")
"""Models of which DuckDB computes the rows, whoever computes those of the others."""
DAY, NEXT_DAY, AFTER = "2026-04-15", "2026-04-16", "2026-04-17"


@pytest.fixture(scope="module", autouse=True)
def _jars() -> None:
    pytest.importorskip("pyspark", reason="no pyspark; next: make spark")
    if not shutil.which("java"):
        pytest.skip("no Java; next: install Java 17 or 21, and make spark")
    if not KEPT.exists():
        pytest.skip("no jars; next: make spark")
    jars.jars_folder().parent.mkdir(parents=True, exist_ok=True)
    jars.jars_folder().symlink_to(KEPT)


@pytest.fixture(scope="module")
def lake(tmp_path_factory, parsed_project) -> LakehouseSettings:
    """The bundled sample: Bronze loaded, all else built and tested by Spark."""
    settings = LakehouseSettings(
        home=tmp_path_factory.mktemp("spark") / "the home", manifests=PROJECT_ROOT / "manifests"
    )
    parsed_project.give_to(settings)
    assert ingest(settings).is_complete
    done = dbt(settings, "build", "--target", "spark")
    assert done.returncode == 0, done.stdout
    assert "run by DuckDB" not in done.stdout  # so each of the tests ran on Spark
    return settings


def derived(settings: LakehouseSettings) -> dict:
    """(asset, partition) → what was built."""
    items = open_ledger(settings).current_materializations()
    return {key: item for key, item in items.items() if not key[0].startswith("raw_")}


def contents(settings: LakehouseSettings, keys: set) -> dict:
    catalog = open_catalog(settings)
    return {key: content_digest(find_table(catalog, key[0]), key[1]) for key in keys}


def verified(settings: LakehouseSettings) -> VerificationReport:
    return verify(open_catalog(settings), open_ledger(settings), settings)


def engines(settings: LakehouseSettings, asset: str, partition: str) -> str:
    """Who computed a partition, as its snapshot says."""
    snapshot_id = derived(settings)[asset, partition].snapshot_id
    snapshot = find_table(open_catalog(settings), asset).snapshot_by_id(snapshot_id)
    return snapshot.summary.additional_properties.get("omni.engine", "duckdb")


def test_every_partition_is_judged_as_if_duckdb_had_built_it(lake, filled_sample):
    ours, theirs = statuses(lake), statuses(filled_sample)

    assert ours == {name: theirs[name] for name in ours}
    assert Counter(ours.values())["READY"] == Counter(theirs.values())["READY"] > 180


def test_every_cell_type_and_version_is_that_of_duckdb(lake, filled_sample):
    ours, theirs = derived(lake), derived(filled_sample)  # `omni run` also builds days on which nothing came

    assert contents(lake, set(ours)) == contents(filled_sample, set(ours))
    assert {key: item.version for key, item in ours.items()} == {key: theirs[key].version for key in ours}
    assert not any(item.rows.loaded for key, item in theirs.items() if key not in ours)
    for identifier in (name for namespace in (SILVER, GOLD) for name in list_tables(open_catalog(lake), namespace)):
        one, other = (open_catalog(settings).load_table(identifier) for settings in (lake, filled_sample))
        assert (one.schema(), one.spec()) == (other.schema(), other.spec()), identifier
    written = [key for key, item in ours.items() if item.rows.loaded]
    assert {engines(lake, *key).partition(" ")[0] for key in written if key[0] not in OF_PYTHON} == {"spark"}


def test_verify_proves_what_spark_built(lake):
    report = verified(lake)

    assert report.findings == [] and report.partitions > 190


def test_a_day_of_each_engine_lies_beside_the_other_and_all_are_ready(lake):
    before, versions = statuses(lake), {key: item.version for key, item in derived(lake).items()}

    done = build(lake, window=(DAY, NEXT_DAY))

    assert done.returncode == 0, done.stdout
    assert engines(lake, "support_kpi_daily", DAY) == "duckdb"
    assert engines(lake, "support_kpi_daily", NEXT_DAY).startswith("spark")
    assert statuses(lake) == before
    assert {key: item.version for key, item in derived(lake).items()} == versions
    assert verified(lake).findings == []


def test_a_day_that_spark_builds_among_days_of_duckdb_is_ready_as_they_are(small):
    before, built = statuses(small), derived(small)
    held = contents(small, set(built))

    done = dbt(small, "build", "--target", "spark", "--event-time-start", DAY, "--event-time-end", NEXT_DAY)

    assert done.returncode == 0 and "run by DuckDB" not in done.stdout, done.stdout
    daily = ("ticket_events", "int_ticket_states__daily", "support_kpi_daily", "support_backlog_daily")
    assert {engines(small, asset, DAY).partition(" ")[0] for asset in daily} == {"spark"}
    assert {engines(small, asset, NEXT_DAY) for asset in daily} == {"duckdb"}
    assert (
        "READY" in before.values() and statuses(small).items() >= before.items()
    )  # it has an empty day of documents more
    assert {key: derived(small)[key].version for key in built} == {key: item.version for key, item in built.items()}
    assert contents(small, set(built)) == held
    assert verified(small).findings == []


BROKEN = {
    "bad_cast": "select ticket_id, cast(status as bigint) as status from {{ ref('ticket_events') }}",
    "another_type": "select row_number() over (order by event_id desc) as number from {{ ref('ticket_events') }}",
    "good": "select ticket_id from {{ ref('ticket_events') }}",
}
REFUSED = {
    "other_words": ("select log(count(*)) as x from {{ ref('ticket_events') }}", "log()"),
    "guessed": ("select try_cast(status as bigint) as x from {{ ref('ticket_events') }}", "try_cast"),
    "nulls": (
        "select row_number() over (order by status) as x from {{ ref('ticket_events') }}",
        "order by … without nulls first",
    ),
    "unnamed": ("select * from silver.ticket_events", "its SQL reads silver.ticket_events"),
    "file": ("select * from '/etc/passwd.csv'", "its SQL reads /etc/passwd.csv"),
    "behind": ("select /*spark:(select 1 from parquet.x)*/ 1 /*end spark*/ as x", "its SQL reads parquet.x"),
    "dice": ("select random() as x", "random()"),
    "now": ("select '{{ run_started_at }}' as x", ""),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The dbt project with models that must not be built on Spark."""
    project = tmp_path_factory.mktemp("project") / "dbt_project"
    shutil.copytree(PROJECT_ROOT / "dbt_project", project)
    for name, sql in {**BROKEN, **{name: sql for name, (sql, _) in REFUSED.items()}}.items():
        text = "{{ config(materialized='table', schema='gold', contract={'enforced': false}) }}\n" + sql
        (project / "models" / f"{name}.sql").write_text(text, "utf-8")
    return project


@pytest.fixture(scope="module")
def small(tmp_path_factory, parsed_project) -> LakehouseSettings:
    """A lakehouse of two days, built by DuckDB."""
    settings = ticket_lake(tmp_path_factory.mktemp("small"), parsed_project, [DAY, NEXT_DAY])
    assert ingest(settings).is_complete
    assert dbt(settings, "build").returncode == 0
    return settings


def tables(settings: LakehouseSettings) -> dict[str, str]:
    catalog = open_catalog(settings)
    names = [name for namespace in (SILVER, GOLD) for name in list_tables(catalog, namespace)]
    return {name: catalog.load_table(name).metadata_location for name in names}


def test_a_value_or_type_that_does_not_fit_fails_the_build_as_on_duckdb(small, project):
    before = tables(small)

    done = dbt(small, "run", "--target", "spark", "--select", *BROKEN, cwd=project)

    assert "CAST_INVALID_INPUT" in done.stdout and "'new'" in done.stdout, done.stdout
    assert "another_type: on Spark found number INTEGER, expected number BIGINT" in " ".join(
        done.stdout.split()
    ).replace("rows_of_", "")
    assert tables(small).keys() - before.keys() == {"gold.good"}


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "now"])
def test_what_must_not_be_built_is_refused_before_spark_starts(small, project, name):
    before = tables(small)

    done = dbt(small, "run", "--target", "spark", "--select", name, cwd=project)

    assert done.returncode == 1
    assert REFUSED[name][1] in " ".join(done.stdout.split()), done.stdout
    assert tables(small) == before


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["build", "--empty"], "a table stands for all of them"),
        (["run", "--sample", "{'start': '2026-04-15', 'end': '2026-04-16'}"], "a table stands for all of them"),
        (["build", "--vars", "{day: 1}"], "others than the project says"),
        (["build", "--full-refresh", "--event-time-start", DAY, "--event-time-end", AFTER], "the whole table"),
    ],
)
def test_the_doors_that_are_shut_for_duckdb_are_shut_for_spark(small, arguments, said, tmp_path):
    before = tables(small)

    done = dbt(small, *arguments, "--target", "spark", "--target-path", str(tmp_path))

    assert done.returncode != 0
    assert said in " ".join(done.stdout.split()), done.stdout
    assert tables(small) == before


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("spark.sql.shuffle.partitions: 4", 'spark.sql.ansi.enabled: "false"', "spark.sql.ansi.enabled = false"),
        ("    spark:\n", "    other:\n      <<: *lake\n    spark2:\n", "Spark's plugin in target spark2"),
    ],
)
def test_a_profile_that_makes_spark_another_is_refused(small, tmp_path, old, new, said):
    profile = (PROJECT_ROOT / "dbt_project" / "profiles.yml").read_text("utf-8")
    assert old in profile
    (tmp_path / "profiles.yml").write_text(profile.replace(old, new), "utf-8")
    target = "spark2" if "spark2" in new else "spark"

    done = dbt(small, "run", "--target", target, "--profiles-dir", str(tmp_path), "--target-path", str(tmp_path))

    assert done.returncode != 0
    assert said in " ".join(done.stdout.split()) or "no lake is declared" in done.stdout, done.stdout


@pytest.fixture(scope="module")
def spark(tmp_path_factory) -> Spark:
    return Spark({"spark.master": "local[1]"}, tmp_path_factory.mktemp("scratch"))


@pytest.fixture
def table(settings):
    """A table of three rows, which another writer may append to."""
    schema = pa.schema([("name", pa.string()), ("number", pa.int64())])
    table = ensure_table(open_catalog(settings), "silver.numbers", schema, {})
    table.append(pa.table({"name": ["it's", "b", None], "number": [1, 2, 3]}, schema))
    return table


def rows(spark: Spark, sql: str) -> list[tuple]:
    return [tuple(row) for row in spark.run(sql).collect()]


def test_spark_reads_what_is_pinned_and_nothing_that_came_since(spark, table):
    spark.pin("silver", "numbers", table.metadata_location)
    count = 'select count(*) from "memory"."silver"."numbers"'
    assert rows(spark, count) == [(3,)]

    table.append(pa.table({"name": ["c"], "number": [4]}))
    assert rows(spark, count) == [(3,)]

    spark.pin("silver", "numbers", table.metadata_location)
    assert rows(spark, count) == [(4,)]


def test_a_condition_in_brackets_is_no_alias(spark):
    numbers = "(select true as is_one union all select false as is_one)"

    assert rows(spark, f"select count(*) from {numbers} where (is_one)") == [(1,)]


def test_a_text_is_no_name_of_a_variable_and_a_join_comes_before_a_comma(spark):
    joined = "from (select 1 as a) x, (select 2 as b) y full join (select 3 as c) z on y.b = z.c"

    assert rows(spark, "select '${env:HOME}' as text") == [("${env:HOME}",)]
    assert sorted(map(str, rows(spark, f"select * {joined}"))) == ["(1, 2, None)", "(1, None, 3)"]


def test_what_the_door_says_of_texts_is_so(spark):
    assert rows(spark, r"select 'it''s', 'a\nb'") == [("its", "a\nb")]


@pytest.mark.parametrize("sql", ["select cast('x' as bigint)", "select cast('2026-02-30' as date)", "select 1 / 0"])
def test_what_has_no_value_is_an_error_and_never_null(spark, sql):
    with pytest.raises(Exception, match="CAST_INVALID_INPUT|DIVIDE_BY_ZERO"):
        rows(spark, sql)


def test_failing_rows_are_looked_for_where_the_test_ran(spark, table):
    spark.pin("silver", "numbers", table.metadata_location)
    with duckdb.connect() as connection:
        reader = Reader(spark, connection.cursor())

        by_spark = 'select count(*) from (select * from "memory"."silver"."numbers" where number > 1) as failing'
        assert reader.execute(by_spark).fetchone()[0] == 2  # DuckDB has no such table here
        by_duckdb = "select count(*) > 0 from (select 1 where regexp_matches('abc', 'b')) as failing"
        assert reader.execute(by_duckdb).fetchone()[0] is True  # Spark has no such function
        assert reader.execute("select 1 where 1 = 2").fetchone() is None


def test_spark_writes_to_no_table(spark, table):
    spark.pin("silver", "numbers", table.metadata_location)
    table.refresh()
    before = table.metadata_location, len(table.inspect.files())

    with pytest.raises(Exception, match="."):
        spark.run('insert into "memory"."silver"."numbers" select * from "memory"."silver"."numbers"')

    assert (table.refresh().metadata_location, len(table.inspect.files())) == before


def test_a_lakehouse_without_spark_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(jars, "jars_folder", lambda: tmp_path)

    with pytest.raises(ConfigurationError, match="next: make spark"):
        Spark({}, tmp_path)


def test_rows_of_other_words_are_stale_and_those_of_either_engine_are_not(small):
    graph = open_readiness(small).graph

    assert len(graph["support_kpi_daily"].logic.split()) == 2
    assert len(graph["ticket_events"].logic.split()) == 1
