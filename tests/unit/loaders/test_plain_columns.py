"""What Arrow says of plain values is what DuckDB says of them."""

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contracts.model import Contract, ContractField
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.field_rules import FIELD_RULES, keeps_rules
from loaders.events.record_hash import plain_instants, plain_lists
from loaders.events.typing_sql import canonical_text, instant, value_conditions
from tests.unit.loaders.test_record_hash import TEXTS


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


RULES = st.fixed_dictionaries(
    {},
    optional={
        "required": st.just(True),
        "enum": st.just(["a", "ä"]),
        "max_length": st.integers(1, 3),
        "pattern": st.just("[a-z]+"),
    },
)


@given(
    rules=RULES,
    values=st.lists(st.sampled_from([None, "", " ", "\t", "\u3000", "a", "ä", "ab", "äöü", "abcd"]), max_size=3),
)
def test_a_column_is_said_to_keep_its_rules_only_where_duckdb_finds_no_breach(rules, values):
    field = ContractField(name="v", type="string", description="A text.", **rules)
    contract = Contract(name="c", version="v1", ref="c", grain="A row.", fields=[field])
    column = pa.chunked_array([values], pa.string())
    conditions = " or ".join(f"coalesce({condition}, false)" for condition in value_conditions(contract))
    with duckdb.connect() as connection:
        connection.register("read", pa.table({"v": column}))
        breaches = connection.execute(f"select count(*) from read where {conditions or 'false'}").fetchone()

    assert not keeps_rules(field, column) or breaches == (0,)


@pytest.mark.parametrize(
    ("kind", "rules", "values"),
    [
        ("string", {"required": True, "enum": ["a", "b"], "max_length": 1}, ["a", "b"]),
        ("string", {"enum": ["a"]}, ["a", None]),
        ("string", {"pattern": "a"}, [None]),
        ("long", {"required": True}, [1]),
        ("list<string>", {}, [["a"], None]),
    ],
)
def test_good_plain_columns_are_seen_to_keep_their_rules(kind, rules, values):
    field = ContractField(name="v", type=kind, description="A value.", **rules)

    assert keeps_rules(field, pa.chunked_array([pa.array(values)] if values != [None] else [pa.nulls(1, pa.string())]))


def test_every_rule_has_its_reason_code_in_the_docs():
    page = (PROJECT_ROOT / "docs/reference/manifests.md").read_text("utf-8")

    assert [rule.code for rule in FIELD_RULES if f"| `{rule.code}` |" not in page] == []


@pytest.mark.parametrize("kind", ["timestamp", "date", "long"])
def test_texts_that_are_to_be_another_type_are_left_to_duckdb(kind):
    field = ContractField(name="v", type=kind, description="A value.")

    assert not keeps_rules(field, pa.chunked_array([["2026-04-15T08:00:00Z"]]))
