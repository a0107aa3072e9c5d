"""The ledger: the record of admissions, coverage, materializations and check results.

Every method is one short transaction, safe beside other processes. Reading it needs SQLAlchemy only: no Iceberg, dlt,
dbt or Dagster.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Engine,
    Insert,
    Table,
    bindparam,
    delete,
    false,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from lakehouse.database.engines import open_engine
from lakehouse.database.lost_catalog import refuse_lost_catalog
from lakehouse.ledger import schema as t
from lakehouse.ledger.catalog_versions import AskedCatalog
from lakehouse.ledger.evidence import (
    Backfill,
    CheckResult,
    Coverage,
    FileKey,
    ManifestVersion,
    Materialization,
    QuarantineAction,
    Release,
    SourceAdmission,
    SourceFileRecord,
)
from lakehouse.ledger.rows import (
    CHECK,
    COVERAGE,
    MATERIALIZATION,
    SOURCE_FILE,
    check_row,
    materialization_row,
    read_materialization,
    read_source_file,
)
from lakehouse.settings import LakehouseSettings

MOST_VALUES = 10_000
"""In one statement: SQLite takes 32,766, Postgres 65,535."""


def open_ledger(settings: LakehouseSettings, *, is_recovery: bool = False) -> "Ledger":
    """Open the ledger, creating its tables on first use.

    Args:
        settings: Where it is.
        is_recovery: Open it whatever the catalog has lost.

    Raises:
        ConfigurationError: the catalog does not know what its warehouse holds.
    """
    if not is_recovery:
        refuse_lost_catalog(settings)
    engine = open_engine(settings.ledger_url)
    _create_tables(engine)
    if settings.catalog_type != "sql":
        return Ledger(engine, asked=AskedCatalog(settings))
    return Ledger(engine, engine if settings.is_ledger_in_catalog else open_engine(settings.catalog_url))


# Two first runs may both find a table missing and both create it; the second look finds it there.
@retry(
    retry=retry_if_exception_type((OperationalError, ProgrammingError, IntegrityError)),
    stop=stop_after_attempt(5),
    wait=wait_random(0.05, 0.3),
    reraise=True,
)
def _create_tables(engine: Engine) -> None:
    """Create what is missing: tables, and columns that a ledger of an earlier version does not have (all nullable)."""
    t.metadata.create_all(engine)
    found = inspect(engine).get_multi_columns(filter_names=list(t.metadata.tables))
    for table in t.metadata.tables.values():
        known = {column["name"] for column in found[None, table.name]}
        for column in (column for column in table.columns if column.name not in known):
            kind = column.type.compile(engine.dialect)
            with engine.begin() as connection:
                connection.execute(text(f'alter table {table.name} add column "{column.name}" {kind}'))


class Ledger:
    """Reads and writes the record; see `lakehouse.ledger.evidence` for the grain of each value."""

    def __init__(self, engine: Engine, catalog_engine: Engine | None = None, asked: AskedCatalog | None = None) -> None:
        """Use an engine whose database holds the ledger's tables; the catalog's where that is a database, or ask it."""
        self.engine = engine
        self.catalog_engine = catalog_engine
        self.asked = asked

    # ── admission ────────────────────────────────────────────────────────────────────────────────────────────────
    def recorded_last(self) -> set[tuple[str, str]]:
        """Id and hash of each manifest's version that was admitted last, where nothing of it is left to record."""
        b, other = t.batches, t.batches.alias()
        later = select(other.c.manifest_id).where(
            other.c.manifest_id == b.c.manifest_id, other.c.admitted_at > b.c.admitted_at
        )
        query = select(b.c.manifest_id, b.c.manifest_sha256).where(b.c.declared_at.is_not(None), ~later.exists())
        with self.engine.connect() as connection:
            rows: Iterable[Any] = connection.execute(query)
            return {(manifest_id, sha256) for manifest_id, sha256 in rows}

    def record_admission(self, version: ManifestVersion, sources: Sequence[SourceAdmission]) -> bool:
        """Record an admitted version of a manifest with the judgments of its sources.

        Returns:
            Whether the version is new; of a known one only what an earlier ledger did not record is filled in.
        """
        b = t.batches
        with self.engine.begin() as connection:
            version = replace(version, admitted_at=_after_others(connection, version))
            is_new = connection.execute(_insert_new(connection, t.batches).values(_values(version))).rowcount > 0
            if is_new and sources:
                key = {"manifest_id": version.manifest_id, "manifest_sha256": version.manifest_sha256}
                rows = [{**key, **_values(source), "reasons": list(source.reasons)} for source in sources]
                connection.execute(_insert_new(connection, t.admissions), rows)
            if not is_new:
                where = (b.c.manifest_id == version.manifest_id, b.c.manifest_sha256 == version.manifest_sha256)
                lacking = {name: getattr(version, name) for name in ("declared", "declared_at", "load_mode")}
                connection.execute(update(b).where(*where, b.c.declared_at.is_(None)).values(lacking))
                later = select(b.c.manifest_sha256).where(b.c.manifest_id == version.manifest_id)
                own = select(b.c.admitted_at).where(*where).scalar_subquery()
                if connection.execute(later.where(b.c.admitted_at > own)).first():  # what was declared before is back
                    connection.execute(update(b).where(*where).values(admitted_at=version.admitted_at))
        return is_new

    def manifest_versions(self, manifest_id: str | None = None) -> list[ManifestVersion]:
        """Admitted versions of one manifest, or of all, the oldest first."""
        query = select(*_columns(t.batches, ManifestVersion)).order_by(t.batches.c.admitted_at, t.batches.c.manifest_id)
        if manifest_id is not None:
            query = query.where(t.batches.c.manifest_id == manifest_id)
        with self.engine.connect() as connection:
            return [ManifestVersion(**row) for row in connection.execute(query).mappings()]

    def source_admissions(self, version: ManifestVersion) -> list[SourceAdmission]:
        """Judgments of the sources of an admitted version."""
        a = t.admissions.c
        where = (a.manifest_id == version.manifest_id, a.manifest_sha256 == version.manifest_sha256)
        return self._source_admissions(*where).get((version.manifest_id, version.manifest_sha256), [])

    def every_source_admission(self) -> dict[tuple[str, str], list[SourceAdmission]]:
        """Judgments of the sources of every version, by its manifest_id and manifest_sha256."""
        return self._source_admissions()

    def _source_admissions(self, *where: ColumnElement[bool]) -> dict[tuple[str, str], list[SourceAdmission]]:
        a, found = t.admissions, dict[tuple[str, str], list[SourceAdmission]]()
        query = select(a.c.manifest_id, a.c.manifest_sha256, *_columns(a, SourceAdmission)).where(*where)
        with self.engine.connect() as connection:
            for row in connection.execute(query.order_by(a.c.source_id)).mappings():
                said = {each.name: row[each.name] for each in fields(SourceAdmission)}
                judged = SourceAdmission(**{**said, "reasons": tuple(row["reasons"])})
                found.setdefault((row["manifest_id"], row["manifest_sha256"]), []).append(judged)
        return found

    def record_release(self, release: Release) -> bool:
        """Let a quarantined source in; returns whether it was not let in before."""
        with self.engine.begin() as connection:
            return connection.execute(_insert_new(connection, t.releases).values(_values(release))).rowcount > 0

    def releases(self) -> dict[tuple[str, str, str], Release]:
        """Sources that were let in, by manifest_id, manifest_sha256, source_id."""
        with self.engine.connect() as connection:
            query = select(*_columns(t.releases, Release))
            found = [Release(**row) for row in connection.execute(query).mappings()]
        return {(each.manifest_id, each.manifest_sha256, each.source_id): each for each in found}

    def has_admissions(self) -> bool:
        """Whether any manifest was ever admitted: before that, nothing can be said of any partition."""
        with self.engine.connect() as connection:
            return connection.execute(select(t.batches.c.manifest_id).limit(1)).first() is not None

    def manifests_of(self, manifest_path: str) -> set[str]:
        """Manifests that were ever admitted from a file of the manifest folder."""
        query = select(t.batches.c.manifest_id).where(t.batches.c.manifest_path == manifest_path)
        with self.engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def record_quarantine_actions(self, actions: Sequence[QuarantineAction]) -> None:
        """Record what a person did about quarantined records."""
        if actions:
            with self.engine.begin() as connection:
                connection.execute(insert(t.quarantine_actions), [_values(action) for action in actions])

    def quarantine_actions(self) -> list[QuarantineAction]:
        """What persons did about quarantined records, in order."""
        query = select(*_columns(t.quarantine_actions, QuarantineAction)).order_by(t.quarantine_actions.c.id)
        with self.engine.connect() as connection:
            rows = connection.execute(query).mappings()
            return [QuarantineAction(**row) for row in rows]

    # ── coverage ─────────────────────────────────────────────────────────────────────────────────────────────────
    def known_files(self, asset: str) -> dict[FileKey, SourceFileRecord]:
        """Files of an asset as last looked at."""
        query = select(*SOURCE_FILE).where(t.source_files.c.asset == asset)
        with self.engine.connect() as connection:
            rows: Iterable[Any] = connection.execute(query)
            return {record.key: record for record in map(read_source_file, rows)}

    def files_looked_at_since(self, at: datetime | None) -> list[SourceFileRecord]:
        """Files that were read (or found unreadable) after an instant: new and changed ones."""
        query = select(*SOURCE_FILE).order_by(t.source_files.c.source_file)
        if at is not None:
            query = query.where(t.source_files.c.checked_at > at)
        with self.engine.connect() as connection:
            rows: Iterable[Any] = connection.execute(query)
            return [read_source_file(row) for row in rows]

    def replace_file_coverage(self, files: Sequence[SourceFileRecord], coverage: Sequence[Coverage]) -> None:
        """Replace what is known of some source files, coverage included, in one transaction."""
        if not files:
            return
        now, keys = datetime.now(UTC), [(file.asset, *file.key) for file in files]
        found = {"checked_at": now, "since": now}
        with self.engine.begin() as connection:
            _hold_others(connection, t.source_files)  # what another process adds is found by now
            _delete_files(connection, keys[:1], now)
            _delete_files(connection, _known_among(connection, keys[1:]), now)
            connection.execute(insert(t.source_files), [{**_values(file), **found} for file in files])
            if coverage:
                connection.execute(insert(t.coverage), [{**_values(row), "since": now} for row in coverage])

    def doubt_files(self, asset: str, manifest_id: str, problem: str) -> None:
        """Mark all files of a manifest, and what they cover, with a problem; what is expected of them stays."""
        now = datetime.now(UTC)
        with self.engine.begin() as connection:
            for table in (t.source_files, t.coverage):
                where = (table.c.asset == asset, table.c.manifest_id == manifest_id)
                connection.execute(_keep(table, now, where))
                connection.execute(update(table).where(*where).values(problem=problem, since=now))

    def forget_files(self, asset: str, keys: Iterable[FileKey]) -> None:
        """Drop files that no admitted source lists any more; their partitions become stale."""
        with self.engine.begin() as connection:
            _delete_files(connection, [(asset, *key) for key in keys], datetime.now(UTC))

    def coverage(self, asset: str | None = None) -> dict[tuple[str, str], list[Coverage]]:
        """Coverage by (asset, partition), of one asset or of all."""
        query = select(*COVERAGE) if asset is None else select(*COVERAGE).where(t.coverage.c.asset == asset)
        found: dict[tuple[str, str], list[Coverage]] = {}
        with self.engine.connect() as connection:
            rows: Iterable[Any] = connection.execute(query)
            for covered in (Coverage(*row) for row in rows):
                found.setdefault((covered.asset, covered.partition), []).append(covered)
        return found

    def high_water_mark(self, asset: str) -> datetime | None:
        """Instant (UTC) of the latest record that arrived by itself; None while nothing is covered.

        What a replay or a backfill brings never moves it.
        """
        c, b = t.coverage, t.batches
        repeated = select(b.c.manifest_id).where(b.c.load_mode.in_(("replay", "backfill")))
        query = select(func.max(c.c.last_at)).where(c.c.asset == asset, c.c.manifest_id.not_in(repeated))
        with self.engine.connect() as connection:
            return connection.execute(query).scalar_one()

    # ── materializations ─────────────────────────────────────────────────────────────────────────────────────────
    def record_materializations(
        self, items: Iterable[Materialization], after: int | None = None, seen: Set[int] = frozenset()
    ) -> list[int]:
        """Record committed partitions, in order, unless others have recorded the same commit or a later one.

        Args:
            items: The partitions, with their snapshot.
            after: The last that was on record before the commit was looked at, or was tried: any until then is of an
                earlier commit. None: nobody else is at work.
            seen: Snapshots whose commits came before, whenever they were recorded.

        Returns:
            Their ids; of a commit that another process has recorded, the id that it got, and 0 for one that is not
            current any more.
        """
        items, ids = list(items), list[int]()
        with self.engine.begin() as connection:
            _hold_others(connection, t.materializations)  # the order of ids is that of records
            by_others = [None if after is None else _latest(connection, item, after) for item in items]
            for item, latest in zip(items, by_others, strict=True):
                if latest is None or (latest.snapshot_id in {None, *seen} and not _is_same(latest, item)):
                    statement = insert(t.materializations).returning(t.materializations.c.id)
                    ids.append(connection.execute(statement, materialization_row(item)).scalar_one())
                else:
                    ids.append(latest.id if _is_same(latest, item) else 0)
        return ids

    def current_materializations(self, assets: Iterable[str] | None = None) -> dict[tuple[str, str], Materialization]:
        """The current materialization of each (asset, partition), of some assets or of all."""
        m = t.materializations
        latest = select(func.max(m.c.id)).group_by(m.c.asset, m.c.partition)
        if assets is not None:
            latest = latest.where(m.c.asset.in_(list(assets)))
        with self.engine.connect() as connection:
            rows = connection.execute(select(*MATERIALIZATION).where(m.c.id.in_(latest)))
            return {(item.asset, item.partition): item for item in map(read_materialization, rows)}

    def last_materialization(self) -> int:
        """Id of the one that was recorded last; 0 before the first."""
        with self.engine.connect() as connection:
            return connection.execute(select(func.coalesce(func.max(t.materializations.c.id), 0))).scalar_one()

    def cite(self, items: Iterable[Materialization], snapshot_id: int) -> None:
        """Cite a later snapshot for some materializations, unless they were cited anew since they were read."""
        m = t.materializations
        with self.engine.begin() as connection:
            for item in items:
                read_before = m.c.held_by_snapshot_id.is_not_distinct_from(item.held_by_snapshot_id)
                where = (m.c.id == item.id, read_before)
                connection.execute(update(m).where(*where).values(held_by_snapshot_id=snapshot_id))

    def recorded_snapshots(self, asset: str) -> set[int]:
        """Snapshots of an asset's table that the ledger has materializations of."""
        m = t.materializations
        with self.engine.connect() as connection:
            query = select(m.c.snapshot_id).distinct().where(m.c.asset == asset, m.c.snapshot_id.is_not(None))
            return set(connection.execute(query).scalars())

    # ── backfills ────────────────────────────────────────────────────────────────────────────────────────────────
    def record_backfill(self, backfill: Backfill) -> None:
        """Record that a backfill was asked for."""
        with self.engine.begin() as connection:
            connection.execute(insert(t.backfills).values(_values(backfill)))

    def finish_backfill(self, backfill_id: str, outcome: str, finished_at: datetime) -> None:
        """Record how a backfill ended."""
        ended = update(t.backfills).where(t.backfills.c.id == backfill_id)
        with self.engine.begin() as connection:
            connection.execute(ended.values(outcome=outcome, finished_at=finished_at))

    def backfills(self) -> list[Backfill]:
        """What was asked for, the oldest first."""
        with self.engine.connect() as connection:
            query = select(*_columns(t.backfills, Backfill)).order_by(t.backfills.c.requested_at)
            rows = connection.execute(query).mappings()
            return [Backfill(**{**row, "targets": tuple((a, p) for a, p in row["targets"])}) for row in rows]

    # ── checks ───────────────────────────────────────────────────────────────────────────────────────────────────
    def record_checks(self, results: Sequence[CheckResult]) -> None:
        """Record check results; each speaks for one materialization."""
        if results:
            with self.engine.begin() as connection:
                connection.execute(insert(t.checks), [check_row(result) for result in results])

    def current_checks(self, materialization_ids: Iterable[int] | None = None) -> dict[int, list[CheckResult]]:
        """The last result of each check on each current materialization, by materialization id."""
        c, m = t.checks, t.materializations
        wanted: list[Any] = [select(func.max(m.c.id)).group_by(m.c.asset, m.c.partition)]
        if materialization_ids is not None:
            ids = list(materialization_ids)
            wanted = [ids[start : start + MOST_VALUES] for start in range(0, len(ids), MOST_VALUES)]
        found: dict[int, list[CheckResult]] = {}
        with self.engine.connect() as connection:
            for some in wanted:
                latest = select(func.max(c.c.id)).where(c.c.materialization_id.in_(some))
                latest = latest.group_by(c.c.materialization_id, c.c.check_name)
                rows: Iterable[Any] = connection.execute(select(*CHECK).where(c.c.id.in_(latest)))
                for result in (CheckResult(*row) for row in rows):
                    found.setdefault(result.materialization_id, []).append(result)
        return found


