"""The plugin of dbt's target spark: DuckDB's, with rows that Spark computes.

dbt, its DuckDB, the doors, the pins, the staging, the commit and the evidence are those of every build; DuckDB reads
the same snapshots, judges the SQL, and takes over Spark's rows as files. Models and tests are run by Spark; a test that
Spark may understand otherwise, by DuckDB, and so is what asks for the lakehouse's own functions of Python.
"""

import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.utils import TargetConfig
from dbt.adapters.factory import get_adapter_by_type
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection
from pyiceberg.table import Table

from lakehouse.builds.dialects import in_words_of_spark
from lakehouse.builds.model import Model
from lakehouse.dbt.declared import Declared
from lakehouse.dbt.doors.engine_differences import engine_differences, refuse_engine_differences
from lakehouse.dbt.doors.session import asks_python
from lakehouse.dbt.doors.unnamed_reads import refuse_unnamed_reads
from lakehouse.dbt.doors.ways_in import SPARK
from lakehouse.dbt.lake_views import LakeViews
from lakehouse.dbt.plugin import Plugin as DuckDBPlugin
from lakehouse.dbt.plugin import logger
from lakehouse.dbt.spark.fixtures import with_fixtures
from lakehouse.dbt.spark.session import Spark, refuse_a_store
from lakehouse.errors import ConfigurationError, IncompatibleSchema
from lakehouse.scratch import scratch_folder, scratch_root
from lakehouse.tables.duck import quoted

ROWS = "rows"
"""Format by which dbt_project/macros/spark.sql asks for a temporary table of what SQL gives."""
_FRACTION = re.compile(r": (?:optional|required) (?:float|double|decimal)")


class SparkViews(LakeViews):
    """The views of DuckDB, each pinned on Spark, too."""

    def __init__(self, connection: DuckDBPyConnection, spark: Spark) -> None:
        """Start with none."""
        super().__init__(connection)
        self._spark = spark

    def show(self, table: Table, schema: str) -> None:
        """Make a view over the table's snapshot, or replace it."""
        super().show(table, schema)
        self._spark.pin(schema, table.name()[-1], table.metadata_location)


class Reader:
    """A cursor that runs the SQL of a data test where the test ran, for its first row."""

    def __init__(self, spark: Spark, cursor: DuckDBPyConnection) -> None:
        """Begin with no rows."""
        self._spark, self._cursor = spark, cursor
        self._row: Any = None

    def execute(self, sql: str) -> "Reader":
        """Run it."""
        if asks_python(sql) or _differences("a test", sql, self._cursor, has_fractions=True):
            self._row = self._cursor.execute(sql).fetchone()
        else:
            self._row = next(iter(self._spark.run(sql).take(1)), None)
        return self

    def fetchone(self) -> Any:
        """The first row, if there is one."""
        return self._row


class Plugin(DuckDBPlugin):
    """See the module's docstring; dbt-duckdb looks for a class of this name."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Open catalog and ledger; Spark starts when rows are asked for."""
        super().initialize(plugin_config)
        config = {name: str(value) for name, value in plugin_config.items() if name.startswith("spark.")}
        try:
            refuse_a_store(self._settings.warehouse_url)
            self._spark = Spark(config, scratch_root(self._settings) / "spark")
        except ConfigurationError as error:
            raise DbtRuntimeError(str(error)) from error

    def store(self, target_config: TargetConfig) -> None:
        """Make a table of the rows of a test; or what the plugin of DuckDB stores."""
        if target_config.location is None or target_config.location.format != ROWS:
            super().store(target_config)
            return
        table, sql = str(target_config.relation.identifier), target_config.config["sql"]
        with scratch_folder(self._settings) as folder:
            asked, rows = with_fixtures(sql, f"{table}_of_{target_config.config['test']}")
            if asks_python(asked):
                super()._make(table, sql)
                return
            # The model that a unit test runs was judged by the columns of its tables when it was built.
            if differences := _differences(table, asked, self._cursor(), has_fractions=not rows):
                logger.info("run by DuckDB, since it has {}", ", ".join(differences))
                super()._make(table, sql)
                return
            for name, fixture in rows.items():
                self._cursor().execute(f"copy ({fixture}) to {quoted(str(folder / name))} (format parquet)")
                self._spark.show_rows(name, folder / name)
            self._take_over(table, asked, folder / "rows")

    def _model(self, config: dict[str, Any], cursor: DuckDBPyConnection) -> Model:
        model = super()._model(config, cursor)
        if asks_python(model.sql):
            return model
        refuse_unnamed_reads(replace(model, sql=in_words_of_spark(model.sql)), cursor)
        assert self._lake is not None  # it stores
        columns = "".join(self._lake.views.schemas.get(table, "") for table in model.tables)
        refuse_engine_differences(model, cursor, has_fractions=bool(_FRACTION.search(columns)))
        return replace(model, logic=model.logic_on_spark, engine=f"spark {version('pyspark')}")

    def _declared(self) -> Declared | None:
        """What the project says of Spark."""
        declared = super()._declared()
        return replace(declared, logic={**declared.logic, **declared.on_spark}) if declared else None

    def _make(self, table: str, sql: str) -> None:
        """Make a temporary table of the rows that Spark computes, of the columns that DuckDB would.

        Raises:
            IncompatibleSchema: Spark's are others; nothing was written.
        """
        if asks_python(sql):
            super()._make(table, sql)
            return
        expected = self._columns(f"({sql}\n)")
        with scratch_folder(self._settings) as folder:
            self._take_over(table, sql, folder / "rows")
        found = self._columns(table)
        if found != expected:
            others = (f"{name} {kind}" for name, kind in found.items() if expected.get(name) != kind)
            wanted = (f"{name} {kind}" for name, kind in expected.items() if found.get(name) != kind)
            raise IncompatibleSchema(
                f"{table}: on Spark found {', '.join(others)}, expected {', '.join(wanted)} as on DuckDB; nothing was "
                "written; next: cast them in the model"
            )

    def _take_over(self, table: str, sql: str, folder: Path) -> None:
        self._spark.run(sql).write.parquet(str(folder))
        files = quoted(f"{folder}/*.parquet")
        self._cursor().execute(f"create or replace temporary table {table} as (from read_parquet({files}))")

    def _columns(self, relation: str) -> dict[str, str]:
        return {name: kind for name, kind, *_ in self._cursor().execute(f"describe from {relation}").fetchall()}

    def _views(self, connection: DuckDBPyConnection) -> LakeViews:
        target = get_adapter_by_type("duckdb").config.target_name  # type: ignore[no-untyped-call]  # dbt has no types
        if target != SPARK:
            raise DbtRuntimeError(f"found Spark's plugin in target {target}, expected it in target {SPARK} alone")
        return SparkViews(connection, self._spark)

    def _reader(self, cursor: DuckDBPyConnection) -> Any:
        return Reader(self._spark, cursor)


def _differences(name: str, sql: str, cursor: DuckDBPyConnection, *, has_fractions: bool) -> list[str]:
    """What of a test is not for Spark."""
    try:
        return engine_differences(name, sql, cursor, has_fractions=has_fractions)
    except ConfigurationError as error:  # no select that DuckDB's parser can show: DuckDB may run it all the same
        return [str(error)]
