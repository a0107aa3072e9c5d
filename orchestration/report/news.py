"""What is new: verdicts beside what was said before, in a report or in a message, or could have been at an instant.

Called by `omni report` and by `orchestration.report.notifications`.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.as_of import ledger_as_of
from lakehouse.ledger.ledger import Ledger
from lakehouse.settings import LakehouseSettings
from lakehouse.whole_files import replace_file
from loaders.manifests.expectation_files import expectations_on_record
from orchestration.readiness.asset_graph import AssetGraph
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.verdicts import Status, Verdict


class Standing(StrEnum):
    """What a consumer has to know of a partition."""

    SAFE = "safe"
    OVERDUE = "overdue"
    """It should have come by now."""
    WRONG = "wrong"
    OPEN = "open"
    """Not safe, and nothing is wrong: nothing is known of it, or it is not due yet."""


def standing_of(verdict: Verdict) -> Standing:
    """How a partition stands."""
    if verdict.is_ready:
        return Standing.SAFE
    if any(each.is_due for each in verdict.evidence.awaited):
        return Standing.OVERDUE
    return Standing.WRONG if verdict.is_problem else Standing.OPEN


@dataclass(frozen=True)
class Said:
    """What was said of every partition, at an instant (UTC)."""

    at: datetime
    standings: Mapping[str, Mapping[str, str]]
    """Asset → partition → its standing."""

    @classmethod
    def of(cls, verdicts: Iterable[Verdict], at: datetime) -> "Said":
        """What these verdicts say."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for verdict in verdicts:
            found[verdict.asset][verdict.partition] = standing_of(verdict).value
        return cls(at, found)

    def about(self, verdict: Verdict) -> str:
        """How a partition stood; of one that was not heard of, nothing was known."""
        return self.standings.get(verdict.asset, {}).get(verdict.partition, Standing.OPEN)

    def keep(self, file: Path) -> None:
        """Write it to a file, whole or not at all."""
        replace_file(file, json.dumps({"at": self.at.isoformat(), "standings": self.standings}))


def last_said(file: Path) -> Said | None:
    """What a file keeps; None where nothing was said yet.

    Raises:
        ConfigurationError: the file holds something else.
    """
    if not file.exists():
        return None
    try:
        kept = json.loads(file.read_text("utf-8"))
        return Said(datetime.fromisoformat(kept["at"]), kept["standings"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{file}: found {type(error).__name__}: {error}, expected what was said last; next: delete it"
        ) from error


def reports_folder(settings: LakehouseSettings) -> Path:
    """Where reports lie, and what was said last."""
    return settings.home / "reports"


def said_at(graph: AssetGraph, ledger: Ledger, at: datetime) -> Said:
    """What was to be said at an instant (UTC) that is past, by what the ledger knew then and by today's models.

    Raises:
        ConfigurationError: no manifest was admitted then.
    """
    known = ledger_as_of(ledger, at)
    if not known.has_admissions():
        raise ConfigurationError(f"at {at:%Y-%m-%dT%H:%M:%SZ} no manifest was admitted yet: nothing was known")
    readiness = Readiness(graph, known, at, expectations_on_record(known))
    return Said.of((verdict for name in graph.nodes for verdict in readiness.verdicts(name).values()), at)


@dataclass(frozen=True)
class Told:
    """Partitions of one asset of which the same is new."""

    asset: str
    status: Status
    partitions: list[str]
    reason: str
    """Of the first of them; empty where it is safe."""


@dataclass(frozen=True)
class News:
    """What is new since an instant."""

    since: datetime | None
    """None: nothing was said before."""
    unsafe: list[Told]
    """What was not wrong, or was safe, and is not safe."""
    waiting: list[Told]
    """The same, but only because of something upstream."""
    overdue: list[Told]
    """What should have come meanwhile."""
    safe_again: list[Told]
    """What was wrong or overdue, and is safe."""
    arrived: list[Told]
    """What was not known or not due, and is ready."""

    @property
    def is_worth_a_message(self) -> bool:
        """Whether somebody has to be told: not only that data came as expected."""
        return bool(self.unsafe or self.waiting or self.overdue or self.safe_again)


_UNSAFE = (Standing.WRONG, Standing.OVERDUE)


def news(verdicts: Sequence[Verdict], said: Said | None) -> News:
    """What these verdicts say that was not said before."""
    before = said or Said(datetime.min, {})
    moved: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        now, then = standing_of(verdict), before.about(verdict)
        if now is Standing.SAFE and then in _UNSAFE:
            moved["safe_again"].append(verdict)
        elif verdict.status is Status.READY and then != Standing.SAFE:
            moved["arrived"].append(verdict)
        elif now is Standing.OVERDUE and then != Standing.OVERDUE:
            moved["overdue"].append(verdict)
        elif now is not Standing.SAFE and (then == Standing.SAFE or (now is Standing.WRONG and then not in _UNSAFE)):
            moved["unsafe" if verdict.is_cause else "waiting"].append(verdict)
    kinds = ("unsafe", "waiting", "overdue", "safe_again", "arrived")
    return News(said.at if said else None, **{kind: _together(moved[kind]) for kind in kinds})


def _together(verdicts: Iterable[Verdict]) -> list[Told]:
    found: dict[tuple[str, Status], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        found[verdict.asset, verdict.status].append(verdict)
    return [
        Told(asset, status, [each.partition for each in members], next(iter(members[0].reasons), ""))
        for (asset, status), members in found.items()
    ]
