"""The canonical text of a record, made of Arrow columns, is the one that SQL makes."""

import hashlib

import duckdb
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contracts.model import ContractField
from loaders.events.record_hash import canonical_list, escaped, sha256_texts
from loaders.events.typing_sql import canonical_text

TEXTS = st.one_of(
    st.none(), st.text(st.characters(codec="utf-8"), max_size=6), st.sampled_from(['"\\\n', "\x1f\x7f", ""])
)
ROWS = st.lists(st.tuples(TEXTS, TEXTS, st.none(), st.one_of(st.none(), st.booleans()), st.integers(-9, 9)), max_size=5)


@given(rows=ROWS)
def test_the_list_of_a_row_is_what_duckdb_writes(rows):
    types = [pa.string(), pa.string(), pa.string(), pa.bool_(), pa.int64()]
    columns = [pa.chunked_array([[row[n] for row in rows]], kind) for n, kind in enumerate(types)]
    typed = pa.table(columns, names=list("abcde"))
    with duckdb.connect() as connection:
        connection.register("typed", typed)
        texts = ", ".join(f"{name}::varchar" for name in typed.column_names)
        expected = connection.execute(f"select to_json([{texts}])::varchar from typed").fetchall()

    assert canonical_list([escaped(column) for column in columns]).to_pylist() == [text for (text,) in expected]


def test_each_text_is_hashed_by_itself_in_any_slice():
    texts = pa.chunked_array([pa.array(["x", "a", "", "ä"])]).slice(1)

    assert sha256_texts(texts).to_pylist() == [hashlib.sha256(text.encode()).hexdigest() for text in ("a", "", "ä")]


@given(at=st.datetimes().map(lambda at: at.isoformat(" ")))
def test_an_instant_has_the_text_that_duckdb_gives_it(at):
    field = ContractField(name="at", type="timestamp", description="An instant.")
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        query = f"""select {canonical_text(field)}, "at"::varchar from (select timestamptz '{at}+00' as "at")"""
        found, expected = connection.execute(query).fetchone()

    assert found == expected
