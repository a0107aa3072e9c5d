"""Development beside production: dbt's target `dev` reads the lake and writes to namespaces and a ledger of its own.

dbt calls the tables as in production: what was built in development stands in their place, for this target alone. No
verdict, run, graph or production build looks at these namespaces or at this ledger. Called by `lakehouse.dbt.plugin`.
"""

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError

from lakehouse.builds.build import Builder
from lakehouse.builds.model import Model
from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.namespaces import GOLD, SILVER
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import list_tables
from lakehouse.tables.objects import open_store


class DevelopmentLedger(Ledger):
    """Records what is built in development; of what is not, it reads production's record."""

    def __init__(self, own: Ledger, production: Ledger) -> None:
        """Lay one ledger over the other."""
        super().__init__(own.engine)
        self._production = production

    def assets(self) -> set[str]:
        """Those that were built in development."""
        return {asset for asset, _ in super().current_materializations()}

    def current_materializations(self, assets: Iterable[str] | None = None) -> dict[tuple[str, str], Materialization]:
        """Of an asset, those of development alone, or, where there are none, those of production."""
        wanted = None if assets is None else list(assets)
        own, built = super().current_materializations(wanted), self.assets()
        read = self._production.current_materializations(wanted)
        return {key: item for key, item in read.items() if key[0] not in built} | own


class Development:
    """The tables and the record of one name (`OMNI_DEV_NAMESPACE`)."""

    def __init__(self, settings: LakehouseSettings, catalog: Catalog, production: Ledger) -> None:
        """Open the ledger of development, creating it on first use."""
        name = settings.dev_name
        self.layers = {f"dev_{name}_{layer}": layer for layer in (SILVER, GOLD)}
        """Namespace of development → the one of production that it stands in for."""
        self._catalog, self._folder = catalog, settings.home / "dev" / name
        self._settings = settings
        self.ledger = DevelopmentLedger(open_ledger(_with_ledger(settings, self._folder)), production)

    def moved(self, model: Model, builder: Builder) -> Model:
        """The model with its table in development; from its first build on, nothing of production is said of it."""
        if model.name not in self.ledger.assets():
            builder.forget(model.name)
        return replace(model, namespace={layer: own for own, layer in self.layers.items()}[model.namespace])

    def own(self, materializations: dict[tuple[str, str], Materialization]) -> dict[tuple[str, str], Materialization]:
        """Those of assets that were built in development: a test of production's rows is no result here."""
        built = self.ledger.assets()
        return {key: item for key, item in materializations.items() if key[0] in built}

    def drop(self) -> list[str]:
        """Remove the tables with their files, and the ledger; the identifiers of what was removed."""
        tables = [table for namespace in self.layers for table in list_tables(self._catalog, namespace)]
        for table in tables:
            self._catalog.purge_table(table)
        for namespace in self.layers:
            with contextlib.suppress(NoSuchNamespaceError):
                self._catalog.drop_namespace(namespace)
            # Purging leaves the marks of commits, and folders.
            store, root = open_store(self._settings)
            store.invalidate_cache()
            with contextlib.suppress(FileNotFoundError):
                store.rm(f"{root}/{namespace}", recursive=True)
        self.ledger.engine.dispose()
        shutil.rmtree(self._folder)
        return tables


def _with_ledger(settings: LakehouseSettings, folder: Path) -> LakehouseSettings:
    return settings.model_copy(update={"ledger_uri": SecretStr(f"sqlite:///{folder / 'ledger.db'}")})
