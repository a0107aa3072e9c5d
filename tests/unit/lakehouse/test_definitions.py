"""A data test is the same test in every window, and another one where the macros of the project bound it otherwise."""

from datetime import date

import pytest

from lakehouse.builds.chunks import Chunk
from lakehouse.dbt.definitions import data_test_definition

DAY = Chunk(date(2026, 4, 15), date(2026, 4, 16))
ALL = Chunk(None, None)
IN_DAY = "at >= timestamptz '2026-04-15 00:00:00+00' and at < timestamptz '2026-04-16 00:00:00+00'"


def definition(bounds, ran=None, what="window"):
    sql = f"select * from (select * from t where /*{what}:at:timestamp*/\n {bounds} /*end window*/) where n < 0"
    return data_test_definition(sql, {}, ran)


def test_a_test_that_ran_in_a_window_is_the_one_that_is_declared_without():
    declared = definition("at is not null")

    assert definition(IN_DAY, DAY) == definition("at is not null", ALL) == declared
    assert definition("at < timestamptz '2026-04-16 00:00:00+00'", DAY, "up_to_window") == definition(
        "", what="up_to_window"
    )
    assert definition("false", ALL, "before_window") == definition("", what="before_window")


@pytest.mark.parametrize(
    ("bounds", "ran"),
    [
        ("false", ALL),
        ("at is not null", DAY),
        (IN_DAY, ALL),
        (IN_DAY.replace("+00", "+02"), DAY),
        (f"{IN_DAY} and n > 1", DAY),
    ],
)
def test_a_test_whose_macros_say_other_bounds_is_another_test(bounds, ran):
    assert definition(bounds, ran) != definition(bounds)
