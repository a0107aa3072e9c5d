"""Check results asked again, against those that the ledger claims: a pass that nothing earned is found.

Called by `loaders.proof.checks` and `orchestration.runs.proof`.
"""

from collections.abc import Iterable, Iterator

from lakehouse.ledger.evidence import CheckResult
from lakehouse.ledger.ledger import Ledger
from lakehouse.proof.partition_comparison import Finding, day_option, run_step

_COMPARED = ("severity", "passed", "failures", "definition", "message")
_BY_OTHER_DAYS = ("volume", "mass_delete")
"""Checks that judge a day by days before it: loaded again since, these give other figures and the same answer."""


def check_findings(ledger: Ledger, asked_again: Iterable[CheckResult]) -> Iterator[Finding]:
    """Where the last result of a check on a materialization is not what it is when it is asked again."""
    again = list(asked_again)
    claimed = ledger.current_checks({result.materialization_id for result in again})
    known = {(key, each.check): each for key, results in claimed.items() for each in results}
    for result in again:
        claim = known.get((result.materialization_id, result.check))
        if claim is None:
            found, expected = f"no result of {result.check}", _words(result, ("passed", "message"))
            step = run_step(result.partition)
            yield Finding("check_absent", result.asset, result.partition, found, expected, step)
            continue
        if claim.is_broken_off:  # it claims nothing, and no verdict counts it
            continue
        names = _COMPARED[:2] if result.check in _BY_OTHER_DAYS else _COMPARED
        if differing := [name for name in names if getattr(claim, name) != getattr(result, name)]:
            found, expected = _words(claim, differing), _words(result, differing)
            step = f"look who changed the ledger, then: omni backfill {result.asset}{day_option(result.partition)}"
            yield Finding("check_differs", result.asset, result.partition, found, f"asked again: {expected}", step)


def _words(result: CheckResult, names: Iterable[str]) -> str:
    return f"{result.check}: {', '.join(f'{name} {getattr(result, name)}' for name in names)}"
