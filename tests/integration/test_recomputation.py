"""Silver and Gold against a second computation of the same tables, cell by cell: see `tests.recomputation`.

Three data sets, each ingested and built once: the bundled sample; about 110,000 simulated events with late, repeated
and corrected ones in later and earlier batches; real data, where they are there.
"""

import gzip
import json
import random
import re
import tarfile
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import find_table
from lakehouse.tables.duck import load_iceberg_extension, scan_sql
from loaders.ingest import ingest
from loaders.simulator.sample import simulate
from tests.conftest import source, ticket_manifest
from tests.dbt_shell import dbt
from tests.parsed_project import ParsedProject
from tests.recomputation import documents, servicenow, ticket_tables
from tests.recomputation.ticket_sources import DERIVED, instant, read_events, read_records, ticket_manifests

CONTRACTS = PROJECT_ROOT / "manifests" / "contracts"
REAL_DATA = PROJECT_ROOT.parent / "shared" / "data"
KEYS = {
    "ticket_fact": ("ticket_id",),
    "support_kpi_daily": ("kpi_date", *ticket_tables.DIMENSIONS),
    "support_backlog_daily": ("kpi_date", "product_line"),
    "int_open_tickets__monthly": ("month_start", "ticket_id"),
    "doc_change_feed": ("snapshot_date", "collection", "doc_id"),
    "knowledge_doc_history": ("collection", "doc_id", "valid_from"),
    "knowledge_doc": ("collection", "doc_id"),
}
TICKET_TABLES = ("ticket_fact", "support_kpi_daily", "support_backlog_daily")
DOCUMENT_TABLES = ("doc_change_feed", "knowledge_doc_history", "knowledge_doc")

