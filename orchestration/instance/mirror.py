"""The mirror: what the ledger knows, shown in a Dagster instance, whoever did the work.

Of each partition its current materialization, once, under the run that wrote it (or none, of what dlt or dbt wrote
outside of Dagster), at the time of its commit; and its verdict, as the check `verdict`, whenever that is another one.
What was shown is kept (`mirrored`): a mirror with nothing new writes nothing, one that was killed goes on, and what was
deleted in Dagster is shown again.

Called at the start of `omni ui` and of each run in this process, by the steps of the graph, and by a sensor.
"""

import fcntl
import hashlib
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)

from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import WHOLE, Window
from lakehouse.settings import LakehouseSettings
from orchestration.instance.ledger_events import as_event, materialization, nothing, verdict_evaluation
from orchestration.instance.mirrored import Mirrored, keep_mirrored, read_mirrored
from orchestration.instance.partition_metadata import LEDGER_ID, PartitionMetadata
from orchestration.readiness.asset_graph import AssetGraph
from orchestration.readiness.mending import next_command
from orchestration.readiness.readiness import Readiness, readiness_now
from orchestration.readiness.verdicts import Verdict

_AT_ONCE = 2_000
"""Events after which what is shown is kept: what a mirror does over that was killed."""
_MOST_RECORDS = 500
"""Events that are read at once."""
_NO_RUN = ""
"""The id under which Dagster records what belongs to none of its runs."""


@dataclass(frozen=True)
class Step:
    """The step that mirrors what it has recorded itself."""

    run_id: str
    key: str


@dataclass(frozen=True)
class Shown:
    """What a mirror added."""

    materializations: int
    verdicts: int
    readiness: Readiness
    """What it was told by."""


def mirror(
    settings: LakehouseSettings,
    graph: AssetGraph,
    instance: dg.DagsterInstance,
    step: Step | None = None,
    assets: Collection[str] | None = None,
    again: Collection[str] = (),
) -> Shown:
    """Show what the ledger knows and the instance does not yet.

    Args:
        settings: The lakehouse.
        graph: Its assets.
        instance: Dagster's.
        step: The step that asks, whose events come under its key.
        assets: Only what was written of these, and no verdict: in the midst of a run they are still to change.
        again: Partitions whose verdicts are shown once more, as results of the run of the step.
    """
    with _alone(settings):
        names = list(graph.nodes if assets is None else assets)
        readiness = readiness_now(settings, graph, open_ledger(settings))
        found = _Pass(settings, instance, readiness, step, bool(again))
        mirrored = list(read_mirrored(instance, names).values())
        for kept in mirrored:
            kept.verdicts = {key: digest for key, digest in kept.verdicts.items() if key not in again}
        written = found.show_written(mirrored)
        return Shown(written, found.show_verdicts(mirrored) if assets is None else 0, readiness)


