"""What dbt says of a model that it builds: the dictionary of macros/materializations.sql, read.

Pure values; the build acts on them. The model's side of the contract is in docs/reference/dbt.md.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from lakehouse.builds.chunks import depends_on_window
from lakehouse.builds.logic import definition_of, logics_of
from lakehouse.builds.reach import is_daily, reach_of
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
    logic: str
    """Hash of what its rows are computed by."""
    logic_on_spark: str
    """The same of who computes them on Spark."""
    version_logic: str
    """Hash of all ways to compute them: a partition has the same version, whichever of the engines built it."""
    reach: dict[str, Reach]
    """Source or model that it reads → which of its partitions a partition reads."""
    tables: frozenset[tuple[str, str]]
    """Schema and table of each of these: all that its SQL may read. Not its own: its rows follow from earlier runs."""
    bounded: frozenset[tuple[str, str]]
    """Those of them that it may read through a window alone: of their days it reaches some, not all."""
    is_partitioned: bool
    time_column: str | None
    """Column whose UTC day is the partition; None for a model that is replaced whole."""
    window: Window | None
    """Days to replace; None for the whole history, and for a model that is replaced whole."""
    is_full_refresh: bool
    """The run was started with --full-refresh."""
    is_forced: bool
    """Built although what it reads may not be ready."""
    engine: str = ""
    """Who computes its rows, with the version; empty for DuckDB."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Model":
        """Read the macro's dictionary.

        Raises:
            ConfigurationError: a daily model does not name its time column, or a model that is replaced whole would be
                replaced by the rows of a window.
        """
        node = config["node"]
        is_partitioned, time_column = is_daily(node), node["config"].get("event_time")
        if is_partitioned and not time_column:
            raise ConfigurationError(f"{config['name']}: a daily model needs the config event_time, its time column")
        if not is_partitioned and depends_on_window(config["sql"]):
            raise ConfigurationError(
                f"{config['name']}: its SQL depends on the window of the run, and its table is replaced whole; "
                "expected no macro of a window, or a daily model; next: leave the macro out, or set "
                "meta.omni.partitioned to daily"
            )
        lo, hi = config["lo"], config["hi"]
        reach = {upstream["name"]: reach_of(node, upstream) for upstream in config["upstream"]}
        tables = {
            each["name"]: (each["schema"], each.get("identifier") or each["alias"]) for each in config["upstream"]
        }
        logic, on_spark = logics_of(config["sql"], node, config["upstream"])
        return cls(
            name=config["name"],
            namespace=config["namespace"],
            sql=config["sql"],
            logic=logic,
            logic_on_spark=on_spark,
            version_logic=logic if on_spark == logic else definition_of({"duckdb": logic, "spark": on_spark}),
            reach=reach,
            tables=frozenset(tables.values()),
            bounded=frozenset(table for name, table in tables.items() if reach[name] != "all"),
            is_partitioned=is_partitioned,
            time_column=time_column if is_partitioned else None,
            window=Window(date.fromisoformat(lo), date.fromisoformat(hi)) if lo and is_partitioned else None,
            is_full_refresh=bool(config["full_refresh"]),
            is_forced=bool(config["forced"]),
        )

    @property
    def identifier(self) -> str:
        """`namespace.name` of its table."""
        return f"{self.namespace}.{self.name}"
