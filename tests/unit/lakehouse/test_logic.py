"""The canonical form of compiled SQL: what changes no row has one form, and no two texts that differ share one."""

from itertools import combinations

import pytest

from lakehouse.builds.logic import canonical_sql, logic_of

MODEL = (
    "select event_id, count(*) as n, date '2026-04-01' as day from t where kind in ('a', 'B') group by all order by n"
)


@pytest.mark.parametrize(
    "same",
    [
        MODEL.replace(", ", ",\n    ").replace(" from ", "\nfrom "),
        f"-- why\n{MODEL} -- and that\n",
        MODEL.replace("from t", "from /* the 'rows' /* of */ t */ t"),
        MODEL.replace("select", "SELECT").replace("group by all", "GROUP\n  BY All").replace("date '", "DATE '"),
        MODEL.replace("count(*)", "COUNT( * )"),
        f"\n\n{MODEL}\n",
    ],
)
def test_comments_layout_and_the_case_of_keywords_are_not_logic(same):
    assert same != MODEL
    assert canonical_sql(same) == canonical_sql(MODEL)


def test_the_case_of_words_that_the_parser_knows_in_some_places_only_is_not_logic():
    windowed = "select sum(a) over (order by b desc nulls last rows between unbounded preceding and current row) from t"

    assert canonical_sql(windowed.replace("desc nulls last rows", "DESC Nulls LAST ROWS")) == canonical_sql(windowed)
    assert canonical_sql(windowed.replace("unbounded preceding", "UNBOUNDED Preceding")) == canonical_sql(windowed)


ALIKE = [
    ["'a'", "'A'", "' a'", "'a '", "'a--'", "'/*a*/'", "$$a$$", "e'a'", "a", '"a"', "A", '"A"', "(a)"],
    ["x'ab'", "x 'ab'", "'x' 'ab'", "'x'\n'ab'", "x as ab", "x ab", "xab"],
    ["a as Date", "a as date", "a Date", "a date", 'a as "date"', "a.Date", "a.date", "date a"],
    ["1", "1.0", "1.00", "1e0", "01", "'1'", "10", "1 0", "0x1", "0 x1", "-1", "- -1", "1-1", "+1"],
    [
        "a::int",
        "a::bigint",
        "cast(a as bigint)",
        "try_cast(a as bigint)",
        "a::decimal",
        "a::decimal(10, 2)",
        "a::float",
    ],
    ["first(a)", "any_value(a)", "last(a)", "max(a)", "first(distinct a)", "first(a order by b)", "first(a) over ()"],
    ["a ~ 'b'", "regexp_matches(a, 'b')", "a like 'b'", "a ilike 'b'", "a glob 'b'", "a = 'b'", "a similar to 'b'"],
    ["a -> 'b.c'", "a -> '$.b.c'", "a ->> 'b.c'", "json_extract(a, 'b.c')", "a['b.c']", "a.b.c"],
    ["{Key: 1}", "{key: 1}", "struct_pack(Key := 1)", "struct_pack(key := 1)", "map {'key': 1}", "map {'Key': 1}"],
    [
        "a / b",
        "a // b",
        "a % b",
        "a ^ b",
        "b / a",
        "a = b",
        "a <> b",
        "a is distinct from b",
        "a is not distinct from b",
    ],
    ["regexp_replace(a, 'b', 'c')", "regexp_replace(a, 'b', 'c', 'g')", "replace(a, 'b', 'c')"],
    ["now()", "localtimestamp", "current_date", "current_timestamp"],
    ["log(a)", "ln(a)", "log10(a)", "log2(a)", "date_sub('day', a, b)", "date_diff('day', a, b)"],
    ["a and b or c", "a and (b or c)", "a or b and c", "not a and b", "not (a and b)"],
    ["sum(a) over (order by b)", "sum(a) over (order by b rows unbounded preceding)", "sum(a) over (order by b desc)"],
    ["lag(a) over (order by b)", "lag(a ignore nulls) over (order by b)", "lag(a, 2) over (order by b)"],
    ["columns('A')", "columns('a')", "*", "* exclude (a)", "* replace (1 as a)", "distinct a", "distinct on (a) a"],
]


@pytest.mark.parametrize("expressions", ALIKE, ids=lambda each: each[0])
def test_no_two_expressions_that_differ_share_a_form(expressions):
    forms = {each: canonical_sql(f"select {each}\nfrom t") for each in expressions}

    assert [pair for pair in combinations(expressions, 2) if forms[pair[0]] == forms[pair[1]]] == []


