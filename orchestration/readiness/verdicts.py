"""The verdict on one asset partition: a pure function of evidence, with every reason.

No I/O and no clock. `orchestration.readiness.readiness` collects the evidence; rules: docs/explanation/readiness.md.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lakehouse.kinds import Severity
from lakehouse.ledger.evidence import CheckOutcomes, Materialization

_NAMED_BLOCKERS = 3


class Status(StrEnum):
    """What a verdict says. The first that applies decides, in this order."""

    MISSING = "MISSING"
    FAILED = "FAILED"
    UNCHECKED = "UNCHECKED"
    STALE = "STALE"
    BLOCKED = "BLOCKED"
    READY = "READY"
    EMPTY = "EMPTY"


@dataclass(frozen=True, slots=True)
class PartitionEvidence:
    """All that is known of one asset partition."""

    asset: str
    partition: str
    is_expected: bool
    """Whether its sources, or its upstream partitions, hold anything for it."""
    rows_expected: int | None = None
    """Records that its sources hold; None for what is computed from other assets."""
    materialization: Materialization | None = None
    required_checks: Mapping[str, Severity] = field(default_factory=dict)
    checks: CheckOutcomes = CheckOutcomes()
    """Of the checks that have run on this materialization."""
    redefined_checks: Collection[str] = ()
    """Those that have run as they are not defined any more: their results are not among `checks`."""
    is_checked: bool = True
    """Whether a check of severity error is declared, or said to be needless."""
    unchecked: str | None = None
    """Why none is needed, in the words of the model."""
    source_problems: Sequence[str] = ()
    """Why source files that it needs cannot be read."""
    changed_inputs: Sequence[str] = ()
    """What has changed since it was materialized: sources, upstream assets."""
    changed_logic: str | None = None
    """That it was computed by another logic than its model has now, or by one that is not known."""
    unknown_inputs: Sequence[str] = ()
    """What it reads and no contract names, as its dbt project calls it: nothing can be known of it."""
    foreign_write: str | None = None
    """What someone else has written into it, or may have."""
    needs_comparison: bool = False
    """Whether it is not known yet which partitions of the table someone else has changed."""
    blockers: Sequence["Verdict"] = ()
    """Verdicts on upstream partitions that are not ready."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one asset partition."""

    asset: str
    partition: str
    status: Status
    reasons: tuple[str, ...]
    """Every unmet requirement, the decisive one first."""
    evidence: PartitionEvidence
    is_mendable: bool
    """Whether a run can make it ready: no failed check, unreadable or unknown source is in the way, here or above."""

    @property
    def is_ready(self) -> bool:
        """Safe to consume. An empty partition is: there is nothing that it lacks."""
        return self.status in (Status.READY, Status.EMPTY)

    @property
    def name(self) -> str:
        """Asset and partition, as a person types them."""
        return f"{self.asset} {self.partition}".strip()


def decide(evidence: PartitionEvidence) -> Verdict:
    """Judge one asset partition.

    Returns:
        A verdict listing every unmet requirement, not only the first.
    """
    item = evidence.materialization
    has_changed = bool(evidence.changed_inputs or evidence.changed_logic or evidence.foreign_write)
    is_uncertain = has_changed or evidence.unknown_inputs
    if not evidence.is_expected and (item is None or item.rows.loaded == 0) and not is_uncertain:
        return Verdict(evidence.asset, evidence.partition, Status.EMPTY, (), evidence, True)
    findings = [*_missing(evidence), *_failed(evidence), *_unchecked(evidence), *_stale(evidence), *_blocked(evidence)]
    if not findings:
        return Verdict(evidence.asset, evidence.partition, Status.READY, (), evidence, True)
    status = findings[0][0]
    has_bad_source = bool(evidence.source_problems or evidence.unknown_inputs or evidence.needs_comparison)
    is_sound = (status is not Status.FAILED or has_changed) and not has_bad_source and evidence.is_checked
    is_mendable = is_sound and all(blocker.is_mendable for blocker in evidence.blockers)
    reasons = tuple(reason for _, reason in findings)
    return Verdict(evidence.asset, evidence.partition, status, reasons, evidence, is_mendable)


Findings = list[tuple[Status, str]]


def _missing(evidence: PartitionEvidence) -> Findings:
    if evidence.materialization is not None:
        return []
    if evidence.foreign_write and not evidence.is_expected:
        return []
    return [(Status.MISSING, problem) for problem in evidence.source_problems] or [
        (Status.MISSING, "expected, never materialized")
    ]


def _failed(evidence: PartitionEvidence) -> Findings:
    # By the severity that the asset requires now, whatever it was when the check ran.
    required = evidence.required_checks
    failed = (c for c in evidence.checks.failed if required.get(c.check, c.severity) == "error")
    return [(Status.FAILED, f"check {check.check} failed: {check.message}") for check in failed]


def _unchecked(evidence: PartitionEvidence) -> Findings:
    if evidence.materialization is None:
        return []
    seen = evidence.checks.names
    if not evidence.is_checked:
        return [(Status.UNCHECKED, "no check of severity error is declared")]
    if evidence.required_checks.keys() <= seen:
        return []
    missing = [name for name, severity in evidence.required_checks.items() if severity == "error" and name not in seen]
    otherwise, redefined = "is defined otherwise since it ran", evidence.redefined_checks
    lacks = "has not run on this materialization"
    return [(Status.UNCHECKED, f"check {n} {otherwise if n in redefined else lacks}") for n in sorted(missing)]


def _stale(evidence: PartitionEvidence) -> Findings:
    foreign = [(Status.STALE, evidence.foreign_write)] if evidence.foreign_write else []
    if evidence.materialization is None:
        return foreign
    unreadable = [(Status.STALE, problem) for problem in evidence.source_problems]
    logic = [(Status.STALE, evidence.changed_logic)] if evidence.changed_logic else []
    inputs = [(Status.STALE, f"{name} has changed since") for name in evidence.changed_inputs]
    return foreign + unreadable + logic + inputs


def _blocked(evidence: PartitionEvidence) -> Findings:
    unknown = [
        (Status.BLOCKED, f"upstream {name} is unknown: no contract of this lakehouse names it")
        for name in evidence.unknown_inputs
    ]
    named = [(Status.BLOCKED, f"upstream {item.name} is {item.status}") for item in evidence.blockers[:_NAMED_BLOCKERS]]
    more = len(evidence.blockers) - len(named)
    return unknown + named + ([(Status.BLOCKED, f"{more} more upstream partitions are not ready")] if more else [])
