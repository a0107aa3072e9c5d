"""Every way to tamper with the lakehouse of `test_verify` that anybody has thought of, by name, and what finds it."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.catalog import load_catalog

from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import find_table

ONE, TWO = "2026-04-15", "2026-04-16"
EVENTS, DOCUMENTS, KPI, FACT = "raw_ticket_events", "raw_doc_assets", "support_kpi_daily", "ticket_fact"


def put_back(path: Path, kept: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kept.is_dir():
        shutil.copytree(kept, path)
    elif kept.exists():
        shutil.copyfile(kept, path)


# ── how it is done ───────────────────────────────────────────────────────────────────────────────────────────────────
def local(location: str) -> Path:
    return Path(location.removeprefix("file://"))


def table(settings, name):
    return find_table(open_catalog(settings), name)


def data_file(settings, name: str, day: str = "") -> Path:
    """The data file of a day, or of a table that is not partitioned."""
    paths = [(local(task.file.file_path), task.file.partition) for task in table(settings, name).scan().plan_files()]
    if not day:
        return paths[0][0]
    (first, *_) = sorted(partition[0] for _, partition in paths)
    return next(path for path, partition in paths if (partition[0] == first) == (day == ONE))


def flip(path: Path, at: int | None = None) -> None:
    """Change one byte; not of a hard link's other names."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 0x20
    path.unlink()
    path.write_bytes(content)