Lake = tuple[LakehouseSettings, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def sample(filled_sample: LakehouseSettings) -> Lake:
    """The bundled sample."""
    return filled_sample, read_events(filled_sample.manifests, CONTRACTS)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory, parsed_project: ParsedProject) -> Lake:
    """A month of about 105,000 events, and two more batches that disagree with it."""
    folder = tmp_path_factory.mktemp("simulated")
    manifests = folder / "manifests"
    simulate(manifests, seed=7, tickets=18_000)
    add_batches(manifests)
    settings = LakehouseSettings(home=folder / "home", manifests=manifests)
    parsed_project.give_to(settings)
    build(settings)
    return settings, read_events(manifests, CONTRACTS)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, parsed_project: ParsedProject) -> Lake:
    """The ServiceNow log and the PEPs."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; manifests/examples/README.md says where they come from")
    folder = tmp_path_factory.mktemp("real")
    (folder / "incident_event_log.csv").symlink_to(REAL_DATA / "incident_event_log.csv")
    for archive in (REAL_DATA / "pep_snapshots").glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "pep_snapshots" / archive.name.removesuffix(".tar.gz"), filter="data")
    examples = PROJECT_ROOT / "manifests" / "examples"
    settings = LakehouseSettings(home=folder / "home", manifests=examples, source_root=folder, source_roots=[REAL_DATA])
    parsed_project.give_to(settings)
    build(settings)
    return settings, servicenow.read_events(REAL_DATA / "incident_event_log.csv")


def build(settings: LakehouseSettings) -> None:
    """Load everything, then build and test everything."""
    report = ingest(settings)
    assert report.is_complete, report.lines()
    done = dbt(settings, "build")
    assert done.returncode == 0, done.stdout


def add_batches(manifests: Path) -> None:
    """Declare a batch made after the simulated ones and one made before them.

    Their ids sort the other way round, so that only `created_at` can tell which is the later.
    """
    dice = random.Random(11)
    days = [manifest for manifest in ticket_manifests(manifests) if "reexport" not in manifest["manifest_id"]]
    paths = [manifests / item["source_url_or_path"] for manifest in days for item in manifest["assets"]]
    events = [record for path in paths if path.suffix == ".zst" for record in read_records(path) if is_whole(record)]
    corrected = [event | correction(dice) for event in dice.sample(events, 3_000)]
    late = [late_event(dice, number, event) for number, event in enumerate(dice.sample(events, 2_000))]
    outdated = [event | {"category": "outdated", "status": "new"} for event in dice.sample(events, 1_000)]
    for number, created_at, records in (
        (1, "2026-05-03T00:00:00Z", corrected + late + late[:50]),
        (2, "2026-04-30T12:00:00Z", outdated),
    ):
        path = manifests / f"more-{number}.jsonl.gz"
        path.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))
        manifest = ticket_manifest([source("more", path.name)], number, created_at=created_at)
        manifest |= {"manifest_id": f"manifest-{'az'[number - 1]}-20260503-001", "batch_id": "az"[number - 1]}
        (manifests / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest), "utf-8")


def is_whole(record: dict[str, Any] | None) -> bool:
    """Whether a record of the simulator is one that it did not damage, as far as it must be read here."""
    try:
        return record is not None and bool(instant(record["occurred_at"]) and instant(record["created_at"]))
    except (KeyError, ValueError):
        return False


def correction(dice: random.Random) -> dict[str, Any]:
    """Other dimensions for an event, none among them."""
    return {
        "category": dice.choice(["access", "legal", None]),
        "priority": dice.choice(["P1", "P4", None]),
        "product_line": dice.choice(["northstar_studio", "unknown", None]),
        "org_id": dice.choice(["org-aurora", None]),
    }


def late_event(dice: random.Random, number: int, event: dict[str, Any]) -> dict[str, Any]:
    """Something that happened to the same ticket a fraction of a minute later, told afterwards; some in one instant."""
    at = instant(event["occurred_at"])
    last = at.replace(hour=23, minute=59, second=59, microsecond=999_999)
    moved = min(at + timedelta(microseconds=dice.choice([0, 1_400_000, 59_300_000])), last)
    kind = dice.choice(["comment_added", "resolved", "reopened", "closed", "escalated"])
    status = kind if kind in ("resolved", "closed", "escalated") else "open"
    created = min(instant(event["created_at"]) + timedelta(microseconds=700_000), moved)
    instants = {"occurred_at": moved.isoformat(), "updated_at": moved.isoformat(), "created_at": created.isoformat()}
    if kind == "resolved":
        instants["resolved_at"] = moved.isoformat()
    if dice.random() < 0.3:
        instants["first_response_at"] = moved.isoformat()
    told = {"event_id": f"late-{number:05}", "event_type": kind, "status": status}
    return event | told | instants


def rows(settings: LakehouseSettings, table: str) -> list[dict[str, Any]]:
    found = find_table(open_catalog(settings), table).scan().to_arrow().to_pylist()
    for row in found:
        if re.fullmatch("[0-9a-f]{64}", row.get("last_event_id", "")):
            row["last_event_id"] = DERIVED
    return found


def assert_same_cells(table: str, found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Compare two tables by their key: the same columns, the same rows, the same cell in each."""
    key = KEYS[table]
    index = [{tuple(row[name] for name in key): row for row in side} for side in (found, expected)]
    assert len(index[0]) == len(found), f"{table}: a key stands twice"
    assert index[0].keys() == index[1].keys()
    assert expected, f"{table}: nothing to compare"
    assert set(found[0]) == set(expected[0])
    differing = [
        (at, name, row[name], index[1][at][name])
        for at, row in index[0].items()
        for name in row
        if row[name] != index[1][at][name]
    ]
    assert not differing, (
        f"{table}: {len(differing)} cells differ, such as (key, column, found, expected) {differing[:5]}"
    )


@pytest.mark.parametrize("table", TICKET_TABLES)
@pytest.mark.parametrize("lake", ["sample", "simulated", "real"])
def test_every_cell_of_a_ticket_table_is_what_the_source_files_say(lake, table, request):
    settings, events = request.getfixturevalue(lake)

    expected = getattr(ticket_tables, table)(events)

    assert_same_cells(table, rows(settings, table), expected)


def test_every_ticket_that_a_month_finds_open_is_one_of_the_incident_log(real):
    """The only set of these that goes on for more than a month; `test_backlog` has a small one."""
    settings, events = real

    expected = ticket_tables.int_open_tickets__monthly(events)

    assert_same_cells("int_open_tickets__monthly", rows(settings, "int_open_tickets__monthly"), expected)


