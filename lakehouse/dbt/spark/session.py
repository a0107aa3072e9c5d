"""Spark as the lakehouse sets it up: strict, in UTC, over the snapshots that an invocation pins, and only to be read.

A table is read by the file of its metadata, as DuckDB reads it, so no catalog is asked and a commit meanwhile is not
seen; nor can Spark write to one. Started with the first rows that are asked of it, since that takes ten seconds.
"""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lakehouse.builds.dialects import spark_sql, view_name
from lakehouse.dbt.spark.jars import NEXT, jar_files
from lakehouse.errors import ConfigurationError

OURS = {
    "spark.sql.ansi.enabled": "true",  # a value that does not fit is an error, not null
    "spark.sql.ansi.enforceReservedKeywords": "true",  # else `from t where (x)` reads all of t, called "where"
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.ansi.relationPrecedence": "true",  # else `from a, b full join c` joins a and b first
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.variable.substitute": "false",  # else '${env:HOME}' is another text
}
"""By which the same SQL gives the rows that DuckDB gives."""

_OF_SPEED = (
    "spark.sql.adaptive.",
    "spark.sql.artifact.",
    "spark.sql.autoBroadcastJoinThreshold",
    "spark.sql.files.maxPartitionBytes",
    "spark.sql.shuffle.partitions",
    "spark.sql.warehouse.dir",
)
"""What else may be set: no row depends on it."""


class Spark:
    """A session, and the tables that it shows."""

    def __init__(self, config: Mapping[str, str], scratch: Path) -> None:
        """Start nothing yet.

        Args:
            config: Spark's own, such as spark.master.
            scratch: Where it may spill to.

        Raises:
            ConfigurationError: Spark, or a jar, is not there, or a setting would make other rows.
        """
        self._config = {**config, **OURS, **_jars(), **_quiet(scratch)}
        refuse_other_settings(config)
        self._lock = threading.RLock()
        self._session: Any = None
        self._pinned: dict[str, str] = {}
        self._shown: dict[str, str] = {}

    def pin(self, schema: str, table: str, metadata_location: str) -> None:
        """Say which state of a table is read from now on."""
        with self._lock:
            self._pinned[view_name(schema, table)] = metadata_location

    def run(self, sql: str) -> Any:
        """A DataFrame of what compiled SQL gives, over what is pinned."""
        return self._over_pinned(text := spark_sql(sql)).sql(text)

    def show_rows(self, name: str, file: Path) -> None:
        """Make rows of a Parquet file readable by a name."""
        self._over_pinned("").read.parquet(str(file)).createOrReplaceTempView(name)

    def _over_pinned(self, sql: str) -> Any:
        """The session; it shows the tables that SQL names."""
        with self._lock:
            if self._session is None:
                self._session = _start(self._config)
            for view, location in self._pinned.items():
                if f'"{view}"' in sql and self._shown.get(view) != location:
                    self._session.read.format("iceberg").load(location).createOrReplaceTempView(f"`{view}`")
                    self._shown[view] = location
            return self._session


def refuse_a_store(warehouse_url: str) -> None:
    """Stop where the tables lie in a store, of which Spark knows no way here.

    Raises:
        ConfigurationError: they do.
    """
    if not warehouse_url.startswith("file:"):
        raise ConfigurationError(
            f"target spark: found the warehouse in {warehouse_url}, expected a folder; nothing was built; next: dbt "
            "build --target duckdb"
        )


def refuse_other_settings(config: Mapping[str, str]) -> None:
    """Stop where a setting may have the same SQL give other rows.

    Raises:
        ConfigurationError: one may.
    """
    asked = {name: value for name, value in config.items() if name.startswith("spark.sql.")}
    if found := [f"{n} = {v}" for n, v in asked.items() if OURS.get(n) != v and not n.startswith(_OF_SPEED)]:
        raise ConfigurationError(
            f"Spark: found {', '.join(found)}; expected the lakehouse's own, and beside it what rows do not depend on "
            f"({', '.join(_OF_SPEED)}); nothing is built upon it; next: take it out of profiles.yml or of Spark's own "
            "configuration"
        )


def _start(config: Mapping[str, str]) -> Any:
    from pyspark.sql import SparkSession  # ten seconds later, Java: for who needs it

    logging.getLogger("SQLQueryContextLogger").disabled = True  # an error reaches dbt, which shows it
    builder = SparkSession.builder.appName("omni-lakehouse")
    for name, value in config.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    refuse_other_settings({row.key: row.value for row in session.sql("set").collect()})
    return session


def _jars() -> dict[str, str]:
    try:
        import pyspark  # noqa: F401
    except ImportError:
        raise ConfigurationError(f"target spark: found no pyspark; expected omni-lakehouse[spark]; {NEXT}") from None
    return {"spark.jars": ",".join(map(str, jar_files()))}


def _quiet(scratch: Path) -> dict[str, str]:
    return {
        "spark.local.dir": str(scratch),
        "spark.log.level": "ERROR",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
