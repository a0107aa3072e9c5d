"""A load that is killed, starved or disturbed loses nothing, and a plain load afterwards ends as a clean one does.

The short form runs with the other tests; `make faults` (OMNI_FAULTS=full) runs every point, load and hit.
"""

import itertools
import os
import random
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache, partial
from pathlib import Path

import pytest

from lakehouse.database.engines import open_engine
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import QUARANTINE
from lakehouse.settings import LakehouseSettings
from loaders.ingest import ingest
from tests.conftest import DOC_ASSETS, TICKET_EVENTS
from tests.faults.driver import (
    Fault,
    Outcome,
    end_connections,
    hold_lock,
    load_days_in_parallel,
    lose_answer,
    move_away,
    set_clock,
    strike,
)
from tests.faults.lake import DAYS, Clean, Content, assert_old_or_new, assert_sound, content, write_sources
from tests.integration.postgres_server import new_database, serving_postgres

IS_FULL = os.environ.get("OMNI_FAULTS") == "full"
ASSETS = {"tickets": TICKET_EVENTS, "documents": DOC_ASSETS}
YEAR = timedelta(days=365)
SOME_COMMITS = (12, 13)
"""Of the 17 to the database of a load: one to a table, and its record in the ledger."""


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    """Content of a lakehouse that loaded the second version of an asset's sources undisturbed."""

    @cache
    def load(asset: str) -> Clean:
        settings = lakehouse(tmp_path_factory.mktemp("clean"))
        write_sources(settings, asset, 2)
        assert ingest(settings, assets=[asset]).is_complete
        return Clean.of(settings)

    return load


def lakehouse(folder: Path) -> LakehouseSettings:
    """A lakehouse whose catalog lies in a folder of its own, which a test can take away."""
    (folder / "manifests").mkdir()
    home = folder / "home"
    return LakehouseSettings(
        home=home, manifests=folder / "manifests", catalog_uri=f"sqlite:///{home / 'catalog' / 'catalog.db'}"
    )


@pytest.fixture
def settings(tmp_path):
    return lakehouse(tmp_path)


def load_first_version(settings: LakehouseSettings, asset: str) -> Content:
    """Load version 1, then put version 2 in its place; the content of version 1."""
    write_sources(settings, asset, 1)
    assert ingest(settings, assets=[asset]).is_complete
    old = content(settings)
    write_sources(settings, asset, 2)
    return old


def resume(settings: LakehouseSettings, asset: str, clean: Clean) -> None:
    """A plain ingest mends everything."""
    report = ingest(settings, assets=[asset])
    assert report.is_complete, report.lines()
    assert_sound(settings, asset, clean)


def assert_explained(outcome: Outcome | None) -> None:
    """The ingest was struck and did not hide it, nor end in a traceback."""
    assert outcome is not None and outcome.was_struck
    assert outcome.is_explained, outcome.error
    assert outcome.is_complete or outcome.refused or outcome.error


# ── killed ───────────────────────────────────────────────────────────────────────────────────────────────────────────
POINTS_OF = {
    "tickets": ("extract", "staged", "commit", "metadata", "committed", "recorded"),
    "documents": ("extract", "object", "staged", "commit", "metadata", "committed", "recorded"),
}


IN_A_GROUP = {"commit": 2, "metadata": 2, "committed": 1, "recorded": 1}
"""How often an asset that is there comes by a point when all its days are one commit: its quarantine's is before it."""


def kills():
    """(kind, load, point, hit, most days): in full every combination, in short most points once, at their second hit."""
    every = [
        (k, load, p, hit, 1) for k in ASSETS for load in ("first", "again") for p in POINTS_OF[k] for hit in (1, 2, 3)
    ]
    every += [
        (k, load, p, hit, None)
        for k, load in itertools.product(ASSETS, ("first", "again"))
        for p, most in IN_A_GROUP.items()
        for hit in range(1, (1 if k == "documents" and most == 2 else most) + 1)
    ]
    short = [
        ("tickets", "first", "extract", 2, 1),
        ("documents", "first", "object", 2, 1),
        ("tickets", "again", "commit", 2, None),
        ("documents", "again", "commit", 2, 1),
        ("tickets", "first", "metadata", 2, 1),
        ("tickets", "again", "committed", 1, None),
        ("documents", "again", "recorded", 2, 1),
    ]
    # A load of an asset stages once.
    return [each for each in every if each[2:4] not in (("staged", 2), ("staged", 3))] if IS_FULL else short