def break_foot(path: Path) -> None:
    """Leave a file of its size that no reader of Parquet opens."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-40] + b"\xff" * 32 + content[-8:])


def cut(path: Path) -> None:
    content = path.read_bytes()[:-10]
    path.unlink()
    path.write_bytes(content)


def manifest_list(settings) -> Path:
    return local(table(settings, EVENTS).current_snapshot().manifest_list)


def manifest(settings) -> Path:
    events = table(settings, EVENTS)
    return local(events.current_snapshot().manifests(events.io)[0].manifest_path)


def an_object(settings) -> Path:
    (path,) = [p for p in (settings.home / "warehouse" / "objects").rglob("*") if p.is_file()]
    return path


def sql(statement: str, *values) -> Callable[[LakehouseSettings], None]:
    """Change the ledger past everything that looks after it."""

    def change(settings):
        with closing(sqlite3.connect(settings.home / "catalog.db")) as connection:
            changed = connection.execute(statement, values).rowcount
            connection.commit()
        assert changed > 0, statement

    return change


def set_of(asset: str, day: str, assignment: str) -> Callable[[LakehouseSettings], None]:
    return sql(f"update omni_materializations set {assignment} where asset = ? and partition = ?", asset, day)


def other_rows(settings) -> None:
    """In the place of a file, one of other rows, as many and as large."""
    path = data_file(settings, EVENTS, ONE)
    size, rows = path.stat().st_size, pq.read_table(path)
    path.unlink()
    names = rows.column_names
    moved = rows.set_column(names.index("event_id"), rows.schema.field("event_id"), [["x1", "x2", "x3"]])
    pq.write_table(moved, path, compression="zstd")
    content = path.read_bytes()
    foot = content[-8:]
    # A Parquet file is found from its end: room between rows and footer is never looked at.
    path.write_bytes((content[:4] + b"\0" * max(size - len(content), 0) + content[4:-8] + foot)[-size:])


def forged_row(settings) -> None:
    """A newer materialization that no commit made, with its checks."""
    with closing(sqlite3.connect(settings.home / "catalog.db")) as connection:
        names = [row[1] for row in connection.execute("pragma table_info(omni_materializations)") if row[1] != "id"]
        picked = ", ".join(f'"{name}"' for name in names)
        said = ", ".join("'forged'" if name == "version" else f'"{name}"' for name in names)
        found = connection.execute(
            f"insert into omni_materializations ({picked}) select {said} from omni_materializations "
            "where asset = ? and partition = ?",
            (KPI, ONE),
        )
        assert found.rowcount == 1
        connection.commit()


def older_metadata(settings) -> None:
    older = table(settings, FACT).metadata.metadata_log[-1].metadata_file
    sql("update iceberg_tables set metadata_location = ? where table_name = ?", older, FACT)(settings)
    sql("update omni_table_versions set metadata_location = ? where table_name = ?", older, FACT)(settings)


def foreign_append(settings) -> None:
    """By a writer of its own, that knows nothing of ours."""
    properties = {
        "type": "sql",
        "uri": f"sqlite:///{settings.home / 'catalog.db'}",
        "warehouse": settings.warehouse_url,
    }
    theirs = load_catalog("lake", **properties).load_table(f"silver.{FACT}")
    theirs.append(theirs.scan(limit=1).to_arrow())


def lost_wal(settings) -> None:
    """The database as its main file has it, when all that came since the first table lay in the -wal."""
    with closing(sqlite3.connect(settings.home / "catalog.db")) as connection:
        for name in ("iceberg_tables", "omni_table_versions", "omni_materializations", "omni_checks", "omni_files"):
            connection.execute(f"delete from {name}")
        connection.commit()


def unknown_table(settings) -> None:
    """Metadata of a table that was written before commits were marked."""
    metadata = local(table(settings, FACT).metadata_location)
    folder = metadata.parents[2] / "stranger" / "metadata"
    folder.mkdir(parents=True)
    shutil.copy(metadata, folder)


def other_times(shift: int, rows: int) -> Callable[[LakehouseSettings], None]:
    """In the place of a file, rows that are so many seconds later, and fewer; nothing is on record of it."""

    def change(settings):
        path = data_file(settings, EVENTS, ONE)
        found = pq.read_table(path).slice(0, rows)
        path.unlink()
        at = found.column_names.index("occurred_at")
        moved = pc.add(found["occurred_at"], pa.scalar(timedelta(seconds=shift)))
        pq.write_table(found.set_column(at, found.schema.field("occurred_at"), moved), path)
        sql("delete from omni_files where location like ?", f"%{path.name}")(settings)

    return change


def unrecorded_byte(settings: LakehouseSettings) -> None:
    """A changed byte of a file that is not on record any more: its snapshot names it still."""
    flip(path := data_file(settings, EVENTS, ONE), 40)
    sql("delete from omni_files where location like ?", f"%{path.name}")(settings)


class Tamper(NamedTuple):
    how: Callable[[LakehouseSettings], object]
    code: str
    asset: str
    partition: str = ""
    by: str = "verify"
    """What finds it: the look at what is on record, `deep` reading, that of files which, as in a lake of an earlier version,
    are `unnamed`, dbt asked again; or who opens it is `refused`."""


CHECK = "where asset = ? and partition = ? and check_name = ?"
TAMPERS = {
    "a byte of a data file": Tamper(lambda s: flip(data_file(s, EVENTS, ONE), 40), "file_differs", EVENTS, ONE, "deep"),
    "a byte of a held record": Tamper(lambda s: flip(data_file(s, "quarantine")), "file_differs", EVENTS, TWO, "deep"),
    "a byte of a data file, and its record": Tamper(unrecorded_byte, "file_differs", EVENTS, ONE, "deep"),
    "other rows in a file of that size": Tamper(other_rows, "file_differs", EVENTS, ONE, "deep"),
    "the foot of a file of held records": Tamper(
        lambda s: break_foot(data_file(s, "quarantine")), "file_differs", "quarantine"
    ),
    "the foot of a file of documents": Tamper(lambda s: break_foot(data_file(s, DOCUMENTS)), "file_differs", DOCUMENTS),
    "rows of another day": Tamper(other_times(86_400, 3), "rows_elsewhere", EVENTS, ONE, "unnamed"),
    "rows outside of their bounds": Tamper(other_times(3_600, 3), "bounds_differ", EVENTS, ONE, "unnamed"),
    "fewer rows than the manifest counts": Tamper(other_times(0, 2), "rows_differ", EVENTS, ONE, "unnamed"),
    "a data file deleted": Tamper(lambda s: data_file(s, KPI, TWO).unlink(), "file_gone", KPI, TWO),
    "a data file cut": Tamper(lambda s: cut(data_file(s, FACT)), "file_differs", FACT),
    "a manifest deleted": Tamper(lambda s: manifest(s).unlink(), "metadata_gone", EVENTS),
    "a byte of a manifest": Tamper(lambda s: flip(manifest(s)), "metadata_differs", EVENTS),
    "a manifest list cut": Tamper(lambda s: cut(manifest_list(s)), "metadata_differs", EVENTS),
    "a byte of a manifest list": Tamper(lambda s: flip(manifest_list(s)), "metadata_differs", EVENTS),
    "a byte of the metadata": Tamper(
        lambda s: flip(local(table(s, EVENTS).metadata_location)), "metadata_differs", EVENTS
    ),
    "metadata that are no JSON": Tamper(
        lambda s: flip(local(table(s, EVENTS).metadata_location), 0), "metadata_differs", EVENTS
    ),
    "a byte of an object": Tamper(lambda s: flip(an_object(s)), "object_differs", DOCUMENTS, ONE, "deep"),
    "an object cut": Tamper(lambda s: cut(an_object(s)), "object_differs", DOCUMENTS, ONE),
    "an object deleted": Tamper(lambda s: an_object(s).unlink(), "object_gone", DOCUMENTS, ONE),
    "a check of dbt's deleted": Tamper(
        sql("delete from omni_checks where asset = ? and partition = ?", KPI, ONE), "check_absent", KPI, ONE, "dbt"
    ),
    "a loader's check deleted": Tamper(
        sql(f"delete from omni_checks {CHECK}", EVENTS, ONE, "conservation"), "check_absent", EVENTS, ONE, "deep"
    ),
    "a severity changed": Tamper(
        sql(f"update omni_checks set severity = 'warn' {CHECK}", EVENTS, ONE, "conservation"),
        "check_differs",
        EVENTS,
        ONE,
        "deep",
    ),
    "the definition of a check changed": Tamper(
        sql(f"update omni_checks set definition = 'at most 1.0' {CHECK}", EVENTS, TWO, "quarantine_share"),
        "check_differs",
        EVENTS,
        TWO,
        "deep",
    ),
    "a newer row forged": Tamper(forged_row, "evidence_differs", KPI, ONE),
    "a version forged": Tamper(set_of(KPI, TWO, "version = 'forged'"), "evidence_differs", KPI, TWO),
    "a batch exchanged in the evidence": Tamper(
        set_of(EVENTS, ONE, """batch_ids = '["another"]'"""), "evidence_differs", EVENTS, ONE
    ),
    "the instant of a commit changed": Tamper(
        set_of(FACT, "", "committed_at = '2020-01-01 00:00:00.000000'"), "evidence_differs", FACT
    ),
    "the instant of a beginning changed": Tamper(
        set_of(EVENTS, ONE, "started_at = '2020-01-01 00:00:00.000000'"), "evidence_differs", EVENTS, ONE
    ),
    "the logic changed": Tamper(set_of(KPI, ONE, "logic = 'another'"), "evidence_differs", KPI, ONE),
    "the size changed": Tamper(set_of(EVENTS, ONE, "size_bytes = 1"), "evidence_differs", EVENTS, ONE),
    "a force hidden or invented": Tamper(set_of(FACT, "", "is_forced = 1"), "evidence_differs", FACT),
    "inputs changed": Tamper(set_of(KPI, ONE, "inputs = '{}'"), "evidence_differs", KPI, ONE),
    "snapshots that were read changed": Tamper(set_of(KPI, ONE, "read_snapshots = '{}'"), "evidence_differs", KPI, ONE),
    "row counts changed": Tamper(set_of(EVENTS, TWO, "rows_read = 1"), "evidence_differs", EVENTS, TWO),
    "a cited snapshot that is gone": Tamper(set_of(FACT, "", "snapshot_id = 7"), "snapshot_unknown", FACT),
    "coverage deleted": Tamper(
        sql("delete from omni_coverage where partition = ? and asset = ?", TWO, EVENTS),
        "coverage_differs",
        EVENTS,
        TWO,
    ),
    "a fingerprint of coverage changed": Tamper(
        sql("update omni_coverage set fingerprint = 'x' where partition = ? and asset = ?", TWO, EVENTS),
        "coverage_differs",
        EVENTS,
        TWO,
    ),
    "the expected records changed": Tamper(
        sql("update omni_coverage set rows_expected = 1 where partition = ? and asset = ?", TWO, EVENTS),
        "coverage_differs",
        EVENTS,
        TWO,
    ),
    "the instant of a record changed": Tamper(
        sql(
            "update omni_coverage set last_at = first_at, first_at = null where partition = ? and asset = ?",
            ONE,
            EVENTS,
        ),
        "coverage_differs",
        EVENTS,
        ONE,
        "deep",
    ),
    "a file of a source forgotten": Tamper(
        sql("delete from omni_source_files where asset = ? and source_id = ?", EVENTS, ONE),
        "coverage_differs",
        EVENTS,
        by="deep",
    ),
    "an admission deleted": Tamper(
        sql("delete from omni_admissions where source_id = 'd'"),
        "admission_differs",
        "manifest-docs-20260415-001 d",
    ),
    "a judgment changed": Tamper(
        sql("update omni_admissions set judgment = 'accept' where source_id = 'd'"),
        "admission_differs",
        "manifest-docs-20260415-001 d",
    ),
    "a batch renamed": Tamper(
        sql("update omni_batches set batch_id = 'other' where manifest_id like '%docs%'"),
        "admission_differs",
        "manifest-docs-20260415-001",
    ),
    "what was declared changed": Tamper(
        sql("update omni_batches set declared = replace(declared, 'help_center', 'elsewhere')"),
        "admission_differs",
        "manifest-docs-20260415-001",
    ),
    "a table dropped from the catalog": Tamper(
        lambda s: open_catalog(s).drop_table(f"silver.{FACT}"), "rows_gone", FACT
    ),
    "the catalog at older metadata": Tamper(older_metadata, "", FACT, by="refused"),
    "a foreign append": Tamper(foreign_append, "rows_differ", FACT),
    "a held record removed": Tamper(
        lambda s: table(s, "quarantine").delete("asset == 'raw_ticket_events'"), "quarantine_differs", EVENTS, TWO
    ),
    "a lost -wal": Tamper(lost_wal, "", FACT, by="refused"),
    "a table that nothing knows": Tamper(unknown_table, "table_unknown", "stranger"),
    "a hash on record changed": Tamper(
        sql("update omni_files set sha256 = ? where location like ?", "0" * 64, f"%{FACT}/data/%"), "file_differs", FACT
    ),
}
