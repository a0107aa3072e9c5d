"""The lakehouse that the machine works on: each step as a person, a tool or an accident does it; and what is read of it.

Real parts, in this process, on three derived assets that are built as dbt builds its models, through
`lakehouse.builds.build`. Only dlt, which carries staged files to the sink unchanged, is left out where a step shall
take tens of milliseconds: two thirds of a small load are dlt's.
"""

import functools
import gzip
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import duckdb
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.table import StaticTable, Table

import loaders.ingest
import loaders.quarantine
from lakehouse.builds.build import Builder
from lakehouse.builds.model import Model as DbtModel
from lakehouse.contracts.registry import bronze_contracts
from lakehouse.dbt.lake_views import LakeViews
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.evidence import CheckResult
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.partitions import Window
from lakehouse.proof.foreign_writes import find_foreign_writes
from lakehouse.proof.verification import verify
from lakehouse.recovery.plan import plan_recovery
from lakehouse.recovery.recover import recover
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.duck import load_iceberg_extension
from lakehouse.upkeep.maintenance import maintain
from loaders.bronze import pipelines
from loaders.bronze.destination import tables_of, write_carrier
from loaders.bronze.held_records import Selection
from loaders.errors import RecordNotHeld
from loaders.ingest import ingest
from loaders.quarantine import discard_records, release_records
from loaders.seed_loader import release_source
from orchestration.readiness.asset_graph import AssetGraph, AssetNode, read_asset_graph
from orchestration.readiness.readiness import Readiness
from tests.conftest import source as declared_source
from tests.conftest import ticket_manifest
from tests.stateful.model import DAILY, DAYS, EVENTS, NOW, ORDER, REPEATED, RUNNING, WHOLE, Rows, Source

DERIVED = (DAILY, RUNNING, NOW)
CHECK = "sound"
_REACH = {DAILY: "same_day", RUNNING: "up_to_day", NOW: "all"}
_TABLES = {EVENTS: "bronze", DAILY: "silver", RUNNING: "gold", NOW: "gold"}
_IN_WINDOW = "/*window:day:date*/ true /*end window*/"
_SQL = {
    DAILY: f"select * from (select cast(occurred_at as date) as day, event_id, category || ' by {{0}}' as word "
    f"from bronze.{EVENTS}) where {_IN_WINDOW}",
    RUNNING: f"select day, count(*) || ' by {{0}}' as word from (select unnest({[*DAYS]}::date[]) as day) "
    f"join bronze.{EVENTS} on cast(occurred_at as date) <= day where {_IN_WINDOW} group by day",
    NOW: "select event_id, cast(cast(occurred_at as date) as varchar) as day, category || ' by {0}' as word "
    f"from bronze.{EVENTS}",
}


class Killed(BaseException):
    """The process is gone, as far as the step can tell."""


POINTS: dict[str, tuple[Any, str, bool]] = {
    "before the coverage": (Ledger, "replace_file_coverage", True),
    "before what is gone is forgotten": (Ledger, "forget_files", True),
    "before a commit": (SqlCatalog, "commit_table", True),
    "after a commit": (SqlCatalog, "commit_table", False),
    "before the record": (Ledger, "record_materializations", True),
    "after the record": (Ledger, "record_materializations", False),
    "before the checks": (Ledger, "record_checks", True),
}
"""Where a step dies: before or after the calls of one function."""


