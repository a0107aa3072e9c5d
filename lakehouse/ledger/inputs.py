"""Which partitions of an upstream asset a partition is built from, and the version of what it read there.

One rule for the two sides that must agree: the writer records `input_version` with a materialization, the verdict
computes it again from the ledger; a difference means STALE.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property
from typing import Literal

from lakehouse.ledger.evidence import Materialization

Reach = Literal["same_day", "up_to_day", "all"]
"""same_day: the partition of the same day. up_to_day: that day and all before it. all: every partition."""


def reads(reach: Reach, partition: str, upstream_partition: str) -> bool:
    """Whether a partition is built from one of an upstream asset."""
    if reach == "same_day":
        return upstream_partition == partition
    return reach == "all" or upstream_partition <= partition


class AssetVersions:
    """Versions of one asset's partitions, ready to be asked for any reach.

    A partition without rows counts as absent: whether an empty day was ever written changes nothing downstream.
    """

    def __init__(self, materializations: Iterable[Materialization]) -> None:
        """Take the current materializations of one asset."""
        self._versions = {item.partition: item.version for item in materializations if item.rows.loaded}

    def input_version(self, reach: Reach, partition: str) -> str:
        """Version of what `partition` reads within the reach; empty where there is nothing to read."""
        if reach == "same_day":
            return self._versions.get(partition, "")
        if reach == "up_to_day":
            return self._chain[bisect_right(self._keys, partition)]
        return self._chain[-1]

    @cached_property
    def _keys(self) -> list[str]:
        return sorted(self._versions)

    @cached_property
    def _chain(self) -> list[str]:
        """Version of the first n partitions, for each n."""
        chain = [""]
        for key in self._keys:
            link = f"{chain[-1]}\n{key}\n{self._versions[key]}"
            chain.append(hashlib.sha256(link.encode()).hexdigest())
        return chain


def derived_version(logic: str, inputs: dict[str, str]) -> str:
    """Version of a partition that is computed from other assets: a hash of its logic and of what it read."""
    lines = [logic, *(f"{asset}={version}" for asset, version in sorted(inputs.items()))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
