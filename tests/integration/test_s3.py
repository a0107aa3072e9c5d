"""Everything on a store that speaks S3: the same rows, verdicts and upkeep as in folders; wrong secrets are refused."""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.proof.verification import verify
from lakehouse.recovery.plan import plan_recovery
from lakehouse.recovery.recover import recover
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest
from lakehouse.tables.objects import ObjectMismatch, object_size, put_object
from lakehouse.upkeep.maintenance import maintain
from loaders.ingest import ingest, look_again
from tests.conftest import (
    TICKET_EVENTS,
    document_manifest,
    source,
    ticket_event,
    ticket_manifest,
    write_lines,
)
from tests.dbt_shell import dbt
from tests.integration.conftest import run, statuses
from tests.integration.s3_server import SECRET, serving_s3

DAYS = ("2026-04-14", "2026-04-15")
SAFE = {"READY", "EMPTY", "UNKNOWN"}


@pytest.fixture(scope="module")
def server():
    with serving_s3() as found:
        yield found


@pytest.fixture(scope="module")
def declared(tmp_path_factory):
    """A folder of manifests: two days of tickets and one of documents."""
    folder = tmp_path_factory.mktemp("the manifests")
    write_lines(folder / "a.jsonl", [ticket_event(number, day) for number, day in enumerate(DAYS)])
    (folder / "guide.md").write_text("# Guide\n")
    for manifest in (
        ticket_manifest([source("a", "a.jsonl")]),
        document_manifest(DAYS[1], [source("guide", "guide.md", "other")]),
    ):
        (folder / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def environment(server):
    """What names the store, for the processes that a lakehouse starts, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMNI_WAREHOUSE", f"{server.bucket('lake')}/warehouse")
        patch.setenv("OMNI_CATALOG_PROPERTIES", json.dumps(server.properties()))
        yield patch


@pytest.fixture(scope="module")
def lake(environment, declared, tmp_path_factory, parsed_project):
    """A lakehouse in the store, after `omni run`."""
    settings = LakehouseSettings(home=tmp_path_factory.mktemp("lake") / "the home", manifests=declared)
    parsed_project.give_to(settings)
    run(settings)
    return settings


def digests(settings):
    catalog = open_catalog(settings)
    names = [".".join(each) for of in catalog.list_namespaces() for each in catalog.list_tables(of)]
    return {name: content_digest(catalog.load_table(name)) for name in names}


def stored(server):
    """Everything that the store holds."""
    found = {path.relative_to(server.folder) for path in server.folder.rglob("*") if path.is_file()}
    return {str(path) for path in found if not path.parts[0].startswith(".")}  # the server's own


def test_a_run_leaves_what_it_leaves_in_folders(lake, declared, server, tmp_path, parsed_project, monkeypatch):
    found = digests(lake)
    assert set(statuses(lake).values()) <= SAFE
    assert not (lake.home / "warehouse").exists()

    monkeypatch.delenv("OMNI_WAREHOUSE")
    monkeypatch.delenv("OMNI_CATALOG_PROPERTIES")
    in_folders = LakehouseSettings(home=tmp_path / "other", manifests=declared)
    parsed_project.give_to(in_folders)
    run(in_folders)

    assert found == digests(in_folders)
    # By another process: to close a file of SQLite's here would take the locks from those who have it open.
    kept = subprocess.run(["grep", "-rlF", SECRET, lake.home], capture_output=True, text=True, check=False)
    assert (kept.returncode, kept.stdout) == (1, "")


def test_dbt_in_a_shell_builds_there_and_drops_what_was_tried_in_development(lake, server):
    assert dbt(lake, "build", "--select", "ticket_fact").returncode == 0
    before = stored(server)
    tried = dbt(lake, "build", "--select", "ticket_fact", "--target", "dev", OMNI_DEV_NAMESPACE="anna")
    dropped = dbt(lake, "run-operation", "drop_development", "--target", "dev", OMNI_DEV_NAMESPACE="anna")

    assert (tried.returncode, dropped.returncode) == (0, 0), tried.stdout + dropped.stdout
    assert stored(server) == before


def test_a_hook_that_leads_dbt_to_another_store_stops_what_would_be_built(lake, tmp_path):
    project = shutil.copytree(PROJECT_ROOT / "dbt_project", tmp_path / "dbt_project")
    settings = project / "dbt_project.yml"
    secret = "create secret nearer (type s3, scope 's3://lake/warehouse/silver', endpoint '127.0.0.1:2')"
    settings.write_text(settings.read_text().replace("on-run-start: [", f'on-run-start: ["{secret}", '))
    before = open_ledger(lake).last_materialization()

    refused = dbt(lake, "build", "--select", "ticket_fact", cwd=project)

    assert refused.returncode != 0 and "found another secret" in " ".join(refused.stdout.split()), refused.stdout
    assert open_ledger(lake).last_materialization() == before


def test_ledger_and_tables_agree_and_a_changed_file_is_found(lake, server):
    def findings():
        report = verify(open_catalog(lake), open_ledger(lake), lake, reading=lambda _: None)
        return [str(each) for each in report.findings]

    assert findings() == []
    (file, *_) = sorted((server.folder / "lake/warehouse/bronze" / TICKET_EVENTS / "data").rglob("*.parquet"))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")
    try:
        assert any(file.name in each for each in findings())
    finally:
        file.write_bytes(content)


def test_maintenance_removes_there_what_nothing_refers_to(lake, server):
    folder = server.folder / "lake/warehouse"
    (folder / "bronze" / TICKET_EVENTS / "data" / "left.parquet").write_bytes(b"left")
    orphan = "ab" * 32
    left = {f"lake/warehouse/bronze/{TICKET_EVENTS}/data/left.parquet", f"lake/warehouse/objects/sha256/ab/{orphan}"}
    (path := server.folder / f"lake/warehouse/objects/sha256/ab/{orphan}").parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left")
    before, content = stored(server), digests(lake)
    later = datetime.now(UTC) + timedelta(days=30)

    def maintained(**how):
        how = {"older_than": timedelta(days=7), "keep_snapshots": 99, "now": later, **how}
        return maintain(open_catalog(lake), open_ledger(lake), lake, **how)

    planned = maintained(dry_run=True)
    assert stored(server) == before
    done = maintained(dry_run=False)

    assert not planned.problems and not done.problems
    gone = before - stored(server)
    assert left <= gone
    assert digests(lake) == content
    assert set(statuses(lake).values()) <= SAFE


def test_a_catalog_that_was_lost_is_refused_and_comes_back_from_the_store(lake):
    kept, content = lake.home / "catalog.db", digests(lake)
    for name in ("catalog.db", "catalog.db-wal", "catalog.db-shm"):
        (lake.home / name).unlink(missing_ok=True)

    with pytest.raises(ConfigurationError, match="omni recover"):
        open_catalog(lake)
    lost = recover(lake, plan_recovery(lake, datetime.now(UTC)), partial(look_again, lake))
    run(lake)

    assert kept.exists(), lost
    assert digests(lake) == content
    assert set(statuses(lake).values()) <= SAFE


def test_an_older_copy_of_the_database_is_brought_forward_to_what_the_store_holds(lake, declared, tmp_path):
    copy_database(lake.home / "catalog.db", kept := tmp_path / "catalog.db")
    write_lines(declared / "a.jsonl", [ticket_event(number, day, priority="P1") for number, day in enumerate(DAYS)])
    run(lake)
    content = digests(lake)

    for name in ("catalog.db", "catalog.db-wal", "catalog.db-shm"):
        (lake.home / name).unlink(missing_ok=True)
    copy_database(kept, lake.home / "catalog.db")
    lost = recover(lake, plan_recovery(lake, datetime.now(UTC)), partial(look_again, lake))

    assert digests(lake) == content, lost
    run(lake)
    assert set(statuses(lake).values()) <= SAFE
    assert digests(lake) == content


def copy_database(source, target):
    """As docs/how-to/back_up.md does."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as two:
        one.backup(two)


@pytest.fixture
def source_in_a_bucket(server, settings, declare):
    """A day of tickets in a bucket of its own, and one in a folder."""
    raw = server.bucket(f"raw-{settings.home.parent.name.replace('_', '-')[-40:].lower()}")
    write_lines(server.folder / raw.removeprefix("s3://") / "in/a.jsonl", [ticket_event(1, DAYS[0])])
    write_lines(settings.manifests / "b.jsonl", [ticket_event(2, DAYS[1])])
    declare(ticket_manifest([source("a", f"{raw}/in/*.jsonl"), source("b", "b.jsonl")]))
    return f"{raw}/"


def loaded(settings, **more):
    """Days that a load loads, and what is wrong with the sources."""
    own = {"warehouse": str(settings.home / "warehouse"), "catalog_properties": {}, **more}
    report = ingest(LakehouseSettings(home=settings.home, manifests=settings.manifests, **own), assets=[TICKET_EVENTS])
    return [item.partition for item in report.load_of(TICKET_EVENTS).loaded], report.problems


def test_a_source_in_a_store_is_read_with_the_properties_of_its_prefix(settings, server, source_in_a_bucket):
    own = {source_in_a_bucket: server.properties(), "s3://": server.properties(**{"access-key-id": "nobody"})}

    assert loaded(settings, source_properties=own) == ([*DAYS], [])


def test_a_source_in_the_store_of_the_warehouse_is_read_as_the_warehouse_is(settings, server, source_in_a_bucket):
    warehouse = f"{source_in_a_bucket}warehouse"

    assert loaded(settings, warehouse=warehouse, catalog_properties=server.properties()) == ([*DAYS], [])


@pytest.mark.parametrize("wrong", [{"secret-access-key": "guessed"}, {"access-key-id": "nobody"}])
def test_a_wrong_secret_holds_back_its_source_and_no_other(settings, server, source_in_a_bucket, wrong):
    own = {"s3://": server.properties(**wrong)}

    days, problems = loaded(settings, source_properties=own)

    assert days == [DAYS[1]]
    assert problems and all("cannot be listed" in each and "guessed" not in each for each in problems)


@pytest.mark.parametrize("wrong", [{"secret-access-key": "guessed"}, {"access-key-id": "nobody"}])
def test_a_warehouse_that_refuses_the_secret_is_an_error_that_says_so(settings, server, declare, wrong):
    write_lines(settings.manifests / "b.jsonl", [ticket_event(2, DAYS[1])])
    declare(ticket_manifest([source("b", "b.jsonl")]))
    warehouse = f"{server.bucket('shut-' + next(iter(wrong)))}/warehouse"

    with pytest.raises(Exception) as raised:
        loaded(settings, warehouse=warehouse, catalog_properties=server.properties(**wrong))

    assert "next:" in str(raised.value) and "guessed" not in str(raised.value), raised.value


@pytest.mark.parametrize("size_bytes", [0, 3, (4 << 20) - 1, 4 << 20, 11 << 20])
def test_an_object_is_stored_once_whatever_its_size_and_however_its_bytes_come(lake, server, size_bytes):
    content = os.urandom(size_bytes)
    sha256 = hashlib.sha256(content).hexdigest()

    with pytest.raises(ObjectMismatch):
        put_object(lake, Dribbling(content + b"?"), sha256)
    refused = object_size(lake, sha256)
    sizes = [put_object(lake, Dribbling(content), sha256) for _ in range(2)]

    assert (refused, sizes) == (None, [size_bytes] * 2)
    folder = server.folder / "lake/warehouse/objects/sha256" / sha256[:2]
    assert (folder / sha256).read_bytes() == content
    assert not [*folder.glob("*.partial")]


class Dribbling(io.BytesIO):
    """Gives fewer bytes than it is asked for, as a connection does."""

    def read(self, size=-1):
        return super().read(min(size, 1 << 20) if size > 0 else size)
