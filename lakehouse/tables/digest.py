"""One hash of the content of an asset or of one of its partitions.

Independent of the order of the rows, of the files they lie in, and of the run that wrote them: two lakehouses that
hold the same content have the same digest. Rows that stand twice count twice.
"""

import hashlib

import duckdb
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from lakehouse.errors import OmniError
from lakehouse.namespaces import NAMESPACES, QUARANTINE
from lakehouse.partitions import WHOLE, Window, parse_day
from lakehouse.tables.bronze import RUN_COLUMNS
from lakehouse.tables.catalog import load_table_if_exists
from lakehouse.tables.duck import load_iceberg_extension, quoted, scan_sql
from lakehouse.tables.filters import time_column

_LANES = 4


class UnknownTable(OmniError):
    """No table of that name exists."""


def find_table(catalog: Catalog, asset: str) -> Table:
    """The table of an asset.

    Raises:
        UnknownTable: it was never written, or the name is wrong.
    """
    for namespace in NAMESPACES:
        table = load_table_if_exists(catalog, f"{namespace}.{asset}")
        if table is not None:
            return table
    raise UnknownTable(
        f"asset {asset!r}: no such table in bronze, silver or gold; next: `omni status` lists what exists"
    )


def content_digest(table: Table, partition: str = WHOLE) -> tuple[str, int]:
    """Hash the rows of a table, or of one of its day partitions.

    Returns:
        The digest (hexadecimal) and the number of rows.
    """
    with duckdb.connect() as connection:
        load_iceberg_extension(connection, table.io.properties)
        columns = sorted(set(table.schema().column_names) - set(RUN_COLUMNS) - _nested(table))
        row = ", ".join(f'{quoted(name)}: "{name}"' for name in columns)
        # SHA-256 per row, added up in 64-bit lanes: the sum does not depend on the order and keeps duplicates apart.
        lanes = ", ".join(
            f"coalesce(sum(('0x' || substr(h, {16 * lane + 1}, 16))::ubigint::hugeint), 0)" for lane in range(_LANES)
        )
        rows = f"select sha256(to_json({{{row}}})) as h from {scan_sql(table)}{_where(table, partition)}"
        sql = f"select count(*), {lanes} from ({rows})"
        found = connection.execute(sql).fetchone()
    assert found is not None  # an aggregate always returns a row
    return hashlib.sha256(":".join(map(str, (*columns, *found))).encode()).hexdigest(), found[0]


def _nested(table: Table) -> set[str]:
    """Names that pyiceberg lists beside the columns: the elements of lists."""
    return {name for name in table.schema().column_names if "." in name}


def _where(table: Table, partition: str) -> str:
    if table.name()[-1] == QUARANTINE:  # what was released is history, and differs between lakehouses
        day = "" if partition == WHOLE else f" and partition = {quoted(parse_day(partition).isoformat())}"
        return f" where released_at is null{day}"
    if partition == WHOLE:
        return ""
    column = time_column(table)
    if column is None:
        raise UnknownTable(f"{table.name()[-1]} is not partitioned by day; next: ask without --partition")
    window = Window.of_day(parse_day(partition))
    return f" where \"{column}\" >= timestamptz '{window.start_at}' and \"{column}\" < timestamptz '{window.end_at}'"
