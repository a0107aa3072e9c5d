"""What stands in the way, root causes first: partitions that wait for nothing upstream, and what waits for them.

Pure over verdicts. A partition that is not ready and has an upstream partition that is not ready is no cause itself,
unless its own check failed, its own source cannot be read or is unknown, or someone else has written it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestration.readiness.mending import next_command
from orchestration.readiness.verdicts import Status, Verdict


@dataclass
class RootCause:
    """Partitions of one asset that are not ready for the same reasons."""

    asset: str
    status: Status
    reasons: tuple[str, ...]
    verdicts: list[Verdict] = field(default_factory=list)
    waiting: int = 0
    """Partitions downstream that are not ready because of these."""

    @property
    def partitions(self) -> list[str]:
        """Their days, in order."""
        return sorted(verdict.partition for verdict in self.verdicts)

    @property
    def next_step(self) -> str:
        """The command that mends them, or what must be mended first."""
        step = next_command(self.verdicts[0]) or ""
        if len(self.verdicts) == 1:
            return step
        # What a run can mend, it finds by itself; a failed check is judged again only where its days are named.
        window = f" --from {self.partitions[0]} --to {self.partitions[-1]}" if self.status is Status.FAILED else ""
        return step.replace(f" --partition {self.verdicts[0].partition}", window)


@dataclass
class Waiting:
    """Partitions of one asset that wait for root causes."""

    asset: str
    partitions: list[str] = field(default_factory=list)
    causes: set[int] = field(default_factory=set)
    """Numbers of the causes, from 1."""


def explain(verdicts: Iterable[Verdict]) -> tuple[list[RootCause], list[Waiting]]:
    """Root causes of what is wrong, and what waits for them; what is unknown or not due yet is only a cause of that.

    A partition may wait for one that is not among the verdicts, such as an earlier day: its cause is listed, too.
    """
    search = _Search()
    waiting: dict[str, Waiting] = {}
    for verdict in verdicts:
        if not verdict.is_problem:
            continue
        found = search.causes_of(verdict)
        if not is_cause(verdict):
            group = waiting.setdefault(verdict.asset, Waiting(verdict.asset))
            group.partitions.append(verdict.partition)
            group.causes |= found
            for number in found:
                search.causes[number - 1].waiting += 1
    return search.causes, list(waiting.values())


class _Search:
    """Follows blockers upstream; each partition is looked at once."""

    def __init__(self) -> None:
        self.causes: list[RootCause] = []
        self._numbers: dict[tuple[str, Status, tuple[str, ...]], int] = {}
        self._known: dict[tuple[str, str], frozenset[int]] = {}

    def causes_of(self, verdict: Verdict) -> frozenset[int]:
        key = (verdict.asset, verdict.partition)
        if key not in self._known:
            upstream = frozenset[int]().union(*map(self.causes_of, verdict.evidence.blockers))
            self._known[key] = upstream | {self._add(verdict)} if is_cause(verdict) else upstream
        return self._known[key]

    def _add(self, verdict: Verdict) -> int:
        key = (verdict.asset, verdict.status, verdict.reasons)
        if key not in self._numbers:
            self.causes.append(RootCause(*key))
            self._numbers[key] = len(self.causes)
        self.causes[self._numbers[key] - 1].verdicts.append(verdict)
        return self._numbers[key]


def is_cause(verdict: Verdict) -> bool:
    """Whether what is wrong with a partition does not only come from upstream."""
    evidence = verdict.evidence
    has_bad_source = bool(evidence.source_problems or evidence.unknown_inputs or evidence.foreign_write)
    return verdict.status is Status.FAILED or not evidence.blockers or has_bad_source
