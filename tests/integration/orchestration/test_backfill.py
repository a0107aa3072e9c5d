"""Backfills: exactly the plan, nothing else; mended states become ready; what was interrupted resumes."""

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from loaders.ingest import refresh
from orchestration.readiness.readiness import open_readiness
from orchestration.readiness.verdicts import Status
from orchestration.runs.backfill import Selection, find_unfinished, plan_backfill, request_backfill, run_backfill
from orchestration.runs.main_job import run_main_job
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.integration.orchestration.test_graph import statuses

DAYS = ("2026-04-14", "2026-04-15", "2026-04-16")


def events(*extra):
    return [ticket_event(int(day[-2:]), day) for day in DAYS] + list(extra)


def quiet(_):
    pass


def planned(settings, **wanted):
    refresh(settings)
    return plan_backfill(open_readiness(settings), Selection(**wanted))


def execute(settings, plan):
    backfill = request_backfill(open_ledger(settings), plan, "test", "me", is_forced=False)
    return run_backfill(settings, backfill, quiet)


@pytest.fixture(scope="module")
def built(tmp_path_factory, parsed_project):
    """Three days of tickets, two snapshots of one document; everything is ready. Kept aside as it is."""
    root = tmp_path_factory.mktemp("backfill")
    settings = LakehouseSettings(home=root / "lake" / "home", manifests=root / "lake" / "manifests")
    parsed_project.give_to(settings)
    write_lines(settings.manifests / "a.jsonl", events())
    declared = [ticket_manifest([source("a", "a.jsonl")])]
    for day in ("2026-04-14", "2026-04-15"):
        (settings.manifests / f"{day}.md").write_text(day)
        declared.append(document_manifest(day, [source("d", f"{day}.md", "other")]))
    for manifest in declared:
        (settings.manifests / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest))
    assert run_main_job(settings, None, quiet).is_complete
    copy(root / "lake", root / "kept")
    return settings


@pytest.fixture
def filled(built):
    """That lakehouse, put back in place afterwards: paths in Iceberg metadata are absolute."""
    yield built
    lake = built.home.parent
    shutil.rmtree(lake)
    copy(lake.with_name("kept"), lake)


def copy(folder, to):
    """By a process of its own: to close a file of SQLite's in this one would drop the locks that this one has on it."""
    subprocess.run(["cp", "-a", folder, to], check=True)


def written(settings):
    return {target: item.id for target, item in open_ledger(settings).current_materializations().items()}


def test_a_named_day_of_a_named_asset_is_computed_again_and_nothing_else(filled):
    before = written(filled)
    plan = planned(filled, assets=("raw_doc_assets",), window=Window.of_keys("2026-04-15", "2026-04-15"))

    result = execute(filled, plan)

    after = written(filled)
    assert plan.targets == (("raw_doc_assets", "2026-04-15"),)
    assert {t.asset: t.partitions for t in plan.touched}["doc_change_feed"] == 1
    assert not result.not_ready
    assert {target for target in after if after[target] != before.get(target)} == set(plan.targets)
    (recorded,) = open_ledger(filled).backfills()
    assert (recorded.reason, recorded.requested_by, recorded.outcome) == ("test", "me", "ready")


def test_a_broken_day_fails_alone_and_backfilling_the_failed_makes_all_ready_again(filled):
    broken = ticket_event(99, "2026-04-15", status="nope")
    write_lines(filled.manifests / "a.jsonl", events(broken))
    assert not run_main_job(filled, None, quiet).is_complete
    assert statuses(filled, "raw_ticket_events") == dict(zip(DAYS, ("READY", "FAILED", "READY"), strict=True))
    assert statuses(filled, "support_kpi_daily") == dict(zip(DAYS, ("READY", "BLOCKED", "READY"), strict=True))
    write_lines(filled.manifests / "a.jsonl", events())

    plan = planned(filled, statuses=frozenset({Status.FAILED}), with_downstream=True)
    result = execute(filled, plan)

    assert not result.not_ready, result.lines
    # What reads days up to its own is computed from the mended day on, and what reads all of them.
    assert {key for asset, key in plan.targets if asset == "support_backlog_daily"} == {"2026-04-15", "2026-04-16"}
    assert {key for asset, key in plan.targets if asset == "support_kpi_daily"} == {"2026-04-15"}
    readiness = open_readiness(filled)
    assert not readiness.mendable()


def test_a_late_file_and_a_missing_day_are_found_by_their_states(filled):
    write_lines(filled.manifests / "late.jsonl", [ticket_event(50, "2026-04-14"), ticket_event(51, "2026-04-20")])
    manifest = ticket_manifest([source("late", "late.jsonl")], 2)
    (filled.manifests / "late.json").write_text(json.dumps(manifest))

    stale = planned(filled, assets=("raw_ticket_events",), statuses=frozenset({Status.STALE}))
    missing = planned(filled, assets=("raw_ticket_events",), statuses=frozenset({Status.MISSING}))

    assert stale.targets == (("raw_ticket_events", "2026-04-14"),)
    assert missing.targets == (("raw_ticket_events", "2026-04-20"),)
    assert missing.verdicts[0].evidence.rows_expected == 1


def test_an_interrupted_backfill_computes_only_what_it_still_lacks(filled):
    plan = planned(filled, assets=("raw_ticket_events",), window=Window.of_keys(DAYS[0], DAYS[2]))
    ledger = open_ledger(filled)
    backfill = request_backfill(ledger, plan, "", "me", is_forced=False)
    # The first day was done before the process died: a run that ends here stands for it.
    part = replace(backfill, targets=backfill.targets[:1], id="part")
    ledger.record_backfill(part)
    run_backfill(filled, part, quiet)
    before = written(filled)

    result = run_backfill(filled, find_unfinished(ledger, backfill.id), quiet)

    after = written(filled)
    assert not result.not_ready
    again = {key for (asset, key), number in after.items() if number != before[asset, key]}
    assert again == {DAYS[1], DAYS[2]}
    assert all(each.finished_at and each.finished_at <= datetime.now(UTC) for each in ledger.backfills())
