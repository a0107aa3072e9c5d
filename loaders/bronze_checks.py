"""Checks of a Bronze partition, run by the load job after its commits and recorded in the ledger.

conservation (error): rows read = loaded + deduplicated + quarantined, rows read = rows expected by coverage, and the
tables hold exactly the rows that the ledger says. Counted from the tables' metadata, no data is read.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from pyiceberg.catalog import Catalog

from lakehouse.assets import QUARANTINE
from lakehouse.catalog import load_table_if_exists
from lakehouse.evidence import CheckResult, Materialization
from lakehouse.ledger import Ledger
from lakehouse.partitions import Window
from lakehouse.tables import partition_filter

CONSERVATION = "conservation"


def check_partitions(
    catalog: Catalog, ledger: Ledger, asset: str, partitions: Iterable[str], run_id: str
) -> list[CheckResult]:
    """Check the current materialization of some partitions and record the results."""
    keys = sorted(partitions)
    if not keys:
        return []
    window = Window.of_keys(keys[0], keys[-1])
    loaded = _count_rows(catalog, asset, asset, window)
    held = _count_rows(catalog, QUARANTINE, asset, window)
    current = ledger.current_materializations([asset])
    results = [
        _conservation(current[asset, key], loaded[key], held[key], run_id) for key in keys if (asset, key) in current
    ]
    ledger.record_checks(results)
    return results


def _conservation(item: Materialization, loaded: int, held: int, run_id: str) -> CheckResult:
    rows = item.rows
    is_kept = rows.is_conserved and loaded == rows.loaded and held == rows.quarantined
    message = (
        f"expected {rows.expected}, read {rows.read} = {rows.loaded} loaded + {rows.deduplicated} deduplicated + "
        f"{rows.quarantined} quarantined; the tables hold {loaded} and {held}"
    )
    return CheckResult(
        asset=item.asset,
        partition=item.partition,
        check=CONSERVATION,
        severity="error",
        passed=is_kept,
        message=message,
        materialization_id=item.id,
        observed_at=datetime.now(UTC),
        run_id=run_id,
        failures=0 if is_kept else 1,
    )


def _count_rows(catalog: Catalog, name: str, asset: str, window: Window) -> Counter[str]:
    """Rows per partition of an asset in a table, from the metadata of its files."""
    table = load_table_if_exists(catalog, f"bronze.{name}")
    counts: Counter[str] = Counter()
    if table is not None:
        for task in table.scan(row_filter=partition_filter(name, asset, window)).plan_files():
            key = task.file.partition[1] if name == QUARANTINE else date(1970, 1, 1) + timedelta(task.file.partition[0])
            counts[str(key)] += task.file.record_count
    return counts
