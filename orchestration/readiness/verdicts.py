"""The verdict on one asset partition: a pure function of evidence, with every reason.

No I/O and no clock. `orchestration.readiness.readiness` collects the evidence; rules: docs/explanation/readiness.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lakehouse.kinds import Severity
from lakehouse.ledger.acceptances import Acceptance
from lakehouse.ledger.evidence import CheckOutcomes, CheckResult, Materialization
from orchestration.readiness.arrivals import Awaited

_NAMED_BLOCKERS = 3


class Status(StrEnum):
    """What a verdict says. The first that applies decides, in this order."""

    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    MISSING = "MISSING"
    FAILED = "FAILED"
    UNCHECKED = "UNCHECKED"
    STALE = "STALE"
    BLOCKED = "BLOCKED"
    READY = "READY"
    EMPTY = "EMPTY"


SAFE = (Status.READY, Status.EMPTY)
"""What may be consumed."""

NO_PROBLEM = (*SAFE, Status.UNKNOWN, Status.PENDING)
"""Where nothing is wrong, unless a check has failed."""


@dataclass(frozen=True, slots=True)
class PartitionEvidence:
    """All that is known of one asset partition."""

    asset: str
    partition: str
    is_expected: bool
    """Whether its sources, or its upstream partitions, hold anything for it."""
    is_uncomputed: bool = False
    """Never written, though what it reads holds rows: what it would hold is not known."""
    rows_expected: int | None = None
    """Records that its sources hold; None for what is computed from other assets."""
    materialization: Materialization | None = None
    required_checks: Mapping[str, Severity] = field(default_factory=dict)
    checks: CheckOutcomes = CheckOutcomes()
    """Of the checks that have run on this materialization."""
    without_result: Mapping[str, str] = field(default_factory=dict)
    """Those that have run as they are not defined any more, or ended in an error, and which: none is among `checks`."""
    is_checked: bool = True
    """Whether a check of severity error is declared, or said to be needless."""
    unchecked: str | None = None
    """Why none is needed, in the words of the model."""
    source_problems: Sequence[str] = ()
    """Why source files that it needs cannot be read."""
    source_owners: Sequence[str] = ()
    """Who answers for these files."""
    changed_inputs: Sequence[str] = ()
    """What has changed since it was materialized: sources, upstream assets."""
    changed_logic: str | None = None
    """That it was computed by another logic than its model has now, or by one that is not known."""
    acceptance: Acceptance | None = None
    """A person's word that the older logic may stand; then nothing has changed."""
    unknown_inputs: Sequence[str] = ()
    """What it reads and no contract names, as its dbt project calls it: nothing can be known of it."""
    foreign_write: str | None = None
    """What someone else has written into it, or may have."""
    needs_comparison: bool = False
    """Whether it is not known yet which partitions of the table someone else has changed."""
    blockers: Sequence["Verdict"] = ()
    """Verdicts on upstream partitions that are not ready."""
    outside: str | None = None
    """Why nothing is known of it: it lies outside of its asset's horizon. None inside."""
    awaited: Sequence[Awaited] = ()
    """What should come for it, or should have come, and has not."""
    warnings: Sequence[str] = ()
    """What is wrong with its asset and cannot be blamed on any partition: files whose days nobody knows."""

    @property
    def failed_errors(self) -> Sequence[CheckResult]:
        """Failed checks that keep it from being ready: by the severity that the asset requires now."""
        if not self.checks.failed:
            return ()
        required = self.required_checks
        return [c for c in self.checks.failed if required.get(c.check, c.severity) == "error"]

    @property
    def holds_rows(self) -> bool:
        """Whether it was written with any row."""
        return self.materialization is not None and self.materialization.rows.loaded > 0


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
        return self.status in SAFE

    @property
    def is_problem(self) -> bool:
        """Whether something is wrong: not that nothing is known of it, nor that it is not due yet."""
        return self.status not in NO_PROBLEM or bool(self.evidence.failed_errors)

    @property
    def is_cause(self) -> bool:
        """Whether what keeps it from being ready lies in itself, wherever else something does."""
        evidence = self.evidence
        has_bad_source = bool(evidence.source_problems or evidence.unknown_inputs or evidence.foreign_write)
        return self.status is Status.FAILED or not evidence.blockers or has_bad_source

    @property
    def is_void(self) -> bool:
        """Whether there is nothing to compute: nothing has come for it, and it holds nothing."""
        is_there = self.evidence.is_expected or self.evidence.holds_rows or self.evidence.is_uncomputed
        return self.status in (Status.UNKNOWN, Status.PENDING, Status.EMPTY) and not is_there

    @property
    def name(self) -> str:
        """Asset and partition, as a person types them."""
        return f"{self.asset} {self.partition}".strip()


