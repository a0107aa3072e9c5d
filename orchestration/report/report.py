"""The content of a report: the answer of today first, then what stands behind it.

`build_report` reads ledger and tables once; everything else is a pure value for the templates. The same ledger, tables
and last word give the same report, but for the clock that is handed in. Called by `omni report`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyiceberg.catalog import Catalog

from lakehouse.errors import OmniError
from lakehouse.ledger.acceptances import AcceptedTogether, accepted_together
from lakehouse.ledger.history import changes
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import BRONZE
from lakehouse.partitions import WHOLE, Window
from loaders.manifests.expectations import Expectation
from orchestration.readiness.arrivals import Awaited
from orchestration.readiness.asset_graph import AssetGraph
from orchestration.readiness.decisions import Decision, decision_on, failed_warnings
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.root_causes import RootCause, explain
from orchestration.readiness.verdict_json import check_results
from orchestration.readiness.verdicts import NO_PROBLEM, SAFE, Status, Verdict
from orchestration.report.evidence import evidence_document, verdicts_on
from orchestration.report.news import News, Said, news
from orchestration.report.parts.conservation import KeptAsset, kept_asset
from orchestration.report.parts.figures import Series, kpi_series
from orchestration.report.parts.heat_map import Month, months
from orchestration.report.parts.lineage import Branch, lineage
from orchestration.report.parts.quarantined import HeldCount, held_counts
from orchestration.report.parts.what_changed import RunChanges, runs_of


class UnknownRun(OmniError):
    """The ledger has no materialization of that run."""


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
    verdicts: list[Verdict]
    news: News
    months: list[Month]
    causes: list[RootCause]
    lineage: list[Branch]
    warned: list[Warned]
    undated: dict[str, tuple[str, ...]]
    """Asset → why files of it cannot be read of which no partition is known."""
    accepted: list[AcceptedTogether]
    """What stands on a person's word."""
    runs: list[RunChanges]
    """Since the last word, or all."""
    kept: list[KeptAsset]
    held: list[HeldCount]
    series: list[Series]
    absent_tables: list[str]
    evidence: dict[str, Any]

    @property
    def whole(self) -> list[Verdict]:
        """Verdicts on what is not partitioned."""
        return [verdict for verdict in self.verdicts if verdict.partition == WHOLE]

    @property
    def counts(self) -> dict[Status, int]:
        """Partitions by status, what is safe first."""
        order = sorted(Status, key=lambda status: status not in SAFE)
        return {status: sum(v.status is status for v in self.verdicts) for status in order}

    @property
    def decided(self) -> Counter[tuple[Status, Decision]]:
        """Partitions by status and decision."""
        return Counter((verdict.status, decision_on(verdict)) for verdict in self.verdicts)

    @property
    def safe(self) -> int:
        """Partitions that are safe to consume."""
        return sum(verdict.is_ready for verdict in self.verdicts)

    @property
    def safe_with_warning(self) -> int:
        """Those of them that a person should look at."""
        return sum(verdict.is_ready and decision_on(verdict) != "proceed" for verdict in self.verdicts)

    @property
    def not_ready(self) -> int:
        """Partitions where something is wrong: not those of which nothing is known, or that are not due yet."""
        return sum(verdict.is_problem for verdict in self.verdicts)

    @property
    def open(self) -> str:
        """Partitions that are not safe though nothing is wrong, such as `84 unknown, 2 pending`."""
        numbers = {status: sum(v.status is status and not v.is_problem for v in self.verdicts) for status in NO_PROBLEM}
        return ", ".join(f"{n:,} {status.lower()}" for status, n in numbers.items() if n and status not in SAFE)

    @property
    def late(self) -> list[tuple[Verdict, Awaited]]:
        """Bronze partitions that lack what is expected of them by now."""
        return [(verdict, each) for verdict in self.verdicts for each in verdict.evidence.awaited if each.is_due]

    @property
    def awaited(self) -> list[tuple[Verdict, Awaited]]:
        """Bronze partitions that lack what is expected of them later, the earliest due first."""
        found = [(verdict, each) for verdict in self.verdicts for each in verdict.evidence.awaited if not each.is_due]
        return sorted(found, key=lambda pair: pair[1].due_at)

    @property
    def is_empty(self) -> bool:
        """Nothing is expected or there."""
        return all(verdict.status in (Status.UNKNOWN, Status.EMPTY) for verdict in self.verdicts)


def build_report(
    graph: AssetGraph,
    ledger: Ledger,
    catalog: Catalog,
    *,
    expectations: Sequence[Expectation],
    generated_at: datetime,
    window: Window | None = None,
    run_id: str | None = None,
    said: Said | None = None,
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
        said: What was said before; what is new is told beside it.

    Raises:
        UnknownRun: the ledger has no materialization of that run.
    """
    done = changes(ledger, run_id=run_id, window=window)
    if run_id is not None:
        if not done:
            raise UnknownRun(f"run {run_id!r} materialized nothing that the ledger knows; next: {_latest_runs(ledger)}")
        written = sorted({change.partition for change in done} - {WHOLE})
        window = Window.of_keys(written[0], written[-1]) if written else None
    elif said is not None:
        done = [change for change in done if change.committed_at > said.at]
    readiness = Readiness(graph, ledger, generated_at, expectations)
    known = readiness.days()
    days = window.keys if window else Window.of_keys(known[0], known[-1]).keys if known and run_id is None else []
    # Before any manifest was admitted, no partition may be called empty, or ready.
    verdicts = verdicts_on(readiness, days) if ledger.has_admissions() else []
    told, (causes, _) = news(verdicts, said), explain(verdicts)
    results = check_results(ledger, verdicts)
    series, absent = kpi_series(catalog, window, _not_ready(verdicts))
    bronze = (kept_asset(ledger, name, verdicts) for name, node in graph.nodes.items() if node.layer == BRONZE)
    return Report(
        title=_title(days, run_id),
        generated_at=generated_at,
        run_id=run_id,
        days=days,
        verdicts=verdicts,
        news=told,
        months=months(verdicts, days),
        causes=causes,
        lineage=lineage(verdicts),
        warned=_warned(verdicts),
        undated=readiness.warnings,
        accepted=accepted_together(word for v in verdicts if (word := v.evidence.acceptance)),
        runs=runs_of(done),
        kept=[kept for kept in bronze if kept.partitions],
        held=held_counts(catalog, days),
        series=series,
        absent_tables=absent,
        evidence=evidence_document(graph, verdicts, results, told, generated_at=generated_at, run_id=run_id),
    )


def _title(days: list[str], run_id: str | None) -> str:
    span = "no days" if not days else days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"Run {run_id}: {span}" if run_id else f"Lakehouse report: {span}"


def _latest_runs(ledger: Ledger) -> str:
    runs = list(dict.fromkeys(change.run_id for change in reversed(changes(ledger))))[:3]
    return f"omni report --run {' or '.join(runs)}" if runs else "omni run"


def _warned(verdicts: Sequence[Verdict]) -> list[Warned]:
    found: dict[tuple[str, str], Warned] = {}
    for verdict in verdicts:
        for check in failed_warnings(verdict):
            earlier = found.get((verdict.asset, check.check))
            days = [*(earlier.partitions if earlier else ()), verdict.partition]
            found[verdict.asset, check.check] = Warned(verdict.asset, check.check, days, check.message)
    return list(found.values())


def _not_ready(verdicts: Sequence[Verdict]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for verdict in verdicts:
        if not verdict.is_ready:
            found.setdefault(verdict.asset, set()).add(verdict.partition)
    return found
