"""A catalog that has lost what its warehouse holds: gone, emptied, set back to an older copy, or elsewhere.

Whoever opens catalog or ledger is refused then: a new catalog would call everything missing and load it again beside
what is there, and an older one would call ready what has been replaced since. `omni recover` mends it. A lakehouse that
was copied or moved names the files of the first one, reads them and would write there: nothing mends that.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Engine

from lakehouse.database.commit_marks import Warehouse, number_of
from lakehouse.database.engines import database_url, open_engine, open_to_look, sqlite_file
from lakehouse.database.versions import TableVersion, current_locations, joined_versions, left_versions, read_versions
from lakehouse.errors import ConfigurationError
from lakehouse.namespaces import BRONZE
from lakehouse.settings import LakehouseSettings

NEXT_STEP = "next: omni recover --dry-run, which says what the warehouse still holds"


@dataclass(frozen=True, slots=True)
class LostCommit:
    """A commit that the warehouse knows of and the catalog does not."""

    identifier: str
    committed: str
    """Name of the metadata file that was committed last."""
    named: str | None
    """Location that the catalog names; None where it does not know the table."""

    def __str__(self) -> str:
        """What is lost, for a person."""
        there = "does not know the table" if self.named is None else f"names {self.named.rpartition('/')[2]}"
        return f"{self.identifier} was committed as {self.committed}, and the catalog {there}"


def versions_to_look_at(settings: LakehouseSettings, broken: Collection[Path] = ()) -> dict[str, TableVersion]:
    """What a SQL catalog names, and what we left, by identifier; nothing is written, and no database made.

    Args:
        settings: Where catalog and ledger are.
        broken: Files that are no sound databases.
    """
    catalog = open_what_is_there(settings.catalog_url, broken)
    if settings.is_ledger_in_catalog:
        return (read_versions(catalog) if catalog else None) or {}
    current = (current_locations(catalog) if catalog else None) or {}
    # Of a catalog that names nothing, nobody has dropped all: it was lost, and the ledger with its rows was not.
    ledger = open_what_is_there(settings.ledger_url, broken) if current else None
    found = left_versions(ledger) if ledger else {}
    return joined_versions(found, current) or {}


def open_what_is_there(url: SecretStr, broken: Collection[Path] = ()) -> Engine | None:
    """A database to look at; None where there is none, or no sound one."""
    if (file := sqlite_file(url)) is None:
        return open_engine(url)
    return open_to_look(file) if file.exists() and file not in broken else None


def lost_commits(marks: Mapping[str, str], versions: Mapping[str, TableVersion]) -> list[LostCommit]:
    """Commits that are marked and that the catalog knows nothing of.

    A table that someone else wrote, took back or dropped is none of these: the metadata that we left of it, or those
    that the catalog names, are the ones that were committed last, or follow them.
    """
    return [
        LostCommit(identifier, name, version.current if (version := versions.get(identifier)) else None)
        for identifier, name in marks.items()
        if not _is_known(name, versions.get(identifier))
    ]


def _is_known(committed: str, version: TableVersion | None) -> bool:
    if version is None:
        return False
    named = [location.rpartition("/")[2] for location in (version.left, version.current) if location]
    is_dropped = version.is_known and version.current is None
    return is_dropped or committed in named or any(number_of(name) > number_of(committed) for name in named)


def refuse_lost_catalog(settings: LakehouseSettings) -> None:
    """Refuse to open a catalog that does not know what its warehouse holds, or the ledger beside it.

    A REST catalog is its server's to keep.

    Raises:
        ConfigurationError: its file is gone, it is older than the warehouse, or a recovery has not ended.
    """
    if settings.catalog_type != "sql":
        return
    warehouse, file = Warehouse(settings), sqlite_file(settings.catalog_url)
    if warehouse.is_recovering:
        raise ConfigurationError(
            f"a recovery of {settings.warehouse_url} was begun and has not ended; next: wait for it, or omni recover"
        )
    if file and not file.exists():
        if not warehouse.folders(BRONZE):
            return
        raise ConfigurationError(f"no catalog at {file}, though {settings.warehouse_url} holds tables; {NEXT_STEP}")
    # The marks first: what is committed meanwhile is newer than they are.
    marks, versions = warehouse.marks(), versions_to_look_at(settings)
    refuse_another_place(settings, {each: version.current for each, version in versions.items()})
    if lost := lost_commits(marks, versions):
        shown = database_url(settings.catalog_url).render_as_string(hide_password=True)
        raise ConfigurationError(f"{shown} is older than its warehouse: {lost[0]}; {NEXT_STEP}")


def refuse_another_place(settings: LakehouseSettings, locations: Mapping[str, str | None]) -> None:
    """Refuse tables that lie in another folder than the warehouse: those of the lakehouse that this is a copy of.

    Args:
        settings: Where the warehouse is; one in a store is not looked at, since it has one name from everywhere.
        locations: Of each table, or of a file of it.

    Raises:
        ConfigurationError: a table lies elsewhere.
    """
    if not settings.warehouse_url.startswith("file:"):
        return
    root = settings.warehouse_url.rstrip("/")
    for identifier, location in locations.items():
        if location and not location.startswith(f"{root}/") and _folder(root) not in _folder(location).parents:
            raise ConfigurationError(
                f"{identifier} lies in {location.removeprefix('file://')}, expected: under {_folder(root)}; tables "
                "name their files by their whole path, so a lakehouse stays where it was made; next: bring it back "
                "to that place, or set OMNI_HOME (OMNI_WAREHOUSE) to it; to try something: an empty OMNI_HOME, omni run"
            )


def _folder(location: str) -> Path:
    """Of a local file or folder, links followed; libraries write `file:/a` or `file:///a`. Else no folder."""
    return Path(f"/{location.removeprefix('file:').lstrip('/')}" if location.startswith("file:") else "/").resolve()
