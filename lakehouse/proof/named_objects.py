"""The objects that rows of files name, against the object store: there, of that size, and (deep) those very bytes.

Called by `lakehouse.proof.verification`.
"""

import hashlib
from collections.abc import Callable, Iterator

import pyarrow.compute as pc
from pyiceberg.table import Table

from lakehouse.contracts.model import Contract
from lakehouse.kinds import OBJECT_COLUMN
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import Window
from lakehouse.proof.partition_comparison import Finding
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.filters import ALWAYS, day_filter
from lakehouse.tables.objects import object_path, open_store
from lakehouse.tables.stored_files import list_files

Named = dict[tuple[str, int | None], str]
"""Path and size of each object that rows name → the latest day that does, which is the one to load again."""

_CHUNK_BYTES = 1 << 20


def object_findings(asset: str, named: Named, settings: LakehouseSettings) -> Iterator[Finding]:
    """Objects that are gone, or of another size than a row says."""
    fs, root = open_store(settings)
    sizes = {file.path.rpartition("/")[2]: file.size_bytes for file in list_files(fs, f"{root}/objects")}
    for (path, size_bytes), day in sorted(named.items(), key=lambda each: (each[0][0], each[0][1] or 0)):
        size, expected = sizes.get(path.rpartition("/")[2]), f"{size_bytes or 'its'} bytes"
        if size is None:
            step = f"omni run --partition {day}, which stores it again"
            yield Finding("object_gone", asset, day, f"no object {path}", expected, step)
        elif size_bytes is not None and size != size_bytes:
            yield Finding("object_differs", asset, day, f"object {path} of {size} bytes", expected, _remove(day))


def hashed_object_findings(asset: str, named: Named, settings: LakehouseSettings) -> Iterator[Finding]:
    """Objects whose bytes are not those that their names say; of those that are gone nothing is said here."""
    fs, root = open_store(settings)
    for path, day in {path: day for (path, _), day in sorted(named.items(), key=lambda each: each[0][0])}.items():
        digest = hashlib.sha256()
        try:
            with fs.open(f"{root}/{path}", "rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
        except FileNotFoundError:
            continue
        if (found := digest.hexdigest()) != path.rpartition("/")[2]:
            found = f"object {path} with SHA-256 {found}"
            yield Finding("object_differs", asset, day, found, "the bytes that its name says", _remove(day))


def _remove(day: str) -> str:
    return f"remove the object, then: omni run --partition {day}"


def named_objects(
    table: Table, contract: Contract, ledger: Ledger, window: Window | None, is_asked: Callable[[str], bool]
) -> Named:
    """The objects that the rows of some days name.

    A row has the size of its own file. That of a sidecar knows the ledger, or a row whose own file has the same bytes;
    None where neither does.
    """
    asset = contract.declared_asset
    columns = [column for column in contract.object_columns if column in table.schema().column_names]
    asked = day_filter(table, window) if window else ALWAYS
    rows = table.scan(asked, selected_fields=(*columns, "size_bytes", asset.time)).to_arrow()
    records = ledger.known_files(asset.name).values()
    sizes = {object_path(each.sha256): each.size_bytes for record in records for each in record.sidecars.values()}
    named: Named = {}
    for column in columns:  # the row's own file first
        found = rows.filter(pc.is_valid(rows[column])).group_by([column, "size_bytes", asset.time]).aggregate([])
        for row in found.to_pylist():
            path, day = row[column], str(row[asset.time])
            if column == OBJECT_COLUMN:
                sizes.setdefault(path, row["size_bytes"])
            size_bytes = row["size_bytes"] if column == OBJECT_COLUMN else sizes.get(path)
            if is_asked(day):
                named[path, size_bytes] = max(day, named.get((path, size_bytes), ""))
    return named