class Lake:
    """One lakehouse, in a folder that a made one is copied to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.settings = LakehouseSettings(home=root / "live" / "home", manifests=root / "live" / "manifests")
        self.logic = 1
        self._connection = duckdb.connect()
        load_iceberg_extension(self._connection, {})
        self._read: dict[str, dict[str, Rows]] = {}
        bronze = {EVENTS: bronze_contracts(self.settings)[EVENTS]}
        self._bronze = read_asset_graph({"nodes": {}}, bronze, None, self.settings).nodes

    # ── the folder ───────────────────────────────────────────────────────────────────────────────────────────────────
    def keep_as_made(self) -> None:
        """Let every example begin with the lakehouse as it is."""
        shutil.copytree(self._root / "live", self._root / "made")

    def begin(self) -> None:
        """Put the made one in place."""
        shutil.rmtree(self._root / "live", ignore_errors=True)
        if (self._root / "made").exists():
            shutil.copytree(self._root / "made", self._root / "live")
        else:
            self.settings.manifests.mkdir(parents=True)
        self.logic = 1
        self._read = {}
        self._open()

    # ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def lay(self, name: str, source: Source) -> None:
        """Write a source and its manifest as they are meant to lie there."""
        path = self.settings.manifests / f"{name}.jsonl.gz"
        content = gzip.compress("".join(f"{record.line}\n" for record in source.records).encode(), mtime=0)
        path.write_bytes(content if source.is_whole else content[:-9])
        if not source.is_there:
            path.unlink()
        manifest = self.settings.manifests / f"{_manifest_id(name)}.json"
        manifest.write_text(json.dumps(_manifest(name, source)), "utf-8")
        if not source.is_declared:
            manifest.unlink()

    def let_in(self, name: str) -> None:
        """A person's word for a quarantined source."""
        release_source(self.settings, self._ledger, _manifest_id(name), name, reason="looked at it", by="ann")

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def ingest(self, window: tuple[str, str] | None = None) -> None:
        """Load what is new, or a window."""
        ingest(self.settings, assets=[EVENTS], window=window and Window.of_keys(*window))

    def build(self, assets: Sequence[str], window: tuple[str, str] | None = None) -> None:
        """Build derived assets and check them, as one invocation of dbt does."""
        catalog, ledger = self._catalog, self._ledger
        views = LakeViews(self._connection)
        builder = Builder(self.settings, catalog, ledger, lambda table: views.show(table, table.name()[-2]))
        builder.pin(datetime.now(UTC).isoformat())
        for asset in assets:
            builder.build(self._model(asset, window), self._compute)
        built = [item for (name, _), item in builder.own.items() if name in assets]
        now = datetime.now(UTC)
        seen = [item for item in built if not (window and item.partition) or window[0] <= item.partition <= window[1]]
        ledger.record_checks(
            [CheckResult(i.asset, i.partition, CHECK, "error", True, "passed", i.id, now, i.run_id) for i in seen]
        )

    def release(self) -> None:
        """Read again what is held; nothing where nothing is."""
        with suppress(RecordNotHeld):
            release_records(self.settings, Selection(asset=EVENTS), reason="mended", by="ann")

    def discard(self) -> set[tuple[str, int, str]]:
        """Say of all that is held that it is not wanted: source, line and record of each."""
        with suppress(RecordNotHeld):
            found = discard_records(self.settings, Selection(asset=EVENTS), reason="noise", by="ann")
            return {(record.source_id, record.source_line, record.raw_record) for record in found}
        return set()

    def verify(self) -> list[tuple[str, str, str]]:
        """What ledger and tables disagree on: asset, partition, what it is."""
        report = verify(self._catalog, self._ledger, self.settings)
        return [(each.asset, each.partition, f"{each.code}: {each.found}") for each in report.findings]

    def maintain(self) -> None:
        """Remove all that is out of use."""
        find_foreign_writes(self._catalog, self._ledger)
        now, none = datetime.now(UTC), timedelta(0)
        maintain(self._catalog, self._ledger, self.settings, older_than=none, dry_run=False, now=now, keep_snapshots=1)

    def write_elsewhere(self, asset: str, how: str) -> None:
        """Somebody with pyiceberg adds rows again, takes rows out, or writes the same ones anew."""
        table = self._table(asset)
        rows = table.scan().to_arrow() if table else None
        if table is None or rows is None or not rows.num_rows:
            return
        if how == "adds":
            table.append(rows.slice(0, 1))
        elif how == "removes":
            table.overwrite(rows.slice(1), overwrite_filter=AlwaysTrue())
        else:
            table.overwrite(rows, overwrite_filter=AlwaysTrue())

    def keep_database(self) -> None:
        """Copy the catalog's database, as SQLite does."""
        self._copy(self._database, self._root / "live" / "kept.db")

    def put_database_back(self) -> None:
        """Put the copy in its place; where it is older than the warehouse nobody can open it, until it is recovered."""
        self._copy(self._root / "live" / "kept.db", self._database)
        try:
            self._open()
        except ConfigurationError:
            self.recover()

    def recover(self) -> None:
        """Bring back what the database has lost, as `omni recover` does."""
        plan = plan_recovery(self.settings, datetime.now(UTC))
        if plan.is_needed:
            recover(self.settings, plan, lambda *opened: loaders.ingest.look_again(self.settings, *opened))
        self._open()

    def _open(self) -> None:
        self._catalog, self._ledger = open_catalog(self.settings), open_ledger(self.settings)

    # ── what is said, and what is there ──────────────────────────────────────────────────────────────────────────────
    def verdicts(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Status and reasons of every partition, days that nobody asks for too."""
        derived = {
            name: AssetNode(
                name, _TABLES[name], name != NOW, {EVENTS: _REACH[name]}, {CHECK: "error"}, logic=str(self.logic)
            )
            for name in DERIVED
        }
        graph = AssetGraph(self._bronze | derived)
        readiness = Readiness(graph, self._ledger, datetime.now(UTC), [])
        keys = [(name, key) for name in graph.nodes for key in ([WHOLE] if name == NOW else DAYS)]
        found = {key: readiness.verdict(*key) for key in keys}
        return {key: (str(verdict.status), "; ".join(verdict.reasons)) for key, verdict in found.items()}

    def rows(self, asset: str, partition: str) -> Rows:
        """What a reader sees of a partition, in order."""
        return self._rows(asset).get(partition, [])

    def _rows(self, asset: str) -> dict[str, Rows]:
        """Partition → rows, read anew where the table has other metadata than before."""
        with closing(sqlite3.connect(self._database)) as database:
            found = database.execute("select metadata_location from iceberg_tables where table_name = ?", [asset])
            location = (found.fetchone() or (None,))[0]
        if location is not None and location not in self._read:
            rows: dict[str, Rows] = {}
            for row in StaticTable.from_metadata(location).scan().to_arrow().to_pylist():
                partition, shown = _shown(asset, row)
                rows.setdefault(partition, []).append(shown)
            self._read[location] = {key: sorted(found) for key, found in rows.items()}
        return self._read.get(location, {})

    @property
    def _database(self) -> Path:
        return self.settings.home / "catalog.db"

    def _table(self, asset: str) -> Table | None:
        """The table as a stranger opens it."""
        catalog = SqlCatalog("lake", uri=f"sqlite:///{self._database}", warehouse=self.settings.warehouse_url)
        identifier = f"{_TABLES[asset]}.{asset}"
        return catalog.load_table(identifier) if catalog.table_exists(identifier) else None

    def _model(self, asset: str, window: tuple[str, str] | None) -> DbtModel:
        return DbtModel(
            name=asset,
            namespace=_TABLES[asset],
            sql=_SQL[asset].format(self.logic),
            logic=str(self.logic),
            logic_on_spark=str(self.logic),
            version_logic=str(self.logic),
            reach={EVENTS: _REACH[asset]},  # type: ignore[dict-item]
            tables=frozenset({("bronze", EVENTS)}),
            bounded=frozenset(),
            is_partitioned=asset != NOW,
            time_column=None if asset == NOW else "day",
            window=window and Window.of_keys(*window) if asset != NOW else None,
            is_full_refresh=False,
            is_forced=False,
        )

    def _compute(self, staging: Any, chunk: Any) -> None:
        staging.add(chunk, self._make, self._connection)

    def _make(self, table: str, sql: str) -> None:
        self._connection.execute(f"create or replace temporary table {table} as (\n{sql}\n)")

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
            read.backup(written)

    @contextmanager
    def opened_once(self) -> Iterator[None]:
        """Let each step take the catalog and the ledger that are open: to open them costs as much as a small step."""
        with ExitStack() as stack:
            for module in (loaders.ingest, loaders.quarantine):
                stack.enter_context(patch.object(module, "open_catalog", lambda _: self._catalog))
                stack.enter_context(patch.object(module, "open_ledger", lambda _: self._ledger))
            yield


@contextmanager
def without_dlt() -> Iterator[None]:
    """Hand the carriers of a load to the sink, as dlt does."""

    class Carrier:
        def __init__(self, _: str, *, destination: Any, **__: Any) -> None:
            self._sink = destination

        def run(self, carriers: list[Path], **_: Any) -> None:
            for carrier in carriers:
                self._sink.take(carrier)

    def carried(settings: LakehouseSettings, asset: str, *of_days: Any) -> list[Path]:
        return [write_carrier(settings, table, *of_days) for table in tables_of(settings, asset)]

    with (
        patch.object(pipelines, "dlt", SimpleNamespace(pipeline=Carrier)),
        patch.object(pipelines, "BronzeDestination", lambda sink: sink),
        patch.object(pipelines, "_carried", carried),
    ):
        yield


@contextmanager
def noted(on_call: dict[str, Callable[..., None]]) -> Iterator[None]:
    """Say when a method of the ledger has done its work: what it returns and what it was given."""
    with ExitStack() as stack:
        for name, note in on_call.items():
            stack.enter_context(patch.object(Ledger, name, _followed(getattr(Ledger, name), note)))
        yield


@contextmanager
def killed(point: str, hit: int) -> Iterator[None]:
    """Die at the `hit`-th time that a point is reached."""
    owner, name, is_before = POINTS[point]
    real, calls = getattr(owner, name), 0

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == hit and is_before:
            raise Killed
        result = real(*args, **kwargs)
        if calls == hit:
            raise Killed
        return result

    with patch.object(owner, name, wrapped), suppress(Killed):
        yield


def _followed(real: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(real)
    def wrapped(self: Ledger, *args: Any, **kwargs: Any) -> Any:
        args = tuple(list(arg) if isinstance(arg, Iterator) else arg for arg in args)  # to be read twice
        result = real(self, *args, **kwargs)
        note(result, *args)
        return result

    return wrapped


def _shown(asset: str, row: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Partition of a row, and what a reader sees of it."""
    if asset == NOW:
        return WHOLE, (row["event_id"], row["day"], row["word"])
    if asset == EVENTS:
        return str(row["occurred_at"])[:10], (row["event_id"], row["category"])
    return str(row["day"]), ((row["event_id"],) if asset == DAILY else ()) + (row["word"],)


def _manifest_id(name: str) -> str:
    return f"manifest-{name}-20260501-001"


def _manifest(name: str, source: Source) -> dict[str, Any]:
    """The manifest of one source: its batch is ordered by its place among the sources."""
    path = f"{name}.jsonl.gz"
    declared = declared_source(name, path, pii_scan_status="clear" if source.is_cleared else "not_run")
    told: dict[str, Any] = {"manifest_id": _manifest_id(name), "batch_id": name, "owner": source.owner}
    told["created_at"] = f"2026-05-01T0{ORDER.index(name)}:00:00Z"
    if name == "replay":
        told |= {"load_mode": "replay", "selection_window": {"replay_from_batch": REPEATED}}
    if source.is_refused:
        told["modality"] = "a riddle"
    return ticket_manifest([declared], **told)
