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
_DEFINED_AS = "\t"
"""Between a name and its definition."""


def current_outcomes(ledger: Ledger) -> dict[int, CheckOutcomes]:
    """Outcomes on each current materialization that any check has run on, by its id."""
    outcomes: dict[int, CheckOutcomes] = {}
    in_full: set[int] = set()  # where a check failed, or ran by two definitions or in two runs: its last result counts
    with ledger.engine.connect() as connection:
        rows: Iterable[Any] = connection.execute(_BY_RUN)
        for key, run_id, names, all_passed in rows:
            found, before = _all_passed(names, run_id), outcomes.get(key)
            if not all_passed or _is_redefined(names) or (before and before.names & found.names):
                in_full.add(key)
            outcomes[key] = _together(before, found) if before else found
    if in_full:
        outcomes |= {key: CheckOutcomes.of(results) for key, results in ledger.current_checks(in_full).items()}
    return outcomes


def last_definitions(ledger: Ledger, asset: str, check: str) -> dict[int, str | None]:
    """The definition that a check last ran with on each current materialization of an asset, by its id."""
    c = t.checks.c
    last = select(func.max(c.id)).where(c.asset == asset, c.check_name == check, c.materialization_id.in_(_CURRENT))
    query = select(c.materialization_id, c.definition).where(c.id.in_(last.group_by(c.materialization_id)))
    with ledger.engine.connect() as connection:
        rows: Iterable[Any] = connection.execute(query)
        return dict(map(tuple, rows))


@lru_cache(maxsize=1024)  # a run checks many days alike
def _all_passed(names: str, run_id: str) -> CheckOutcomes:
    defined = [each.split(_DEFINED_AS) for each in names.split(_BETWEEN)]
    return CheckOutcomes(
        dict.fromkeys((name for name, _ in defined), run_id),
        definitions={name: definition for name, definition in defined if definition},
    )


@lru_cache(maxsize=1024)
def _is_redefined(names: str) -> bool:
    defined = set(names.split(_BETWEEN))
    return len({each.partition(_DEFINED_AS)[0] for each in defined}) < len(defined)


def _together(one: CheckOutcomes, other: CheckOutcomes) -> CheckOutcomes:
    definitions = {**one.definitions, **other.definitions}
    return CheckOutcomes({**one.passed, **other.passed}, definitions=definitions)


_CURRENT = select(func.max(t.materializations.c.id)).group_by(
    t.materializations.c.asset, t.materializations.c.partition
)
_BY_RUN = (
    select(
        t.checks.c.materialization_id,
        t.checks.c.run_id,
        func.aggregate_strings(
            t.checks.c.check_name + _DEFINED_AS + func.coalesce(t.checks.c.definition, ""), _BETWEEN
        ),
        func.min(cast(t.checks.c.passed, Integer)),
    )
    .where(t.checks.c.materialization_id.in_(_CURRENT))
    .group_by(t.checks.c.materialization_id, t.checks.c.run_id)
)
