"""Checks of a Bronze partition, run by the load job after its commits and recorded in the ledger.

conservation (error): rows read = loaded + deduplicated + quarantined, rows read = rows expected by coverage, and the
tables hold exactly the rows that the ledger says. Counted from the tables' metadata, no data is read.

Which checks stand beside it says the form of the rows: `loaders.bronze.kinds`, and `loaders.bronze.volume`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

from pyiceberg.catalog import Catalog

from lakehouse.contracts.check_definitions import VOLUME, check_definitions, expected_share
from lakehouse.contracts.registry import load_contracts
from lakehouse.kinds import CONSERVATION, Severity
from lakehouse.ledger.check_outcomes import last_definitions
from lakehouse.ledger.evidence import CheckResult, Materialization
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import QUARANTINE, bronze
from lakehouse.partitions import Window, parse_day
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import load_table_if_exists
from lakehouse.tables.filters import rows_of
from loaders.bronze.held_records import Selection, held_records
from loaders.bronze.kinds import LOADERS
from loaders.bronze.volume import volume
from loaders.plans.findings import Finding, Inspection


def check_partitions(
    settings: LakehouseSettings,
    catalog: Catalog,
    ledger: Ledger,
    asset: str,
    partitions: Iterable[str],
    run_id: str,
    unknown_fields: Mapping[str, Mapping[str, str]] | None = None,
) -> list[CheckResult]:
    """Check the current materialization of some partitions and record the results.

    `unknown_fields` holds what a load has just seen of each partition (`loaders.plans.plan.StagedDay`).
    """
    contract = load_contracts(settings).of_asset(asset)
    current = ledger.current_materializations([asset])
    items = [current[asset, key] for key in sorted(partitions) if (asset, key) in current]
    if not items:
        return []
    rows_of = {key: item.rows.loaded for (_, key), item in sorted(current.items()) if item.rows.loaded}
    window = Window.of_keys(items[0].partition, items[-1].partition)
    loaded = _count_rows(catalog, asset, asset, window)
    held = _count_rows(catalog, QUARANTINE, asset, window)
    inspection = Inspection(
        settings=settings,
        catalog=catalog,
        ledger=ledger,
        contract=contract,
        items=items,
        days_with_rows=sorted(rows_of),
        held=_held_ids(catalog, asset, window) if held.total() else {},
        unknown_fields=unknown_fields,
    )
    found = [(item, CONSERVATION, _conservation(item, loaded[item.partition], held[item.partition])) for item in items]
    found += LOADERS[contract.form].findings(inspection)
    if VOLUME in contract.checks:
        share = expected_share(contract)
        found += [(item, VOLUME, volume(item, rows_of, share)) for item in items]
    severities, definitions = contract.checks, check_definitions(settings, contract)
    results = [
        _result(item, check, finding, run_id, severities[check], definitions.get(check))
        for item, check, finding in found
    ]
    ledger.record_checks(results)
    return results


def days_to_ask(settings: LakehouseSettings, ledger: Ledger, asset: str, window: Window | None = None) -> list[str]:
    """Days whose current materialization a check has not judged, or not as it is defined today.

    Only checks that need nothing but what is on record: they are asked again without a load.
    """
    current = {key: item.id for (_, key), item in ledger.current_materializations([asset]).items()}
    inside = {key: number for key, number in current.items() if window is None or parse_day(key) in window}
    ran = last_definitions(ledger, asset, CONSERVATION)  # it runs with all others, and has no definition of its own
    found = {key for key, number in inside.items() if number not in ran}
    for check, wanted in check_definitions(settings, load_contracts(settings).of_asset(asset)).items():
        ran = last_definitions(ledger, asset, check)
        found |= {key for key, number in inside.items() if ran.get(number) != wanted}
    return sorted(found)


def _held_ids(catalog: Catalog, asset: str, window: Window) -> dict[str, list[str]]:
    ids: dict[str, list[str]] = {}
    for record in held_records(catalog, Selection(asset=asset, window=window)):
        ids.setdefault(record.partition, []).append(record.record_id)
    return ids


def _conservation(item: Materialization, loaded: int, held: int) -> Finding:
    rows = item.rows
    is_kept = rows.is_conserved and loaded == rows.loaded and held == rows.quarantined
    message = (
        f"expected {rows.expected}, read {rows.read} = {rows.loaded} loaded + {rows.deduplicated} deduplicated + "
        f"{rows.quarantined} quarantined; the tables hold {loaded} and {held}"
    )
    return message, 0 if is_kept else 1


def _result(
    item: Materialization, check: str, finding: Finding, run_id: str, severity: Severity, definition: str | None
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
        definition=definition,
    )


def _count_rows(catalog: Catalog, name: str, asset: str, window: Window) -> Counter[str]:
    """Rows per partition of an asset in a table, from the metadata of its files."""
    table = load_table_if_exists(catalog, bronze(name))
    counts: Counter[str] = Counter()
    if table is not None:
        for task in table.scan(row_filter=rows_of(table, asset, window)).plan_files():
            key = task.file.partition[1] if name == QUARANTINE else date(1970, 1, 1) + timedelta(task.file.partition[0])
            counts[str(key)] += task.file.record_count
    return counts
