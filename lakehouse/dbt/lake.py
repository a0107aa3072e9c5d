"""The lake as one target of dbt's sees it: what it reads, where it writes, where it records.

`lakehouse.dbt.plugin` opens one per target; dbt's own part, the computing, stays there.
"""

from collections.abc import Callable, Mapping

from duckdb import DuckDBPyConnection
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from lakehouse.builds.build import Builder
from lakehouse.builds.chunks import Chunk
from lakehouse.builds.model import Model
from lakehouse.builds.staging import Staging
from lakehouse.dbt.development import Development
from lakehouse.dbt.doors.ways_in import DEVELOPMENT
from lakehouse.dbt.lake_views import LakeViews
from lakehouse.dbt.results import Tests, record_results
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import NAMESPACES
from lakehouse.settings import LakehouseSettings


class Lake:
    """Production, or development beside it."""

    def __init__(
        self, target: str, settings: LakehouseSettings, catalog: Catalog, ledger: Ledger, views: LakeViews
    ) -> None:
        """Open it, with nothing pinned."""
        self.target, self.views = target, views
        self._development = Development(settings, catalog, ledger) if target == DEVELOPMENT else None
        self._ledger = self._development.ledger if self._development else ledger
        layers: Mapping[str, str] = self._development.layers if self._development else {}

        def show(table: Table) -> None:
            namespace = table.name()[-2]
            self.views.show(table, layers.get(namespace, namespace))

        self.builder = Builder(settings, catalog, self._ledger, show, (*NAMESPACES, *layers))

    def build(self, model: Model, compute: Callable[[Staging, Chunk], None]) -> None:
        """Replace the window of a model's table by what is computed, and record it."""
        self.builder.build(self._development.moved(model, self.builder) if self._development else model, compute)

    def record(self, cursor: DuckDBPyConnection, tests: Tests) -> None:
        """Record the results of the invocation's tests, for what it read or wrote here.

        Not for what someone else wrote meanwhile: should that be undone, they would speak for rows that no test saw.
        """
        items = self.builder.own
        items = self._development.own(items) if self._development else items
        record_results(cursor, self._ledger, items, self.builder.run_id, tests)

    def drop(self) -> list[str]:
        """Remove what was built in development; the identifiers of its tables.

        Raises:
            ConfigurationError: this is production.
        """
        if self._development is None:
            raise ConfigurationError(
                f"found target {self.target}, whose tables are production; expected --target {DEVELOPMENT}; nothing "
                f"was dropped; next: dbt run-operation drop_development --target {DEVELOPMENT}"
            )
        return self._development.drop()
