"""What Spark may make of the same words, told from SQL alone; and that no model that ships has any of it."""

import duckdb
import pytest

from lakehouse.dbt.doors.engine_differences import engine_differences, refuse_engine_differences
from lakehouse.dbt.doors.session import asks_python
from lakehouse.errors import ConfigurationError
from lakehouse.settings import PROJECT_ROOT
from tests.unit.lakehouse.test_unnamed_reads import model


@pytest.fixture(scope="module")
def cursor():
    with duckdb.connect() as connection:
        yield connection.cursor()


@pytest.mark.parametrize(
    "sql, found",
    [
        ("select regexp_replace(a, 'b', 'c') from t", "regexp_replace()"),  # once, and everywhere
        ("select log(a) from t", "log()"),  # of ten, and of e
        ("select max_by(a, b) from t", "max_by()"),  # without nulls, and with
        ("select first_value(a) over (order by b desc) from t", "first_value() over"),
        ("select hash(a) from t", "hash()"),
        ("select a / b from t", "/()"),
        ("select a || b from t", "||()"),
        ("select a like 'x' from t", "~~()"),
        ("select extract(dow from a) from t", "extract(dow …)"),
        ("select try_cast(a as bigint) from t", "try_cast"),
        ("select cast(a as varchar) from t", "cast(… as varchar)"),
        ("select cast(a as timestamp) from t", "cast(… as timestamp)"),
        ("select cast(a as timestamptz) from t", "cast(… as timestamp with time zone)"),
        ("select row_number() over (order by a) from t", "order by … without nulls first or nulls last"),
        ("select row_number() over (order by a asc) from t", "order by … without nulls first or nulls last"),
        (r"select 'a\nb' from t", "a \\"),
        ("select 'it''s' from t", "a text with ', which Spark leaves out"),
        ("select $$it's$$ from t", "a $"),
        (r"select e'\x41' from t", "a \\"),
        ("select a[1] from t", "array extract"),
        ("select col1 from (values (1, 2)) as v", "values, whose first column is col0 on DuckDB and col1 on Spark"),
        ("select * from range(3)", "range()"),
        ("select /*spark:(select max(a) from t)*/ 1 /*end spark*/", "select() on Spark"),
        ("select /*spark:rand()*/ 1 /*end spark*/", "rand() on Spark"),
    ],
)
def test_what_the_engines_may_understand_differently_is_named(cursor, sql, found):
    assert found in engine_differences("m", sql, cursor, has_fractions=False)


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*), count(distinct a), sum(b), min(a), coalesce(max(a), 0) from t group by c having count(*) > 1",
        "select true, null, cast(null as string), date '2026-04-01' - interval 1 day, 1.5, 'it' from t",
        "select row_number() over (partition by a order by b desc, c nulls last) from t",
        "select a from t where b >= timestamptz '2026-04-01 00:00:00+00'",
        "select case when a in ('x', 'y') and not b then cast(c as date) end, extract(day from c) from t",
        "select /*spark:unix_micros(a)*/ epoch_us(a) /*end spark*/ from t left join u on t.a = u.a",
    ],
)
def test_what_means_the_same_is_let_through(cursor, sql):
    assert engine_differences("m", sql, cursor, has_fractions=False) == []


def test_a_whole_number_of_a_fraction_is_cut_off_by_one_and_rounded_by_the_other(cursor):
    whole = "select cast(sum(a) as bigint) from t"

    assert engine_differences("m", whole, cursor, has_fractions=False) == []
    assert "DuckDB rounds" in engine_differences("m", whole, cursor, has_fractions=True)[0]
    for counted in ("count(*)", "count(a)", "row_number() over (order by a nulls last)"):
        assert engine_differences("m", f"select cast({counted} as bigint) from t", cursor, has_fractions=True) == []


def test_a_model_is_refused_with_all_that_was_found_and_a_way_out(cursor):
    with pytest.raises(ConfigurationError, match=r"log\(\), try_cast, expected what means the same.*--target duckdb"):
        refuse_engine_differences(model("select log(a), try_cast(b as date) from t"), cursor, has_fractions=False)


@pytest.fixture(scope="module")
def compiled(parsed_project) -> dict[str, str]:
    """Model or data test → its SQL, as dbt left it when it built the project."""
    folder = parsed_project.settings.dbt_target_dir / "compiled" / "omni" / "models"
    texts = [(path.stem, path.read_text("utf-8")) for path in folder.rglob("*.sql")]
    return {name: text for name, text in texts if "Fixture for" not in text}


def test_every_model_that_ships_and_every_data_test_means_the_same_on_both(cursor, compiled):
    models = {path.stem for path in (PROJECT_ROOT / "dbt_project" / "models").rglob("*.sql")}

    for_duckdb = {name for name, sql in compiled.items() if asks_python(sql)}

    found = {
        name: engine_differences(name, sql, cursor, has_fractions=name not in models)
        for name, sql in compiled.items()
        if name not in for_duckdb
    }

    assert len(models) == 15 and models < compiled.keys() and len(found) > 60
    assert for_duckdb == {
        "doc_sections",
        "int_doc_passages__cut",
        "passage_anchors_resolve",
        "section_anchors_resolve",
    }
    assert {name: what for name, what in found.items() if what} == {}
