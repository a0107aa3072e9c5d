"""What stands in the way, root causes first: partitions that wait for nothing upstream, and what waits for them.

Pure over verdicts. A partition that is not ready and has an upstream partition that is not ready is no cause itself,
unless its own check failed, its own source cannot be read or is unknown, or someone else has written it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from orchestration.readiness.mending import next_command
from orchestration.readiness.verdicts import Status, Verdict, failed_reason


@dataclass
class RootCause:
    """Partitions of one asset that are not ready for the same reasons, but for instants and numbers of failures."""

    asset: str
    status: Status
    alike: tuple[str, ...]
    """Its reasons, without what differs from day to day."""
    verdicts: list[Verdict] = field(default_factory=list)
    waiting: int = 0
    """Partitions downstream that are not ready because of these."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """As the verdicts give them, where they all give the same."""
        given = zip(*(verdict.reasons for verdict in self.verdicts), strict=True)
        return tuple(said[0] if len({*said}) == 1 else alike for said, alike in zip(given, self.alike, strict=True))

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
        if not verdict.is_cause:
            group = waiting.setdefault(verdict.asset, Waiting(verdict.asset))
            group.partitions.append(verdict.partition)
            group.causes |= found
            for number in found:
                search.causes[number - 1].waiting += 1
    return search.causes, list(waiting.values())


def by_reason(causes: Sequence[RootCause]) -> list[tuple[list[RootCause], list[str]]]:
    """Root causes for a person, each reason once: those that share it, and all reasons that these share."""
    touched: dict[str, list[int]] = {}
    for number, cause in enumerate(causes):
        for reason in cause.reasons:
            touched.setdefault(reason, []).append(number)
    shared: dict[tuple[int, ...], list[str]] = {}
    for reason, numbers in touched.items():
        shared.setdefault(tuple(numbers), []).append(reason)
    return [([causes[number] for number in numbers], reasons) for numbers, reasons in shared.items()]


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
            self._known[key] = upstream | {self._add(verdict)} if verdict.is_cause else upstream
        return self._known[key]

    def _add(self, verdict: Verdict) -> int:
        key = (verdict.asset, verdict.status, _alike(verdict))
        if key not in self._numbers:
            self.causes.append(RootCause(*key))
            self._numbers[key] = len(self.causes)
        self.causes[self._numbers[key] - 1].verdicts.append(verdict)
        return self._numbers[key]


def _alike(verdict: Verdict) -> tuple[str, ...]:
    evidence = verdict.evidence
    general = {each.reason: each.on_any_day for each in evidence.awaited}
    general |= {failed_reason(each): f"check {each.check} failed" for each in evidence.failed_errors}
    return tuple(general.get(reason, reason) for reason in verdict.reasons)
