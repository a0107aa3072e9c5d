"""Every file of a table that we wrote is on record, as it is stored: data, manifests, manifest lists, metadata."""

from lakehouse.database.written_files import recorded_files
from lakehouse.ledger.ledger import open_ledger
from lakehouse.proof.partition_files import live_entries
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import find_table
from lakehouse.tables.stored_files import hashed_file, list_table, path_of
from tests.conftest import DOC_ASSETS, TICKET_EVENTS
from tests.integration.lakehouse.maintained_lake import maintained

TABLES = (TICKET_EVENTS, DOC_ASSETS, "quarantine")


def record(settings: LakehouseSettings, name: str):
    """The table, and what is recorded of its files by their paths."""
    table = find_table(open_catalog(settings), name)
    recorded = recorded_files(open_ledger(settings).engine, table.location())
    return table, {path_of(location): written for location, written in recorded.items()}


def assert_on_record(settings: LakehouseSettings, name: str) -> None:
    table, recorded = record(settings, name)
    assert recorded.keys() >= {path_of(entry.data_file.file_path) for entry in live_entries(table)}
    stored = {file.path for file in list_table(table)}
    for path in stored & recorded.keys():
        assert hashed_file(table.io, recorded[path].location) == recorded[path]


def test_what_loads_wrote_is_on_record_as_it_is_stored(three_days):
    for name in TABLES:
        assert_on_record(three_days, name)
        table, recorded = record(three_days, name)
        stored = {file.path for file in list_table(table) if not file.path.endswith("/committed")}
        assert stored == recorded.keys()


def test_what_maintenance_wrote_is_on_record_and_what_it_removed_is_not(three_days, many_files):
    before = record(many_files, TICKET_EVENTS)[1]

    report = maintained(many_files)

    assert any(each.compacted and each.removed for each in report.tables)
    assert_on_record(many_files, TICKET_EVENTS)
    table, recorded = record(many_files, TICKET_EVENTS)
    stored = {file.path for file in list_table(table)}
    assert recorded.keys() <= stored and not before.keys() <= stored
