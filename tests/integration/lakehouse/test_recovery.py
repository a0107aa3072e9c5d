"""`omni recover` for real: the database of a lake is lost, broken or set back, and comes back from the warehouse."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from typer.testing import CliRunner

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.evidence import CheckResult
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import NAMESPACES, QUARANTINE, bronze
from lakehouse.partitions import Window
from lakehouse.proof.verification import verify
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings, load_settings
from lakehouse.tables.catalog import list_tables, open_catalog
from lakehouse.tables.digest import content_digest
from loaders.ingest import ingest
from orchestration.cli.main import app
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import open_readiness
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.integration.conftest import statuses

ONE, TWO = "2026-04-15", "2026-04-16"
EVENTS = "raw_ticket_events"


@pytest.fixture(scope="module")
def built(tmp_path_factory, parsed_project):
    """Two days of tickets, one broken line, and a document, loaded and checked.

    `week.db` is a copy of its database from before the second day was loaded again.
    """
    root = tmp_path_factory.mktemp("recovery")
    settings = LakehouseSettings(home=root / "home", manifests=root / "manifests", max_quarantined_share=0.9)
    parsed_project.give_to(settings)
    write_lines(settings.manifests / f"{ONE}.jsonl", [ticket_event(n, ONE) for n in (1, 2, 3)])
    write_lines(settings.manifests / f"{TWO}.jsonl", [ticket_event(4, TWO), "broken"])
    (settings.manifests / "d.md").write_text("the text of a document")
    for manifest in (
        ticket_manifest([source(day, f"{day}.jsonl") for day in (ONE, TWO)]),
        document_manifest(ONE, [source("d", "d.md", "other")]),
    ):
        (settings.manifests / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest))
    ingest(settings)
    check(settings)
    copy_database(settings, root / "week.db")
    ingest(settings, window=Window.of_keys(TWO, TWO))
    check(settings)
    with closing(sqlite3.connect(settings.home / "catalog.db")) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    shutil.copytree(settings.home, root / "kept")
    return settings


def check(settings):
    """Have every check of Bronze pass, as dbt would."""
    graph, ledger, now = load_asset_graph(settings), open_ledger(settings), datetime.now(UTC)
    for item in ledger.current_materializations().values():
        node = graph[item.asset]
        results = [
            CheckResult(item.asset, item.partition, name, severity, True, "", item.id, now, "dbt", 0, definition)
            for name, severity in node.checks.items()
            for definition in [node.definitions.get(name)]
        ]
        ledger.record_checks(results)


@pytest.fixture
def lake(built, monkeypatch):
    """The lakehouse, put back before each test; `omni` speaks of it."""
    shutil.rmtree(built.home)
    shutil.copytree(built.home.parent / "kept", built.home)
    monkeypatch.setenv("OMNI_HOME", str(built.home))
    monkeypatch.setenv("OMNI_MANIFESTS", str(built.manifests))
    monkeypatch.setenv("OMNI_MAX_QUARANTINED_SHARE", "0.9")
    load_settings.cache_clear()
    yield built
    load_settings.cache_clear()


@pytest.fixture(scope="module")
def digests(built):
    return digests_of(built)


def copy_database(settings, target):
    with closing(sqlite3.connect(settings.home / "catalog.db")) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def digests_of(settings):
    catalog = open_catalog(settings)
    identifiers = [identifier for namespace in NAMESPACES for identifier in list_tables(catalog, namespace)]
    return {each: content_digest(catalog.load_table(each)) for each in identifiers if each != bronze(QUARANTINE)}


def omni(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.exit_code, result.output


def set_back(settings):
    for name in ("catalog.db-wal", "catalog.db-shm"):
        (settings.home / name).unlink(missing_ok=True)
    shutil.copy(settings.home.parent / "week.db", settings.home / "catalog.db")


def without_database(settings):
    for file in settings.home.glob("catalog.db*"):
        file.unlink()


def broken(content):
    def replace(settings):
        without_database(settings)
        (settings.home / "catalog.db").write_bytes(content(settings))

    return replace


def half(settings):
    return (settings.home.parent / "kept" / "catalog.db").read_bytes()[:100_000]


LOSSES = {
    "deleted": without_database,
    "emptied": broken(lambda _: b""),
    "noise": broken(lambda _: b"noise " * 10_000),
    "truncated": broken(half),
    "set back": set_back,
}


def everything(folder):
    """Content of each file; SQLite's own beside a database come and go with its readers."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path: path.read_bytes() for path in files if path.suffix not in (".db-shm", ".db-wal")}


def is_refused(settings):
    """Whether nothing is said of a partition, or it is not ready; never with a traceback."""
    code, output = omni("ready", EVENTS, TWO)
    assert code != 0 and "Traceback" not in output
    return code == 2


