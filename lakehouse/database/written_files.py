"""What each file of a table weighs and hashes to, as a commit of ours wrote it: so `omni verify` tells a changed byte.

Recorded in the transaction that moves the table's row (`lakehouse.database.versions`), the table's metadata included.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Engine, String, Table, delete, insert, select

from lakehouse.database.versions import create_rows, metadata

_FILES = Table(
    "omni_files",
    metadata,
    Column("location", String(1000), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    comment="One row per file of a table that a commit of ours wrote: data, manifests, manifest lists, metadata.",
)

FILES = "omni.files"
"""Snapshot property: the data files of a commit, each with its size and SHA-256, as JSON."""

_MOST_FILES = 10_000
"""In one statement."""


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file of a table, as it was when we wrote it."""

    location: str
    size_bytes: int
    sha256: str


def named_files(folder: str, summary: Mapping[str, str]) -> list[WrittenFile]:
    """Data files below a table's location that the summary of a snapshot names."""
    named = json.loads(summary.get(FILES, "{}"))
    return [WrittenFile(f"{folder}/{name}", told["size_bytes"], told["sha256"]) for name, told in named.items()]


def known_files(connection: Connection, locations: Sequence[str]) -> set[str]:
    """Those of some files that are recorded."""
    of, found = _FILES.c.location, set[str]()
    for start in range(0, len(locations), _MOST_FILES):
        found.update(connection.execute(select(of).where(of.in_(locations[start : start + _MOST_FILES]))).scalars())
    return found


def record_files(connection: Connection, files: Iterable[WrittenFile]) -> None:
    """Record files that are not recorded."""
    found = {file.location: {name: getattr(file, name) for name in WrittenFile.__slots__} for file in files}
    known = known_files(connection, list(found))
    if rows := [row for location, row in found.items() if location not in known]:
        connection.execute(insert(_FILES), rows)


def recorded_files(engine: Engine, folder: str) -> Mapping[str, WrittenFile]:
    """What is recorded of the files below a location, by their locations."""
    create_rows(engine)
    with engine.connect() as connection:
        rows: Sequence[Any] = connection.execute(
            select(_FILES).where(_FILES.c.location.startswith(f"{folder}/", autoescape=True))
        ).all()
    return {location: WrittenFile(location, size_bytes, sha256) for location, size_bytes, sha256 in rows}


def forget_files(engine: Engine, locations: Sequence[str]) -> None:
    """Drop the record of files that were removed."""
    with engine.begin() as connection:
        for start in range(0, len(locations), _MOST_FILES):
            some = locations[start : start + _MOST_FILES]
            connection.execute(delete(_FILES).where(_FILES.c.location.in_(some)))
