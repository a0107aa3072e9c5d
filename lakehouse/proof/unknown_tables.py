"""Folders of tables in the warehouse that the catalog does not name: what a lost or older database leaves behind.

Where commits are marked, such a catalog is not opened at all (`lakehouse.database.lost_catalog`). Called by
`lakehouse.proof.verification`.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress

from lakehouse.namespaces import NAMESPACES
from lakehouse.partitions import WHOLE
from lakehouse.proof.partition_comparison import Finding
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.objects import open_store
from lakehouse.tables.stored_files import list_files

_STEP = (
    "omni recover --dry-run, which says what the warehouse holds; or move the folder away, if the table was dropped on "
    "purpose"
)


def unknown_tables(settings: LakehouseSettings, known: Collection[str], asked: str | None) -> Iterator[Finding]:
    """Tables of our layers that are stored and that neither the catalog nor the ledger (`known`: names) knows."""
    fs, root = open_store(settings)
    fs.invalidate_cache()
    for namespace in NAMESPACES:
        folders: list[str] = []
        with suppress(FileNotFoundError):  # of a layer that nothing was ever built in
            folders = sorted(fs.ls(f"{root}/{namespace}", detail=False))
        for folder in folders:
            name = folder.rstrip("/").rpartition("/")[2]
            if name in known or asked not in (None, name):
                continue
            files = [each.path for each in list_files(fs, f"{folder}/metadata") if each.path.endswith(".metadata.json")]
            if files:
                found = f"{folder} with {len(files)} metadata files"
                yield Finding("table_unknown", name, WHOLE, found, "a table that the catalog names", _STEP)
