"""From the ledger to verdicts: collects the evidence of asset partitions and judges them in the graph's order.

Reads the ledger and the catalog's rows (some queries whatever the number of partitions, and the checks that failed) and
dbt's manifest; imports no engine. "Now" and the expectations are handed in.
"""

import gc
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from lakehouse.ledger.acceptances import acceptances
from lakehouse.ledger.check_outcomes import current_outcomes
from lakehouse.ledger.declarations import declarations, undated_problems
from lakehouse.ledger.evidence import CheckOutcomes, Coverage, Materialization, coverage_version
from lakehouse.ledger.inputs import AssetVersions, Reach
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.namespaces import BRONZE
from lakehouse.partitions import WHOLE, Window
from lakehouse.settings import LakehouseSettings, load_settings
from loaders.manifests.expectation_files import expectations_in_force
from loaders.manifests.expectations import Expectation
from orchestration.readiness.arrivals import judge_arrivals, scheduled_days
from orchestration.readiness.asset_graph import AssetGraph, AssetNode, load_asset_graph
from orchestration.readiness.foreign_writes import WrittenElsewhere
from orchestration.readiness.horizon import Horizon, known_horizons, with_scheduled
from orchestration.readiness.verdicts import PartitionEvidence, Status, Verdict, decide


def open_readiness(settings: LakehouseSettings | None = None) -> "Readiness":
    """Verdicts on a lakehouse, as of now: for a retriever or a dashboard that wants to ask before it reads.

    `open_readiness().verdict("knowledge_doc", "").is_ready`; a daily asset is asked with its day, "2026-04-15".
    Without settings: the lakehouse that the environment names.
    """
    settings = settings or load_settings()
    return readiness_now(settings, load_asset_graph(settings), open_ledger(settings))


def readiness_now(settings: LakehouseSettings, graph: AssetGraph, ledger: Ledger) -> "Readiness":
    """Verdicts as of now, by the expectations of a lakehouse, where graph and ledger are at hand.

    Raises:
        ConfigurationError: a file of expectations is none.
    """
    return Readiness(graph, ledger, datetime.now(UTC), expectations_in_force(settings, ledger))


