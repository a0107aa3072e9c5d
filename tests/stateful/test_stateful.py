"""Steps in any order, beside the model: some on every machine, thousands by `make soak` (OMNI_SOAK=1).

Each run says its seed; `OMNI_SEED=… pytest …`, as it is printed, runs the same examples again.
"""

import os
import random
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.lake import Lake
from tests.stateful.machine import Machine
from tests.stateful.planted import FAULTS

IS_SOAK = bool(os.environ.get("OMNI_SOAK"))
SEED = int(os.environ.get("OMNI_SEED") or (random.randrange(10**9) if IS_SOAK else 14))
STEPS, EXAMPLES, EXAMPLES_OF_A_FAULT = 8, 3000 if IS_SOAK else 100, 3000
EVERY_TIME = ("what someone else wrote is not noticed", "a verdict ignores edited logic")


def run_machine(lake: Lake, examples: int, seed: int, *, is_to_shrink: bool = True) -> None:
    """Run so many examples; raises what the first one that fails does."""

    class Here(Machine):
        pass

    Here.lake = lake
    told = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if is_to_shrink else [Phase.generate],
    )
    run_state_machine_as_test(seeded(seed)(Here), settings=told)


@pytest.mark.timeout(4 * 3600)
def test_whatever_is_done_no_unsafe_partition_is_called_safe_and_every_other_can_be_made_so(lake):
    again = f"OMNI_SEED={SEED}{' OMNI_SOAK=1' if IS_SOAK else ''} .venv/bin/python -m pytest {__file__} -k whatever"
    print(f"seed {SEED}; again: {again}")
    run_machine(lake, EXAMPLES, SEED)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", [name for name in FAULTS if IS_SOAK or name in EVERY_TIME])
def test_the_machine_finds_a_planted_fault(lake, fault):
    with ExitStack() as stack:
        for patched in FAULTS[fault]:
            stack.enter_context(patched)
        with pytest.raises((AssertionError, KeyError)):  # what is remembered of a deleted source ends the next plan
            run_machine(lake, EXAMPLES_OF_A_FAULT, 1, is_to_shrink=False)
