"""Outcomes of the checks of all current materializations, read for the verdicts (`orchestration.readiness`).

Of tens of thousands of results nearly all have passed: the database puts their names together, a row per
materialization and run, and only what failed is read in full.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, cast, func, select

from lakehouse.ledger import schema as t
from lakehouse.ledger.evidence import CheckOutcomes
from lakehouse.ledger.ledger import Ledger

_BETWEEN = "\n"
"""Between names of checks, which are identifiers."""


def current_outcomes(ledger: Ledger) -> dict[int, CheckOutcomes]:
    """Outcomes on each current materialization that any check has run on, by its id."""
    outcomes: dict[int, CheckOutcomes] = {}
    in_full: set[int] = set()  # where a check failed, or ran in two runs: its last result counts
    with ledger.engine.connect() as connection:
        rows: Iterable[Any] = connection.execute(_BY_RUN)
        for key, run_id, names, all_passed in rows:
            found, before = _all_passed(names, run_id), outcomes.get(key)
            if not all_passed or (before and before.names & found.names):
                in_full.add(key)
            outcomes[key] = CheckOutcomes({**before.passed, **found.passed}) if before else found
    if in_full:
        outcomes |= {key: CheckOutcomes.of(results) for key, results in ledger.current_checks(in_full).items()}
    return outcomes


@lru_cache(maxsize=1024)  # a run checks many days alike
def _all_passed(names: str, run_id: str) -> CheckOutcomes:
    return CheckOutcomes(dict.fromkeys(names.split(_BETWEEN), run_id))


_CURRENT = select(func.max(t.materializations.c.id)).group_by(
    t.materializations.c.asset, t.materializations.c.partition
)
_BY_RUN = (
    select(
        t.checks.c.materialization_id,
        t.checks.c.run_id,
        func.aggregate_strings(t.checks.c.check_name, _BETWEEN),
        func.min(cast(t.checks.c.passed, Integer)),
    )
    .where(t.checks.c.materialization_id.in_(_CURRENT))
    .group_by(t.checks.c.materialization_id, t.checks.c.run_id)
)
