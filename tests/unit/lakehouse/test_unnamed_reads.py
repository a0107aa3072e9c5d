"""What a model reads past `ref` and `source`, told from its SQL alone."""

import duckdb
import pytest

from lakehouse.builds.model import Model
from lakehouse.dbt.doors.unnamed_reads import refuse_unnamed_reads
from lakehouse.errors import ConfigurationError

EVENTS = '"memory"."bronze"."raw_ticket_events"'


@pytest.fixture(scope="module")
def cursor():
    with duckdb.connect() as connection:
        yield connection.cursor()


IN_WINDOW = "/*window:occurred_at:timestamp*/ occurred_at is not null /*end window*/"
BOUNDED = f"(select * from {EVENTS} where {IN_WINDOW} )"


def model(sql: str, reach: str = "all") -> Model:
    """A model `silver.past` of one source and of another model that has an alias, computed by some SQL.

    It is daily, and of the source it says this reach.
    """
    upstream = [
        {"resource_type": "source", "name": "raw_ticket_events", "schema": "bronze", "identifier": "raw_ticket_events"},
        {"resource_type": "model", "name": "listed", "schema": "gold", "alias": "listed_docs"},
    ]
    node = {"resource_type": "model", "name": "past", "schema": "silver", "alias": "past", "checksum": {"checksum": ""}}
    config = {"name": "past", "namespace": "silver", "sql": sql, "lo": None, "hi": None, "full_refresh": False}
    for each in (node, *upstream):
        each |= {"config": {"meta": {}, "event_time": "occurred_at"}, "columns": {}}
    read = {"asset": "raw_ticket_events", "reach": reach, "column": "occurred_at"}
    node["config"]["meta"] = {"omni": {"partitioned": "daily"}, "reads it": read}
    return Model.from_config(config | {"node": node, "upstream": upstream, "forced": False})


@pytest.mark.parametrize(
    "sql",
    [
        f"select * from {EVENTS}",
        "from BRONZE.Raw_Ticket_Events, gold.listed_docs",
        f"with Events as (from {EVENTS}), days as (select * from eVENTS) select (select count(*) from events) from days",
        "with recursive days as (select 1 as n union all select n + 1 from days where n < 3) from days",
        "with t as (select 1) select * from (with u as (from t) select * from u union all from t)",
        "select unnest([1, 2]) from generate_series(1, 2), (values (1), (2)) as v",
    ],
)
def test_what_a_model_names_it_may_read(cursor, sql):
    refuse_unnamed_reads(model(sql), cursor)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("select * from bronze.raw_doc_assets", "bronze.raw_doc_assets"),
        ("select * from read_csv('f.csv')", "read_csv()"),
        ("select * from query('select 1')", "query()"),
        ("select * from 'f.csv'", "f.csv"),
        ("select * from raw_ticket_events", "raw_ticket_events"),
        ("select * from gold.listed", "gold.listed"),
        ("select * from gold.past", "gold.past"),
        ("select max(day) from silver.past", "silver.past"),
        ("select * from elsewhere.bronze.raw_ticket_events", "elsewhere.bronze.raw_ticket_events"),
        ("select * from (show tables)", "what DuckDB tells of itself"),
        ("select * from (describe bronze.raw_ticket_events)", "what DuckDB tells of itself"),
        ("select * from (summarize bronze.raw_ticket_events)", "what DuckDB tells of itself"),
        ("""with "f.csv" as (select * from "f.csv") select * from "f.csv" """, "f.csv"),
        ("""with t as (with "f.csv" as (select 1) from "f.csv") select * from "f.csv" """, "f.csv"),
        ("""with t as (select * from "f.csv"), "f.csv" as (select 1) select * from t""", "f.csv"),
        ("""select (with "f.csv" as (select 1) select 1), (select count(*) from "f.csv")""", "f.csv"),
        ("""with recursive "f.csv" as (from "f.csv" union all from "f.csv") from "f.csv" """, "f.csv"),
        ("""with recursive t as (select 1 union all (from t, "f.csv")) from t""", "f.csv"),
        ("""with t as (select 1) from t order by (select count(*) from "f.csv")""", "f.csv"),
    ],
)
def test_any_other_read_is_refused_by_name(cursor, sql, named):
    with pytest.raises(ConfigurationError) as refused:
        refuse_unnamed_reads(model(sql), cursor)

    assert str(refused.value).startswith(f"past: its SQL reads {named}, expected only what ref and source name")


@pytest.mark.parametrize("reach", ["same_day", "up_to_day"])
@pytest.mark.parametrize(
    "beside",
    [
        f"(select count(*) from {EVENTS}) > 0",
        f"exists (select 1 from bronze.RAW_ticket_events where {IN_WINDOW})",
        f"event_id in (select event_id from (select * from {EVENTS} where {IN_WINDOW} or true))",
        f"event_id in (select event_id from (select * from {EVENTS} where {IN_WINDOW} and x) join {BOUNDED} on true)",
    ],
)
def test_a_read_of_all_days_beside_one_through_a_window_is_refused_since_no_verdict_goes_by_it(cursor, beside, reach):
    sql = f"with events as (select * from {BOUNDED}) select * from events where {beside}"

    refuse_unnamed_reads(model(sql), cursor)
    with pytest.raises(ConfigurationError, match="past: its SQL reads all of .*, expected a window"):
        refuse_unnamed_reads(model(sql, reach), cursor)


def test_reads_through_a_window_may_be_many(cursor):
    refuse_unnamed_reads(
        model(f"select * from {BOUNDED} union all from {BOUNDED} where {IN_WINDOW}", "same_day"), cursor
    )
