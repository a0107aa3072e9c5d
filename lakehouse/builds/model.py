"""What dbt says of a model that it builds: the dictionary of macros/materializations.sql, read.

Pure values; the plugin acts on them. The model's side of the contract is in docs/reference/dbt.md.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.inputs import Reach
from lakehouse.partitions import Window


@dataclass(frozen=True)
class Model:
    """A model that is being built, with the window of the run."""

    name: str
    namespace: str
    sql: str
    """Compiled; its window markers are still in it."""
    checksum: str
    upstream: tuple[str, ...]
    """Names of the sources and models that it reads."""
    is_partitioned: bool
    time_column: str | None
    """Column whose UTC day is the partition; None for a model that is replaced whole."""
    window: Window | None
    """Days to replace; None for the whole history, and for a model that is replaced whole."""
    inputs: dict[str, Reach]
    """As configured: ask `reach`."""
    is_full_refresh: bool
    """The run was started with --full-refresh."""
    is_forced: bool
    """Built although what it reads may not be ready."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Model":
        """Read the macro's dictionary.

        Raises:
            ConfigurationError: a daily model does not name its time column.
        """
        meta = config["meta"].get("omni", {})
        is_partitioned = meta.get("partitioned") == "daily"
        if is_partitioned and not config["time_column"]:
            raise ConfigurationError(f"{config['name']}: a daily model needs the config event_time, its time column")
        lo, hi = config["lo"], config["hi"]
        return cls(
            name=config["name"],
            namespace=config["namespace"],
            sql=config["sql"],
            checksum=config["checksum"],
            upstream=tuple(unique_id.rpartition(".")[2] for unique_id in config["upstream"]),
            is_partitioned=is_partitioned,
            time_column=config["time_column"] if is_partitioned else None,
            window=Window(date.fromisoformat(lo), date.fromisoformat(hi)) if lo and is_partitioned else None,
            inputs=meta.get("inputs", {}),
            is_full_refresh=bool(config["full_refresh"]),
            is_forced=bool(config["forced"]),
        )

    @property
    def identifier(self) -> str:
        """`namespace.name` of its table."""
        return f"{self.namespace}.{self.name}"

    def reach(self, upstream: str) -> Reach:
        """Which partitions of an upstream asset a partition reads."""
        return self.inputs.get(upstream, "same_day" if self.is_partitioned else "all")
