"""Coverage and staging on the workers of a Dask cluster: what it comes to is the same, or nothing is written."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import MappingProxyType

import pytest
from pydantic import SecretStr

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest, find_table
from loaders.bronze import kinds
from loaders.bronze.pipelines import new_run_id
from loaders.errors import StoreUnavailable
from loaders.events.staging import RecordStager
from loaders.ingest import ingest
from loaders.plans import shares
from loaders.simulator.sample import simulate
from loaders.workers import Work
from tests.conftest import TICKET_EVENTS, document_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.integration.dask_cluster import cluster, requires_dask
from tests.integration.loaders.test_workers import DAYS, digests

MAPPING = "select source_line, id as event_id, id as ticket_id, 'created' as event_type, at as occurred_at, 'new' as status, 'P2' as priority, at as created_at, at as updated_at from raw"


@pytest.fixture(autouse=True)
def _shared_out(monkeypatch):
    """The smallest work is worth the way."""
    monkeypatch.setattr(shares, "_WORTH_IT", 0)


def on(settings, dask):
    return settings.model_copy(update={"dask_scheduler": dask.address})


@pytest.fixture
def daily(settings, declare):
    """Eight daily files of events."""
    for day in DAYS:
        write_lines(settings.manifests / f"{day}.jsonl", [ticket_event(int(day[-2:]), day)])
    declare(ticket_manifest([source("days", "*.jsonl")]))
    return settings


def recorded(settings):
    current = open_ledger(settings).current_materializations()
    return {key: (item.version, item.rows) for key, item in current.items()}


def is_untouched(settings):
    """Whether nothing was said of any file, and nothing loaded."""
    ledger = open_ledger(settings)
    return not ledger.coverage() and not ledger.current_materializations()


@requires_dask
def test_two_workers_load_what_one_process_loads_whatever_they_have_for_settings(settings, declare, tmp_path):
    simulate(settings.manifests, tickets=60)
    write_lines(
        settings.manifests / "foreign.jsonl", [{"id": f"f{n}", "at": f"2026-04-1{n}T08:00:00Z"} for n in range(5)]
    )
    (settings.manifests / "mappings").mkdir(exist_ok=True)
    (settings.manifests / "mappings" / "of_mine.sql").write_text(MAPPING)
    declare(ticket_manifest([source("foreign", "foreign.jsonl")], 7, mapping="of_mine"))
    apart = settings.model_copy(update={"home": tmp_path / "apart", "workers": 1})
    theirs = {"OMNI_EARLIEST_INSTANT": "2030-01-01", "OMNI_MAX_RECORD_BYTES": "10", "OMNI_WAREHOUSE": "s3://none"}

    with cluster(tmp_path / "cluster", **theirs) as dask:
        beside = ingest(on(settings, dask))
    alone = ingest(apart)

    assert digests(settings) == digests(apart)
    assert recorded(settings) == recorded(apart) and len(recorded(apart)) > 20
    assert {load.asset: load.refused for load in beside.loads} == {load.asset: load.refused for load in alone.loads}
    assert beside.problems == alone.problems
    assert all((dask.folder / f"worker{n}" / "home" / "scratch").is_dir() for n in range(2))  # both have worked
    assert not [*dask.folder.glob("worker*/home/scratch/*")]


@requires_dask
def test_a_worker_that_is_killed_in_the_midst_loses_nothing(daily, tmp_path):
    apart = daily.model_copy(update={"home": tmp_path / "apart", "workers": 1})
    killed = []

    with cluster(tmp_path / "cluster") as dask:

        def kill(step):
            if f"{TICKET_EVENTS} 2026" in step and not killed:  # the first day has come, the others are under way
                killed.append(dask.workers[0].kill())

        load = ingest(on(daily, dask), progress=kill).load_of(TICKET_EVENTS)
    ingest(apart)

    assert killed and [item.partition for item in load.loaded] == DAYS and not load.refused
    events = [find_table(open_catalog(each), TICKET_EVENTS) for each in (daily, apart)]
    assert content_digest(events[0]) == content_digest(events[1]) and recorded(daily) == recorded(apart)


class Deadly(RecordStager):
    """Whoever stages the fourth day is killed."""

    def __call__(self, plan):
        if plan.partition == DAYS[3]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(plan)


@requires_dask
def test_a_day_that_kills_workers_is_refused_and_comes_with_the_next_load(daily, tmp_path, monkeypatch):
    deadly = MappingProxyType({**kinds.LOADERS, "records": replace(kinds.LOADERS["records"], stager=Deadly)})

    with cluster(tmp_path / "cluster", 0, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as dask:
        for _ in range(2):
            dask.add(is_nursed=True)
        dask.has(2)
        with monkeypatch.context() as patch:
            patch.setattr("loaders.bronze.pipelines.LOADERS", deadly)
            struck = ingest(on(daily, dask)).load_of(TICKET_EVENTS)
        mended = ingest(on(daily, dask)).load_of(TICKET_EVENTS)

    # Dask cannot tell which of two days a worker died of that had both; neither is lost.
    refused = sorted(struck.refused)
    assert [item.partition for item in struck.loaded] == [day for day in DAYS if day not in refused]
    assert "workers died of it" in struck.refused[DAYS[3]] and len(refused) < len(DAYS) - 1
    assert [item.partition for item in mended.loaded] == refused and not mended.refused


@requires_dask
@pytest.mark.parametrize("gone", ["workers", "scheduler"])
def test_a_cluster_that_goes_away_ends_the_load_which_the_next_one_completes(daily, tmp_path, monkeypatch, gone):
    monkeypatch.setattr("loaders.dask_workers._PATIENCE_SECONDS", 2)
    with cluster(tmp_path / "cluster") as dask:

        def kill(step):
            if step.startswith(f"{TICKET_EVENTS}: "):  # all is counted, and about to be staged
                for process in dask.workers if gone == "workers" else [dask.scheduler]:
                    process.kill()
                    process.wait()
                time.sleep(1)

        with pytest.raises(StoreUnavailable, match="next: start"):
            ingest(on(daily, dask), progress=kill)
    mended = ingest(daily).load_of(TICKET_EVENTS)

    assert [item.partition for item in mended.loaded] == DAYS and not mended.refused


@requires_dask
def test_a_worker_of_another_version_of_the_code_is_refused(daily, tmp_path):
    (other := tmp_path / "other").mkdir()
    for name in ("lakehouse", "loaders", "manifests"):
        shutil.copytree(PROJECT_ROOT / name, other / name, ignore=shutil.ignore_patterns("__pycache__"))
    typing = other / "loaders" / "events" / "dating.py"
    typing.write_text(typing.read_text("utf-8") + "\n# another one\n", "utf-8")

    with cluster(tmp_path / "cluster", 0) as dask:
        dask.add()
        dask.add(other)
        dask.has(2)
        with pytest.raises(
            ConfigurationError, match=r"found code \w{12}, expected \w{12}; next: give it this checkout"
        ):
            ingest(on(daily, dask))

    assert is_untouched(daily)


@requires_dask
def test_a_worker_of_other_packages_is_refused(daily, monkeypatch):
    from loaders import dask_workers

    parcel = dask_workers.Parcel({**dask_workers.definition(), "duckdb": "1.0.0"}, b"never read")

    with pytest.raises(ConfigurationError, match=r"found duckdb [\d.]+, expected 1.0.0;"):
        dask_workers.omni_share(parcel)


@pytest.fixture
def hiding():
    """A worker can be made to see a folder empty."""
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    if shutil.which("unshare") is None or subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no folder can be hidden from a process; next: run the tests as root of Linux")


@requires_dask
@pytest.mark.usefixtures("hiding")
def test_workers_that_do_not_see_the_files_end_the_load(daily, tmp_path):
    with cluster(tmp_path / "cluster", 0) as dask:
        dask.add(hidden=daily.manifests)
        dask.has(1)
        with pytest.raises(ConfigurationError, match=r"sees no /.*\.jsonl, which the process that loads has listed"):
            ingest(on(daily, dask))

    assert is_untouched(daily)


@requires_dask
@pytest.mark.usefixtures("hiding")
def test_workers_whose_warehouse_is_another_are_refused_what_goes_there(settings, declare, tmp_path):
    for n in range(4):
        write_lines(settings.manifests / f"{n}.jsonl", [ticket_event(n, f"2026-04-1{n}")])
        (settings.manifests / f"guide{n}.md").write_text(f"# Guide {n}\n")
        declare(document_manifest(f"2026-04-0{n + 1}", [source("guide", f"guide{n}.md", "other")]))
    declare(ticket_manifest([source("days", "*.jsonl")]))

    with cluster(tmp_path / "cluster", 0) as dask:
        dask.add(hidden=settings.home)
        dask.has(1)
        with pytest.raises(ConfigurationError, match="is another store there, where nobody finds what it puts"):
            ingest(on(settings, dask))

    assert {asset for asset, _ in recorded(settings)} == {TICKET_EVENTS}  # whose rows came by the way of the cluster


@requires_dask
def test_no_secret_is_written_or_shown_by_the_cluster(daily, tmp_path, monkeypatch):
    planted = {"s3.secret-access-key": SecretStr("planted-key")}
    daily = daily.model_copy(
        update={
            "catalog_properties": planted,
            "source_properties": {"s3://a/": planted},
            "notify": (SecretStr("json://planted-url"),),
        }
    )
    talkative = {"DASK_LOGGING__DISTRIBUTED": "debug"}
    (tmp_path / "failing.py").write_text(
        "from loaders.events.staging import RecordStager\nclass Failing(RecordStager): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from failing import Failing  # what a worker does not have: it says in its log what it was to do

    failing = MappingProxyType({**kinds.LOADERS, "records": replace(kinds.LOADERS["records"], stager=Failing)})
    with cluster(tmp_path / "cluster", **talkative) as dask:
        monkeypatch.setattr("loaders.bronze.pipelines.LOADERS", failing)
        with pytest.raises(ConfigurationError, match="could not take its share.*No module named 'failing'"):
            ingest(on(daily, dask))
        dask.says("No module named \\'failing\\'")
        said = dask.logs()

    assert "Compute Failed" in said and "omni_share" in said and "planted" not in said


@requires_dask
def test_a_share_has_the_secrets_of_stores_alone_and_shows_none(daily):
    from loaders.dask_workers import Parcel, _Known

    daily = daily.model_copy(
        update={
            "catalog_uri": SecretStr("postgresql+psycopg2://omni:planted-catalog@nowhere/lake"),
            "ledger_uri": SecretStr("postgresql+psycopg2://omni:planted-ledger@nowhere/lake"),
            "source_properties": {"s3://a/": {"s3.secret-access-key": SecretStr("planted-source")}},
            "notify": (SecretStr("json://planted-url"),),
            "catalog_properties": {"s3.secret-access-key": SecretStr("store-key")},
        }
    )
    work = Work(kinds.LOADERS["records"].stager, (daily, None, new_run_id(), daily.home))
    parcel = Parcel.of(_Known.of(daily, work), work, [])

    assert b"planted" not in parcel.content and b"store-key" in parcel.content
    assert "store-key" not in repr(parcel)


def test_a_scheduler_that_is_not_there_or_has_no_workers_is_said(settings, tmp_path, monkeypatch):
    nowhere = settings.model_copy(update={"dask_scheduler": "tcp://127.0.0.1:1"})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "loaders.dask_workers", None)
        with pytest.raises(ConfigurationError, match="is not installed; next: make dask"):
            ingest(nowhere)
    pytest.importorskip("distributed", reason="no Dask; next: make dask")
    monkeypatch.setattr("loaders.dask_workers._PATIENCE_SECONDS", 1)

    with pytest.raises(ConfigurationError, match="no Dask scheduler answers there"):
        ingest(nowhere)
    with (
        cluster(tmp_path / "cluster", 0) as dask,
        pytest.raises(ConfigurationError, match="has no workers; next: dask"),
    ):
        ingest(on(settings, dask))
