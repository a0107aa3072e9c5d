"""Work in processes beside this one: what it comes to is the same, and who dies takes nothing else with it."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest

from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import QUARANTINE
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest, find_table
from loaders.bronze import kinds
from loaders.bronze.coverage import refresh_coverage
from loaders.errors import SourceUnreadable, WorkerDied
from loaders.events.records import connect
from loaders.events.staging import RecordStager
from loaders.ingest import ingest
from loaders.plans import shares
from loaders.plans.planning import plan_load
from loaders.seed_loader import admit_manifests
from loaders.simulator.sample import simulate
from loaders.workers import Work, Workers
from tests.conftest import DOC_ASSETS, TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines

DAYS = [f"2026-04-{day}" for day in range(10, 18)]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """A process beside this one unpickles what this module defines."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))


@pytest.fixture
def two(settings):
    """The lakehouse with two workers, whatever the machine has."""
    return settings.model_copy(update={"workers": 2})


@pytest.fixture
def shared_out(monkeypatch):
    """The smallest work is worth another process."""
    monkeypatch.setattr(shares, "_WORTH_IT", 0)


def at_work(told):
    """What does one thing: it says where, or does what the thing asks for."""

    def one(thing):
        if thing == "refuse":
            raise SourceUnreadable("it is broken")
        if thing == "fail":
            raise ZeroDivisionError(thing)
        if thing == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if thing == "die while it says so":
            os.write(int(sys.argv[1]), struct.pack("!i", 1_000) + b"half of it")
            os.kill(os.getpid(), signal.SIGKILL)
        if thing == "nap":
            time.sleep(5)
        return thing, told, os.getpid()

    return one


def threads_of_duckdb():
    """What says how many threads a DuckDB has there."""
    return lambda _: connect(Path()).execute("select current_setting('threads')").fetchone()[0]


WORK = Work(at_work, ("told",))


def ended(pids, within_seconds=10):
    """Those that are gone, or are soon."""
    left, until = set(pids), time.monotonic() + within_seconds
    while left and time.monotonic() < until:
        left = {pid for pid in left if Path("/proc", str(pid)).exists()}
        time.sleep(0.05)
    return set(pids) - left


def test_every_thing_is_done_once_by_processes_that_serve_until_the_end():
    things = [[f"{share}-{number}" for number in range(3)] for share in range(8)]

    with Workers(2) as workers:
        first = [*workers.do(WORK, things)]
        second = [*workers.do(WORK, things)]

    pids = {pid for _, (_, _, pid) in first + second}
    assert sorted(thing for thing, _ in first) == sorted(thing for share in things for thing in share)
    assert all(result[:2] == (thing, "told") for thing, result in first + second)
    assert len(pids) == 2 and os.getpid() not in pids and ended(pids) == pids
    for share in things:  # of a share in their order
        assert [thing for thing, _ in first if thing in share] == share


@pytest.mark.parametrize("most", [1, 2])
def test_a_refusal_is_the_result_of_its_thing_alone(most):
    with Workers(most) as workers:
        found = dict(workers.do(WORK, [["a", "refuse", "b"], ["c"]]))

    assert isinstance(found.pop("refuse"), SourceUnreadable)
    assert {thing: result[0] for thing, result in found.items()} == {"a": "a", "b": "b", "c": "c"}


@pytest.mark.parametrize("most", [1, 2])
def test_any_other_error_is_raised_with_where_it_came_about_and_ends_the_work(most):
    done = []
    with pytest.raises(ZeroDivisionError) as raised, Workers(most) as workers:
        for thing, _ in workers.do(WORK, [["a", "fail", "b"], ["c"], ["d"]]):
            done.append(thing)

    assert "in one" in "".join(traceback.format_exception(raised.value))
    assert "a" in done and "b" not in done


@pytest.mark.parametrize("die", ["die", "die while it says so"])
def test_a_process_that_is_killed_fails_what_it_was_at_and_nothing_else(die):
    with Workers(2) as workers:
        found = dict(workers.do(WORK, [["a", die, "b", "c"], ["d", "e"], ["f"]]))

    assert "its process ended with -9" in str(found[die]) and "OMNI_WORKERS" in str(found[die])
    assert isinstance(found.pop(die), WorkerDied)
    assert {thing: result[0] for thing, result in found.items()} == {thing: thing for thing in "abcdef"}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked for in /proc")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(ending):
    program = (
        "from loaders.workers import Workers; from tests.integration.loaders.test_workers import WORK\n"
        "with Workers(2) as workers:\n"
        "    for _, (_, _, pid) in workers.do(WORK, [['a', 'nap'], ['b', 'nap']]): print(pid, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, process_group=0) as parent:
        assert parent.stdout is not None
        beside = {int(parent.stdout.readline()), int(parent.stdout.readline())}
        # A terminal sends Ctrl-C to all of them; the kernel kills one.
        os.killpg(parent.pid, ending) if ending == signal.SIGINT else parent.kill()
        parent.wait(10)

        assert ended(beside) == beside


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process is bound to cores on Linux alone")
def test_no_more_processes_than_cores_that_may_be_used_each_with_one_thread():
    bound = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from loaders.workers import Workers; print(Workers().most)"
    )

    most = subprocess.run([sys.executable, "-c", bound], stdout=subprocess.PIPE, text=True, check=True).stdout
    with Workers(2) as workers:
        found = {threads for _, threads in workers.do(Work(threads_of_duckdb, ()), [["a"], ["b"]])}

    assert most == "1\n" and Workers().most == len(os.sched_getaffinity(0)) and found == {1}


