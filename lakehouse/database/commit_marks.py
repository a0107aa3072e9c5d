"""The last commit to each table, marked beside its metadata: what tells a catalog that is older than its warehouse.

A catalog's database that was emptied, or brought back from a copy, knows nothing of the commits since; a file in the
table's own folder does. It names the metadata file, and is written after the commit has landed, so that it never speaks
of one that has not. Read wherever catalog or ledger are opened (`lakehouse.database.lost_catalog`).
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from lakehouse.namespaces import NAMESPACES
from lakehouse.settings import LakehouseSettings

_MARK = "metadata/committed"
_RECOVERING = "recovering"


def number_of(metadata_file: str) -> int:
    """Number of a metadata file, by its name or location: one more than that of the file it followed; else -1."""
    found = re.match(r"(\d+)-", metadata_file.rpartition("/")[2])
    return int(found[1]) if found else -1


def mark_location(table_location: str) -> str:
    """Where the mark of a table is."""
    return f"{table_location}/{_MARK}"


class Warehouse:
    """The marks of a warehouse, and whether a recovery of it is under way. A local folder is read without fsspec."""

    def __init__(self, settings: LakehouseSettings) -> None:
        """Name the warehouse of the settings; nothing is read."""
        self._settings, self._is_local = settings, settings.warehouse_url.startswith("file://")

    def marks(self) -> dict[str, str]:
        """Name of the metadata file that was committed last, by `namespace.table`; of those that have a mark."""
        tables = [f"{namespace}/{table}" for namespace in NAMESPACES for table in self.folders(namespace)]
        found = zip(tables, self._read_each([f"{table}/{_MARK}" for table in tables]), strict=True)
        return {table.replace("/", "."): name for table, name in found if name}

    @property
    def is_recovering(self) -> bool:
        """Whether a recovery was begun and has not ended."""
        return self._read(_RECOVERING) is not None

    def begin_recovery(self) -> None:
        """Let nobody else open catalog or ledger until it has ended."""
        self._write(_RECOVERING, "next: omni recover\n")

    def end_recovery(self) -> None:
        """Let everybody in."""
        if self._is_local:
            (self._folder / _RECOVERING).unlink(missing_ok=True)
        elif self.is_recovering:
            fs, root = self._store
            fs.rm_file(f"{root}/{_RECOVERING}")

    def folders(self, path: str) -> list[str]:
        """Names of what lies in a folder, in order; none where there is no such folder."""
        try:
            if self._is_local:
                return sorted(each.name for each in (self._folder / path).iterdir())
            fs, root = self._store
            fs.invalidate_cache()
            return sorted(str(each).rstrip("/").rpartition("/")[2] for each in fs.ls(f"{root}/{path}", detail=False))
        except (FileNotFoundError, NotADirectoryError):
            return []

    @property
    def _folder(self) -> Path:
        return Path(self._settings.warehouse_url.removeprefix("file://"))

    @property
    def _store(self) -> tuple[Any, str]:
        """File system of a store that is no folder, and the path in it; opened with Iceberg's means for that alone."""
        opened: tuple[Any, str] = import_module("lakehouse.tables.objects").open_store(self._settings)
        return opened

    def _read(self, path: str) -> str | None:
        return self._read_each([path])[0]

    def _read_each(self, paths: list[str]) -> list[str | None]:
        """The texts of some files, in order; None where there is no such file. Of a store all are asked for at once."""
        if self._is_local:
            return [self._read_local(path) for path in paths]
        fs, root = self._store
        # From the first byte on: else each is asked for its size before.
        found = fs.cat([f"{root}/{path}" for path in paths], on_error="return", start=0) if paths else {}
        return [_text(found[f"{root}/{path}"]) for path in paths]

    def _read_local(self, path: str) -> str | None:
        try:
            return (self._folder / path).read_text("utf-8", errors="replace").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _write(self, path: str, text: str) -> None:
        if self._is_local:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / path).write_text(text, "utf-8")
        else:
            fs, root = self._store
            fs.pipe_file(f"{root}/{path}", text.encode())


def _text(found: bytes | Exception) -> str | None:
    """What a store has found, as text; None where there is nothing. That it does not say is an error, not nothing."""
    if isinstance(found, FileNotFoundError):
        return None
    if isinstance(found, Exception):
        raise found
    return found.decode(errors="replace").strip()