# ── what is lost comes back ──────────────────────────────────────────────────────────────────────────────────────────
def test_of_a_healthy_lake_nothing_is_recovered_and_nothing_changes(lake):
    before = everything(lake.home)

    code, output = omni("recover")

    assert omni("ready", EVENTS, TWO)[0] == 0  # so that what is refused below was ready before

    assert (code, output) == (0, "catalog and ledger know what the warehouse holds: there is nothing to recover\n")
    assert everything(lake.home) == before


@pytest.mark.parametrize("loss", LOSSES)
def test_what_a_database_lost_is_refused_and_comes_back_from_the_warehouse(lake, digests, loss):
    recorded = history(lake)
    LOSSES[loss](lake)
    before = everything(lake.home)

    refused, (_, refusal) = is_refused(lake), omni("ready", EVENTS, TWO)
    planned = omni("recover", "--dry-run")
    changed = [path for path, content in everything(lake.home).items() if before.get(path) != content]
    code, output = omni("recover")

    assert refused and "omni recover" in refusal
    assert (planned[0], changed) == (0, [])
    lines = [re.sub(r"\d{8}T\d{6}Z", "", text).splitlines()[:3] for text in (output, planned[1])]
    assert code == 0 and lines[0] == lines[1]
    assert digests_of(lake) == digests
    assert history(lake) == recorded
    assert "READY" not in statuses(lake).values()
    assert omni("recover")[1].endswith("there is nothing to recover\n")
    kept = [file.read_bytes() for file in lake.home.glob("catalog.db.broken-*Z")]
    assert kept == ([before[lake.home / "catalog.db"]] if loss in ("noise", "truncated") else [])


def history(settings):
    """Materializations with rows, by asset and partition in the order of their commits."""
    with open_ledger(settings).engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "select asset, partition, run_id, snapshot_id, version, rows_loaded from omni_materializations "
            "where snapshot_id is not null order by asset, partition, id"
        )
        return [tuple(row) for row in rows]


# ── nothing is ready on the way ──────────────────────────────────────────────────────────────────────────────────────
STEPS = ("open_catalog", "open_ledger", "name_metadata", "mark_commit", "_doubt_checks", "_lost")


@pytest.mark.parametrize("loss", ["deleted", "set back"])
def test_a_recovery_that_dies_anywhere_lets_nothing_in_and_is_done_again(lake, digests, loss):
    LOSSES[loss](lake)

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object):
        raise Killed

    for step in STEPS if loss == "deleted" else STEPS[2:4]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"lakehouse.recovery.recover.{step}", die)
            with pytest.raises(Killed):
                omni("recover")
        assert is_refused(lake)
        with pytest.raises(ConfigurationError, match="recovery"):
            ingest(lake)

    assert omni("recover")[0] == 0
    assert digests_of(lake) == digests
    assert "READY" not in statuses(lake).values()


def test_a_check_that_failed_after_the_copy_was_made_is_not_passed_by_the_copy(lake):
    set_back(lake)
    assert omni("recover")[0] == 0

    verdict = open_readiness(lake).verdict(EVENTS, ONE)

    assert verdict.status == "UNCHECKED"
    assert any("is defined otherwise since it ran" in reason for reason in verdict.reasons)


# ── which metadata are a table's ─────────────────────────────────────────────────────────────────────────────────────
def metadata_files(settings):
    return sorted((settings.home / "warehouse" / "bronze" / EVENTS / "metadata").glob("*.metadata.json"))


def test_a_commit_that_never_landed_is_not_taken_for_one(lake, digests):
    last = metadata_files(lake)[-1]
    forged = json.loads(last.read_text())
    forged["metadata-log"].append({"metadata-file": f"file://{last}", "timestamp-ms": forged["last-updated-ms"]})
    forged["current-snapshot-id"], forged["refs"] = -1, {}
    (last.with_name(f"{int(last.name[:5]) + 1:05}-11111111-1111-4111-8111-111111111111.metadata.json")).write_text(
        json.dumps(forged)
    )
    healthy = omni("recover")[1]
    without_database(lake)

    assert healthy.endswith("there is nothing to recover\n")
    assert omni("recover")[0] == 0
    assert digests_of(lake) == digests


@pytest.mark.parametrize("damage", ["a data file is gone", "the metadata are noise"])
def test_metadata_that_are_not_whole_are_named_and_those_before_them_are_taken(lake, digests, damage):
    table = open_catalog(lake).load_table(f"bronze.{EVENTS}")
    if damage == "a data file is gone":
        added = [t.file for t in table.scan().plan_files() if t.file.file_path not in old_files(table)]
        local(added[0].file_path).unlink()
    else:
        local(table.metadata_location).write_bytes(b"noise")
    without_database(lake)

    code, output = omni("recover")
    refused = is_refused(lake)
    ingest(lake, window=Window.of_keys(TWO, TWO))

    assert code == 1 and table.metadata_location.rpartition("/")[2] in output
    assert not refused
    assert digests_of(lake) == digests


