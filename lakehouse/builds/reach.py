"""How far a model reads its upstream assets, as its SQL says it: the one place that the asset graph and the builds ask.

When dbt parses a model, macros/reads.sql notes in its `meta` what each `ref` and `source` reads; the nodes here are
those of dbt's manifest. Whatever is not known to be less is `all`: too wide a reach calls a safe partition stale, too
narrow a one calls an unsafe partition READY.
"""

from collections.abc import Mapping
from typing import Any

from lakehouse.ledger.inputs import Reach

_NARROWEST_FIRST: tuple[Reach, ...] = ("same_day", "up_to_day", "all")


def is_daily(model: Mapping[str, Any]) -> bool:
    """Whether a model has a partition per UTC day, not one for all of it."""
    return bool(model["config"].get("meta", {}).get("omni", {}).get("partitioned") == "daily")


def reach_of(model: Mapping[str, Any], upstream: Mapping[str, Any]) -> Reach:
    """Which partitions of an upstream model or source a partition of a model reads.

    The widest of its reads counts, and a read that no window bounds on the upstream's own day column is one of all.
    """
    column = _day_column(upstream)
    if not is_daily(model) or column is None:
        return "all"
    noted = (read for key, read in model["config"]["meta"].items() if key.startswith("reads "))
    reads = [read for read in noted if read["asset"] == upstream["name"]]
    found: list[Reach] = [read["reach"] if read["column"] == column else "all" for read in reads]
    return max(found, key=_NARROWEST_FIRST.index, default="all")


def _day_column(node: Mapping[str, Any]) -> str | None:
    """Column whose UTC day is the partition of a node's rows; None where it has one partition only."""
    has_days = is_daily(node) if node["resource_type"] == "model" else True
    column: str | None = node["config"].get("event_time")
    return column if has_days else None
