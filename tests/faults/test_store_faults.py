"""A store that is busy, slow, cut off or closed under a load or a build loses nothing, and is exact afterwards.

The short form runs with the other tests; `make faults` (OMNI_FAULTS=full) lets it happen all along a load.
"""

import json
import os

import pytest

from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings
from loaders.ingest import ingest
from orchestration.runs.main_job import run_main_job
from tests.conftest import DOC_ASSETS, TICKET_EVENTS
from tests.faults.driver import strike
from tests.faults.lake import DAYS, Clean, assert_old_or_new, assert_sound, content, write_sources
from tests.faults.way_to_store import has_expired, is_busy, is_cut, is_slow, way_to
from tests.integration.conftest import run, statuses
from tests.integration.s3_server import serving_s3
from tests.integration.test_s3 import digests

IS_FULL = os.environ.get("OMNI_FAULTS") == "full"
ASSETS = {"tickets": TICKET_EVENTS, "documents": DOC_ASSETS}
PYARROW, FSSPEC = "pyiceberg.io.pyarrow.PyArrowFileIO", "pyiceberg.io.fsspec.FsspecFileIO"


@pytest.fixture(scope="module")
def server():
    with serving_s3() as found:
        yield found


@pytest.fixture(scope="module")
def way(server):
    with way_to(server.endpoint) as found:
        yield found


@pytest.fixture
def on_store(server, way, tmp_path, monkeypatch):
    """Makes a lakehouse in a bucket of its own, behind the way."""
    way.heal()
    (tmp_path / "manifests").mkdir()
    monkeypatch.setenv("OMNI_WAREHOUSE", f"{server.bucket(f'b{os.urandom(8).hex()}')}/warehouse")

    def made(reader=PYARROW, asset=TICKET_EVENTS):
        properties = {**server.properties(endpoint=way.endpoint), "py-io-impl": reader}
        monkeypatch.setenv("OMNI_CATALOG_PROPERTIES", json.dumps(properties))  # for the processes that it starts, too
        found = LakehouseSettings(home=tmp_path / "home", manifests=tmp_path / "manifests")
        write_sources(found, asset, 1)
        assert ingest(found, assets=[asset]).is_complete
        return found

    return made


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Content of a lakehouse in folders that loaded the second version of an asset's sources undisturbed."""

    def loaded(asset):
        folder = tmp_path_factory.mktemp("clean")
        (folder / "manifests").mkdir()
        settings = LakehouseSettings(home=folder / "home", manifests=folder / "manifests")
        write_sources(settings, asset, 2)
        assert ingest(settings, assets=[asset]).is_complete
        return Clean.of(settings)

    return {asset: loaded(asset) for asset in ASSETS.values()}


def of(part, method=""):
    """Requests for what has a part in its path."""
    return lambda request: part in request.path and request.method.startswith(method)


def since(number):
    """All requests from one on."""
    return lambda request: request.number >= number


def at(number):
    """One request."""
    return lambda request: request.number == number


def every(number):
    """Each so manieth request."""
    return lambda request: request.number % number == 0


PASSING = {
    "busy now and then": (is_busy, every(25), PYARROW),
    "busy now and then, by fsspec": (is_busy, every(25), FSSPEC),
    "slow": (is_slow, of("", "PUT"), PYARROW),
}
"""What a client of the store gets over by itself."""
LASTING = {
    "an object is cut": (is_cut, of("objects/", "PUT"), PYARROW, "documents"),
    "the metadata that were written are cut": (is_cut, of("quarantine/metadata/00002", "GET"), PYARROW, "tickets"),
    "expired in the asset's commit": (has_expired, since(170), FSSPEC, "tickets"),
    "busy from then on": (is_busy, since(60), PYARROW, "tickets"),
    "a file of rows is cut": (is_cut, of("raw_ticket_events/data", "PUT"), PYARROW, "tickets"),
    "the metadata are cut": (is_cut, of("raw_ticket_events/metadata/00002", "PUT"), PYARROW, "tickets"),
    "the mark is refused": (is_busy, of("metadata/committed", "P"), PYARROW, "tickets"),
    "the mark is cut, by fsspec": (is_cut, of("metadata/committed", "P"), FSSPEC, "tickets"),
    "expired in the quarantine's commit": (has_expired, since(80), PYARROW, "tickets"),
}
"""What lasts until the load has ended, be it early."""
if IS_FULL:
    LASTING |= {
        f"{happens.__name__} {which.__name__} {number}, {kind} by {reader}": (happens, which(number), reader, kind)
        for happens in (is_busy, has_expired, is_cut)
        for which in (since, at)
        for reader in (PYARROW, FSSPEC)
        for kind in ASSETS
        for number in range(3, 220, 20)
    }
