"""One compiled SQL in the words of two engines, and its logic in both."""

from lakehouse.builds.dialects import in_words_of_spark, spark_sql
from lakehouse.builds.logic import logic_of, logics_of
from tests.unit.lakehouse.test_unnamed_reads import model

NODE = {
    "resource_type": "model",
    "name": "kpi",
    "schema": "gold",
    "columns": {},
    "config": {"meta": {}, "event_time": None},
}
MINUTES = "select /*spark:unix_micros(a)*/ epoch_us(a) /*end spark*/ as us from t"


def test_spark_gets_its_own_words_its_instants_and_the_views_of_the_pinned_tables():
    sql = """select /*spark:unix_micros(at)*/ epoch_us(at) /*end spark*/ as us, 'a "b"."c"' as text
    from "memory"."bronze"."raw_ticket_events" where at >= timestamptz '2026-04-01 00:00:00+00' /* kept */"""

    assert spark_sql(sql) == (
        """select unix_micros(at) as us, 'a "b"."c"' as text
    from "bronze.raw_ticket_events" where at >= timestamp '2026-04-01 00:00:00' /* kept */"""
    )


def test_what_has_the_same_words_has_the_same_logic_whoever_computes_it():
    on_duckdb, on_spark = logics_of("select a from t", NODE, [])

    assert on_duckdb == on_spark == logic_of("select a from t", NODE, [])


def test_words_of_spark_are_logic_on_spark_and_a_comment_to_duckdb():
    plain = logic_of("select epoch_us(a) as us from t", NODE, [])
    on_duckdb, on_spark = logics_of(MINUTES, NODE, [])
    other = logics_of(MINUTES.replace("unix_micros(a)", "unix_micros(a) + 1"), NODE, [])

    assert on_duckdb == plain == other[0]
    assert len({on_duckdb, on_spark, other[1]}) == 3


def test_a_partition_has_one_version_of_both_engines_and_another_when_either_says_something_else():
    version = model(MINUTES).version_logic

    assert version not in {model(MINUTES).logic, model(MINUTES).logic_on_spark}
    assert version != model(MINUTES.replace("unix_micros(a)", "unix_micros(a) + 1")).version_logic
    assert version != model(MINUTES.replace("epoch_us(a)", "epoch_us(a) + 1")).version_logic
    same = model("select a from t")
    assert same.version_logic == same.logic == same.logic_on_spark


def test_words_of_spark_may_be_several_and_over_several_lines():
    assert in_words_of_spark("/*spark:a\n*/ b\n /*end spark*/, /*spark:c*/ d /*end spark*/ e") == "a\n, c e"
