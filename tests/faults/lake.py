"""Small sources in two versions, and what must hold of the lakehouse that they were loaded into."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyiceberg.table import Table

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.namespaces import QUARANTINE
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.bronze import RUN_COLUMNS
from lakehouse.tables.catalog import load_table_if_exists, open_catalog
from lakehouse.tables.digest import content_digest
from orchestration.readiness.asset_graph import read_asset_graph
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.verdicts import Status
from tests.conftest import (
    DOC_ASSETS,
    TICKET_EVENTS,
    document_manifest,
    source,
    ticket_event,
    ticket_manifest,
    write_lines,
)

DAYS = ("2026-04-13", "2026-04-14", "2026-04-15")

Content = dict[tuple[str, str], list[str]]
"""Rows of every day of every table, in an order of their own: (table, day) → rows as JSON, without the run's columns."""

_DAY_AND_KEY = {
    TICKET_EVENTS: ("occurred_at", ("event_id",)),
    DOC_ASSETS: ("snapshot_date", ("collection", "doc_id")),
    QUARANTINE: ("partition", ("source_file", "source_line")),
}
"""Table → column of the day, and the columns that name a row within it."""


@dataclass(frozen=True)
class Clean:
    """What a lakehouse holds that loaded undisturbed."""

    content: Content
    digests: dict[str, tuple[str, int]]

    @classmethod
    def of(cls, settings: LakehouseSettings) -> "Clean":
        """Look at it."""
        return cls(content(settings), _digests(settings))


def write_sources(settings: LakehouseSettings, asset: str, version: int = 1, days: tuple[str, ...] = DAYS) -> None:
    """Write sources and their manifests; version 2 changes every day.

    A day of tickets: some 40 records in two batches; one is a duplicate, one (or two) break the contract.
    A day of documents: two files, in version 2 three.
    """
    if asset == TICKET_EVENTS:
        _write_tickets(settings, version, days)
    else:
        _write_documents(settings, version, days)


def content(settings: LakehouseSettings) -> Content:
    """What the Bronze tables hold; fails where a row stands twice."""
    found: Content = {}
    for name, table in _tables(settings).items():
        day, key = _DAY_AND_KEY[name]
        rows = table.scan().to_arrow().to_pylist()
        keys = [(str(row[day])[:10], *(row[column] for column in key)) for row in rows]
        assert len(keys) == len(set(keys)), f"{name} holds duplicates"
        for row in rows:
            text = json.dumps({k: v for k, v in row.items() if k not in RUN_COLUMNS}, default=str)
            found.setdefault((name, str(row[day])[:10]), []).append(text)
    return {key: sorted(rows) for key, rows in found.items()}


def assert_old_or_new(settings: LakehouseSettings, old: Content, new: Content) -> None:
    """Every day of every table holds what it held or what it shall hold, never a mix and never nothing instead."""
    now = content(settings)
    for key in old.keys() | new.keys() | now.keys():
        assert now.get(key) in (old.get(key), new.get(key)), key


def assert_sound(settings: LakehouseSettings, asset: str, clean: Clean) -> None:
    """The lakehouse holds what a clean one holds, once; the ledger and the verdicts say so, and no file is missing."""
    now = content(settings)
    assert now == clean.content
    assert _digests(settings) == clean.digests
    ledger = open_ledger(settings)
    recorded = {day: item.rows for (_, day), item in ledger.current_materializations([asset]).items()}
    for table, counted in ((asset, "loaded"), (QUARANTINE, "quarantined")):
        found = {day: len(rows) for (name, day), rows in now.items() if name == table}
        assert found == {day: n for day, rows in recorded.items() if (n := getattr(rows, counted))}
    assert _missing_files(settings) == []
    assert all(rows.is_conserved for rows in recorded.values())
    # A run that was killed did not check what it had committed; `omni run` does that.
    assert _statuses(settings, ledger, asset) <= {Status.READY, Status.UNCHECKED}


def _statuses(settings: LakehouseSettings, ledger: Ledger, asset: str) -> set[Status]:
    bronze = read_asset_graph({"nodes": {}}, bronze_contracts(settings))
    return {verdict.status for verdict in Readiness(bronze, ledger, datetime.now(UTC), []).verdicts(asset).values()}


def _write_tickets(settings: LakehouseSettings, version: int, days: tuple[str, ...]) -> None:
    first: list[dict[str, Any] | str] = []
    second: list[dict[str, Any] | str] = []
    for number, day in enumerate(days):
        events = [ticket_event(100 * number + n, day, category=f"v{version}") for n in range(40)]
        first += [*events, ticket_event(100 * number + 88, day, priority="URGENT")]
        second += [events[0] | {"category": "corrected"}, ticket_event(100 * number + 55, day)]
        if version == 2:
            second += [ticket_event(100 * number + 66, day), ticket_event(100 * number + 99, day, priority="NONE")]
    write_lines(settings.manifests / "first.jsonl", first)
    write_lines(settings.manifests / "second.jsonl", second)
    _declare(settings, ticket_manifest([source("first", "first.jsonl")]))
    _declare(settings, ticket_manifest([source("second", "second.jsonl")], 2, created_at="2026-05-02T00:00:00Z"))


def _write_documents(settings: LakehouseSettings, version: int, days: tuple[str, ...]) -> None:
    for day in days:
        folder = settings.manifests / "docs" / day
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.md").write_text(f"{day}, version {version}")
        (folder / "b.md").write_text("the same every day")
        if version == 2:
            (folder / "c.md").write_text(f"{day}, new")
        _declare(settings, document_manifest(day, [source("docs", f"docs/{day}/*.md", "other")]))


def _declare(settings: LakehouseSettings, manifest: dict[str, Any]) -> None:
    path = settings.manifests / f"{manifest['manifest_id']}.json"
    path.write_text(json.dumps(manifest), "utf-8")


def _tables(settings: LakehouseSettings) -> dict[str, Table]:
    catalog = open_catalog(settings)
    found = {name: load_table_if_exists(catalog, f"bronze.{name}") for name in _DAY_AND_KEY}
    return {name: table for name, table in found.items() if table is not None}


def _digests(settings: LakehouseSettings) -> dict[str, tuple[str, int]]:
    return {name: content_digest(table) for name, table in _tables(settings).items()}


def _missing_files(settings: LakehouseSettings) -> list[str]:
    """Files that a snapshot or a listing refers to and that are not there, or not what they were."""
    missing = []
    for name, table in _tables(settings).items():
        files = table.inspect.all_files()["file_path"].to_pylist()
        missing += [file for file in files if not table.io.new_input(file).exists()]
        objects = table.scan().to_arrow()["raw_object_path"].to_pylist() if name == DOC_ASSETS else []
        for path in objects:
            stored = table.io.new_input(f"{settings.warehouse_url}/{path}")
            if not stored.exists() or hashlib.sha256(stored.open().read()).hexdigest() != path.rpartition("/")[2]:
                missing.append(path)
    return missing
