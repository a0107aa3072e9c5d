"""Runs on several machines, each with a home of its own, on one catalog and ledger: in whatever order they record."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pydantic import SecretStr
from sqlalchemy import insert

from lakehouse.builds import commit_evidence
from lakehouse.builds.commit_evidence import recover_ledger
from lakehouse.ledger import ledger as ledger_module
from lakehouse.ledger import schema as t
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.ledger.rows import materialization_row
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import find_table
from loaders.ingest import ingest, refresh
from orchestration.readiness.readiness import open_readiness
from tests.conftest import TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines
from tests.integration.postgres_server import new_database, serving_postgres

DAY = "2026-04-15"
KEY = (TICKET_EVENTS, DAY)


@pytest.fixture(scope="module")
def server():
    with serving_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def machines(request, settings, declare, tmp_path):
    """Two homes of one lakehouse, which has a day to load."""
    is_server = request.param == "postgres"
    uri = new_database(request.getfixturevalue("server")) if is_server else SecretStr(f"sqlite:///{tmp_path}/lake.db")
    one = settings.model_copy(update={"catalog_uri": uri, "warehouse": f"file://{tmp_path}/warehouse"})
    declare(ticket_manifest([source("a", "a.jsonl")]))
    lay(one, "old")
    return one, one.model_copy(update={"home": tmp_path / "another home"})


def lay(settings, subject):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1, DAY, subject=subject)])


def subjects(settings):
    """What a reader sees."""
    return find_table(open_catalog(settings), TICKET_EVENTS).scan().to_arrow().column("subject").to_pylist()


def records(settings):
    with open_ledger(settings).engine.connect() as connection:
        return connection.execute(t.materializations.select()).all()


def is_current(settings):
    """Whether what is on record passes for computed from the sources as they are; dbt's tests of it have not run."""
    return "the coverage of its sources has changed since" not in open_readiness(settings).verdict(*KEY).reasons


@pytest.fixture
def before_the_record(monkeypatch):
    """Something happens once, between the commit of a run and its record."""

    def put(happen):
        real, happened = Ledger.record_materializations, []

        def late(self, items, *order):
            if (items := list(items)) and not happened:
                happened.append(True)
                happen()
            return real(self, items, *order)

        monkeypatch.setattr(Ledger, "record_materializations", late)

    return put


def test_a_commit_that_another_run_finds_before_it_is_on_record_is_recorded_once(machines, before_the_record):
    here, there = machines
    before_the_record(lambda: ingest(there))

    report = ingest(here)

    (record,) = records(here)
    assert report.is_complete and [item.id for item in report.load_of(TICKET_EVENTS).loaded] == [record.id]
    assert is_current(here) and open_ledger(here).current_checks()[record.id]


def test_a_record_that_comes_after_that_of_a_later_commit_does_not_pass_for_current(machines, before_the_record):
    here, there = machines

    def overtake():
        lay(there, "new")
        ingest(there)

    before_the_record(overtake)
    ingest(here)
    lay(here, "old")
    refresh(here)

    assert subjects(here) == ["new"] and not is_current(here)
    ingest(here)
    assert subjects(here) == ["old"] and is_current(here)


class Killed(BaseException):
    pass


def test_what_a_recovery_had_seen_before_others_went_on_does_not_pass_for_current(
    machines, before_the_record, monkeypatch
):
    here, there = machines

    def die():
        raise Killed

    before_the_record(die)
    with pytest.raises(Killed):
        ingest(here)
    real, seen = commit_evidence.unrecorded_materializations, []

    def slow(*arguments):
        found = list(real(*arguments))
        if found and not seen:
            seen.append(found)
            lay(here, "new")
            ingest(here)
        return found

    monkeypatch.setattr(commit_evidence, "unrecorded_materializations", slow)
    assert recover_ledger(open_catalog(there), open_ledger(there)) == 0
    lay(here, "old")
    refresh(here)

    assert seen and subjects(here) == ["new"] and not is_current(here)


def test_who_records_waits_for_who_is_recording(machines):
    here, there = machines
    ingest(here)
    first, second = open_ledger(here), open_ledger(there)
    item = first.current_materializations()[KEY]
    with ThreadPoolExecutor() as threads:
        with first.engine.begin() as connection:
            ledger_module._hold_others(connection, t.materializations)
            later = materialization_row(replace(item, snapshot_id=2, run_id="later"))
            connection.execute(insert(t.materializations), later)
            waiting = threads.submit(second.record_materializations, [replace(item, snapshot_id=1)], item.id)
            time.sleep(1)
            assert not waiting.done()
        assert waiting.result(30) == [0]


def test_a_commit_on_top_of_one_that_was_recorded_meanwhile_is_recorded(machines):
    ledger = open_ledger(machines[0])
    ingest(machines[0])
    item = ledger.current_materializations()[KEY]
    ledger.record_materializations([replace(item, snapshot_id=7, run_id="slow")])

    assert ledger.record_materializations([replace(item, snapshot_id=8)], item.id, {7, 8}) == [item.id + 2]
    assert ledger.record_materializations([replace(item, snapshot_id=7, run_id="slow")], item.id, {7}) == [0]


def test_two_commits_of_a_day_that_are_recorded_together_are_both_recorded(machines):
    ledger = open_ledger(machines[0])
    ingest(machines[0])
    item = ledger.current_materializations()[KEY]

    ledger.record_materializations([replace(item, snapshot_id=8), replace(item, snapshot_id=9, run_id="last")], item.id)

    assert ledger.current_materializations()[KEY].snapshot_id == 9
