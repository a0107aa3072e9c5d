"""The data tests of the dbt project: each finds what it is there for, and blames the days that hold it."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import find_table
from loaders.ingest import ingest
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import dbt


@pytest.fixture
def built(settings, declare):
    """Three days of two tickets each, two snapshots of two documents; built and good."""
    events = [ticket_event(10 * d + n, f"2026-04-{d}", priority="P1") for d in (14, 15, 16) for n in (1, 2)]
    write_lines(settings.manifests / "a.jsonl", events)
    declare(ticket_manifest([source("a", "a.jsonl")]))
    for name in ("d1", "d2"):
        (settings.manifests / f"{name}.md").write_text(name)
    for day in ("2026-04-14", "2026-04-16"):
        declare(document_manifest(day, [source(doc, f"{doc}.md", "other") for doc in ("d1", "d2")]))
    assert ingest(settings).is_complete
    done = dbt(settings, "build")
    assert done.returncode == 0, done.stdout
    return settings


def lose(settings: LakehouseSettings, table: str, rows: str) -> None:
    """Take rows out of a table behind everybody's back."""
    find_table(open_catalog(settings), table).delete(rows)


def failed_checks(settings: LakehouseSettings) -> dict[str, dict[str, list[str]]]:
    """Asset → check → the partitions on which it failed last."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for checks in open_ledger(settings).current_checks().values():
        for check in checks:
            if not check.passed:
                found[check.asset][check.check].append(check.partition)
    return {asset: dict(checks) for asset, checks in found.items()}


def test_a_row_that_silver_lost_fails_the_day_that_lost_it_and_the_measures_that_counted_it(built):
    lose(built, "ticket_events", "event_id == 'e151'")
    lose(built, "int_doc_assets__listed", "doc_id == 'd2' and snapshot_date == '2026-04-16'")

    assert dbt(built, "test").returncode == 1

    day = ["2026-04-15"]
    assert failed_checks(built) == {
        "ticket_events": {"event_rows_conserved": day},
        "int_doc_assets__listed": {"listed_rows_conserved": ["2026-04-16"]},
        "support_kpi_daily": {
            "kpi_events_conserved": day,
            "kpi_created_conserved": day,
            "kpi_p1_conserved": day,
        },
        "ticket_fact": {"fact_events_conserved": [""]},
    }


def test_a_window_that_lost_nothing_passes_beside_a_day_that_did(built):
    lose(built, "support_kpi_daily", "kpi_date == '2026-04-15'")

    done = dbt(built, "test", "--vars", "{start: 2026-04-16, end: 2026-04-17}")

    assert done.returncode == 0, done.stdout
    assert failed_checks(built) == {}
    assert dbt(built, "test", "--vars", "{start: 2026-04-15, end: 2026-04-17}").returncode == 1
    assert failed_checks(built)["support_kpi_daily"]["kpi_events_conserved"] == ["2026-04-15"]


def test_freshness_is_asked_of_the_sources_by_their_data_and_is_no_check_of_a_partition(settings, declare):
    now = datetime.now(UTC)
    event = ticket_event(1, occurred_at=now.isoformat(), created_at=now.isoformat(), updated_at=now.isoformat())
    write_lines(settings.manifests / "a.jsonl", [event])
    declare(ticket_manifest([source("a", "a.jsonl")], created_at=now.isoformat()))
    (settings.manifests / "d.md").write_text("text")
    declare(document_manifest(str((now - timedelta(days=15)).date()), [source("d", "d.md", "other")]))
    ingest(settings)
    before = open_ledger(settings).current_checks()

    done = dbt(settings, "source", "freshness")

    found = json.loads((settings.dbt_target_dir / "sources.json").read_text("utf-8"))["results"]
    assert done.returncode == 0, done.stdout
    assert {item["unique_id"].rpartition(".")[2]: item["status"] for item in found} == {
        "raw_ticket_events": "pass",
        "raw_doc_assets": "warn",
    }
    assert open_ledger(settings).current_checks() == before
