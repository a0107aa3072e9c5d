"""What the runs did to the assets: rows before and after, from the materializations of the ledger. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lakehouse.ledger.history import Change
from lakehouse.partitions import day_ranges


@dataclass(frozen=True)
class ChangedAsset:
    """What one run did to one asset."""

    asset: str
    kind: str
    days: str
    partitions: int
    rows_before: int
    rows_after: int


@dataclass(frozen=True)
class RunChanges:
    """What one run did."""

    run_id: str
    first_commit: datetime
    last_commit: datetime
    assets: list[ChangedAsset]
    moved: list[Change]
    """Materializations that took the place of another version, or other rows."""

    @property
    def partitions(self) -> int:
        """Partitions that it wrote."""
        return sum(changed.partitions for changed in self.assets)


def runs_of(done: Sequence[Change]) -> list[RunChanges]:
    """What each run did, the latest first."""
    of: dict[str, list[Change]] = defaultdict(list)
    for change in done:
        of[change.run_id].append(change)
    return [_run(run_id, of[run_id]) for run_id in reversed(of)]


def _run(run_id: str, members: list[Change]) -> RunChanges:
    groups: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for change in members:
        groups[change.asset, change.kind].append(change)
    return RunChanges(
        run_id,
        min(change.committed_at for change in members),
        max(change.committed_at for change in members),
        [_changed(asset, kind, group) for (asset, kind), group in groups.items()],
        [change for change in members if change.kind == "changed" or _lost_or_gained(change)],
    )


def _lost_or_gained(change: Change) -> bool:
    return change.rows_before is not None and change.rows_before != change.rows_loaded


def _changed(asset: str, kind: str, group: list[Change]) -> ChangedAsset:
    return ChangedAsset(
        asset,
        kind,
        day_ranges(change.partition for change in group),
        len({change.partition for change in group}),
        sum(change.rows_before or 0 for change in group),
        sum(change.rows_loaded for change in group),
    )
