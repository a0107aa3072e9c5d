"""Which partitions of a Bronze asset a load computes, from which files, and which it must refuse.

A partition is a pure function of the admitted sources that cover it: it is always computed whole, from all its files,
in the order of their batches. That is why order, repetition and parallelism of loads do not matter.
"""

from collections.abc import Sequence

from lakehouse.ledger.evidence import Coverage, FileKey, coverage_version
from lakehouse.ledger.foreign_writes import ForeignWrites
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import Window, parse_day
from loaders.plans.plan import CoveredFile, LoadPlan, PartitionPlan, batch_order


def plan_load(
    ledger: Ledger,
    asset: str,
    files: dict[FileKey, CoveredFile],
    window: Window | None = None,
    reload_unchanged: bool = True,
) -> LoadPlan:
    """Plan the load of an asset.

    Without a window: exactly the partitions whose coverage is new or changed since they were materialized. With a
    window: every covered partition in it, or only those of them that are new or changed. One that someone else has
    written is changed, also where nothing covers it.
    """
    coverage = {partition: rows for (_, partition), rows in ledger.coverage(asset).items()}
    current = {partition: item for (_, partition), item in ledger.current_materializations([asset]).items()}
    elsewhere = ForeignWrites(ledger)
    foreign = {key for key in elsewhere.partitions(asset) if elsewhere.of(asset, key, current.get(key))}
    emptied = {partition for partition, item in current.items() if item.rows.read and partition not in coverage}
    plans, refused, unchanged = [], {}, 0
    for partition in sorted(coverage.keys() | emptied | foreign):
        rows = coverage.get(partition, [])
        version = coverage_version(rows)
        if window is not None and parse_day(partition) not in window:
            continue
        is_current = partition in current and current[partition].version == version and partition not in foreign
        if is_current and (window is None or not reload_unchanged):
            unchanged += 1
        elif problems := sorted({row.problem for row in rows if row.problem}):
            refused[partition] = "; ".join(problems)
        else:
            plans.append(_plan(asset, partition, rows, files, version))
    return LoadPlan(asset, plans, refused, unchanged, window)


def _plan(
    asset: str, partition: str, rows: Sequence[Coverage], files: dict[FileKey, CoveredFile], version: str
) -> PartitionPlan:
    covering = [files[(row.manifest_id, row.source_id, row.source_file)] for row in rows]
    expected = sum(row.rows_expected or 0 for row in rows)
    return PartitionPlan(asset, partition, tuple(sorted(covering, key=batch_order)), expected, version)
