"""Steps: as few runs over ranges of days as hold the targets, and no other partition."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lakehouse.partitions import WHOLE, Window
from orchestration.planning.steps import Step, plan_steps

ORDER = ("a", "b", "c")
DAYS = [(date(2026, 4, 1) + timedelta(days=n)).isoformat() for n in range(12)]
cells = st.sets(st.tuples(st.sampled_from(ORDER), st.sampled_from([*DAYS, WHOLE])))


def covered(steps):
    """Cells of the steps, in the order in which they run."""
    return [(a, d) for s in steps for d in (s.window.keys if s.window else [WHOLE]) for a in s.assets]


@given(targets=cells, free=cells)
def test_steps_hold_every_target_and_beside_them_only_what_is_free(targets, free):
    daily = {target for target in targets if target[1] != WHOLE}

    found = covered(plan_steps(daily, ORDER, is_free=free.__contains__))

    assert daily <= set(found)
    assert set(found) <= daily | free
    assert len(found) == len(set(found))


@given(targets=cells)
def test_days_are_computed_in_order(targets):
    steps = plan_steps(targets, ORDER)

    windows = [step.window for step in steps if step.window]
    assert windows == sorted(windows)
    whole = {asset for asset, key in targets if key == WHOLE}
    assert {asset for step in steps[-1:] for asset in step.assets} >= whole


def test_empty_days_join_what_lies_around_them_and_never_end_a_step():
    targets = {("a", DAYS[0]), ("b", DAYS[0]), ("a", DAYS[1]), ("a", DAYS[2]), ("b", DAYS[2])}
    free = {("b", DAYS[1]), *(("a", d) for d in DAYS[3:]), *(("b", d) for d in DAYS[3:])}

    assert plan_steps(targets, ORDER, is_free=free.__contains__) == [Step(("a", "b"), Window.of_keys(DAYS[0], DAYS[2]))]
    assert len(plan_steps(targets, ORDER)) == 3


def test_what_is_not_partitioned_comes_with_the_last_days_or_alone():
    window = Window.of_keys(DAYS[0], DAYS[1])

    assert plan_steps({("a", DAYS[0]), ("c", WHOLE)}, ORDER) == [Step(("a", "c"), Window.of_keys(DAYS[0], DAYS[0]))]
    assert plan_steps({("c", WHOLE)}, ORDER, window) == [Step(("c",), Window.of_keys(DAYS[1], DAYS[1]))]
    assert plan_steps({("c", WHOLE)}, ORDER) == [Step(("c",), None)]


def test_a_long_history_is_cut_into_chunks():
    days = [(date(2025, 1, 1) + timedelta(days=n)).isoformat() for n in range(365)]

    steps = plan_steps({("a", day) for day in days}, ORDER)

    assert [len(step.window.keys) for step in steps] == [92, 92, 92, 89]