@pytest.mark.parametrize("table", DOCUMENT_TABLES)
@pytest.mark.parametrize("lake", ["sample", "real"])
def test_every_cell_of_a_document_table_is_what_the_snapshots_say(lake, table, request):
    settings, _ = request.getfixturevalue(lake)
    changes, _ = documents.replay(settings.manifests, settings.source_root or settings.manifests)

    expected = getattr(documents, table)(changes)

    assert_same_cells(table, rows(settings, table), expected)


@pytest.mark.parametrize("lake", ["sample", "real"])
def test_a_history_read_as_of_a_day_gives_the_documents_of_that_day(lake, request):
    settings, _ = request.getfixturevalue(lake)
    _, living = documents.replay(settings.manifests, settings.source_root or settings.manifests)
    versions = rows(settings, "knowledge_doc_history")

    days = [min(living) + timedelta(days=n) for n in range(-1, (max(living) - min(living)).days + 2)]
    expected, held = {}, {}
    for day in days:
        expected[day] = held = living.get(day, held)
    assert {day: as_of(versions, day) for day in days} == expected


def as_of(versions: list[dict[str, Any]], day: Any) -> dict[tuple[str, str], str]:
    """The documents of a day: valid_from <= day < valid_to."""
    held = [v for v in versions if v["valid_from"] <= day and (v["valid_to"] is None or day < v["valid_to"])]
    assert max(Counter((v["collection"], v["doc_id"]) for v in held).values(), default=1) == 1
    return {(v["collection"], v["doc_id"]): v["source_fingerprint"] for v in held if not v["is_deleted"]}


@pytest.mark.parametrize("lake", ["sample", "simulated"])
def test_a_metric_computed_by_its_expression_is_the_quotient_of_what_the_source_files_say(lake, request):
    settings, events = request.getfixturevalue(lake)

    for metric in yaml.safe_load((PROJECT_ROOT / "dbt_project" / "metrics.yml").read_text("utf-8"))["metrics"]:
        found = evaluated(settings, metric)

        totals = defaultdict(Counter)
        for row in getattr(ticket_tables, metric["model"])(events):
            for column in filter(None, (metric["numerator"], metric["denominator"])):
                totals[row["kpi_date"]][column] += row[column]
        assert found.keys() == totals.keys()
        for day, total in totals.items():
            below = total[metric["denominator"]] if metric["denominator"] else 1
            assert found[day] == (pytest.approx(total[metric["numerator"]] / below) if below else None), metric["name"]
            assert metric["kind"] != "share" or 0 <= (found[day] or 0) <= 1


def evaluated(settings: LakehouseSettings, metric: dict[str, Any]) -> dict[Any, float | None]:
    """Day → the metric over all rows of the day, as a reader computes it."""
    with duckdb.connect() as connection:
        load_iceberg_extension(connection, {})
        relation = scan_sql(find_table(open_catalog(settings), metric["model"]))
        sql = f"select kpi_date, {metric['expression']} from {relation} group by kpi_date"
        return dict(connection.execute(sql).fetchall())


def test_the_simulated_events_hold_what_makes_them_hard(simulated):
    """Guards the data set: without these the comparison proves less than it says."""
    _, events = simulated

    assert len(events) > 100_000
    assert Counter(event["category"] == "outdated" for event in events)[True] == 0
    assert sum(event["category"] == "legal" for event in events) > 500
    assert sum(event["event_id"].startswith("late-") for event in events) == 2_000
    assert sum(event["event_id"] == DERIVED for event in events) == 40
    at = Counter((event["ticket_id"], event["occurred_at"]) for event in events)
    assert sum(number > 1 for number in at.values()) > 300
    # Minutes that the clock's seconds make longer than they were.
    longer = [event for event in events if event["event_type"] == "resolved" and ticks_more_minutes(event)]
    assert len(longer) > 1


def ticks_more_minutes(event: dict[str, Any]) -> bool:
    created, resolved = event["created_at"], event["resolved_at"]
    by_the_second = ticket_tables.minutes(created.replace(microsecond=0), resolved.replace(microsecond=0))
    return by_the_second > ticket_tables.minutes(created, resolved)