def digests(settings):
    catalog = open_catalog(settings)
    return {name: content_digest(find_table(catalog, name)) for name in (TICKET_EVENTS, DOC_ASSETS, QUARANTINE)}


def test_two_processes_load_what_one_loads(two, settings, shared_out, tmp_path):
    simulate(settings.manifests, tickets=60)
    apart = settings.model_copy(update={"home": tmp_path / "apart", "workers": 1})

    beside, alone = ingest(two), ingest(apart)

    assert digests(two) == digests(apart)
    recorded = [
        {key: (item.version, item.rows) for key, item in open_ledger(each).current_materializations().items()}
        for each in (two, apart)
    ]
    assert recorded[0] == recorded[1] and len(recorded[0]) > 20
    assert {load.asset: load.refused for load in beside.loads} == {load.asset: load.refused for load in alone.loads}
    assert beside.problems == alone.problems


class Dying(RecordStager):
    """Its process is killed at the fourth day."""

    def __call__(self, plan):
        if plan.partition == DAYS[3]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(plan)


def test_a_killed_process_refuses_its_day_which_the_next_load_brings(two, declare, shared_out, monkeypatch):
    for day in DAYS:
        write_lines(two.manifests / f"{day}.jsonl", [ticket_event(int(day[-2:]), day)])
    declare(ticket_manifest([source("days", "*.jsonl")]))
    loader = kinds.LOADERS["records"]

    with monkeypatch.context() as patch:
        dying = MappingProxyType({**kinds.LOADERS, "records": replace(loader, stager=Dying)})
        patch.setattr("loaders.bronze.pipelines.LOADERS", dying)
        struck = ingest(two).load_of(TICKET_EVENTS)
    mended = ingest(two).load_of(TICKET_EVENTS)

    assert [item.partition for item in struck.loaded] == [day for day in DAYS if day != DAYS[3]]
    assert "its process ended with -9" in struck.refused[DAYS[3]] and len(struck.refused) == 1
    assert [item.partition for item in mended.loaded] == [DAYS[3]] and not mended.refused


@pytest.mark.usefixtures("shared_out")
def test_bytes_that_coverage_did_not_count_are_loaded_by_no_process(two, declare):
    def write(subject):
        for day in DAYS:
            line = json.dumps(ticket_event(int(day[-2:]), day, subject=subject)) + "\n"
            (two.manifests / f"{day}.jsonl").write_text(line, "utf-8")

    def change(step):
        if step.startswith(f"{TICKET_EVENTS}: "):  # they are counted, and about to be staged
            write("old")  # as long

    write("new")
    declare(ticket_manifest([source("days", "*.jsonl")]))

    load = ingest(two, progress=change).load_of(TICKET_EVENTS)

    changed = {day: f"{day}.jsonl: changed while it was read; next: run it again" for day in DAYS}
    assert (load.refused, load.loaded) == (changed, [])


def test_one_file_of_all_days_is_read_by_one_process_and_daily_files_by_several(two, declare, shared_out, monkeypatch):
    monkeypatch.setattr(shares, "_OF_A_DAY", 0)  # the files are small, and all that counts
    write_lines(two.manifests / "all.jsonl", [ticket_event(int(day[-2:]), day) for day in DAYS])
    declare(ticket_manifest([source("all", "all.jsonl")]))
    for day in DAYS:
        write_lines(two.manifests / "daily" / f"{day}.jsonl", [ticket_event(int(day[-2:]), day)])

    ledger = open_ledger(two)
    admissions = admit_manifests(two, ledger).admissions
    together = plan_load(ledger, TICKET_EVENTS, refresh_coverage(two, ledger, TICKET_EVENTS, admissions, Workers(1)))
    declare(ticket_manifest([source("all", "daily/*.jsonl")]))
    admissions = admit_manifests(two, ledger).admissions
    apart = plan_load(ledger, TICKET_EVENTS, refresh_coverage(two, ledger, TICKET_EVENTS, admissions, Workers(1)))

    days = [[item.partition for item in share] for share in shares.shares_of_days(apart.partitions, 2)]
    assert [len(share) for share in shares.shares_of_days(together.partitions, 2)] == [len(DAYS)]
    assert len(days) > 2 and sum(days, []) == DAYS


def test_files_are_cut_by_their_weight(monkeypatch):
    monkeypatch.setattr(shares, "_WORTH_IT", 0)
    weigh = partial(shares.shares_of_files, ["a", "b", "c", "d"], [8, 1, 1, 8])

    assert weigh(1) == [["a", "b", "c", "d"]]
    assert weigh(2) == [["a"], ["b", "c", "d"]]
