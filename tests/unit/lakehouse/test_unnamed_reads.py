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


def model(sql: str) -> Model:
    """A model `silver.past` of one source and of another model that has an alias, computed by some SQL."""
    upstream = [
        {"resource_type": "source", "name": "raw_ticket_events", "schema": "bronze", "identifier": "raw_ticket_events"},
        {"resource_type": "model", "name": "listed", "schema": "gold", "alias": "listed_docs"},
    ]
    node = {"resource_type": "model", "name": "past", "schema": "silver", "alias": "past", "checksum": {"checksum": ""}}
    config = {"name": "past", "namespace": "silver", "sql": sql, "lo": None, "hi": None, "full_refresh": False}
    for each in (node, *upstream):
        each |= {"config": {"meta": {}}, "columns": {}}
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
