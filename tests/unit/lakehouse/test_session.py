"""What a profile, hook or macro makes of dbt's DuckDB, by which the same SQL would give other rows."""

import duckdb
import pytest

from lakehouse.dbt.doors.session import OFFERED_BY, Session
from lakehouse.errors import ConfigurationError
from lakehouse.tables import duck
from lakehouse.tables.duck import load_iceberg_extension


@pytest.fixture(scope="module")
def prepared():
    with duckdb.connect() as connection:
        load_iceberg_extension(connection, {})
        connection.execute("set global preserve_insertion_order = false")
        connection.execute("set global memory_limit = '500MB'")
        yield connection, Session([OFFERED_BY])


def test_duckdb_as_the_plugin_prepares_it_is_let_in(prepared):
    connection, session = prepared

    session.refuse_others(connection.cursor(), made=True)


def test_a_function_of_python_is_refused_unless_it_is_the_projects_own(prepared):
    connection, session = prepared
    cursor = connection.cursor()
    cursor.create_function("document_sections", lambda text: text, ["VARCHAR"], "VARCHAR")
    session.refuse_others(cursor, made=True)
    with pytest.raises(ConfigurationError, match="found function document_sections, set by the profile"):
        Session(["another.module"]).refuse_others(cursor, made=True)

    cursor.create_function("guessed", lambda text: text, ["VARCHAR"], "VARCHAR")

    try:
        with pytest.raises(ConfigurationError, match="found function guessed, set by the profile"):
            session.refuse_others(cursor, made=True)
    finally:
        cursor.remove_function("guessed")
        cursor.remove_function("document_sections")


@pytest.mark.parametrize(
    ("made", "undone", "named"),
    [
        ("set global timezone = 'Europe/Berlin'", "set global timezone = 'UTC'", "TimeZone = Europe/Berlin"),
        ("set global integer_division = true", "reset global integer_division", "integer_division = True"),
        ("set global default_null_order = 'nulls_first'", "reset global default_null_order", "default_null_order = "),
        ("set global default_collation = 'nocase'", "reset global default_collation", "default_collation = "),
        ("create macro lower(x) as 'z'", "drop macro lower", "function lower"),
        ("create macro days() as table select 1", "drop macro table days", "function days"),
        ("create type money as decimal(9, 2)", "drop type money", "type money"),
    ],
)
def test_what_would_give_other_rows_is_refused_by_name(prepared, made, undone, named):
    connection, session = prepared
    connection.execute(made)

    with pytest.raises(ConfigurationError, match=f"DuckDB: found {named}"):
        session.refuse_others(connection.cursor(), made=True)

    connection.execute(undone)
    session.refuse_others(connection.cursor(), made=True)


OTHER_SECRETS = (
    "create secret nearer (type s3, scope 's3://lake/warehouse/silver', endpoint '127.0.0.1:2')",
    "create or replace secret store (type s3, endpoint '127.0.0.1:2')",
    "drop secret store",
)


@pytest.mark.parametrize("made", OTHER_SECRETS)
def test_a_secret_that_leads_to_another_store_is_refused(made):
    session = Session([])
    with duckdb.connect() as connection:
        load_iceberg_extension(connection, {"s3.endpoint": "http://127.0.0.1:1", "s3.access-key-id": "key"})
        session.keep_secrets(connection)
        session.refuse_others(connection.cursor(), made=True)
        connection.execute(made)

        with pytest.raises(ConfigurationError, match="found another secret, by which other files would be read"):
            session.refuse_others(connection.cursor(), made=True)


def test_a_secret_that_a_person_keeps_for_duckdb_is_not_taken(tmp_path):
    kept = "set secret_directory = '" + str(tmp_path) + "'"
    with duckdb.connect() as connection:
        connection.execute(f"load '{duck._extension_file('httpfs')}'")
        connection.execute(kept)
        connection.execute(OTHER_SECRETS[0].replace("create secret", "create persistent secret"))
    with duckdb.connect() as connection:
        connection.execute(kept)
        load_iceberg_extension(connection, {"s3.endpoint": "http://127.0.0.1:1"})

        assert connection.execute("select name from duckdb_secrets()").fetchall() == [("store",)]


def test_a_variable_and_a_setting_of_one_connection_are_found_on_it(prepared):
    connection, session = prepared
    cursor = connection.cursor()
    cursor.execute("set variable shift = 1")
    cursor.execute("set timezone = 'Europe/Berlin'")

    with pytest.raises(ConfigurationError, match="found TimeZone = Europe/Berlin, variable shift, set by"):
        session.refuse_others(cursor, made=False)