def _columns(table: Table, kind: Any) -> list[ColumnElement[Any]]:
    """Columns in the order of the fields of a record."""
    return [table.c[field.name] for field in fields(kind)]


def _after_others(connection: Connection, version: ManifestVersion) -> datetime:
    """When a version was admitted: after the others of its manifest, also where the clock has jumped back."""
    b = t.batches.c
    others = (b.manifest_id == version.manifest_id, b.manifest_sha256 != version.manifest_sha256)
    latest: datetime | None = connection.execute(select(func.max(b.admitted_at)).where(*others)).scalar()
    if latest is None or latest < version.admitted_at:
        return version.admitted_at
    return latest + timedelta(microseconds=1)


def _insert_new(connection: Connection, table: Table) -> Any:
    """An insert that leaves a row that is already there as it is."""
    # Only the dialect in use: SQLAlchemy's for Postgres imports every driver that it knows.
    dialect = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    return dialect.insert(table).on_conflict_do_nothing()


def _hold_others(connection: Connection, table: Table) -> None:
    """Let nobody else write into a table until the transaction has ended."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"lock table {table.name} in share row exclusive mode"))
    else:
        connection.execute(delete(table).where(false()))  # begins to write


def _latest(connection: Connection, item: Materialization, after: int) -> Any:
    """The latest materialization of a partition that was recorded after another one, if any was."""
    m = t.materializations.c
    query = select(m.id, m.snapshot_id, m.run_id).where(m.asset == item.asset, m.partition == item.partition)
    return connection.execute(query.where(m.id > after).order_by(m.id.desc()).limit(1)).first()


def _is_same(recorded: Any, item: Materialization) -> bool:
    """Whether what is on record is the same commit; one that had nothing to write has the snapshot of another."""
    return bool((recorded.snapshot_id, recorded.run_id) == (item.snapshot_id, item.run_id))


def _known_among(connection: Connection, keys: Sequence[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """The files that are there: most are new, and to delete one that is not there costs as much as to add it."""
    s, names_of = t.source_files.c, dict[tuple[str, str], list[str]]()
    for asset, manifest_id, _, source_file in keys:
        names_of.setdefault((asset, manifest_id), []).append(source_file)
    found: set[Any] = set()
    for (asset, manifest_id), names in names_of.items():
        query = select(s.asset, s.manifest_id, s.source_id, s.source_file)
        query = query.where(s.asset == asset, s.manifest_id == manifest_id)
        for start in range(0, len(names), MOST_VALUES):
            some = names[start : start + MOST_VALUES]
            found.update(map(tuple, connection.execute(query.where(s.source_file.in_(some)))))
    return [key for key in keys if key in found]


def _delete_files(connection: Connection, keys: Sequence[tuple[str, str, str, str]], now: datetime) -> None:
    names = ("asset", "manifest_id", "source_id", "source_file")
    old = [{f"old_{name}": value for name, value in zip(names, key, strict=True)} for key in keys]
    for table in (t.source_files, t.coverage) if keys else ():
        where = [table.c[name] == bindparam(f"old_{name}") for name in names]
        connection.execute(_keep(table, now, where), old)
        connection.execute(delete(table).where(*where), old)


def _keep(table: Table, now: datetime, where: Sequence[ColumnElement[bool]]) -> Insert:
    """Keep rows of a table that is changed in place, as they are until now."""
    past = t.past_of[table.name]
    until = bindparam("until", now, past.c.until.type)
    columns = [column.name for column in table.columns]
    return insert(past).from_select([*columns, "until"], select(*table.columns, until).where(*where))


def _values(record: Any) -> dict[str, Any]:
    """Fields of a flat record; `dataclasses.asdict` would copy every value."""
    return {name: getattr(record, name) for name in record.__match_args__}