@pytest.mark.parametrize(("kind", "load", "point", "hit", "most_days"), kills())
def test_a_killed_load_leaves_each_day_old_or_new_and_the_next_load_mends_it(
    settings, clean, kind, load, point, hit, most_days
):
    asset = ASSETS[kind]
    old = load_first_version(settings, asset) if load == "again" else {}
    write_sources(settings, asset, 2)

    assert strike(settings, asset, Fault(point, hit=hit), last_table=asset, most_days=most_days) is None

    assert_old_or_new(settings, old, clean(asset).content)
    resume(settings, asset, clean(asset))


@pytest.mark.parametrize("point", ["committed", "recorded"] if IS_FULL else ["recorded"])
@pytest.mark.parametrize("load", ["first", "again"] if IS_FULL else ["first"])
def test_a_load_killed_between_an_asset_and_its_quarantine_loses_no_quarantined_record(settings, clean, load, point):
    if load == "again":
        load_first_version(settings, TICKET_EVENTS)
    write_sources(settings, TICKET_EVENTS, 2)

    assert strike(settings, TICKET_EVENTS, Fault(point), last_table=QUARANTINE) is None

    resume(settings, TICKET_EVENTS, clean(TICKET_EVENTS))


# ── disturbed ────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("point", ["start", "commit"] if IS_FULL else ["commit"])
@pytest.mark.parametrize("kind", ASSETS if IS_FULL else ["tickets"])
def test_a_load_waits_for_a_locked_catalog_and_lands(settings, clean, kind, point):
    asset = ASSETS[kind]
    load_first_version(settings, asset)
    lock = partial(hold_lock, settings.home / "catalog" / "catalog.db", 5)

    outcome = strike(settings, asset, Fault(point, lock))

    assert outcome == Outcome(None, True, True, {}, True)
    resume(settings, asset, clean(asset))


@pytest.mark.parametrize("point", ["planned", "commit", "committed"] if IS_FULL else ["commit"])
@pytest.mark.parametrize("kind", ASSETS if IS_FULL else ["documents"])
def test_a_catalog_that_goes_away_for_a_while_loses_nothing_that_was_reported(settings, clean, kind, point):
    asset = ASSETS[kind]
    old = load_first_version(settings, asset)

    outcome = strike(settings, asset, Fault(point, partial(move_away, settings.home / "catalog", 5)))

    assert_explained(outcome)
    assert_old_or_new(settings, clean(asset).content if outcome.is_complete else old, clean(asset).content)
    resume(settings, asset, clean(asset))


@pytest.mark.skipif(not IS_FULL, reason="long form only")
@pytest.mark.parametrize("kind", ASSETS)
def test_a_catalog_that_is_missing_from_the_start_is_told(settings, clean, kind):
    asset = ASSETS[kind]
    load_first_version(settings, asset)

    outcome = strike(settings, asset, Fault("start", partial(move_away, settings.home / "catalog", 5)))

    resume(settings, asset, clean(asset))
    assert_explained(outcome)
    assert outcome.error


@contextmanager
def databases(store: str) -> Iterator[Callable[[Path], LakehouseSettings]]:
    """Makes lakehouses, each with a database of its own: a file, or one of a Postgres."""
    if store == "sqlite":
        yield lakehouse
        return
    with serving_postgres() as server:
        yield lambda folder: lakehouse(folder).model_copy(update={"catalog_uri": new_database(server)})


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
@pytest.mark.parametrize("kind", ASSETS if IS_FULL else ["tickets"])
@pytest.mark.parametrize("load", ["first", "again"] if IS_FULL else ["again"])
@pytest.mark.parametrize("most_days", [1, None] if IS_FULL else [1])
def test_a_commit_whose_answer_is_lost_is_exact_afterwards(tmp_path, clean, most_days, load, kind, store):
    asset = ASSETS[kind]
    with databases(store) as new_lakehouse:
        for number in itertools.count(1) if IS_FULL else SOME_COMMITS:
            (folder := tmp_path / str(number)).mkdir()
            settings, told = new_lakehouse(folder), folder / "told"
            old = load_first_version(settings, asset) if load == "again" else {}
            write_sources(settings, asset, 2)

            lost = Fault("start", partial(lose_answer, number, told))
            outcome = strike(settings, asset, lost, most_days=most_days)

            open_engine(settings.ledger_url).dispose()  # a server takes only so many connections
            if not told.exists():
                break
            assert_explained(outcome)
            assert_old_or_new(settings, old, clean(asset).content)
            resume(settings, asset, clean(asset))
    assert number >= (max(SOME_COMMITS) if most_days else 8)