class Readiness:
    """Verdicts on every partition that is expected or was ever written, judged once, at one reading of the ledger."""

    def __init__(self, graph: AssetGraph, ledger: Ledger, now: datetime, expectations: Iterable[Expectation]) -> None:
        """Read the ledger and judge, as of an instant (UTC)."""
        with _uncollected():
            self._read_and_judge(graph, ledger, now, expectations)

    def _read_and_judge(
        self, graph: AssetGraph, ledger: Ledger, now: datetime, expectations: Iterable[Expectation]
    ) -> None:
        self.graph = graph
        self.coverage = ledger.coverage()
        self.materializations = ledger.current_materializations()
        self.warnings = undated_problems(ledger)
        """Asset → what is wrong with it that no partition can be blamed for."""
        declared = declarations(ledger)
        self._owners = {each.manifest_id: each.owner for each in declared if each.owner}
        collections = {each.manifest_id: each.collection for each in declared}
        known = known_horizons(self.coverage, declared)
        scheduled = scheduled_days(expectations, known, now)
        self._arrivals = judge_arrivals(scheduled, self.coverage, collections, self._records_kept, now)
        self._horizons = with_scheduled(known, scheduled)
        self._scheduled: dict[str, set[str]] = {}
        self._checks = current_outcomes(ledger)
        self._elsewhere = WrittenElsewhere(ledger)
        self._acceptances = acceptances(ledger)
        self._versions: dict[str, AssetVersions] = {}
        self._expected: dict[str, set[str]] = {}
        self._verdicts: dict[str, dict[str, Verdict]] = {}
        self._not_ready: dict[str, list[str]] = {}
        written: dict[str, dict[str, Materialization]] = {}
        for (asset, key), item in self.materializations.items():
            written.setdefault(asset, {})[key] = item
        for node in graph.nodes.values():
            self._judge_asset(node, written.get(node.name, {}))

    def verdict(self, asset: str, partition: str) -> Verdict:
        """The verdict on one partition; EMPTY where nothing is expected and there, UNKNOWN where nothing is known.

        Raises:
            UnknownAsset: no such asset.
        """
        node = self.graph[asset]
        return self._verdicts[asset].get(partition) or decide(self._evidence(node, partition))

    def verdicts(self, asset: str) -> dict[str, Verdict]:
        """Verdicts on all partitions of an asset that are expected or were written, by partition."""
        return self._verdicts[self.graph[asset].name]

    def days(self) -> list[str]:
        """Every day that any asset has a verdict on."""
        return sorted({key for verdicts in self._verdicts.values() for key in verdicts if key != WHOLE})

    def horizon(self, asset: str) -> Horizon:
        """The days of an asset that anything is known of.

        Raises:
            UnknownAsset: no such asset.
        """
        return self._horizons[self.graph[asset].name]

    def mendable(self) -> list[Verdict]:
        """Verdicts that are not ready and that a run can mend, upstream first."""
        return [
            self._verdicts[asset][key]
            for asset, keys in self._not_ready.items()
            for key in keys
            if self._verdicts[asset][key].is_mendable
        ]

    def _records_kept(self, asset: str, partition: str) -> int | None:
        """Records of a Bronze partition as it was loaded, each once; None where its sources have changed since."""
        item, coverage = self.materializations.get((asset, partition)), self.coverage.get((asset, partition), ())
        is_current = item is not None and item.version == coverage_version(coverage)
        return item.rows.loaded + item.rows.quarantined if item and is_current else None

    def _judge_asset(self, node: AssetNode, written: dict[str, Materialization]) -> None:
        self._versions[node.name] = AssetVersions(written.values())
        self._horizons[node.name] = self._horizon(node, written)
        self._expected[node.name] = self._expected_partitions(node)
        self._scheduled[node.name] = self._scheduled_days(node)
        foreign = self._elsewhere.partitions(node.name, written)
        asked = self._expected[node.name] | self._scheduled[node.name] | written.keys() | foreign
        keys = sorted(asked.union(self._uncomputed_days(node, asked)))
        judged = {key: decide(self._evidence(node, key)) for key in keys}
        self._verdicts[node.name] = judged
        # A day that nothing is known of, and that holds nothing, is not there: whatever reads all days reads it not.
        self._not_ready[node.name] = [
            key
            for key, verdict in judged.items()
            if not verdict.is_ready and (verdict.status is not Status.UNKNOWN or verdict.evidence.holds_rows)
        ]

    def _horizon(self, node: AssetNode, written: Mapping[str, Materialization]) -> Horizon:
        """What is known of it or of what it reads; and days that hold what was withdrawn, or someone else wrote."""
        found = self._horizons.get(node.name, Horizon()) | Horizon(is_open=bool(node.unknown_inputs))
        for upstream in node.reach:
            found |= self._horizons[upstream]
        foreign = self._elsewhere.partitions(node.name, written)
        for key in sorted(key for key in written.keys() | foreign if key != WHOLE and not found.covers(key)):
            coverage = self.coverage.get((node.name, key), ())
            if key in foreign or self._changed_inputs(node, key, written[key], coverage):
                found |= Horizon(((key, key),))
        return found

    def _scheduled_days(self, node: AssetNode) -> set[str]:
        """Days on which anything is awaited, here or in what a day reads: they are judged, whatever is there."""
        if node.layer == BRONZE:
            return self._arrivals.scheduled.get(node.name, set())
        days = (self._scheduled[upstream] for upstream, reach in node.reach.items() if reach != "all")
        return set[str]().union(*days) if node.is_partitioned else set()

    def _expected_partitions(self, node: AssetNode) -> set[str]:
        if node.layer == BRONZE:
            return {
                partition
                for (asset, partition), rows in self.coverage.items()
                if asset == node.name and any(row.rows_expected != 0 for row in rows)
            }
        days = set[str]().union(*(self._expected[upstream] | self._due(upstream) for upstream in node.reach))
        return days if node.is_partitioned else ({WHOLE} if days or node.unknown_inputs else set())

    def _uncomputed_days(self, node: AssetNode, others: Collection[str]) -> Iterator[str]:
        """Days inside the horizon, beside others, that were never written though what they read holds rows."""
        if node.layer != BRONZE and node.is_partitioned:
            for first, last in self._horizons[node.name].ranges:
                days = [key for key in Window.of_keys(first, last).keys if key not in others]
                yield from (key for key in days if self._is_uncomputed(node, key))

    def _is_uncomputed(self, node: AssetNode, partition: str) -> bool:
        """Whether what a partition reads holds rows, of one that was never written."""
        if node.layer == BRONZE or not self._horizons[node.name].covers(partition):
            return False
        return any(self._versions[up].input_version(reach, partition) for up, reach in node.reach.items())

    def _due(self, asset: str) -> set[str]:
        """Days that should have come by now and have not: whatever reads them is expected, too."""
        return self._arrivals.due.get(asset, set())

    def _evidence(self, node: AssetNode, partition: str) -> PartitionEvidence:
        is_bronze = node.layer == BRONZE
        item = self.materializations.get((node.name, partition))
        coverage = self.coverage.get((node.name, partition), ())
        checks, without_result = self._current_checks(node, item)
        changed_logic = None if is_bronze else _changed_logic(node, item)
        accepted = self._acceptances.get(item.id) if item and changed_logic else None
        if accepted and not (accepted.current_logic == node.logic and node.logic_problem is None):
            accepted = None
        changed_inputs = self._changed_inputs(node, partition, item, coverage)
        unreadable = [row for row in coverage if row.problem]
        reads_nothing = not (is_bronze or node.reach or partition)
        is_known = self._horizons[node.name].covers(partition) or changed_inputs or node.unknown_inputs or reads_nothing
        return PartitionEvidence(
            asset=node.name,
            partition=partition,
            is_expected=partition in self._expected[node.name],
            is_uncomputed=item is None and self._is_uncomputed(node, partition),
            rows_expected=sum([row.rows_expected or 0 for row in coverage]) if is_bronze else None,
            materialization=item,
            required_checks=node.checks,
            checks=checks,
            without_result=without_result,
            unchecked=node.unchecked,
            is_checked=is_bronze or node.unchecked is not None or "error" in node.checks.values(),
            source_problems=tuple(sorted({row.problem for row in unreadable if row.problem})),
            source_owners=tuple(
                sorted({self._owners[m] for row in unreadable if (m := row.manifest_id) in self._owners})
            ),
            changed_inputs=changed_inputs,
            changed_logic=None if accepted else changed_logic,
            acceptance=accepted,
            unknown_inputs=tuple(node.unknown_inputs.values()) if node.unknown_inputs else (),
            foreign_write=self._elsewhere.change(node, partition, item),
            needs_comparison=self._elsewhere.is_unsettled(node),
            blockers=tuple([b for up, reach in node.reach.items() for b in self.not_ready(up, reach, partition)]),
            outside=None if is_known else self._outside(node),
            awaited=self._arrivals.awaited.get((node.name, partition), ()),
            warnings=self.warnings.get(node.name, ()),
        )

    def _outside(self, node: AssetNode) -> str:
        horizon = self._horizons[node.name]
        known = f"outside of what is known of {node.name}, {horizon}"
        what = known if horizon.ranges else f"nothing is known of {node.name}"
        if node.layer == BRONZE:
            return f"{what}: nothing declared, nothing covered"
        return f"{what}: nothing declared and nothing covered of what it reads"

    def _current_checks(self, node: AssetNode, item: Materialization | None) -> tuple[CheckOutcomes, Mapping[str, str]]:
        """Outcomes that still count, of checks that the asset still has; and of which others there is none, and why."""
        found = self._checks.get(item.id) if item else None
        if found is None:
            return _NO_OUTCOMES, {}
        without = found.without_result(node.definitions)
        if not without:
            return found.only(node.checks.keys()), without
        own = {name: why for name, why in without.items() if name in node.checks}
        return found.only(node.checks.keys() - without.keys()), own

    def _changed_inputs(
        self, node: AssetNode, partition: str, item: Materialization | None, coverage: Sequence[Coverage]
    ) -> tuple[str, ...]:
        if item is None:
            return ()
        if node.layer == BRONZE:
            is_same = coverage_version(coverage) == item.version or not (coverage or item.rows.read)
            return () if is_same else ("the coverage of its sources",)
        current = dict.fromkeys(node.unknown_inputs, "")  # as a build records what it finds no version of
        current |= {up: self._versions[up].input_version(reach, partition) for up, reach in node.reach.items()}
        if current == item.inputs:
            return ()
        return tuple(name for name in sorted(current | item.inputs) if current.get(name) != item.inputs.get(name))

    def not_ready(self, upstream: str, reach: Reach, partition: str) -> list[Verdict]:
        """Verdicts on the partitions that `partition` reads of an asset and that are not ready, the latest first."""
        found = self._known_not_ready(upstream, reach, partition)
        if found or not self._elsewhere.is_unsettled(self.graph[upstream]):
            return found
        return [self.verdict(upstream, partition)]  # nothing is known of it, and someone may have written it

    def _known_not_ready(self, upstream: str, reach: Reach, partition: str) -> list[Verdict]:
        """As `not_ready`, but for what nothing is known of.

        Where all days are read, those that are not due yet are not lacking: some day never is.
        """
        judged, keys = self._verdicts[upstream], self._not_ready[upstream]
        if reach == "all":
            found = [judged[key] for key in reversed(keys)]
            lacking = [verdict for verdict in found if verdict.status is not Status.PENDING]
            whole = None if self._horizons[upstream].covers(WHOLE) else self.verdict(upstream, WHOLE)
            return [*lacking, whole] if whole else lacking
        own = judged.get(partition)
        if own is None and (self.graph[upstream].layer != BRONZE or not self._horizons[upstream].covers(partition)):
            own = self.verdict(upstream, partition)
        latest = [] if own is None or own.is_ready else [own]
        if reach == "same_day":
            return latest
        earlier = keys[: bisect_left(keys, partition)]
        return [*latest, *(judged[key] for key in reversed(earlier))]


_NO_OUTCOMES = CheckOutcomes()


def _changed_logic(node: AssetNode, item: Materialization | None) -> str | None:
    """What is to be said of what a model's rows were computed by; None where that is what the project says today."""
    if item is None:
        return None
    if node.logic_problem is not None:
        return f"its SQL cannot be compiled: {node.logic_problem}"
    if node.logic is None or item.logic in node.logic.split():
        return None
    return "its SQL is not on record" if item.logic is None else "its SQL has changed since"


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection for a moment.

    What is read and judged stays; a collection in the midst of it would walk all of it, and all that is imported, to
    find nothing: a quarter of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