@contextmanager
def _alone(settings: LakehouseSettings) -> Iterator[None]:
    """One mirror at a time on this machine: a later one reads the ledger after an earlier one has shown it."""
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    with (settings.dagster_home / ".mirror.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class _Event:
    run_id: str
    at: datetime
    """When it came about (UTC)."""
    has_rows: bool
    what: dg.AssetMaterialization

    @property
    def order(self) -> tuple[bool, datetime]:
        return self.has_rows, self.at


class _Pass:
    """One look at the ledger, shown asset by asset."""

    def __init__(
        self,
        settings: LakehouseSettings,
        instance: dg.DagsterInstance,
        readiness: Readiness,
        step: Step | None,
        is_asked: bool,
    ) -> None:
        self._instance, self._readiness, self._step = instance, readiness, step
        self._runs: dict[str, dg.DagsterRun | None] = {}
        self._evaluations = step.run_id if step and is_asked else str(uuid.uuid4())
        """Run of the evaluations, or what stands for one: of a check and a partition Dagster keeps one for each run,
        and one without a run for ever."""
        self._metadata = PartitionMetadata(settings, readiness)
        self._items: dict[str, dict[str, Materialization]] = {}
        for (asset, key), item in readiness.materializations.items():
            self._items.setdefault(asset, {})[key] = item

    def show_written(self, mirrored: Iterable[Mirrored]) -> int:
        """Record what is not shown yet; how many events."""
        count, events, touched = 0, list[_Event](), list[Mirrored]()
        for kept in mirrored:
            if found := self._unshown(kept):
                events += found
                touched.append(kept)
            if len(events) > _AT_ONCE:
                count += self._record(events, touched)
                events, touched = [], []
        return count + self._record(events, touched)

    def _unshown(self, kept: Mirrored) -> list[_Event]:
        """What is to be shown of an asset, the latest day with rows last: Dagster's pages begin with that."""
        items, there = self._items.get(kept.asset, {}), self._latest(kept.asset)
        # What was shown may be gone: Dagster's pages wipe assets, and delete runs with their events.
        gone = {key for key, item in items.items() if kept.written.get(key) == item.id and key not in there}
        new = {key: item for key, item in items.items() if kept.written.get(key) != item.id or key in gone}
        kept.written |= {key: item.id for key, item in new.items()}
        lacking = set(new) - self._shown_by_one_that_was_killed(kept, new)
        ordered = sorted((items[key] for key in lacking), key=lambda item: (item.rows.loaded > 0, item.partition))
        events = list(self._planned_in_vain(kept.asset, lacking))
        for number, item in enumerate(ordered, 1):
            about_table = self._metadata.lineage(kept.asset) if number == len(ordered) else {}
            event = self._written(item, about_table)
            # Of a wiped asset Dagster shows nothing from before.
            events.append(replace(event, at=datetime.now(UTC)) if item.partition in gone else event)
        return events

    def show_verdicts(self, mirrored: Iterable[Mirrored]) -> int:
        """Record the verdicts that are others than those shown; how many."""
        count, events, touched = 0, list[dg.DagsterEvent](), list[Mirrored]()
        for kept in mirrored:
            found = list(self._changed_verdicts(kept))
            events += found
            touched += [kept] if found else []
            if len(events) > _AT_ONCE:
                count += self._record_evaluations(events, touched)
                events, touched = [], []
        return count + self._record_evaluations(events, touched)

    def _changed_verdicts(self, kept: Mirrored) -> Iterator[dg.DagsterEvent]:
        latest = self._latest(kept.asset)
        for key in self._judged(kept):
            verdict = self._readiness.verdict(kept.asset, key)
            digest = _digest(verdict, latest.get(key))
            if digest != kept.verdicts.get(key):
                kept.verdicts[key] = digest
                target = self._target(verdict, latest.get(key))
                yield as_event(verdict_evaluation(self._readiness.graph, verdict, target), "", None)

    def _target(self, verdict: Verdict, place: int | None) -> Target | None:
        """The materialization that a verdict speaks for, as Dagster knows it."""
        item = verdict.evidence.materialization
        if item is None or place is None:
            return None
        run = self._run(item.run_id)
        run_id, timestamp = run.run_id if run else _NO_RUN, item.committed_at.timestamp()
        return Target(storage_id=place, run_id=run_id, timestamp=timestamp)

    def _judged(self, kept: Mirrored) -> list[str]:
        """Partitions that the ledger knows of, and those that have shown a verdict: it may be another one."""
        if not self._readiness.graph[kept.asset].is_partitioned:
            return [WHOLE]
        ranges = self._readiness.horizon(kept.asset).ranges
        days = (day for first, last in ranges for day in Window.of_keys(first, last).keys)
        return sorted({*self._readiness.verdicts(kept.asset), *days, *kept.verdicts})

    def _written(self, item: Materialization, about_table: dict[str, Any]) -> _Event:
        run = self._run(item.run_id)
        what = materialization(item, self._metadata.of(item, run) | about_table)
        return _Event(run.run_id if run else _NO_RUN, item.committed_at, item.rows.loaded > 0, what)

    def _planned_in_vain(self, asset: str, lacking: Collection[str]) -> Iterator[_Event]:
        """Days that a run planned and rightly did not write: Dagster draws them as failed where the run has failed.

        They are what they were: their event is shown once more, under the run that wrote them. Of a day on which there
        is nothing the run itself says so: a backfill that asked for it can end.
        """
        storage, items = self._instance.event_log_storage, self._items.get(asset, {})
        planned = storage.get_latest_asset_partition_materialization_attempts_without_materializations(
            dg.AssetKey(asset)
        )
        for key, (run_id, _) in sorted(planned.items()):
            verdict, run = self._readiness.verdict(asset, key), self._run(run_id)
            if run is None or key in lacking or not (verdict.is_ready or verdict.is_void):
                continue
            has_failed = run.status is dg.DagsterRunStatus.FAILURE
            if key in items and has_failed:
                yield self._written(items[key], {})
            elif key not in items and (has_failed or (self._step and self._step.run_id == run_id)):
                yield _Event(run_id, datetime.now(UTC), False, nothing(verdict))

    def _shown_by_one_that_was_killed(self, kept: Mirrored, new: Mapping[str, Materialization]) -> set[str]:
        """Partitions that are shown, by an event after those that are known of."""
        latest = self._latest(kept.asset, kept.position) if new else {}
        ids, found = [latest[key] for key in new if key in latest], set()
        for start in range(0, len(ids), _MOST_RECORDS):
            some = ids[start : start + _MOST_RECORDS]
            wanted = dg.AssetRecordsFilter(dg.AssetKey(kept.asset), storage_ids=some)
            for record in self._instance.fetch_materializations(wanted, limit=len(some)).records:
                key, event = record.partition_key or WHOLE, record.asset_materialization
                if event and LEDGER_ID in event.metadata and event.metadata[LEDGER_ID].value == new[key].id:
                    found.add(key)
        return found

    def _latest(self, asset: str, after: int | None = None) -> Mapping[str, int]:
        """Partition → the place of its last materialization in Dagster's storage, where that is after another one."""
        key = dg.AssetKey(asset)
        if self._readiness.graph[asset].is_partitioned:
            return self._instance.event_log_storage.get_latest_storage_id_by_partition(
                key, dg.DagsterEventType.ASSET_MATERIALIZATION, after_cursor=after
            )
        records = self._instance.fetch_materializations(key, limit=1).records
        return {each.partition_key or WHOLE: each.storage_id for each in records if each.storage_id > (after or 0)}

    def _run(self, run_id: str) -> dg.DagsterRun | None:
        if not run_id:
            return None
        if run_id not in self._runs:
            self._runs[run_id] = self._instance.get_run_by_id(run_id)
        return self._runs[run_id]

    def _record(self, events: list[_Event], touched: list[Mirrored]) -> int:
        """Run by run, those without any row first, and those that wrote last at the end."""
        from orchestration.instance.sqlite_events import report_events

        by_run: dict[str, list[_Event]] = {}
        for event in events:
            by_run.setdefault(event.run_id, []).append(event)
        for run_id, some in sorted(by_run.items(), key=lambda each: max(event.order for event in each[1])):
            run = self._run(run_id)
            step = self._step.key if self._step and self._step.run_id == run_id else None
            made = [as_event(event.what, run.job_name if run else "", step) for event in some]
            report_events(self._instance, run_id, made, [event.at for event in some])
        for kept in touched:
            kept.position = max(self._latest(kept.asset).values(), default=0)
        keep_mirrored(self._instance, touched)
        return len(events)

    def _record_evaluations(self, events: list[dg.DagsterEvent], touched: list[Mirrored]) -> int:
        from orchestration.instance.sqlite_events import report_events

        if events:
            report_events(self._instance, self._evaluations, events)
        keep_mirrored(self._instance, touched)
        return len(events)


def _digest(verdict: Verdict, place: int | None) -> str:
    """What the verdict says, and the materialization that it speaks for: Dagster has an older one count for nothing."""
    evidence = verdict.evidence
    said = (*verdict.reasons, next_command(verdict), evidence.warnings, evidence.acceptance, evidence.unchecked)
    return hashlib.sha256(f"{verdict.status} {place} {said}".encode()).hexdigest()[:12]