@pytest.mark.parametrize(
    "point", ["planned", "commit", "metadata", "committed", "recorded"] if IS_FULL else ["metadata"]
)
@pytest.mark.parametrize("kind", ASSETS if IS_FULL else ["tickets"])
def test_connections_that_end_in_the_middle_lose_nothing(tmp_path, clean, kind, point):
    asset = ASSETS[kind]
    with databases("postgres") as new_lakehouse:
        settings = new_lakehouse(tmp_path)
        old = load_first_version(settings, asset)

        end = partial(end_connections, settings.ledger_url.get_secret_value())
        outcome = strike(settings, asset, Fault(point, end))

        assert_explained(outcome)
        assert_old_or_new(settings, clean(asset).content if outcome.is_complete else old, clean(asset).content)
        resume(settings, asset, clean(asset))


SOURCE_FAULTS = [("tickets", "rewritten", "planned", 1), ("documents", "vanished", "planned", 1)]
"""Which source, what happens to it, and when: between coverage and load, or after the first or third opening of a file."""
if IS_FULL:
    MOMENTS = [("planned", 1), ("read", 1), ("read", 3)]
    SOURCE_FAULTS = [(kind, change, *at) for kind in ASSETS for change in ("rewritten", "vanished") for at in MOMENTS]


@pytest.mark.parametrize(("kind", "change", "point", "hit"), SOURCE_FAULTS)
def test_a_source_that_changes_under_a_load_harms_no_day(settings, clean, kind, point, hit, change):
    asset = ASSETS[kind]
    old = load_first_version(settings, asset)
    file = settings.manifests / ("first.jsonl" if kind == "tickets" else f"docs/{DAYS[0]}/a.md")
    final = file.read_bytes()
    if change == "rewritten":
        file.write_bytes(final.replace(b"v2", b"v0").replace(b"version 2", b"version 0"))
    beside = settings.model_copy(update={"home": settings.home.with_name("beside"), "catalog_uri": None})
    ingest(beside, assets=[asset])
    action = partial(file.write_bytes, final) if change == "rewritten" else file.unlink

    outcome = strike(settings, asset, Fault(point, action, hit=hit))

    now, between = content(settings), content(beside)
    for key in now.keys() | old.keys():
        assert now.get(key) in (old.get(key), between.get(key), clean(asset).content.get(key)), key
    file.write_bytes(final)
    resume(settings, asset, clean(asset))
    assert_explained(outcome)
    assert outcome.error is None, "a source that cannot be read refuses its days and holds no others back"


@pytest.mark.parametrize("kind", ASSETS if IS_FULL else ["tickets"])
def test_a_clock_that_jumps_back_a_year_does_not_bring_an_old_load_back(settings, clean, kind):
    asset = ASSETS[kind]
    load_first_version(settings, asset)
    before = open_ledger(settings).current_materializations([asset])

    outcome = strike(settings, asset, Fault("start", partial(set_clock, -YEAR)))

    assert outcome == Outcome(None, True, True, {}, True)
    assert_sound(settings, asset, clean(asset))
    after = open_ledger(settings).current_materializations([asset])
    assert all(after[key].committed_at < before[key].committed_at - YEAR / 2 for key in before)
    resume(settings, asset, clean(asset))


@pytest.mark.skipif(not IS_FULL, reason="long form only")
def test_a_commit_that_died_in_an_older_year_is_known_of_when_its_sources_are_put_back(settings):
    asset = TICKET_EVENTS
    load_first_version(settings, asset)
    first = Clean.of(settings)
    clock = Fault("start", partial(set_clock, -YEAR))
    assert strike(settings, asset, clock, Fault("committed"), last_table=asset) is None
    write_sources(settings, asset, 1)

    resume(settings, asset, first)