CLAUSES = [
    "from t",
    "from T",
    "from t, u",
    "from t join u on t.a = u.a",
    "from t join u using (a)",
    "from t left join u using (a)",
    "from t semi join u using (a)",
    "from t anti join u using (a)",
    "from t asof join u on t.a >= u.a",
    "from t positional join u",
    "from t natural join u",
    "from t limit 10",
    "from t limit 10%",
    "from t limit 10 offset 1",
    "from t order by 1",
    "from t order by 1 desc",
    "from t order by 1 nulls first",
    "from t order by all",
    "from t group by 1",
    "from t group by all",
    "from t union select 1 from t",
    "from t union all select 1 from t",
    "from t union all by name select 1 from t",
    "from t except select 1 from t",
    "from t except all select 1 from t",
    "from t intersect select 1 from t",
    "from t using sample 10%",
    "from t using sample 10 rows",
    "from t tablesample bernoulli(10%)",
    "from t qualify row_number() over () = 1",
    "from (t)",
    "from t as u(a, b)",
    "from t as u(A, b)",
    "from t where a",
    "from t having a",
]


def test_no_two_clauses_that_differ_share_a_form():
    forms = [canonical_sql(f"select 1 {clause}") for clause in CLAUSES]

    assert len(set(forms)) == len(CLAUSES)


@pytest.mark.parametrize("unreadable", ["select 'open", "select x'ab' from t", "select ) from (", "select {# a #} 1"])
def test_text_that_cannot_be_read_is_taken_as_it_stands(unreadable):
    assert canonical_sql(unreadable) != canonical_sql(unreadable.replace(" ", "  "))
    assert canonical_sql(unreadable) == canonical_sql(unreadable)


def test_what_the_tokenizer_takes_for_a_comment_and_duckdb_does_not_is_logic():
    assert canonical_sql("select {# a #} from t") != canonical_sql("select {# b #} from t")


def window(text):
    return f"select a from (select * from t where /*window:at:timestamp*/ {text} /*end window*/)"


def test_the_bounds_of_the_window_are_not_logic_and_its_column_is():
    built = window("at >= timestamptz '2026-04-01 00:00:00+00' and at < timestamptz '2026-04-02 00:00:00+00'")

    assert canonical_sql(built) == canonical_sql(window("at is not null"))
    assert canonical_sql(built) != canonical_sql(window("at is not null").replace("window:at", "window:day"))
    assert canonical_sql(built) != canonical_sql(built.replace("/*window:", "/*up_to_window:"))


NODE = {
    "name": "daily",
    "resource_type": "model",
    "schema": "silver",
    "columns": {"day": {"data_type": "date"}, "n": {"data_type": "bigint"}, "said": {}},
    "config": {
        "event_time": "day",
        "meta": {"omni": {"partitioned": "daily"}, "reads t": {"asset": "t", "reach": "same_day", "column": "at"}},
    },
}
UPSTREAM = [{"name": "t", "resource_type": "source", "config": {"event_time": "at"}}]


def logic(upstream=UPSTREAM, **changed):
    return logic_of("select 1", {**NODE, **changed}, upstream)


def test_columns_time_layer_partitioning_and_reach_are_logic():
    config, columns = NODE["config"], NODE["columns"]
    whole = {**config, "meta": {"omni": {"partitioned": "whole"}}}
    edits = [
        logic(),
        logic(columns={**columns, "n": {"data_type": "integer"}}),
        logic(columns={**columns, "said": {"data_type": "varchar"}}),
        logic(config={**config, "event_time": "n"}),
        logic(schema="gold"),
        logic(config=whole),
        logic([{**UPSTREAM[0], "config": {"event_time": "loaded_at"}}]),
        logic_of("select 2", NODE, UPSTREAM),
    ]

    assert len(set(edits)) == len(edits)


def test_words_about_columns_their_order_and_other_names_of_their_types_are_not_logic():
    columns = NODE["columns"]
    described = {name: {**column, "description": "what it means"} for name, column in reversed(columns.items())}

    assert logic(columns=described) == logic()
    assert logic(columns={**columns, "n": {"data_type": "INT8"}}) == logic()
    assert logic(config={**NODE["config"], "materialized": "table", "tags": ["t"]}) == logic()
