"""What a model's SQL asks of the clock, of dice, or of the order of rows, told from its SQL alone."""

import duckdb
import pytest

from lakehouse.dbt.doors.unrepeatable_sql import refuse_unrepeatable_sql
from lakehouse.errors import ConfigurationError
from tests.unit.lakehouse.test_unnamed_reads import model


@pytest.fixture(scope="module")
def cursor():
    with duckdb.connect() as connection:
        yield connection.cursor()


@pytest.mark.parametrize(
    "sql",
    [
        "select date '2026-04-15' as today, age(timestamp '2026-04-15', timestamp '2026-04-01') as since",
        "select row_number() over (partition by 1 order by a), rank() over (), sum(a) over () from t",
        "select t.current_date, error('no') from t order by a limit 3",
        "select distinct a from t",
        "select distinct on (a) a, b from t order by a, b",
        "select first(b order by a), list(a) from t",
    ],
)
def test_what_follows_from_the_inputs_may_be_asked(cursor, sql):
    refuse_unrepeatable_sql(model(sql), cursor)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("select NOW() as at", "now()"),
        ("select * from t where day < current_date", "current_date"),
        ("select (select Current_Timestamp)", "current_timestamp"),
        ("select today(), get_current_timestamp()", "get_current_timestamp(), today()"),
        ("select ago(interval 1 day)", "ago()"),
        ("select age(began) from t", "age()"),
        ("with t as (select random() as r) select uuid() from t", "random(), uuid()"),
        ("select * from t union all select nextval('s')", "nextval()"),
        ("select current_user", "current_user"),
        ("select row_number() over () from t", "row_number() over () without order by"),
        ("select lag(a) over (partition by b) from t", "lag() over () without order by"),
        ("select a from t using sample 3", "a sample"),
        ("select a from t tablesample 10%", "a sample"),
        ("select a from (select a from t limit 3) order by a", "limit without order by"),
        ("select distinct on (a) a, b from t", "distinct on without order by"),
    ],
)
def test_what_another_run_would_answer_otherwise_is_refused_by_its_name(cursor, sql, named):
    with pytest.raises(ConfigurationError) as refused:
        refuse_unrepeatable_sql(model(sql), cursor)

    assert str(refused.value).startswith(f"past: its SQL has {named}, expected the same rows of the same inputs")
