"""What must not be built upon: the upstream partitions that hold a build back.

Pure, over verdicts. One rule for the two that build: the graph (`orchestration.planning.build_plan`) leaves the days
that they hold back out of a range, dbt from a shell (`orchestration.dbt_gate`) refuses.

A partition that failed a check, or that someone else has written, holds back whatever reads it, wherever it lies.
Inside the window that is built, so does one that is missing, stale or not yet checked by its loader: the build would be
thrown away. Outside of it these do not: a day can be built before its neighbours, and the verdict on the result says
what is lacking. Nor does that nothing is known of one, or that it is not due yet.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from lakehouse.partitions import WHOLE, Window, parse_day
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.verdicts import Status, Verdict, decide

_IN_WINDOW = (Status.MISSING, Status.STALE)
_NOT_THERE = (Status.UNKNOWN, Status.PENDING)


@dataclass(frozen=True)
class Gate:
    """What one build may read."""

    readiness: Readiness
    window: Window | None
    """The days that are built; None: all."""
    pending: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Asset → checks that the build itself will run: an earlier result of them does not count."""
    run_id: str | None = None
    """The run that builds: a result of its own counts, pending or not."""
    is_forced: bool = False
    """Nothing is an obstacle."""
    _seen: dict[str, Verdict | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `_hindering` found: a model that reads all days up to its own meets the same verdicts day after day."""

    def obstacles(self, asset: str, partition: str, is_rebuilt: Callable[[Verdict], bool]) -> list[Verdict]:
        """Verdicts on upstream partitions that hold a partition back, but for those that the build rewrites."""
        if self.is_forced:
            return []
        reaches = self.readiness.graph[asset].reach.items()
        verdicts = (verdict for up, reach in reaches for verdict in self.readiness.not_ready(up, reach, partition))
        found = (self._hindering(verdict) for verdict in verdicts if not is_rebuilt(verdict))
        return [verdict for verdict in found if verdict]

    def _hindering(self, verdict: Verdict) -> Verdict | None:
        """The verdict without the checks that are about to run, where that still holds a build back."""
        if verdict.name not in self._seen:
            judged = self._judged(verdict)
            self._seen[verdict.name] = judged if self._hinders(judged) else None
        return self._seen[verdict.name]

    def _judged(self, verdict: Verdict) -> Verdict:
        """The verdict without the checks that are about to run."""
        evidence = verdict.evidence
        pending = set(self.pending.get(verdict.asset, ())) - evidence.checks.of_run(self.run_id)
        required = {name: severity for name, severity in evidence.required_checks.items() if name not in pending}
        checks = evidence.checks.only(evidence.checks.names - pending)
        evidence = replace(evidence, required_checks=required, checks=checks)
        if verdict.status in _NOT_THERE:  # what is there of it is judged as if nothing else were to come
            blockers = [blocker for blocker in evidence.blockers if blocker.status not in _NOT_THERE]
            evidence = replace(evidence, outside=None, awaited=(), blockers=blockers)
        return decide(evidence)

    def _hinders(self, verdict: Verdict) -> bool:
        if verdict.evidence.failed_errors or verdict.evidence.foreign_write:
            return True
        if verdict.status is Status.BLOCKED:
            return any(self._hindering(blocker) for blocker in verdict.evidence.blockers)
        is_inside = self.window is None or verdict.partition == WHOLE or parse_day(verdict.partition) in self.window
        return is_inside and (verdict.status in _IN_WINDOW or self._is_unchecked_by_its_loader(verdict))

    def _is_unchecked_by_its_loader(self, verdict: Verdict) -> bool:
        """Dbt's own tests may come later: they are dbt's user's to run. Until they have run, nothing is READY."""
        seen = verdict.evidence.checks.names
        own = self.readiness.graph[verdict.asset].loader_checks
        return verdict.status is Status.UNCHECKED and any(s == "error" and name not in seen for name, s in own.items())
