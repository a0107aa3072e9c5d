"""Carries out a recovery, so that nothing is called ready on the way, wherever it dies.

From the first step to the last nobody else can open catalog or ledger. The catalog names the newest metadata of each
table; what we left of it stays what it was, so that each partition is then compared with its evidence, as after a write
of someone else (`lakehouse.proof.foreign_writes`), and what cannot be told from one is STALE. Checks count no more.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from pyiceberg.catalog import Catalog
from pyiceberg.expressions import Not
from pyiceberg.io import load_file_io

from lakehouse.database.commit_marks import Warehouse, mark_location
from lakehouse.database.engines import open_engine
from lakehouse.database.versions import name_metadata
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.namespaces import QUARANTINE, bronze
from lakehouse.recovery.plan import RecoveryPlan
from lakehouse.recovery.sqlite_files import move_aside
from lakehouse.recovery.tables import TableRecovery
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import load_table_if_exists, open_catalog
from lakehouse.tables.filters import HELD
from lakehouse.tables.followed_commits import mark_commit


def recover(
    settings: LakehouseSettings, plan: RecoveryPlan, look_again: Callable[[Catalog, Ledger], object]
) -> list[str]:
    """Do what a plan says.

    Args:
        settings: Where catalog, ledger and warehouse are.
        plan: Of a moment ago.
        look_again: Records the commits that the ledger lacks, and what the manifests and their sources say.

    Returns:
        What is lost, for a person.
    """
    warehouse = Warehouse(settings)
    warehouse.begin_recovery()
    for removal in plan.removals:
        move_aside(removal)
    catalog, ledger = open_catalog(settings, is_recovery=True), open_ledger(settings, is_recovery=True)
    for table in plan.tables:
        _bring_back(settings, catalog, table)
    _doubt_checks(ledger)
    look_again(catalog, ledger)
    lost = list(_lost(settings, plan, catalog, ledger))
    warehouse.end_recovery()
    return lost


def _bring_back(settings: LakehouseSettings, catalog: Catalog, found: TableRecovery) -> None:
    """Have the catalog name the metadata that are there; and the mark name what the catalog does, or nothing."""
    seen, location = found.seen, found.file.location if found.file else found.seen.current
    catalog.create_namespace_if_not_exists(seen.namespace)
    folder = f"{settings.warehouse_url.rstrip('/')}/{seen.namespace}/{seen.name}"
    io = load_file_io(dict(catalog.properties), folder)
    if found.file:
        name_metadata(open_engine(settings.catalog_url), seen, found.file.location)
    if location:
        mark_commit(io, folder, location, is_final=True)
    else:
        io.delete(mark_location(folder))


def _doubt_checks(ledger: Ledger) -> None:
    """Have every check run again: what became of it since is not known.

    A result without a definition is one of a check that is defined otherwise.
    """
    now = datetime.now(UTC)
    results = [each for results in ledger.current_checks().values() for each in results]
    ledger.record_checks([replace(each, definition=None, run_id="recovery", observed_at=now) for each in results])


def _lost(settings: LakehouseSettings, plan: RecoveryPlan, catalog: Catalog, ledger: Ledger) -> Iterator[str]:
    """What the warehouse does not tell."""
    is_set_back = bool(plan.tables) and settings.ledger_url == settings.catalog_url
    if not (plan.is_ledger_lost or is_set_back):
        return
    since = "" if plan.is_ledger_lost else " since the copy was made"
    yield f"lost{since}, as no table tells it: results of checks, acceptances, backfills, who let in a source, who"
    yield "released or discarded a record; next: omni manifests list, omni quarantine list"
    known = sum(action.action == "released" for action in ledger.quarantine_actions())
    table = load_table_if_exists(catalog, bronze(QUARANTINE))
    released = table.scan(row_filter=Not(HELD), selected_fields=("asset",)).to_arrow().num_rows if table else 0
    if released > known:
        yield f"{released - known} records of the quarantine table were released, and the ledger does not say by whom"
