"""What quarantine holds, by reason, with examples: where a record stands and what is wrong with it, not the record.

A report is sent around, and a record may hold personal data. Reads the quarantine table.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog

from lakehouse.namespaces import QUARANTINE, bronze
from lakehouse.partitions import Window
from lakehouse.tables.catalog import load_table_if_exists
from lakehouse.tables.filters import key_filter
from loaders.bronze.held_records import HeldRecord, Selection, held_records

_EXAMPLES = 3


@dataclass(frozen=True)
class HeldCount:
    """Records in quarantine. Grain: asset, reason code."""

    asset: str
    reason_code: str
    held: int
    released: int
    partitions: tuple[str, ...]
    """Days with a record that is still held."""
    examples: tuple[HeldRecord, ...]
    """Some of those that are still held, of the latest day."""


def held_counts(catalog: Catalog, days: Sequence[str]) -> list[HeldCount]:
    """What quarantine holds of these days, by asset and reason code, the most frequent first."""
    table = load_table_if_exists(catalog, bronze(QUARANTINE))
    if table is None or not days:
        return []
    scan = table.scan(
        row_filter=key_filter(Window.of_keys(min(days), max(days))),
        selected_fields=("asset", "partition", "reason_code", "released_at"),
    )
    rows = scan.to_arrow()
    named = {name: rows[name] for name in ("asset", "partition", "reason_code")}
    rows = pa.table({**named, "is_held": pc.is_null(rows["released_at"])})
    counted = rows.group_by(["asset", "reason_code", "is_held", "partition"]).aggregate([([], "count_all")])
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in counted.to_pylist():
        found[row["asset"], row["reason_code"]].append(row)
    counts = [_count(catalog, asset, code, members) for (asset, code), members in found.items()]
    return sorted(counts, key=lambda count: (-count.held, count.asset, count.reason_code))


def _count(catalog: Catalog, asset: str, code: str, members: list[dict[str, Any]]) -> HeldCount:
    held = {str(each["partition"]): int(each["count_all"]) for each in members if each["is_held"]}
    released = sum(int(each["count_all"]) for each in members if not each["is_held"])
    days = tuple(sorted(held))
    return HeldCount(asset, code, sum(held.values()), released, days, _examples(catalog, asset, code, days))


def _examples(catalog: Catalog, asset: str, code: str, days: Sequence[str]) -> tuple[HeldRecord, ...]:
    if not days:
        return ()
    latest = Selection(asset=asset, reason_code=code, window=Window.of_keys(days[-1], days[-1]))
    return tuple(held_records(catalog, latest)[:_EXAMPLES])
