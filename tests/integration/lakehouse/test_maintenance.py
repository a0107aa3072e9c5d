"""Maintenance as a whole: compaction, beside writers, on an empty lakehouse, as a command."""

import tempfile
import threading
from datetime import UTC, datetime, timedelta

import typer
from typer.testing import CliRunner

from lakehouse.builds.commit_evidence import recover_ledger
from lakehouse.ledger.evidence import CheckResult
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import QUARANTINE
from lakehouse.partitions import Window
from lakehouse.settings import load_settings
from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import ensure_table, open_catalog
from lakehouse.tables.digest import find_table
from lakehouse.tables.filters import day_filter
from lakehouse.upkeep.maintenance import _rewrite, maintain
from loaders.ingest import ingest
from orchestration.cli.upkeep import maintain_command
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import open_readiness
from orchestration.readiness.verdicts import Status
from tests.conftest import TICKET_EVENTS
from tests.integration.lakehouse.maintained_lake import (
    digests,
    files_of_day,
    has_done_nothing,
    maintained,
    of,
    one_row,
    warehouse_files,
)

RESTS_S = 60
"""How long a writer rests at most: maintenance needs two seconds of it, for snapshots to come of age."""


# ── compaction ───────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_day_of_many_small_files_becomes_one_with_the_same_content_and_verdict(many_files):
    content, current = digests(many_files, TICKET_EVENTS), open_ledger(many_files).current_materializations()
    _record_checks(many_files)
    verdicts = open_readiness(many_files).verdicts(TICKET_EVENTS)
    assert len(files_of_day(many_files)) == 12

    report = maintained(many_files, later=timedelta())

    (compaction,) = of(report, TICKET_EVENTS).compacted
    assert (compaction.partition, compaction.files, compaction.is_skipped) == ("2026-04-01", 12, False)
    assert len(files_of_day(many_files)) == 1
    assert digests(many_files, TICKET_EVENTS) == content
    assert recover_ledger(open_catalog(many_files), open_ledger(many_files)) == 0
    assert open_ledger(many_files).current_materializations() == current
    after = open_readiness(many_files).verdicts(TICKET_EVENTS)
    assert after == verdicts and {verdict.status for verdict in after.values()} == {Status.READY}
    assert of(maintained(many_files, later=timedelta()), TICKET_EVENTS).compacted == ()


def _record_checks(settings):
    """The results of the checks of the events as they are defined, all passed."""
    ledger, node = open_ledger(settings), load_asset_graph(settings)[TICKET_EVENTS]
    now = datetime.now(UTC)
    ledger.record_checks(
        [
            CheckResult(
                *(item.asset, item.partition, check, severity, True, "", item.id, now, "run"),
                definition=node.definitions.get(check),
            )
            for item in ledger.current_materializations([TICKET_EVENTS]).values()
            for check, severity in node.checks.items()
        ]
    )


def test_a_dry_run_compacts_nothing(many_files):
    before = warehouse_files(many_files)

    (compaction,) = of(maintained(many_files, dry_run=True), TICKET_EVENTS).compacted

    assert compaction.files == 12
    assert warehouse_files(many_files) == before and len(files_of_day(many_files)) == 12


def test_many_files_of_quarantine_become_one(three_days):
    table = find_table(open_catalog(three_days), QUARANTINE)
    row = table.scan(limit=1).to_arrow()
    for _ in range(9):
        table.append(row)
    content = digests(three_days, QUARANTINE)

    report = maintained(three_days, later=timedelta())

    assert [each.files for each in of(report, QUARANTINE).compacted] == [10]
    assert digests(three_days, QUARANTINE) == content
    assert len(list(find_table(open_catalog(three_days), QUARANTINE).scan().plan_files())) == 1


def test_rows_of_a_compaction_lie_nowhere_but_under_the_home(many_files, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    maintained(many_files, later=timedelta())

    assert len(files_of_day(many_files)) == 1


def test_a_load_that_replaced_the_day_meanwhile_wins_over_its_compaction(many_files, tmp_path):
    stale = find_table(open_catalog(many_files), TICKET_EVENTS)
    ingest(many_files, window=Window.of_keys("2026-04-01", "2026-04-01"))
    content = digests(many_files, TICKET_EVENTS)

    window = day_filter(stale, Window.of_keys("2026-04-01", "2026-04-01"))

    assert not _rewrite(stale, "2026-04-01", window, tmp_path)
    assert digests(many_files, TICKET_EVENTS) == content


def test_a_commit_on_another_day_meanwhile_does_not_hinder_a_compaction(many_files, tmp_path):
    stale = find_table(open_catalog(many_files), TICKET_EVENTS)
    ingest(many_files, window=Window.of_keys("2026-04-03", "2026-04-03"))
    content = digests(many_files, TICKET_EVENTS)

    window = day_filter(stale, Window.of_keys("2026-04-01", "2026-04-01"))

    assert _rewrite(stale, "2026-04-01", window, tmp_path)
    assert digests(many_files, TICKET_EVENTS) == content and len(files_of_day(many_files)) == 1


# ── beside writers, on nothing ───────────────────────────────────────────────────────────────────────────────────────
def test_maintenance_while_a_writer_commits_loses_nothing(settings):
    """Many commits on two days, with the shortest age limit that is safe for them, and a maintenance that never rests.

    The writer may be faster each time: at last it rests until maintenance has done everything once, and goes on.
    """
    definition = bronze_table(settings, TICKET_EVENTS)
    ensure_table(open_catalog(settings), definition.identifier, definition.schema, definition.partition_by)
    reports, written, is_done = [], [], threading.Event()

    def write():
        table = find_table(open_catalog(settings), TICKET_EVENTS)
        for number in range(70):
            if number == 60:
                is_done.wait(RESTS_S)
            table.refresh()
            table.append(one_row(table, number))
            written.append(f"e{number}")

    def has_seen_all():
        looked_at = [of(report, TICKET_EVENTS) for report in reports]
        return any(each.snapshots_expired for each in looked_at) and any(each.compacted for each in looked_at)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        reports.append(
            maintain(
                open_catalog(settings),
                open_ledger(settings),
                settings,
                older_than=timedelta(seconds=6),  # longer than a commit takes on a busy machine
                dry_run=False,
                now=datetime.now(UTC),
                keep_snapshots=1,
            )
        )
        if has_seen_all():
            is_done.set()

    found = find_table(open_catalog(settings), TICKET_EVENTS).scan().to_arrow()
    assert has_seen_all()
    assert len(written) == 70
    assert sorted(found["event_id"].to_pylist()) == sorted(written)


def test_an_empty_lakehouse_has_nothing_to_maintain(settings):
    report = maintained(settings)

    assert has_done_nothing(report) and report.tables == ()
    assert report.lines() == [
        "object store: 0 objects (0.0 MB) removed",
        "runs that died: 0 leftovers (0.0 MB) removed",
    ]


def test_the_command_prints_the_report_and_refuses_an_unknown_table(monkeypatch, three_days):
    app = typer.Typer()
    app.command()(maintain_command)
    monkeypatch.setenv("OMNI_HOME", str(three_days.home))
    load_settings.cache_clear()

    done, as_json = (CliRunner().invoke(app, arguments) for arguments in (["--dry-run"], ["--dry-run", "--json"]))
    unknown = CliRunner().invoke(app, ["--table", "nothing"])
    load_settings.cache_clear()

    assert (done.exit_code, as_json.exit_code, unknown.exit_code) == (0, 0, 2)
    assert f"bronze.{TICKET_EVENTS}: 0 snapshots expired" in done.output
    assert '"dry_run": true' in as_json.output
