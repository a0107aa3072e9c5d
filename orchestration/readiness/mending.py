"""What mends what is not ready: the command that a person types, and the ranges of days that a run computes.

Pure, over verdicts. The main job computes these ranges; the sensor of `orchestration.graph.arrivals_sensor` asks for
them.
"""

import hashlib
from collections.abc import Collection

from lakehouse.ledger.evidence import coverage_version
from lakehouse.partitions import WHOLE, Window, contiguous_windows, parse_day
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.verdicts import Status, Verdict

_BRIDGED_DAYS = 14
"""So many safe days in a row are built again where they join two ranges: that costs less than a run of its own."""


def next_command(verdict: Verdict) -> str | None:
    """The command that mends a verdict, or leads to what must be mended; None for a partition that is ready."""
    if verdict.is_ready:
        return None
    if verdict.evidence.needs_comparison:
        return "omni verify"
    if verdict.status in (Status.UNKNOWN, Status.PENDING) and (blockers := verdict.evidence.blockers):
        return _leading_to(blockers[0])
    if verdict.status is Status.UNKNOWN:
        return f"declare what {verdict.asset} should hold: a manifest, or an expectation; then: omni run"
    if (awaited := verdict.evidence.awaited) and not verdict.is_mendable:
        bring = f"bring it ({awaited[0].owner} owes it), then: omni run"
        return bring if awaited[0].is_due else f"wait until {awaited[0].due_at:%Y-%m-%dT%H:%MZ}, or {bring}"
    if unknown := verdict.evidence.unknown_inputs:
        return f"name {', '.join(unknown)} in a contract, or take it out of the dbt model {verdict.asset}"
    if not verdict.evidence.is_checked:
        return (
            f"declare a test of severity error of {verdict.asset}, or say why it needs none in its meta.omni.unchecked"
        )
    if verdict.is_mendable:
        is_alone = verdict.partition and not verdict.evidence.blockers
        return f"omni run --partition {verdict.partition}" if is_alone else "omni run"
    if verdict.evidence.blockers and verdict.status is Status.BLOCKED:
        return _leading_to(verdict.evidence.blockers[0])
    if verdict.status is Status.FAILED:
        window = f" --partition {verdict.partition}" if verdict.partition else ""
        return f"mend what the check found, then: omni run{window}"
    if verdict.evidence.source_problems:
        owners = f" (owner: {', '.join(verdict.evidence.source_owners)})" if verdict.evidence.source_owners else ""
        return f"mend the source named above{owners}, then: omni run"
    return f"omni explain {verdict.name}"


def _leading_to(blocker: Verdict) -> str | None:
    """The command that asks for a blocker; of a daily asset that nothing at all is known of, what to do about it."""
    is_nowhere = blocker.status is Status.UNKNOWN and blocker.partition == WHOLE
    return next_command(blocker) if is_nowhere else f"omni ready {blocker.name}"


def windows_to_mend(readiness: Readiness, before: Collection[str] = ()) -> list[Window]:
    """Ranges of days that hold every partition that is not ready and can be mended; as few as cost least.

    Safe days between them are inside; a day that no run can mend by itself is not, nor one that a person let stand as
    an older logic computed it. Without those of the names in `before`: what a run was asked for already.
    """
    mendable = [verdict.partition for verdict in readiness.mendable() if verdict.name not in before]
    days = [key for key in mendable if key != WHOLE] or (readiness.days()[-1:] if mendable else [])
    verdicts = (verdict for name in readiness.graph.nodes for verdict in readiness.verdicts(name).values())
    apart = {v.partition for v in verdicts if v.evidence.acceptance or _is_hopeless(v)} - {WHOLE, *days}
    return contiguous_windows(days, apart=apart, bridged_days=_BRIDGED_DAYS)


def _is_hopeless(verdict: Verdict) -> bool:
    return verdict.is_problem and verdict.is_cause and not verdict.is_mendable


def state_of(readiness: Readiness, window: Window) -> str:
    """Hash of what is to be mended in a window: which partitions, why, what was written and what is expected now.

    By versions, not by commits: a run that changes nothing leaves the same state.
    """
    mendable = readiness.mendable()
    inside = [v for v in mendable if v.partition != WHOLE and parse_day(v.partition) in window]
    parts = []
    for verdict in inside or mendable:  # else what is not partitioned, which the last day stands for
        item = verdict.evidence.materialization
        expected = coverage_version(readiness.coverage.get((verdict.asset, verdict.partition), []))
        changed = ",".join(filter(None, (*verdict.evidence.changed_inputs, verdict.evidence.foreign_write)))
        logic = readiness.graph[verdict.asset].logic or ""
        parts.append(f"{verdict.name} {verdict.status} {item.version if item else ''} {expected} {changed} {logic}")
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]
