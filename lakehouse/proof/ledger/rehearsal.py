"""A copy of the ledger to do things in again, so that what comes of them can be compared and nothing is recorded.

Called by `orchestration.runs.proof`.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Table, insert, select

from lakehouse.database.engines import open_engine
from lakehouse.database.versions import adopt_version, left_versions
from lakehouse.ledger import schema as t
from lakehouse.ledger.ledger import Ledger

_BATCH_ROWS = 5_000


def rehearsal(ledger: Ledger, file: Path, without: Collection[Table] = ()) -> Ledger:
    """A copy of a ledger over the same catalog, in a SQLite file that is not there yet.

    Args:
        ledger: The record; it is only read.
        file: Where the copy goes.
        without: Tables that stay empty.
    """
    engine = open_engine(SecretStr(ledger_url(file)))
    t.metadata.create_all(engine)
    with ledger.engine.connect() as source, engine.begin() as target:
        for table in (each for each in t.metadata.sorted_tables if each not in without):
            found = source.execute(select(table).execution_options(yield_per=_BATCH_ROWS)).mappings()
            for rows in found.partitions():
                target.execute(insert(table), [dict(row) for row in rows])
    for version in left_versions(ledger.engine).values():
        adopt_version(engine, replace(version, is_known=False, current=version.left))
    return Ledger(engine, ledger.catalog_engine, ledger.asked)


def ledger_url(file: Path) -> str:
    """SQLAlchemy URL of a copy."""
    return f"sqlite:///{file}"