else:
    PASSING = dict([*PASSING.items()][:1])
    LASTING = dict([*LASTING.items()][:3])


@pytest.mark.parametrize(("happens", "concerns", "reader"), PASSING.values(), ids=PASSING)
def test_what_passes_by_itself_is_no_failure(on_store, way, clean, happens, concerns, reader):
    settings = on_store(reader)
    write_sources(settings, TICKET_EVENTS, 2)

    way.let(happens, concerns)
    outcome = strike(settings, TICKET_EVENTS)
    assert len(way.struck) > 3
    way.heal()

    assert outcome.is_complete and outcome.error is None, outcome
    assert_sound(settings, TICKET_EVENTS, clean[TICKET_EVENTS])


@pytest.mark.parametrize(("happens", "concerns", "reader", "kind"), LASTING.values(), ids=LASTING)
def test_what_ends_a_load_leaves_each_day_old_or_new_and_the_next_load_mends_it(
    on_store, way, clean, happens, concerns, reader, kind
):
    settings, asset = on_store(reader, ASSETS[kind]), ASSETS[kind]
    old = content(settings)
    write_sources(settings, asset, 2)

    way.let(happens, concerns)
    outcome = strike(settings, asset)
    struck = list(way.struck)
    way.heal()

    assert struck and outcome.is_explained, outcome
    assert_old_or_new(settings, clean[asset].content if outcome.is_complete else old, clean[asset].content)
    report = ingest(settings, assets=[asset])
    assert report.is_complete, report.lines()
    assert_sound(settings, asset, clean[asset])


def test_a_store_that_does_not_say_which_commits_are_marked_is_no_store_without_marks(on_store, way):
    settings = on_store()

    way.let(has_expired, of("metadata/committed", "GET"))
    with pytest.raises(OSError):
        open_ledger(settings)

    assert way.struck


BUILDING = {
    "what dbt reads is cut": (is_cut, of(f"bronze/{TICKET_EVENTS}/data", "GET")),
    "expired while dbt commits": (has_expired, of("silver/ticket_events/metadata", "P")),
}
"""What lasts until dbt has ended."""


@pytest.mark.parametrize(
    ("happens", "concerns"), [*BUILDING.values()][: 9 if IS_FULL else 1], ids=[*BUILDING][: 9 if IS_FULL else 1]
)
def test_what_ends_a_build_leaves_nothing_ready_that_was_not_built(
    on_store, way, parsed_project, tmp_path, monkeypatch, happens, concerns
):
    settings = on_store()
    parsed_project.give_to(settings)
    run(settings)
    write_sources(settings, TICKET_EVENTS, 2)
    assert ingest(settings, assets=[TICKET_EVENTS]).is_complete

    way.let(happens, concerns)
    outcome = run_main_job(settings, None, lambda _: None)
    assert way.struck
    way.heal()

    found = statuses(settings)
    assert not outcome.is_complete
    assert {found[f"ticket_events {day}"] for day in DAYS}.isdisjoint({"READY", "EMPTY"}), found
    run(settings)
    monkeypatch.delenv("OMNI_WAREHOUSE")
    monkeypatch.delenv("OMNI_CATALOG_PROPERTIES")
    in_folders = LakehouseSettings(home=tmp_path / "beside", manifests=settings.manifests)
    parsed_project.give_to(in_folders)
    run(in_folders)
    assert digests(settings) == digests(in_folders)
