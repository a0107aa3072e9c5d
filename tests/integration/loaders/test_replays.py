"""Whatever order corrections, replays and rebuilds of single days come in, the tables are those of a rebuild from scratch.

And documents of random snapshots, read as of each day, are those that the snapshots say.
"""

import random
from datetime import date, timedelta
from typing import Any

from lakehouse.partitions import Window
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest, find_table
from loaders.ingest import ingest
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import dbt
from tests.recomputation import documents, ticket_tables
from tests.recomputation.ticket_sources import read_events

FIRST, DAYS, TICKETS = date(2026, 4, 1), 3, 30
TABLES = ("ticket_events", "ticket_fact", "support_kpi_daily")


def build(settings: LakehouseSettings, day: date | None = None) -> None:
    """Build a day and what is whole, or everything; that it is also good is the recomputation's to say."""
    flags = ("--event-time-start", str(day), "--event-time-end", str(day + timedelta(days=1))) if day else ()
    done = dbt(settings, "run", *flags)
    assert done.returncode == 0, done.stdout


def digests(settings: LakehouseSettings) -> dict[str, tuple[str, int]]:
    return {table: content_digest(find_table(open_catalog(settings), table)) for table in TABLES}


def some_events(dice: random.Random, number: int, count: int) -> list[dict[str, Any]]:
    """Events of a batch: new ones, and corrections of those that an earlier batch told, each on its own day."""
    found = []
    for _ in range(count):
        key = dice.randrange(300)
        day = FIRST + timedelta(days=key % DAYS)
        at = f"{day}T{8 + key % 9:02}:{key % 3:02}:00Z"  # many at one instant
        kind = dice.choice(["created", "updated", "resolved", "reopened", "closed", "escalated"])
        status = kind if kind in ("resolved", "closed", "escalated") else "open"
        told = {
            "event_type": kind,
            "status": status,
            "occurred_at": at,
            "updated_at": at,
            "category": f"batch {number}",
        }
        told |= {"created_at": f"{FIRST}T00:00:00Z", "product_line": dice.choice(["unknown", "northstar_studio"])}
        told |= {"resolved_at": at} if kind == "resolved" else {}
        found.append(ticket_event(key, str(day), ticket_id=f"t{key % TICKETS}", **told))
    return found


def test_random_corrections_and_replays_of_random_days_end_as_a_rebuild_from_scratch(
    settings, declare, tmp_path, parsed_project
):
    dice = random.Random(5)
    days = [FIRST + timedelta(days=n) for n in range(DAYS)]
    for number, replayed in ((1, []), (2, dice.sample(days, 1)), (3, dice.sample(days, DAYS))):
        write_lines(settings.manifests / f"{number}.jsonl", some_events(dice, number, 150))
        declare(ticket_manifest([source("a", f"{number}.jsonl")], number, created_at=f"2026-05-0{number}T00:00:00Z"))
        ingest(settings)
        if number == 1:
            build(settings)
        for day in replayed:
            ingest(settings, window=Window.of_day(day))
            build(settings, day)

    fresh = LakehouseSettings(home=tmp_path / "another home", manifests=settings.manifests)
    parsed_project.give_to(fresh)
    ingest(fresh)
    build(fresh)

    assert digests(settings) == digests(fresh)
    events = read_events(settings.manifests, PROJECT_ROOT / "manifests" / "contracts")
    assert {event["category"] for event in events} == {"batch 1", "batch 2", "batch 3"}
    facts = find_table(open_catalog(settings), "ticket_fact").scan().to_arrow().to_pylist()
    assert in_order(facts) == in_order(ticket_tables.ticket_fact(events))


def in_order(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(facts, key=lambda row: str(row["ticket_id"]))


def test_documents_of_random_snapshots_read_as_of_a_day_are_those_of_that_day(settings, declare):
    dice = random.Random(8)
    names = [f"d{n}" for n in range(8)]
    for text in range(3):
        for name in names:
            (settings.manifests / f"{name}-{text}.md").write_text(f"{name} {text}")
    days = [FIRST + timedelta(days=2 * n) for n in range(12)]
    for number, day in enumerate(day for day in days for _ in range(2)):
        listed = dice.sample(names, dice.randint(2, 6))
        assets = [
            source(name, f"{name}-{dice.randrange(3)}.md", "other", deleted=dice.random() < 0.2) for name in listed
        ]
        kind = {"collection": dice.choice(["a", "a", "b"]), "disposition": dice.choice(["replace", "merge"])}
        declare(document_manifest(str(day), assets, number + 1, max_deleted_ratio=1, **kind))
    assert ingest(settings).is_complete
    build(settings)
    _, living = documents.replay(settings.manifests, settings.manifests)

    versions = find_table(open_catalog(settings), "knowledge_doc_history").scan().to_arrow().to_pylist()

    expected, held = {}, {}
    for day in (FIRST + timedelta(days=n) for n in range(-1, 25)):
        expected[day] = held = living.get(day, held)
    assert {day: as_of(versions, day) for day in expected} == expected
    # What makes it hard: documents that come back, and deletions in both dispositions.
    assert sum(v["version_number"] > 2 and not v["is_deleted"] for v in versions) > 5
    assert sum(v["is_deleted"] for v in versions) > 5


def as_of(versions: list[dict[str, Any]], day: date) -> dict[tuple[str, str], str]:
    """The documents of a day: valid_from <= day < valid_to."""
    held = [v for v in versions if v["valid_from"] <= day and (v["valid_to"] is None or day < v["valid_to"])]
    return {(v["collection"], v["doc_id"]): v["source_fingerprint"] for v in held if not v["is_deleted"]}
