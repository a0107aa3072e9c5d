"""Which metadata we left of each table, and which the catalog names: a query of its database, or a question to it.

A SQL catalog is read without Iceberg; together with what we left, where both lie in one database. A REST catalog is
asked through pyiceberg, which is opened for that alone: who reads a ledger beside a database needs none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Protocol

from sqlalchemy import Engine

from lakehouse.database.versions import TableVersion, adopt_version, compare_versions, current_locations, read_versions
from lakehouse.settings import LakehouseSettings


@dataclass(frozen=True)
class AskedCatalog:
    """A catalog that is no database."""

    settings: LakehouseSettings

    @property
    def is_asked_by_verdicts(self) -> bool:
        """Whether each verdict asks, or goes by what the last run or `omni verify` found."""
        return self.settings.verdicts_ask_catalog

    def versions(self) -> dict[str, TableVersion]:
        """Ask for all tables.

        Raises:
            ConfigurationError: it does not answer.
        """
        found: dict[str, TableVersion] = import_module("lakehouse.tables.catalog").ask_versions(self.settings)
        return found


class _Ledger(Protocol):
    engine: Engine
    catalog_engine: Engine | None
    asked: AskedCatalog | None


def catalog_versions(ledger: _Ledger) -> Mapping[str, TableVersion] | None:
    """By identifier; None where there is no catalog (yet).

    Raises:
        ConfigurationError: a REST catalog does not answer.
    """
    if (catalog := ledger.catalog_engine) is ledger.engine:
        return read_versions(ledger.engine)
    if catalog is not None:
        return compare_versions(ledger.engine, partial(current_locations, catalog))
    return ledger.asked.versions() if ledger.asked else None


def versions_for_verdicts(ledger: _Ledger) -> Mapping[str, TableVersion] | None:
    """The same; None, too, where the settings say that verdicts do not ask."""
    if ledger.asked and not ledger.asked.is_asked_by_verdicts:
        return None
    return catalog_versions(ledger)


def take_for_ours(ledger: _Ledger, seen: TableVersion) -> bool:
    """Take what the catalog named when it was looked at for ours; False where another process was faster."""
    return adopt_version(ledger.engine, seen)
