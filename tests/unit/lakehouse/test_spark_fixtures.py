"""Fixtures of unit tests, taken out of the SQL that dbt makes."""

import pytest

from lakehouse.dbt.spark.fixtures import with_fixtures


@pytest.mark.parametrize("text", ["a) b", "it''s (", "--", "/*"])
def test_a_fixture_ends_where_its_bracket_closes(text):
    sql = f"""with  __dbt__cte__silver__t as (
-- Fixture for t (of a day
select cast('{text}' as character varying) as "a"
), __dbt__cte__u as (select 1 as b), final as (select * from __dbt__cte__silver__t, __dbt__cte__u) select * from final"""

    asked, fixtures = with_fixtures(sql, "rows")

    assert [each.strip().partition("select")[2] for each in fixtures.values()] == [
        f" cast('{text}' as character varying) as \"a\"",
        " 1 as b",
    ]
    assert asked == (
        "with  __read__cte__silver__t as (select * from rows_0), __read__cte__u as (select * from rows_1), "
        "final as (select * from __read__cte__silver__t, __read__cte__u) select * from final"
    )


def test_sql_without_fixtures_is_asked_as_it_is():
    assert with_fixtures("select 1", "rows") == ("select 1", {})
