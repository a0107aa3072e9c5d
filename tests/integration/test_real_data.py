"""Real data from end to end: a ServiceNow audit log and five snapshots of the PEPs, against counts made without us.

The data do not ship (`manifests/examples/README.md` says where they come from); without them these tests are skipped,
except the one that writes its own rows.
"""

import csv
import tarfile
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from lakehouse.namespaces import QUARANTINE
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import find_table
from lakehouse.tables.duck import load_iceberg_extension, scan_sql
from loaders.ingest import IngestReport, ingest
from tests.conftest import DOC_ASSETS, TICKET_EVENTS, source, ticket_manifest
from tests.dbt_shell import build
from tests.parsed_project import ParsedProject

DATA = PROJECT_ROOT.parent / "shared" / "data"
RECORDS, TICKETS = 5_998, 890
COLUMNS = (
    "number,incident_state,active,reassignment_count,reopen_count,sys_mod_count,made_sla,caller_id,opened_by,"
    "opened_at,sys_created_by,sys_created_at,sys_updated_by,sys_updated_at,contact_type,location,category,"
    "subcategory,u_symptom,cmdb_ci,impact,urgency,priority,assignment_group,assigned_to,knowledge,"
    "u_priority_confirmation,notify,problem_id,rfc,vendor,caused_by,closed_code,resolved_by,resolved_at,"
    "closed_at"
)
STATUS = {"New": "new", "Active": "open", "Resolved": "resolved", "Closed": "closed"}
PEP_CHANGES = {
    "2022-06-01": {"added": 42},
    "2023-06-01": {"added": 18, "changed": 35},
    "2024-06-01": {"added": 2, "changed": 41, "removed": 2},
    "2025-06-01": {"changed": 59},
    "2026-06-01": {"changed": 17},
}


