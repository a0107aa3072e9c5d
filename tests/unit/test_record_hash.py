"""The canonical text of a record, made of Arrow columns, is the one that SQL makes."""

import hashlib

import duckdb
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contracts import ContractField
from loaders.plain_values import plain_instants, plain_lists
from loaders.record_hash import canonical_list, sha256_texts
from loaders.typing_sql import canonical_text, instant

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

    assert canonical_list(columns).to_pylist() == [text for (text,) in expected]


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


def by_duckdb(kind, column, value, text):
    """What DuckDB makes of a column `v`: the typed values and their canonical texts."""
    field = ContractField(name="typed", type=kind, description="Typed.")
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("read", pa.table({"v": column}))
        query = f"select typed, {canonical_text(field)} as text from (select {value} as typed from read)"
        found = connection.execute(query).to_arrow_table()
    return found.column(text).to_pylist()


PLAIN = st.datetimes().map(lambda at: f"{at.replace(microsecond=0).isoformat()}Z")
ODD_TEXTS = [
    "2026-04-15 08:00:00Z",
    "2026-04-15T08:00:00.5Z",
    "2026-04-15T24:00:00Z",
    "2026-02-30T08:00:00Z",
    "0000-01-01T00:00:00Z",
    "20260-4-15T08:00:00Z",
    "2026-04-15T08:00:00z",
    "2026-04-15T08:00+0100",
    "2026-04-15T08:00:0Z ",
    "soon",
    "",
]


@given(
    texts=st.one_of(
        *(st.lists(st.one_of(st.none(), *of), max_size=4) for of in ([PLAIN], [PLAIN, st.sampled_from(ODD_TEXTS)]))
    )
)
def test_plain_instants_are_those_of_duckdb_with_their_texts(texts):
    column = pa.chunked_array([texts], pa.string())

    found = plain_instants(column)

    if found is None:
        assert any(text is not None and (len(text) != 20 or text in ODD_TEXTS) for text in texts)
    else:
        assert [each.to_pylist() for each in found] == [
            by_duckdb("timestamp", column, instant("v"), name) for name in ("typed", "text")
        ]


def test_plain_instants_are_found_where_all_are_plain_or_absent():
    found = plain_instants(pa.chunked_array([["2026-04-15T08:00:00Z", None], [], ["0001-01-01T00:00:00Z"]]))

    assert found is not None
    assert found[1].to_pylist() == ["2026-04-15 08:00:00+00", None, "0001-01-01 00:00:00+00"]


@given(lists=st.lists(st.one_of(st.none(), st.lists(TEXTS, max_size=3)), max_size=4))
def test_plain_lists_have_the_texts_that_duckdb_gives_them(lists):
    column = pa.chunked_array([lists], pa.list_(pa.string()))

    texts = plain_lists(column)

    if texts is None:
        odd = set('"\\').union(map(chr, range(32)))
        assert any(text is None or odd & set(text) for each in lists for text in each or ())
    else:
        assert texts.to_pylist() == by_duckdb("list<string>", column, "v", "text")
