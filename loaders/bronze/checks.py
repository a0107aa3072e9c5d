"""Checks of a Bronze partition, run by the load job after its commits and recorded in the ledger.

conservation (error): rows read = loaded + deduplicated + quarantined, rows read = rows expected by coverage, and the
tables hold exactly the rows that the ledger says. Counted from the tables' metadata, no data is read.

Documents have `mass_delete` beside it (`loaders.snapshots.mass_delete`), tickets `quarantine_share` and
`contract_drift` (`loaders.events.checks`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

from pyiceberg.catalog import Catalog

from lakehouse.assets import DOC_ASSETS, QUARANTINE
from lakehouse.ledger.evidence import CheckResult, Materialization, Severity
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import partition_filter
from lakehouse.tables.catalog import load_table_if_exists
from loaders.bronze.held_records import Selection, held_records
from loaders.events.checks import contract_drift, quarantine_share
from loaders.plans.findings import Finding
from loaders.snapshots.mass_delete import MassDeleteGuard

CONSERVATION = "conservation"
MASS_DELETE = "mass_delete"
QUARANTINE_SHARE = "quarantine_share"
CONTRACT_DRIFT = "contract_drift"


def check_partitions(
    settings: LakehouseSettings,
    catalog: Catalog,
    ledger: Ledger,
    asset: str,
    partitions: Iterable[str],
    run_id: str,
    drift: Mapping[str, Mapping[str, str]] | None = None,
) -> list[CheckResult]:
    """Check the current materialization of some partitions and record the results.

    `drift` holds what a load has just seen (`loaders.events.staging`); without it, `contract_drift` keeps its result.
    """
    current = ledger.current_materializations([asset])
    items = [current[asset, key] for key in sorted(partitions) if (asset, key) in current]
    if not items:
        return []
    window = Window.of_keys(items[0].partition, items[-1].partition)
    loaded = _count_rows(catalog, asset, asset, window)
    held = _count_rows(catalog, QUARANTINE, asset, window)
    results = [_conservation(item, loaded[item.partition], held[item.partition], run_id) for item in items]
    if asset == DOC_ASSETS:
        days = [key for (_, key), item in current.items() if item.rows.loaded]
        guard = MassDeleteGuard(catalog.load_table(f"bronze.{asset}"), ledger, days)
        results += [_result(item, MASS_DELETE, guard.judge(item), run_id) for item in items]
    else:
        records = held_records(catalog, Selection(asset=asset, window=window)) if held.total() else []
        settled = {action.record_id for action in ledger.quarantine_actions() if action.action == "discarded"}
        for item in items:
            ids = [record.record_id for record in records if record.partition == item.partition]
            share = quarantine_share(item, ids, settled, settings.max_quarantined_share)
            results.append(_result(item, QUARANTINE_SHARE, share, run_id))
            if drift is not None:
                found = contract_drift(drift.get(item.partition, {}))
                results.append(_result(item, CONTRACT_DRIFT, found, run_id, "warn"))
    ledger.record_checks(results)
    return results


def _conservation(item: Materialization, loaded: int, held: int, run_id: str) -> CheckResult:
    rows = item.rows
    is_kept = rows.is_conserved and loaded == rows.loaded and held == rows.quarantined
    message = (
        f"expected {rows.expected}, read {rows.read} = {rows.loaded} loaded + {rows.deduplicated} deduplicated + "
        f"{rows.quarantined} quarantined; the tables hold {loaded} and {held}"
    )
    return _result(item, CONSERVATION, (message, 0 if is_kept else 1), run_id)


def _result(
    item: Materialization, check: str, finding: Finding, run_id: str, severity: Severity = "error"
) -> CheckResult:
    message, failures = finding
    return CheckResult(
        asset=item.asset,
        partition=item.partition,
        check=check,
        severity=severity,
        passed=not failures,
        message=message,
        materialization_id=item.id,
        observed_at=datetime.now(UTC),
        run_id=run_id,
        failures=failures,
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
