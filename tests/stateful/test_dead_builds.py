"""What a process left that died between its commit and its record, or wrote meanwhile, once an older state comes back."""

from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from lakehouse.builds import build
from lakehouse.builds.build import Builder
from lakehouse.tables import commits
from tests.stateful.lake import Killed, killed
from tests.stateful.machine import SAFE
from tests.stateful.model import DAILY, DAYS, EVENTS, Record, Source

DAY = DAYS[0]
OLD = Source(records=tuple(Record(n, day, "new") for n, day in enumerate(DAYS[:2], 1)))
NEW = Source(records=tuple(Record(n, day, "other") for n, day in enumerate(DAYS[:2], 1)))


def status(lake, asset):
    return lake.verdicts()[asset, DAY][0]


@pytest.fixture
def begun(lake):
    lake.begin()
    with lake.opened_once():
        yield lake


def test_rows_of_a_dead_build_are_not_called_ready_when_its_model_is_edited_back(begun):
    begun.logic = 2
    with killed("after a commit", 1):
        begun.build([DAILY])
    begun.logic = 1

    assert begun.rows(DAILY, DAY) == [("e1", "new by 2")]
    assert status(begun, DAILY) == "STALE"
    begun.build([DAILY])
    assert status(begun, DAILY) == "READY"


def test_a_build_that_ends_well_leaves_no_doubt(begun):
    begun.build([DAILY])

    assert status(begun, DAILY) == "READY"
    assert begun.verify() == []


def test_what_reads_the_rows_of_a_dead_load_is_not_called_ready_when_its_source_is_edited_back(begun):
    begun.lay("second", NEW)
    with killed("after a commit", 1):
        begun.ingest()
    begun.build([DAILY])
    begun.lay("second", OLD)
    begun.ingest()

    assert begun.rows(EVENTS, DAY) == [("e1", "new")] and status(begun, EVENTS) in SAFE
    assert begun.rows(DAILY, DAY) == [("e1", "other by 1")]
    assert status(begun, DAILY) == "STALE"


def test_what_reads_the_rows_of_a_load_that_came_between_two_looks_is_not_called_ready_when_its_source_is_edited_back(
    begun, monkeypatch
):
    real, loaded = build.list_tables, []

    def load_first(*arguments):
        if not loaded:
            loaded.append(begun.ingest())
        return real(*arguments)

    begun.lay("second", NEW)
    monkeypatch.setattr(build, "list_tables", load_first)
    begun.build([DAILY])
    begun.lay("second", OLD)
    begun.ingest()

    assert begun.rows(EVENTS, DAY) == [("e1", "new")] and status(begun, EVENTS) in SAFE
    assert begun.rows(DAILY, DAY) == [("e1", "other by 1")]
    assert status(begun, DAILY) == "STALE"


@pytest.fixture
def die_over(begun, monkeypatch):
    """A build by another logic, before whose commit one by the first logic commits; it tries again, and dies."""

    def run(build_meanwhile):
        real, calls = commits._commit, []

        def overtaken(*arguments):
            calls.append(arguments)
            if len(calls) == 1:
                begun.logic = 1
                build_meanwhile()  # the second call
                begun.logic = 2
            real(*arguments)
            if len(calls) == 3:
                raise Killed

        monkeypatch.setattr(commits, "_commit", overtaken)
        begun.logic = 2
        with suppress(Killed):
            begun.build([DAILY])
        begun.logic = 1
        assert begun.rows(DAILY, DAY) == [("e1", "new by 2")]

    return run


def test_what_a_build_that_died_wrote_over_one_that_lived_is_not_called_ready(begun, die_over):
    die_over(lambda: begun.build([DAILY]))

    assert status(begun, DAILY) == "STALE"
    begun.build([DAILY])
    assert begun.rows(DAILY, DAY) == [("e1", "new by 1")]
    assert status(begun, DAILY) == "READY"


@pytest.fixture(params=[-10, 0, 10])
def other_clock(request, monkeypatch):
    """The machine of who says that it begins has a clock that is ten minutes behind, right, or ahead."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=request.param)

    monkeypatch.setattr("lakehouse.ledger.foreign_writes.datetime", Clock)


@pytest.mark.usefixtures("other_clock")
def test_what_a_build_that_died_wrote_over_one_that_records_later_stays_in_doubt(begun, die_over):
    record, later = Builder._record, []

    def build_without_record():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Builder, "_record", lambda *arguments: later.append(arguments))
            begun.build([DAILY])

    die_over(build_without_record)
    record(*later[0])

    assert "began to write it" in begun.verdicts()[DAILY, DAY][1]


@pytest.mark.usefixtures("other_clock")
def test_whoever_writes_later_takes_back_the_doubt_of_a_dead_build_by_whatever_clock(begun):
    begun.logic = 2
    with killed("after a commit", 1):
        begun.build([DAILY])
    begun.logic = 1
    in_doubt = status(begun, DAILY)

    begun.build([DAILY])

    assert (in_doubt, status(begun, DAILY)) == ("STALE", "READY")
