"""From the ledger to verdicts: collects the evidence of asset partitions and judges them in the graph's order.

Reads the ledger and the catalog's rows (five queries whatever the number of partitions, and the checks that failed) and
dbt's manifest; imports no engine.
"""

import gc
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lakehouse.ledger.check_outcomes import current_outcomes
from lakehouse.ledger.evidence import CheckOutcomes, Coverage, Materialization, coverage_version
from lakehouse.ledger.inputs import AssetVersions, Reach
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.namespaces import BRONZE
from lakehouse.partitions import WHOLE
from lakehouse.settings import LakehouseSettings, load_settings
from orchestration.readiness.asset_graph import AssetGraph, AssetNode, load_asset_graph
from orchestration.readiness.foreign_writes import WrittenElsewhere
from orchestration.readiness.verdicts import PartitionEvidence, Status, Verdict, decide


def open_readiness(settings: LakehouseSettings | None = None) -> "Readiness":
    """Verdicts on a lakehouse, as of now: for a retriever or a dashboard that wants to ask before it reads.

    `open_readiness().verdict("knowledge_doc", "").is_ready`; a daily asset is asked with its day, "2026-04-15".
    Without settings: the lakehouse that the environment names.
    """
    settings = settings or load_settings()
    return Readiness(load_asset_graph(settings), open_ledger(settings))


class Readiness:
    """Verdicts on every partition that is expected or was ever written, judged once, at one reading of the ledger."""

    def __init__(self, graph: AssetGraph, ledger: Ledger) -> None:
        """Read the ledger and judge."""
        with _uncollected():
            self._read_and_judge(graph, ledger)

    def _read_and_judge(self, graph: AssetGraph, ledger: Ledger) -> None:
        self.graph = graph
        self.coverage = ledger.coverage()
        self.materializations = ledger.current_materializations()
        self._checks = current_outcomes(ledger)
        self._elsewhere = WrittenElsewhere(ledger)
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
        """The verdict on one partition; EMPTY where nothing is expected and nothing was ever written.

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

    def days_with_data(self) -> list[str]:
        """Days on which any asset expects or holds anything."""
        return [
            key
            for key in self.days()
            if any(verdicts[key].status is not Status.EMPTY for verdicts in self._verdicts.values() if key in verdicts)
        ]

    def mendable(self) -> list[Verdict]:
        """Verdicts that are not ready and that a run can mend, upstream first."""
        return [
            self._verdicts[asset][key]
            for asset, keys in self._not_ready.items()
            for key in keys
            if self._verdicts[asset][key].is_mendable
        ]

    def _judge_asset(self, node: AssetNode, written: dict[str, Materialization]) -> None:
        self._versions[node.name] = AssetVersions(written.values())
        self._expected[node.name] = self._expected_partitions(node)
        keys = sorted(self._expected[node.name] | written.keys() | self._elsewhere.partitions(node.name, written))
        judged = {key: decide(self._evidence(node, key)) for key in keys}
        self._verdicts[node.name] = judged
        self._not_ready[node.name] = [key for key, verdict in judged.items() if not verdict.is_ready]

    def _expected_partitions(self, node: AssetNode) -> set[str]:
        if node.layer == BRONZE:
            return {
                partition
                for (asset, partition), rows in self.coverage.items()
                if asset == node.name and any(row.rows_expected != 0 for row in rows)
            }
        days = set().union(*(self._expected[upstream] for upstream in node.reach))
        return days if node.is_partitioned else ({WHOLE} if days or node.unknown_inputs else set())

    def _evidence(self, node: AssetNode, partition: str) -> PartitionEvidence:
        item = self.materializations.get((node.name, partition))
        coverage = self.coverage.get((node.name, partition), ())
        checks = self._current_checks(node, item)
        return PartitionEvidence(
            asset=node.name,
            partition=partition,
            is_expected=partition in self._expected[node.name],
            rows_expected=sum(row.rows_expected or 0 for row in coverage) if node.layer == BRONZE else None,
            materialization=item,
            required_checks=node.checks,
            checks=checks.defined_as(node.definitions),
            redefined_checks=checks.defined_otherwise(node.definitions),
            unchecked=node.unchecked,
            is_checked=node.layer == BRONZE or node.unchecked is not None or "error" in node.checks.values(),
            source_problems=tuple(sorted({row.problem for row in coverage if row.problem})),
            changed_inputs=self._changed_inputs(node, partition, item, coverage),
            changed_logic=_changed_logic(node, item),
            unknown_inputs=tuple(node.unknown_inputs.values()),
            foreign_write=self._elsewhere.change(node, partition, item),
            needs_comparison=self._elsewhere.is_unsettled(node),
            blockers=tuple(b for up, reach in node.reach.items() for b in self.not_ready(up, reach, partition)),
        )

    def _current_checks(self, node: AssetNode, item: Materialization | None) -> CheckOutcomes:
        """Outcomes that still count: of checks that the asset still has."""
        found = self._checks.get(item.id) if item else None
        return found.only(node.checks.keys()) if found else CheckOutcomes()

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
        keys = self._not_ready[upstream]
        if reach == "same_day":
            verdict = self._verdicts[upstream].get(partition)
            return [] if verdict is None or verdict.is_ready else [verdict]
        if reach == "up_to_day":
            keys = keys[: bisect_right(keys, partition)]
        return [self._verdicts[upstream][key] for key in reversed(keys)]


def _changed_logic(node: AssetNode, item: Materialization | None) -> str | None:
    """What is to be said of what it was computed by; None where that is what the project says today."""
    if item is None or node.layer == BRONZE:
        return None
    if node.logic_problem is not None:
        return f"its SQL cannot be compiled: {node.logic_problem}"
    if node.logic is None or node.logic == item.logic:
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


def next_command(verdict: Verdict) -> str | None:
    """The command that mends a verdict, or leads to what must be mended; None for a partition that is ready."""
    if verdict.is_ready:
        return None
    if verdict.evidence.needs_comparison:
        return "omni verify"
    if unknown := verdict.evidence.unknown_inputs:
        return f"name {', '.join(unknown)} in a contract, or take it out of the dbt model {verdict.asset}"
    if not verdict.evidence.is_checked:
        return (
            f"declare a test of severity error of {verdict.asset}, or say why it needs none in its meta.omni.unchecked"
        )
    if verdict.is_mendable:
        is_alone = verdict.partition and not verdict.evidence.blockers
        return f"omni run --partition {verdict.partition}" if is_alone else "omni run"
    if verdict.evidence.blockers and verdict.status is Status.BLOCKED:
        return f"omni ready {verdict.evidence.blockers[0].name}"
    if verdict.status is Status.FAILED:
        window = f" --partition {verdict.partition}" if verdict.partition else ""
        return f"mend what the check found, then: omni run{window}"
    if verdict.evidence.source_problems:
        return "mend the source named above, then: omni run"
    return f"omni explain {verdict.name}"
