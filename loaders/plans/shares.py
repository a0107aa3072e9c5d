"""Into which shares the files that coverage reads, and the days that a load stages, are cut."""

from collections.abc import Sequence
from typing import TypeVar

from lakehouse.ledger.evidence import FileKey
from loaders.plans.plan import PartitionPlan

T = TypeVar("T")

_WORTH_IT = 64 << 20
"""Bytes of plain lines that make another process worth its start."""
_OF_A_DAY = 1 << 19
"""Bytes of plain lines that take as long to stage as any day takes."""
_PER_WORKER = 4
"""Shares, so that none waits long for the last one."""
_AGAIN = 0.2
"""Part of a share that may be read again in another: of files whose records are of days of both."""


def shares_of_files(files: Sequence[T], weights: Sequence[int], workers: int) -> list[list[T]]:
    """Cut files into shares of about the same weight, in their order.

    Args:
        files: All of them.
        weights: Bytes of each, as `loaders.sources.files.SourceFile` tells them.
        workers: Processes that there may be.
    """
    target = _target(sum(weights), workers)
    shares: list[list[T]] = [[]]
    weight = 0
    for file, more in zip(files, weights, strict=True):
        if shares[-1] and weight >= target:
            shares.append([])
            weight = 0
        shares[-1].append(file)
        weight += more
    return shares


def shares_of_days(partitions: Sequence[PartitionPlan], workers: int) -> list[list[PartitionPlan]]:
    """Cut days into shares of about the same weight, in their order, where few files reach across.

    A file is read once in each share that needs it. Where all are needed everywhere, as with one file of all days,
    there is one share.
    """
    covering = {covered.record.key: covered.file for item in partitions for covered in item.files}
    sizes = {key: file.weight_bytes if file else 0 for key, file in covering.items()}
    last_need = {covered.record.key: number for number, item in enumerate(partitions) for covered in item.files}
    target = _target(sum(sizes.values()) + _OF_A_DAY * len(partitions), workers)
    shares: list[list[PartitionPlan]] = [[]]
    needed: set[FileKey] = set()
    for number, item in enumerate(partitions):
        shares[-1].append(item)
        needed |= {covered.record.key for covered in item.files}
        weight = sum(sizes[key] for key in needed) + _OF_A_DAY * len(shares[-1])
        reaching = sum(sizes[key] for key in needed if last_need[key] > number)
        if weight >= target and reaching <= _AGAIN * weight and item is not partitions[-1]:
            shares.append([])
            needed = set()
    return shares


def _target(total: int, workers: int) -> float:
    """Weight of a share; that of all where one process does."""
    return total / (workers * _PER_WORKER) if workers > 1 and total >= _WORTH_IT else total
