"""The content of a report: verdicts by month, what changed, root causes, conservation, quarantine, KPIs.

`build_report` reads ledger and tables once; everything else is a pure value for the templates. The same ledger and
tables give the same report, but for the clock that is handed in. Called by `omni report`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from pyiceberg.catalog import Catalog

from lakehouse.errors import OmniError
from lakehouse.ledger.acceptances import AcceptedTogether, accepted_together
from lakehouse.ledger.evidence import RowCounts
from lakehouse.ledger.history import Change, changes
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import BRONZE
from lakehouse.partitions import WHOLE, Window, day_ranges
from loaders.manifests.expectations import Expectation
from orchestration.readiness.asset_graph import AssetGraph
from orchestration.readiness.decisions import failed_warnings
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.root_causes import RootCause, Waiting, explain
from orchestration.readiness.verdict_json import check_results
from orchestration.readiness.verdicts import Status, Verdict
from orchestration.report.evidence import evidence_document, verdicts_on
from orchestration.report.figures import HeldCount, Series, held_counts, kpi_series


class UnknownRun(OmniError):
    """The ledger has no materialization of that run."""


@dataclass(frozen=True)
class Month:
    """The verdicts of one calendar month. Grain of a row: asset."""

    name: str
    days: list[str]
    rows: dict[str, list[Verdict]]


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


@dataclass(frozen=True)
class Kept:
    """Conservation of one Bronze partition."""

    partition: str
    rows: RowCounts
    expected_now: int | None
    """By coverage as it is now; None while a file cannot be read."""

    @property
    def is_conserved(self) -> bool:
        """Nothing was dropped in silence, and nothing has come since."""
        return self.rows.is_conserved and self.expected_now == self.rows.expected


@dataclass(frozen=True)
class KeptAsset:
    """Conservation of one Bronze asset."""

    asset: str
    partitions: list[Kept]
    sums: RowCounts

    @property
    def broken(self) -> list[Kept]:
        """Partitions that do not add up."""
        return [kept for kept in self.partitions if not kept.is_conserved]


@dataclass(frozen=True)
class Warned:
    """A `warn` check that failed on the current materialization of some partitions of an asset."""

    asset: str
    check: str
    partitions: list[str]
    message: str
    """Of the latest partition."""


@dataclass(frozen=True)
class Report:
    """Everything that a report says."""

    title: str
    generated_at: datetime
    run_id: str | None
    days: list[str]
    months: list[Month]
    whole: list[Verdict]
    counts: dict[Status, int]
    decisions: dict[str, int]
    not_ready: int
    """Partitions where something is wrong: not those of which nothing is known, or that are not due yet."""
    causes: list[RootCause]
    waiting: list[Waiting]
    warned: list[Warned]
    awaited: list[Verdict]
    """Bronze partitions that lack what is expected of them, due or not."""
    undated: dict[str, tuple[str, ...]]
    """Asset → why files of it cannot be read of which no partition is known."""
    accepted: list[AcceptedTogether]
    """What stands on a person's word."""
    runs: list[RunChanges]
    kept: list[KeptAsset]
    held: list[HeldCount]
    series: list[Series]
    absent_tables: list[str]
    untrusted_days: dict[str, set[str]]
    """Gold table → days that are not ready."""
    evidence: dict[str, Any]

    @property
    def is_empty(self) -> bool:
        """Nothing is expected or there."""
        return not any(count for status, count in self.counts.items() if status not in (Status.UNKNOWN, Status.EMPTY))


