"""The backlog over several months: a day built from the last checkpoint is the day built from the whole history."""

import random
from datetime import date, timedelta

import pytest

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import find_table
from loaders.ingest import ingest
from orchestration.readiness.readiness import open_readiness
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.integration.dbt.test_dbt import dbt
from tests.recomputation import ticket_tables
from tests.recomputation.ticket_sources import read_events

FIRST, LAST = date(2026, 1, 20), date(2026, 4, 9)
MODELS = ("--select", "ticket_events", "int_ticket_states__daily", "int_open_tickets__monthly", "support_backlog_daily")


@pytest.fixture
def months(settings, declare) -> LakehouseSettings:
    """Random events of 40 tickets on about half of the days; none on the first of March, of which none knows anything."""
    dice = random.Random(3)
    days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days)] + [date(2026, 2, 1), date(2026, 4, 1)]
    events = [
        ticket_event(
            number,
            str(day),
            ticket_id=f"t{dice.randrange(40)}",
            status=dice.choice(["open", "resolved", "closed"]),
            product_line=dice.choice(["northstar_studio", "unknown"]),
        )
        for number, day in enumerate(dice.choice(days) for _ in range(160))
        if day != date(2026, 3, 1)
    ] + [ticket_event(1000, str(LAST))]
    write_lines(settings.manifests / "a.jsonl", events)
    declare(ticket_manifest([source("a", "a.jsonl")]))
    assert ingest(settings).is_complete
    return settings


def stored(settings, table):
    return _in_order(find_table(open_catalog(settings), table).scan().to_arrow().to_pylist())


def recomputed(settings, table):
    events = read_events(settings.manifests, PROJECT_ROOT / "manifests" / "contracts")
    return _in_order(getattr(ticket_tables, table)(events))


def _in_order(rows):
    return sorted(rows, key=lambda row: [str(row[name]) for name in sorted(row)])


def evidence(settings, asset, partition):
    return open_readiness(settings).verdict(asset, partition).evidence


def built(settings, first, end):
    """Without the checks, which take two thirds of a build's time and say nothing of this."""
    done = dbt(settings, "run", *MODELS, "--event-time-start", first, "--event-time-end", end)
    assert done.returncode == 0, done.stdout


def test_days_built_from_a_checkpoint_are_exact_and_wait_for_it_after_a_correction_before_it(months):
    built(months, "2026-02-10", "2026-03-01")  # without a checkpoint, and before what came before
    built(months, "2026-01-20", "2026-02-10")
    built(months, "2026-02-10", "2026-04-06")
    built(months, "2026-04-06", "2026-04-10")  # from the checkpoint of April

    checkpoints = stored(months, "int_open_tickets__monthly")
    assert {row["month_start"] for row in checkpoints} == {date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)}
    assert checkpoints == recomputed(months, "int_open_tickets__monthly")
    assert stored(months, "support_backlog_daily") == recomputed(months, "support_backlog_daily")

    lines = (months.manifests / "a.jsonl").read_text("utf-8").splitlines()
    opened = next(n for n, line in enumerate(lines) if '"open"' in line and "2026-01-" in line)
    write_lines(months.manifests / "a.jsonl", [*lines[:opened], *lines[opened + 1 :]])
    assert ingest(months).is_complete
    built(months, "2026-01-20", "2026-02-01")
    built(months, "2026-04-06", "2026-04-10")

    stale = evidence(months, "int_open_tickets__monthly", "2026-04-01")
    assert stale.changed_inputs == ("int_ticket_states__daily",)
    waiting = evidence(months, "support_backlog_daily", "2026-04-06").blockers
    assert "int_open_tickets__monthly 2026-04-01" in [blocker.name for blocker in waiting]

    built(months, "2026-02-01", "2026-04-10")

    assert stored(months, "support_backlog_daily") == recomputed(months, "support_backlog_daily")
    assert stored(months, "int_open_tickets__monthly") == recomputed(months, "int_open_tickets__monthly")