# ── starved ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Mount something on a folder, for root; anyone else skips."""
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("free_kb", [0, 24, 64, 160, 320] if IS_FULL else [64])
@pytest.mark.parametrize("kind", ASSETS if IS_FULL else ["documents"])
def test_a_full_disk_is_told_and_the_old_rows_stay(settings, clean, kind, free_kb):
    asset = ASSETS[kind]
    settings.home.mkdir()
    with mounted(settings.home, "-t", "tmpfs", "-o", "size=64m", "none"):
        old = load_first_version(settings, asset)
        disk = os.statvfs(settings.home)
        ballast = settings.home / "ballast"
        ballast.write_bytes(b"0" * (disk.f_bavail * disk.f_frsize - free_kb * 1024))

        outcome = strike(settings, asset)

        ballast.unlink()
        assert_old_or_new(settings, old, clean(asset).content)
        resume(settings, asset, clean(asset))
        assert_explained(outcome)


@pytest.mark.skipif(not IS_FULL, reason="long form only")
@pytest.mark.parametrize("point", ["extract", "staged"])
@pytest.mark.parametrize("kind", ASSETS)
def test_a_file_that_cannot_be_written_to_its_end_is_told_and_the_old_rows_stay(settings, clean, kind, point):
    asset = ASSETS[kind]
    old = load_first_version(settings, asset)
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))

    outcome = strike(settings, asset, Fault(point, limit))

    assert_old_or_new(settings, old, clean(asset).content)
    resume(settings, asset, clean(asset))
    assert_explained(outcome)


@pytest.mark.parametrize("kind", ASSETS if IS_FULL else ["documents"])
@pytest.mark.parametrize("load", ["first", "again"] if IS_FULL else ["again"])
def test_a_read_only_warehouse_is_told_and_the_old_rows_stay(settings, clean, kind, load):
    asset = ASSETS[kind]
    old = load_first_version(settings, asset) if load == "again" else {}
    write_sources(settings, asset, 2)
    warehouse = settings.home / "warehouse"
    warehouse.mkdir(parents=True, exist_ok=True)
    with mounted(warehouse, "--bind", "-o", "ro", str(warehouse)):
        outcome = strike(settings, asset)
        assert_old_or_new(settings, old, clean(asset).content)

    resume(settings, asset, clean(asset))
    assert_explained(outcome)
    assert not outcome.is_complete


@pytest.mark.skipif(not IS_FULL, reason="long form only")
@pytest.mark.parametrize("kind", ASSETS)
def test_a_file_in_place_of_the_warehouse_is_told_and_nothing_is_lost(settings, clean, kind):
    asset = ASSETS[kind]
    load_first_version(settings, asset)
    warehouse = settings.home / "warehouse"
    away = warehouse.rename(settings.home / "away")
    warehouse.write_text("not a folder")

    outcome = strike(settings, asset)

    warehouse.unlink()
    away.rename(warehouse)
    resume(settings, asset, clean(asset))
    assert_explained(outcome)


# ── at the same time ─────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("store", ["sqlite", "postgres"] if IS_FULL else ["postgres"])
def test_processes_that_load_all_days_each_in_its_own_order_end_as_one_load_does(tmp_path, store):
    processes, number = (8, 30) if IS_FULL else (3, 6)
    days = [date(2026, 4, 1) + timedelta(days=n) for n in range(number)]
    with databases(store) as new_lakehouse:
        settings = new_lakehouse(tmp_path)
        write_sources(settings, TICKET_EVENTS, 2, tuple(map(str, days)))
        beside = settings.model_copy(update={"home": settings.home.with_name("beside"), "catalog_uri": None})
        assert ingest(beside, assets=[TICKET_EVENTS]).is_complete

        ended = load_days_in_parallel(settings, [random.Random(n).sample(days, number) for n in range(processes)])

        assert ended == ["done"] * processes
        assert_sound(settings, TICKET_EVENTS, Clean.of(beside))
        resume(settings, TICKET_EVENTS, Clean.of(beside))