def build_report(
    graph: AssetGraph,
    ledger: Ledger,
    catalog: Catalog,
    *,
    expectations: Sequence[Expectation],
    generated_at: datetime,
    window: Window | None = None,
    run_id: str | None = None,
) -> Report:
    """Read everything that a report says.

    Args:
        graph: Declares the assets.
        ledger: What is known.
        catalog: Where Gold and quarantine are.
        expectations: What should arrive.
        generated_at: The clock (UTC).
        window: Days to report on; default: all that are known.
        run_id: Report on the days that this run wrote, and on what it changed.

    Raises:
        UnknownRun: the ledger has no materialization of that run.
    """
    done = changes(ledger, run_id=run_id, window=window)
    if run_id is not None:
        if not done:
            raise UnknownRun(f"run {run_id!r} materialized nothing that the ledger knows; next: {_latest_runs(ledger)}")
        written = sorted({change.partition for change in done} - {WHOLE})
        window = Window.of_keys(written[0], written[-1]) if written else None
    readiness = Readiness(graph, ledger, generated_at, expectations)
    known = readiness.days()
    days = window.keys if window else Window.of_keys(known[0], known[-1]).keys if known and run_id is None else []
    # Before any manifest was admitted, no partition may be called empty, or ready.
    verdicts = verdicts_on(readiness, days) if ledger.has_admissions() else []
    causes, waiting = explain(verdicts)
    results = check_results(ledger, verdicts)
    evidence = evidence_document(graph, verdicts, results, generated_at=generated_at, run_id=run_id)
    series, absent = kpi_series(catalog, window)
    return Report(
        title=_title(days, run_id),
        generated_at=generated_at,
        run_id=run_id,
        days=days,
        months=list(_months(verdicts, days)),
        whole=[verdict for verdict in verdicts if verdict.partition == WHOLE],
        counts={status: sum(v.status is status for v in verdicts) for status in Status},
        decisions=evidence["decisions"],
        not_ready=sum(verdict.is_problem for verdict in verdicts),
        causes=causes,
        waiting=waiting,
        warned=_warned(verdicts),
        awaited=[verdict for verdict in verdicts if verdict.evidence.awaited],
        undated=readiness.warnings,
        accepted=accepted_together(word for v in verdicts if (word := v.evidence.acceptance)),
        runs=_runs(done),
        kept=[
            kept
            for name, node in graph.nodes.items()
            if node.layer == BRONZE
            if (kept := _kept(ledger, name, verdicts)).partitions
        ],
        held=held_counts(catalog, days),
        series=series,
        absent_tables=absent,
        untrusted_days=_untrusted(verdicts),
        evidence=evidence,
    )


def _title(days: list[str], run_id: str | None) -> str:
    span = "no days" if not days else days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"Run {run_id}: {span}" if run_id else f"Lakehouse report: {span}"


def _latest_runs(ledger: Ledger) -> str:
    runs = list(dict.fromkeys(change.run_id for change in reversed(changes(ledger))))[:3]
    return f"omni report --run {' or '.join(runs)}" if runs else "omni run"


def _months(verdicts: Sequence[Verdict], days: list[str]) -> Iterator[Month]:
    of: dict[str, dict[str, Verdict]] = defaultdict(dict)
    for verdict in verdicts:
        if verdict.partition != WHOLE:
            of[verdict.asset][verdict.partition] = verdict
    for name, found in groupby(days, key=lambda day: day[:7]):
        month = list(found)
        yield Month(name, month, {asset: [by_day[day] for day in month] for asset, by_day in of.items()})


def _warned(verdicts: Sequence[Verdict]) -> list[Warned]:
    found: dict[tuple[str, str], Warned] = {}
    for verdict in verdicts:
        for check in failed_warnings(verdict):
            earlier = found.get((verdict.asset, check.check))
            days = [*(earlier.partitions if earlier else ()), verdict.partition]
            found[verdict.asset, check.check] = Warned(verdict.asset, check.check, days, check.message)
    return list(found.values())


def _untrusted(verdicts: Sequence[Verdict]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for verdict in verdicts:
        if not verdict.is_ready:
            found[verdict.asset].add(verdict.partition)
    return dict(found)


# ── what changed ─────────────────────────────────────────────────────────────────────────────────────────────────────
def _runs(done: Sequence[Change]) -> list[RunChanges]:
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


# ── conservation ─────────────────────────────────────────────────────────────────────────────────────────────────────
def _kept(ledger: Ledger, asset: str, verdicts: Sequence[Verdict]) -> KeptAsset:
    coverage = ledger.coverage(asset)
    partitions = []
    sums: Counter[str] = Counter()
    for verdict in verdicts:
        item, rows = verdict.evidence.materialization, coverage.get((asset, verdict.partition), [])
        if verdict.asset != asset or (item is None and not rows):
            continue
        counts = item.rows if item else RowCounts()
        known = [row.rows_expected for row in rows if row.rows_expected is not None]
        partitions.append(Kept(verdict.partition, counts, sum(known) if len(known) == len(rows) else None))
        for name in ("expected", "read", "loaded", "deduplicated", "quarantined"):
            sums[name] += getattr(counts, name)
    return KeptAsset(asset, partitions, RowCounts(**sums))