@pytest.fixture(scope="module")
def data() -> Path:
    """The folder of real data."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; manifests/examples/README.md says where they come from")
    return DATA


@pytest.fixture(scope="module")
def log(data: Path) -> dict[str, list[dict[str, str]]]:
    """The audit log as Python reads it: ticket → its rows by time, then by sys_mod_count."""
    tickets = defaultdict(list)
    with (data / "incident_event_log.csv").open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            tickets[row["number"]].append(row)
    for rows_of_ticket in tickets.values():
        rows_of_ticket.sort(key=lambda row: (at(row), int(row["sys_mod_count"])))
    return tickets


@pytest.fixture(scope="module")
def lakehouse(
    data: Path, tmp_path_factory: pytest.TempPathFactory, parsed_project: ParsedProject
) -> tuple[LakehouseSettings, IngestReport]:
    """Everything ingested and built, once for all tests here."""
    folder = tmp_path_factory.mktemp("real data")
    (folder / "incident_event_log.csv").symlink_to(data / "incident_event_log.csv")
    for archive in (data / "pep_snapshots").glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "pep_snapshots" / archive.name.removesuffix(".tar.gz"), filter="data")
    examples = PROJECT_ROOT / "manifests" / "examples"
    settings = LakehouseSettings(home=folder / "home", manifests=examples, source_root=folder, source_roots=[data])
    parsed_project.give_to(settings)
    report = ingest(settings)
    done = build(settings)
    assert done.returncode == 0, done.stdout
    return settings, report


def at(row: dict[str, str]) -> datetime:
    """When a row of the log was written."""
    return datetime.strptime(row["sys_updated_at"], "%d-%m-%Y %H:%M")  # noqa: DTZ007  # UTC, compared among themselves


def rows(settings: LakehouseSettings, table: str, columns: str, suffix: str = ""):
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        load_iceberg_extension(connection, {})
        relation = scan_sql(find_table(open_catalog(settings), table))
        return connection.execute(f"select {columns} from {relation} {suffix} order by all").fetchall()


def test_every_record_of_the_log_is_loaded_and_none_is_quarantined(lakehouse):
    settings, report = lakehouse

    counts = {
        name: sum(getattr(item.rows, name) for item in report.loads[0].loaded)
        for name in ("read", "loaded", "deduplicated", "quarantined")
    }

    assert report.is_complete, report.lines()
    assert counts["read"] == counts["loaded"] + counts["deduplicated"] + counts["quarantined"] == RECORDS
    # The five repeated (number, sys_mod_count) pairs are different changes: none may be lost as a duplicate.
    assert counts == {"read": RECORDS, "loaded": RECORDS, "deduplicated": 0, "quarantined": 0}
    assert rows(settings, TICKET_EVENTS, "count(*), count(distinct ticket_id)") == [(RECORDS, TICKETS)]
    assert rows(settings, QUARANTINE, "count(*)") == [(0,)]


def test_every_event_lies_in_the_partition_of_its_own_day(lakehouse, log):
    settings, report = lakehouse
    expected = Counter(at(row).date().isoformat() for ticket in log.values() for row in ticket)

    table = find_table(open_catalog(settings), TICKET_EVENTS)
    partitions = table.inspect.partitions().to_pylist()

    assert {str(p["partition"]["occurred_at_day"]): p["record_count"] for p in partitions} == expected
    assert {item.partition: item.rows.loaded for item in report.loads[0].loaded} == expected
    assert dict(rows(settings, TICKET_EVENTS, "occurred_at::date::varchar, count(*)", "group by 1")) == expected


def test_no_event_knows_what_happened_after_it(lakehouse):
    settings, _ = lakehouse

    not_yet = "resolved_at > occurred_at or (resolved_at is null) = (status in ('resolved', 'closed'))"

    assert rows(settings, TICKET_EVENTS, "event_id", f"where {not_yet}") == []


def test_event_types_follow_from_the_row_before(lakehouse, log):
    settings, _ = lakehouse
    expected = Counter(
        event_type(before and status(before), status(row))
        for ticket in log.values()
        for before, row in zip([None, *ticket], ticket, strict=False)
    )

    assert dict(rows(settings, TICKET_EVENTS, "event_type, count(*)", "group by 1")) == expected


def test_a_ticket_stands_as_its_last_row_says(lakehouse, log):
    settings, _ = lakehouse
    expected = sorted(
        (number, status(ticket[-1]), f"P{ticket[-1]['priority'][0]}", at(ticket[-1]), len(ticket))
        for number, ticket in log.items()
    )

    found = rows(
        settings, "ticket_fact", "ticket_id, status, priority, last_event_at::timestamp as last_event_at, event_count"
    )

    assert len(found) == TICKETS
    assert found == expected


def test_the_backlog_of_every_day_is_the_number_of_tickets_open_then(lakehouse, log):
    settings, _ = lakehouse

    found = dict(rows(settings, "support_backlog_daily", "kpi_date, sum(open_tickets)::int", "group by 1"))

    first, last = min(found), max(found)
    assert len(found) == (last - first).days + 1
    assert {first, last} == {bound(at(t[i]).date() for t in log.values()) for bound, i in ((min, 0), (max, -1))}
    assert found == open_by_day(log, [first + timedelta(n) for n in range(len(found))])
    assert [(found[last],)] == rows(settings, "ticket_fact", "count(*) filter (is_open)")


def test_every_ticket_is_created_once(lakehouse):
    settings, _ = lakehouse

    assert rows(settings, "support_kpi_daily", "sum(tickets_created)::int, sum(events)::int") == [(TICKETS, RECORDS)]


def test_the_change_feed_of_the_peps_tells_what_changed_between_snapshots(lakehouse):
    settings, report = lakehouse

    found = defaultdict(dict)
    for day, kind, count in rows(
        settings, "doc_change_feed", "snapshot_date::varchar, change_type, count(*)", "group by 1, 2"
    ):
        found[day][kind] = count

    assert found == PEP_CHANGES
    assert {item.partition: item.rows.loaded for item in report.load_of(DOC_ASSETS).loaded} == {
        day: 42 if day == "2022-06-01" else 60 for day in PEP_CHANGES
    }
    assert ("pep/pep-0650.rst", "peps") in rows(settings, DOC_ASSETS, "distinct doc_id, collection")


def test_a_row_exported_twice_is_one_event_and_an_unreadable_one_is_quarantined(settings, declare):
    at_eight = {"number": "INC1", "incident_state": "New", "sys_mod_count": "0", "sys_updated_at": "15-04-2016 08:00"}
    given = {"opened_at": "15-04-2016 07:59", "priority": "1 - Critical", "resolved_at": "15-04-2016 09:00"}
    new = dict.fromkeys(COLUMNS.split(","), "?") | at_eight | given
    resolved = new | {"incident_state": "Resolved", "sys_mod_count": "1", "sys_updated_at": "15-04-2016 08:00"}
    broken = ({"incident_state": "-100"}, {"sys_updated_at": "?"}, {"priority": "5 - Planning"})
    odd = [new | {"number": f"INC{number}"} | fields for number, fields in enumerate(broken, start=2)]
    with (settings.manifests / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(new))
        writer.writeheader()
        writer.writerows([resolved, new, resolved, *odd])
    declare(ticket_manifest([source("a", "a.csv", "csv")], mapping="servicenow_incidents"))

    (item,) = ingest(settings).loads[0].loaded

    assert (item.rows.read, item.rows.loaded, item.rows.deduplicated, item.rows.quarantined) == (6, 2, 1, 3)
    columns = "event_type, priority, strftime(resolved_at, '%H:%M')"
    # Resolved before the export's own time of resolution: its own time stands.
    assert rows(settings, TICKET_EVENTS, columns) == [("created", "P1", None), ("resolved", "P1", "08:00")]
    codes = rows(settings, QUARANTINE, "source_line, reason_code")
    assert codes == [(5, "value_not_allowed"), (6, "invalid_instant"), (7, "value_not_allowed")]


def status(row: dict[str, str]) -> str:
    return STATUS.get(row["incident_state"], "pending")


def event_type(before: str | None, now: str) -> str:
    if before is None:
        return "created"
    if before == now:
        return "updated"
    if now in ("resolved", "closed"):
        return now
    return "reopened" if before in ("resolved", "closed") else "status_changed"


def open_by_day(log: dict[str, list[dict[str, str]]], days: list[date]) -> dict[date, int]:
    """Tickets whose last row up to the end of a day is neither resolved nor closed."""
    open_days = Counter()
    for ticket in log.values():
        states = {
            at(row).date(): status(row) not in ("resolved", "closed") for row in ticket
        }  # the day's last row wins
        is_open = False
        for day in days:
            is_open = states.get(day, is_open)
            open_days[day] += is_open
    return dict(open_days)