def decide(evidence: PartitionEvidence) -> Verdict:
    """Judge one asset partition.

    Returns:
        A verdict listing every unmet requirement, not only the first.
    """
    has_changed = bool(evidence.changed_inputs or evidence.changed_logic or evidence.foreign_write)
    holds_or_lacks = evidence.is_expected or evidence.holds_rows or evidence.is_uncomputed
    is_void = not (holds_or_lacks or has_changed or evidence.unknown_inputs or evidence.source_problems)
    findings = [*_unknown(evidence), *_awaited(evidence)]
    if is_void and not (findings or evidence.blockers or evidence.failed_errors):
        return Verdict(evidence.asset, evidence.partition, Status.EMPTY, (), evidence, True)
    if is_void:
        findings += _failed(evidence)
    else:
        findings += [*_missing(evidence), *_failed(evidence), *_unchecked(evidence), *_stale(evidence)]
    findings += _blocked(evidence)
    if not findings:
        return Verdict(evidence.asset, evidence.partition, Status.READY, (), evidence, True)
    status = findings[0][0]
    has_bad_source = bool(evidence.source_problems or evidence.unknown_inputs or evidence.needs_comparison)
    is_there = not evidence.outside and (not evidence.awaited or _brings_news(evidence))
    is_sound = (status is not Status.FAILED or has_changed) and not has_bad_source and is_there and evidence.is_checked
    is_mendable = is_sound and all(blocker.is_mendable for blocker in evidence.blockers)
    reasons = tuple(reason for _, reason in findings)
    return Verdict(evidence.asset, evidence.partition, status, reasons, evidence, is_mendable)


def failed_reason(check: CheckResult) -> str:
    """The reason that a failed check gives."""
    return f"check {check.check} failed: {check.message}"


Findings = list[tuple[Status, str]]


def _brings_news(evidence: PartitionEvidence) -> bool:
    """Whether some of what is awaited has arrived and is not loaded yet."""
    return evidence.is_expected and (evidence.materialization is None or bool(evidence.changed_inputs))


def _unknown(evidence: PartitionEvidence) -> Findings:
    return [(Status.UNKNOWN, evidence.outside)] if evidence.outside else []


def _awaited(evidence: PartitionEvidence) -> Findings:
    """Of several expectations the strictest decides; a partition whose day has not come upstream waits like it."""
    if not evidence.awaited and not evidence.blockers:
        return []
    status = Status.MISSING if any(each.is_due for each in evidence.awaited) else Status.PENDING
    own = [(status, each.reason) for each in evidence.awaited]
    upstream = [blocker for blocker in evidence.blockers if blocker.status is Status.PENDING]
    return own + [(Status.PENDING, f"upstream {blocker.name} is not due yet") for blocker in upstream[:_NAMED_BLOCKERS]]


def _missing(evidence: PartitionEvidence) -> Findings:
    if evidence.materialization is not None:
        return []
    if evidence.foreign_write and not evidence.is_expected:
        return []
    is_found = evidence.is_uncomputed and not evidence.is_expected
    never = "what it reads holds rows" if is_found else "expected"
    return [(Status.MISSING, problem) for problem in evidence.source_problems] or [
        (Status.MISSING, f"{never}, never materialized")
    ]


def _failed(evidence: PartitionEvidence) -> Findings:
    return [(Status.FAILED, failed_reason(check)) for check in evidence.failed_errors]


def _unchecked(evidence: PartitionEvidence) -> Findings:
    if evidence.materialization is None:
        return []
    seen = evidence.checks.names
    if not evidence.is_checked:
        return [(Status.UNCHECKED, "no check of severity error is declared")]
    if evidence.required_checks.keys() <= seen:
        return []
    missing = [name for name, severity in evidence.required_checks.items() if severity == "error" and name not in seen]
    lacks, without = "has not run on this materialization", evidence.without_result
    return [(Status.UNCHECKED, f"check {name} {without.get(name, lacks)}") for name in sorted(missing)]


def _stale(evidence: PartitionEvidence) -> Findings:
    foreign = [(Status.STALE, evidence.foreign_write)] if evidence.foreign_write else []
    if evidence.materialization is None:
        return foreign
    if not (foreign or evidence.source_problems or evidence.changed_logic or evidence.changed_inputs):
        return []
    unreadable = [(Status.STALE, problem) for problem in evidence.source_problems]
    logic = [(Status.STALE, evidence.changed_logic)] if evidence.changed_logic else []
    inputs = [(Status.STALE, f"{name} has changed since") for name in evidence.changed_inputs]
    return foreign + unreadable + logic + inputs


def _blocked(evidence: PartitionEvidence) -> Findings:
    if not (evidence.unknown_inputs or evidence.blockers):
        return []
    unknown = [
        (Status.BLOCKED, f"upstream {name} is unknown: no contract of this lakehouse names it")
        for name in evidence.unknown_inputs
    ]
    blockers = [item for item in evidence.blockers if item.status is not Status.PENDING]
    named = [(Status.BLOCKED, f"upstream {item.name} is {item.status}") for item in blockers[:_NAMED_BLOCKERS]]
    more = len(blockers) - len(named)
    return unknown + named + ([(Status.BLOCKED, f"{more} more upstream partitions are not ready")] if more else [])
