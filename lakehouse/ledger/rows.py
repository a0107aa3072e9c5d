"""The ledger's values as rows of its tables, and back. Called by `lakehouse.ledger.ledger` alone.

Rows are read by position: verdicts and loads are computed from tens of thousands of them.
"""

from dataclasses import fields
from typing import Any

from lakehouse.ledger import schema as t
from lakehouse.ledger.evidence import CheckResult, Coverage, Materialization, RowCounts, Sidecar, SourceFileRecord

_COUNTS = tuple(field.name for field in fields(RowCounts))
_FIELDS = [field.name for field in fields(Materialization)]
_ROWS = _FIELDS.index("rows")
_LISTS = ("batch_ids", "manifest_ids", "manifest_hashes", "source_files")
_LISTS_AT = [_FIELDS.index(name) for name in _LISTS]
_FORCED, _READ = _FIELDS.index("is_forced"), _FIELDS.index("read_snapshots")
_COLUMNS = [*_FIELDS[:_ROWS], *(f"rows_{name}" for name in _COUNTS), *_FIELDS[_ROWS + 1 :]]
MATERIALIZATION = [t.materializations.c[name] for name in _COLUMNS]
"""Columns in the order of the fields of `Materialization`, those of `RowCounts` in the place of `rows`."""
_CHECK_COLUMNS = {field.name: "check_name" if field.name == "check" else field.name for field in fields(CheckResult)}
CHECK = [t.checks.c[column] for column in _CHECK_COLUMNS.values()]
"""Columns in the order of the fields of `CheckResult`."""
SOURCE_FILE = [t.source_files.c[field.name] for field in fields(SourceFileRecord)]
COVERAGE = [t.coverage.c[field.name] for field in fields(Coverage)]


def materialization_row(item: Materialization) -> dict[str, Any]:
    """What is inserted; the database gives the id."""
    counts = {f"rows_{name}": getattr(item.rows, name) for name in _COUNTS}
    lists = {name: list(getattr(item, name)) for name in _LISTS}
    # Snapshot ids as texts, here as in all JSON: JavaScript's numbers do not hold 64 bits.
    read = {"read_snapshots": {name: str(at) for name, at in item.read_snapshots.items()}}
    return {name: getattr(item, name) for name in _FIELDS if name not in ("id", "rows")} | counts | lists | read


def read_materialization(row: Any) -> Materialization:
    """A row of the columns `MATERIALIZATION`."""
    counted = slice(_ROWS, _ROWS + len(_COUNTS))
    values = list(row)
    values[counted] = [RowCounts(*values[counted])]
    for at in _LISTS_AT:
        values[at] = tuple(values[at])
    values[_READ] = {name: int(at) for name, at in (values[_READ] or {}).items()}  # null in rows of earlier versions
    values[_FORCED] = bool(values[_FORCED])
    return Materialization(*values)


def read_source_file(row: Any) -> SourceFileRecord:
    """A row of the columns `SOURCE_FILE`."""
    values = list(row)
    values[-1] = {name: Sidecar(*each) for name, each in (values[-1] or {}).items()}  # null in rows of earlier versions
    return SourceFileRecord(*values)


def check_row(result: CheckResult) -> dict[str, Any]:
    """What is inserted."""
    return {column: getattr(result, name) for name, column in _CHECK_COLUMNS.items()}
