"""What a recovery would do: which databases are moved aside, which metadata the catalog is to name, what is left.

Reads only. The same plan is what `omni recover --dry-run` prints and what `lakehouse.recovery.recover` carries out.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, inspect

from lakehouse.builds.commit_evidence import unrecorded_snapshots
from lakehouse.database.commit_marks import Warehouse
from lakehouse.database.engines import sqlite_file
from lakehouse.database.lost_catalog import open_what_is_there, refuse_another_place, versions_to_look_at
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import Ledger
from lakehouse.ledger.schema import batches, materializations
from lakehouse.recovery.metadata_files import open_table
from lakehouse.recovery.sqlite_files import Removal, database_problem, removal_of
from lakehouse.recovery.tables import TableRecovery, tables_to_recover
from lakehouse.settings import LakehouseSettings


@dataclass(frozen=True)
class RecoveryPlan:
    """What there is to recover."""

    removals: tuple[Removal, ...]
    tables: tuple[TableRecovery, ...]
    is_ledger_lost: bool
    """Whether the ledger knows of no manifest, though there are tables."""
    unrecorded: int
    """Commits that the tables hold and the ledger does not."""
    is_unfinished: bool
    """Whether an earlier recovery did not end."""

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to do."""
        lost = self.removals or self.tables or self.is_ledger_lost or self.unrecorded
        return bool(lost) or self.is_unfinished

    @property
    def needs_a_look(self) -> bool:
        """Whether a table cannot be brought back whole."""
        return any(table.problems for table in self.tables)

    @property
    def lines(self) -> list[str]:
        """The plan, for a person."""
        found = [f"{each.file}: {each.problem}; moved to {each.aside.name}" for each in self.removals]
        if self.is_unfinished:
            found.append("a recovery was begun and has not ended: it is done again")
        found += [line for table in self.tables for line in table.lines]
        if self.is_ledger_lost:
            found.append("ledger: lost; what the tables' snapshots say is recorded, manifests are looked at again")
        elif self.unrecorded:
            found.append(f"ledger: {self.unrecorded} commits of the tables are not in it, and are recorded")
        return found


def plan_recovery(settings: LakehouseSettings, now: datetime) -> RecoveryPlan:
    """Compare what the databases say with what the warehouse holds.

    Args:
        settings: Where they are.
        now: The clock (UTC): what is moved aside is named by it.

    Raises:
        ConfigurationError: the catalog is a REST server's, a database cannot be opened, or the tables are of
            another place.
    """
    if settings.catalog_type != "sql":
        raise ConfigurationError("a REST catalog is brought back by its server, from a copy; next: that, then omni run")
    files = {file for url in (settings.catalog_url, settings.ledger_url) if (file := sqlite_file(url))}
    problems = {file: problem for file in sorted(files) if (problem := database_problem(file))}
    versions = versions_to_look_at(settings, problems)
    refuse_another_place(settings, {each: version.current for each, version in versions.items()})
    tables = tuple(tables_to_recover(settings, versions))
    refuse_another_place(settings, {each.seen.identifier: each.file.table.location() for each in tables if each.file})
    ledger = _filled_ledger(open_what_is_there(settings.ledger_url, problems))
    current = {identifier: version.current for identifier, version in versions.items() if version.current}
    current |= {each.seen.identifier: each.file.location for each in tables if each.file}
    return RecoveryPlan(
        removals=tuple(removal_of(file, problem, now) for file, problem in problems.items()),
        tables=tables,
        is_ledger_lost=ledger is None and bool(current),
        unrecorded=_unrecorded(settings, current, ledger) if ledger else 0,
        is_unfinished=Warehouse(settings).is_recovering,
    )


def _filled_ledger(engine: Engine | None) -> Ledger | None:
    if engine is None or not {batches.name, materializations.name} <= set(inspect(engine).get_table_names()):
        return None
    ledger = Ledger(engine)
    return ledger if ledger.has_admissions() else None


def _unrecorded(settings: LakehouseSettings, current: Mapping[str, str], ledger: Ledger) -> int:
    count, properties = 0, settings.plain_catalog_properties
    for identifier, location in current.items():
        with suppress(OSError):  # a table that cannot be read tells nothing
            count += len(unrecorded_snapshots(open_table(identifier, location, properties), ledger))
    return count
