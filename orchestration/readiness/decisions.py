"""What a consumer may do with an asset partition: one small rule over its verdict. Table: docs/reference/evidence.md.

Called by the evidence report; a scheduler or a person acts on the answer.
"""

from typing import Literal

from lakehouse.ledger.evidence import CheckResult
from orchestration.readiness.verdicts import Status, Verdict

Decision = Literal["proceed", "manual_review", "hold"]

_HELD = (Status.UNKNOWN, Status.PENDING, Status.MISSING, Status.FAILED, Status.BLOCKED)


def decide_use(status: Status, *, is_blocked: bool, has_warning: bool) -> Decision:
    """Decide by the strictest of all that is known, not only by the status, which names the first finding.

    Args:
        status: Status of the verdict.
        is_blocked: An upstream partition is not ready, or unknown; or someone else has written the partition.
        has_warning: A `warn` check failed on the current materialization, or its asset has a problem of no day.
    """
    if status is Status.EMPTY:
        return "proceed"
    if is_blocked or status in _HELD:
        return "hold"
    if has_warning or status in (Status.UNCHECKED, Status.STALE):
        return "manual_review"
    return "proceed"


def decision_on(verdict: Verdict) -> Decision:
    """Decide on a verdict, with everything that its evidence holds."""
    evidence = verdict.evidence
    is_blocked = bool(evidence.blockers or evidence.unknown_inputs or evidence.foreign_write)
    if verdict.status is Status.EMPTY and evidence.warnings:
        return "manual_review"
    has_warning = bool(evidence.warnings or failed_warnings(verdict))
    return decide_use(verdict.status, is_blocked=is_blocked, has_warning=has_warning)


def failed_warnings(verdict: Verdict) -> list[CheckResult]:
    """Failed checks that block nothing, by the severity that the asset requires now, whatever it was then."""
    evidence = verdict.evidence
    required = evidence.required_checks
    return [c for c in evidence.checks.failed if required.get(c.check, c.severity) == "warn"]