def old_files(table):
    before = table.snapshots()[-3].snapshot_id  # a load of a day is a delete and an append
    return {task.file.file_path for task in table.scan(snapshot_id=before).plan_files()}


def local(location):
    return Path(location.removeprefix("file://"))


def test_what_someone_else_committed_to_a_catalog_that_was_set_back_is_left_and_named(lake):
    set_back(lake)
    stranger = SqlCatalog("lake", uri=f"sqlite:///{lake.home}/catalog.db", warehouse=lake.warehouse_url)
    theirs = stranger.load_table(f"bronze.{EVENTS}")
    theirs.append(theirs.scan().to_arrow().slice(0, 1))

    refused = is_refused(lake)
    code, output = omni("recover")
    named = stranger.load_table(f"bronze.{EVENTS}").metadata_location

    assert refused
    assert code == 1 and "does not follow what the catalog names" in output
    assert named == theirs.metadata_location
    assert "READY" not in statuses(lake).values()


def test_a_table_that_someone_dropped_is_not_brought_back(lake):
    open_catalog(lake).drop_table(f"bronze.{EVENTS}")

    assert omni("recover")[1].endswith("there is nothing to recover\n")


# ── catalog and ledger apart ─────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def apart(settings, declare, monkeypatch):
    """A day of tickets, loaded by a catalog and a ledger in two databases."""
    for name, value in {"HOME": settings.home, "MANIFESTS": settings.manifests}.items():
        monkeypatch.setenv(f"OMNI_{name}", str(value))
    monkeypatch.setenv("OMNI_LEDGER_URI", f"sqlite:///{settings.home}/ledger.db")
    load_settings.cache_clear()
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1, ONE)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(load_settings())
    yield load_settings()
    load_settings.cache_clear()


def test_a_catalog_or_a_ledger_that_is_lost_alone_comes_back_alone(apart):
    recorded, digests = history(apart), digests_of(apart)
    for file in apart.home.glob("ledger.db*"):
        file.unlink()
    (apart.home / "ledger.db").write_bytes(b"noise " * 1000)
    without_ledger = omni("recover")
    ledger_is_back = history(apart) == recorded
    without_database(apart)
    without_catalog = omni("recover")

    assert (without_ledger[0], ledger_is_back) == (0, True) and "ledger: lost" in without_ledger[1]
    assert without_catalog[0] == 0 and "lost" not in without_catalog[1]
    assert history(apart) == recorded
    assert digests_of(apart) == digests


# ── the page on backups, as written ──────────────────────────────────────────────────────────────────────────────────
def commands(heading):
    page = (PROJECT_ROOT / "docs" / "how-to" / "back_up.md").read_text("utf-8")
    return re.split("```sh.*\n", page.split(f"## {heading}")[1])[1].split("```")[0]


def typed(settings, heading):
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "BACKUP": str(settings.home.parent / "backup"), "PATH": tools}
    return subprocess.run(["sh", "-ec", commands(heading)], env=environment, capture_output=True, text=True, check=True)


def test_a_copy_that_is_taken_while_a_load_runs_comes_back_as_the_page_says(lake, digests):
    is_copied = threading.Event()

    def load():
        while not is_copied.is_set():
            ingest(lake, window=Window.of_keys(TWO, TWO))

    with ThreadPoolExecutor(1) as another:
        loads = another.submit(load)
        typed(lake, "Take a copy")
        is_copied.set()
        loads.result()
    shutil.rmtree(lake.home / "warehouse")
    (lake.home / "catalog.db").write_bytes(b"")

    brought_back = typed(lake, "Bring it back").stdout
    ingest(lake)

    assert "next: omni run" in brought_back or "nothing to recover" in brought_back
    assert digests_of(lake) == digests
    assert not verify(open_catalog(lake), open_ledger(lake), lake).findings


@pytest.mark.parametrize("brought", ["all of it", "all but the database", "the database alone"])
def test_a_lakehouse_that_was_copied_elsewhere_is_refused_at_every_door_and_the_first_one_untouched(
    lake, tmp_path, monkeypatch, brought
):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(lake.home, elsewhere)
    if brought == "all but the database":
        (elsewhere / "catalog.db").unlink()
    elif brought == "the database alone":
        shutil.rmtree(elsewhere / "warehouse")
    before = everything(lake.home)
    monkeypatch.setenv("OMNI_HOME", str(elsewhere))
    load_settings.cache_clear()

    for command in (["ready", EVENTS, ONE], ["ingest"], ["maintain"]):
        code, output = omni(*command)
        assert (code, "next: " in output) == (2, True), output
    code, output = omni("recover")
    assert (code, f"lies in {lake.home}" in output) == (2, True), output
    assert everything(lake.home) == before
