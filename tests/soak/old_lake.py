"""A lake that is years old: thirteen daily assets on Postgres and a store, small days, the snapshots of a long life."""

import json
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate, AssertTableUUID, SetSnapshotRefUpdate
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from lakehouse.namespaces import NAMESPACES
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import list_tables, open_catalog
from tests.conftest import document_manifest, recording_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.e2e.servers import BIN
from tests.e2e.test_added_to_the_project import FILES
from tests.faults.way_to_store import Way

LAST_DAY = date(2026, 4, 30)


def write_sources(manifests: Path, days: int) -> None:
    """Contracts of two more assets and, for each day, a manifest of everything that came on it."""
    for name in ("contracts/chat_message.json", "contracts/price_list.json"):
        (manifests / "contracts").mkdir(parents=True, exist_ok=True)
        (manifests / name).write_text(FILES[name], "utf-8")
    for number in range(days):
        write_day(manifests, LAST_DAY - timedelta(days=days - 1 - number))


def write_day(manifests: Path, day: date) -> None:
    """What comes on a day: events of tickets and chats, and listings of documents, recordings and prices."""
    for manifest in _manifests(manifests / "files", day):
        path = manifests / f"{manifest['manifest_id']}.json"
        path.write_text(json.dumps(manifest), "utf-8")


def _manifests(files: Path, day: date) -> Iterator[dict[str, Any]]:
    number = day.toordinal()
    events = [ticket_event(number * 10 + n, str(day), ticket_id=f"t{(number + n) // 7}") for n in range(5)]
    write_lines(files / f"{day}.jsonl", events)
    yield _of("tickets", day, "ticket", [source("tickets", f"files/{day}.jsonl")], source_type="ticket_export")
    said = {"chat_id": f"c{number}", "sent_at": f"{day}T10:00:00Z", "sender": "agent", "text": "Good morning."}
    write_lines(files / f"{day}.chats.jsonl", [{**said, "message_no": n} for n in range(3)])
    yield _of("chats", day, "chat_message", [source("chats", f"files/{day}.chats.jsonl")])
    (files / f"{day}.csv").write_text(f"sku;price;stock\nA-1;{number % 97}.50;3\nB-2;12;\n", "utf-8")
    yield _of("prices", day, "price_list", [source("prices", f"files/{day}.csv", "csv")], collection="prices")
    if not (guide := files / "guide.md").exists():  # each day lists it: written anew, it would be read for each again
        guide.write_text("# Guide\n", "utf-8")
    (files / f"{day}.md").write_text(f"# News of {day}\n", "utf-8")
    listed = [source("guide", "files/guide.md", "other"), source("news", f"files/{day}.md", "other")]
    yield document_manifest(str(day), listed)
    for modality in ("audio", "video"):
        name = f"files/{modality}-{number % 30}"
        Path(files.parent, name).write_bytes(f"{modality} {number % 30}".encode())
        yield recording_manifest(modality, str(day), [source("recording", name, modality)])


def _of(name: str, day: date, contract: str, assets: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    named = {"manifest_id": f"manifest-{name}-{day:%Y%m%d}-001", "batch_id": f"batch-{name}-{day}"}
    data = {"contract_ref": f"omni://contracts/data/{contract}/v1", "source_type": "other"}
    return ticket_manifest(assets, created_at=f"{day}T23:00:00Z", **{**named, **data, **fields})


@dataclass(frozen=True)
class Cost:
    """What a command took, its children with it."""

    cpu_s: float
    wall_s: float
    statements: int
    """That Postgres was sent."""
    requests: int
    """That the store was sent."""


@dataclass(frozen=True)
class OldLake:
    """A lake and the two servers on which it lies."""

    settings: LakehouseSettings
    environment: dict[str, str]
    way: Way

    def fill(self) -> None:
        """Load and build everything that has come."""
        self._run("run")

    def omni(self, *arguments: str) -> Cost:
        """Run a command as a shell does, and count."""
        requests, before = len(self.way.came), resource.getrusage(resource.RUSAGE_CHILDREN)
        with self._logged() as logged:
            started = time.monotonic()
            self._run(*arguments)
            wall_s, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Cost(cpu_s, wall_s, len(logged), len(self.way.came) - requests)

    def _run(self, *arguments: str) -> None:
        command = [BIN / "omni", *arguments]
        done = subprocess.run(command, env=self.environment, cwd=PROJECT_ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stdout[-3000:]}{done.stderr[-3000:]}")

    @contextmanager
    def _logged(self) -> Iterator[list[str]]:
        """Lines of the log of Postgres that hold a statement, once the block has ended."""
        found: list[str] = []
        engine = create_engine(self.environment["OMNI_CATALOG_URI"], isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            begun = connection.execute(text("select size from pg_stat_file('log')")).scalar_one()
            _log(connection, "all")
            yield found
            _log(connection, "none")
            written = text("select pg_read_file('log', :begun, size - :begun) from pg_stat_file('log')")
            lines = connection.execute(written, {"begun": begun}).scalar_one().splitlines()
            own = f"[{connection.execute(text('select pg_backend_pid()')).scalar_one()}]"
            found += (line for line in lines if "LOG:  statement:" in line and own not in line)

    def age(self, snapshots: int) -> None:
        """Give each table so many snapshots, as commits of years leave them where nobody looks after it."""
        catalog = open_catalog(self.settings)
        for name in (name for namespace in NAMESPACES for name in list_tables(catalog, namespace)):
            table = catalog.load_table(name)
            if table.current_snapshot() is None or len(table.snapshots()) >= snapshots:
                continue  # such as the quarantine, in which nothing ever was
            added = list(_more_snapshots(table, snapshots - len(table.snapshots())))
            current = SetSnapshotRefUpdate(ref_name="main", type="branch", snapshot_id=added[-1].snapshot_id)
            updates = [*(AddSnapshotUpdate(snapshot=snapshot) for snapshot in added), current]
            catalog.commit_table(table, (AssertTableUUID(uuid=table.metadata.table_uuid),), tuple(updates))


def _log(connection: Connection, statements: str) -> None:
    connection.execute(text(f"alter system set log_statement = '{statements}'"))
    connection.execute(text("select pg_reload_conf()"))
    time.sleep(1)  # until each process of the server has heard of it


def _more_snapshots(table: Table, count: int) -> Iterator[Snapshot]:
    """Snapshots after the current one that change nothing, each with a manifest list of its own."""
    last = table.current_snapshot()
    assert last is not None
    listed = table.io.new_input(last.manifest_list).open().read()
    for number in range(1, count + 1):
        path = f"{table.location()}/metadata/snap-aged-{number}.avro"
        with table.io.new_output(path).create() as copy:
            copy.write(listed)
        last = last.model_copy(
            update={
                "snapshot_id": table.metadata.new_snapshot_id(),
                "parent_snapshot_id": last.snapshot_id,
                "sequence_number": table.metadata.last_sequence_number + number,
                "timestamp_ms": last.timestamp_ms + 1,
                "manifest_list": path,
                "summary": Summary(Operation.APPEND, **{"omni.maintenance": "compaction"}),
            }
        )
        yield last
