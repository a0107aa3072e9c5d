"""The one way to write a table: what becomes of a staged file, and that a commit sees its own changes."""

import errno
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table, Transaction
from pyiceberg.types import StringType
from sqlalchemy.exc import OperationalError

from lakehouse.errors import WindowConflict
from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import ensure_table, open_catalog
from lakehouse.tables.commits import _Transaction, replace_window
from lakehouse.tables.filters import ALWAYS
from tests.conftest import TICKET_EVENTS


def refuse(*_):
    raise OSError(errno.EXDEV, "Invalid cross-device link")


@pytest.fixture
def table(settings):
    definition = bronze_table(settings, TICKET_EVENTS)
    return ensure_table(open_catalog(settings), definition.identifier, definition.schema, definition.partition_by)


def stage(table: Table, folder: Path) -> Path:
    event = {"event_id": "e1", "occurred_at": datetime(2026, 4, 15, tzinfo=UTC)}
    schema = schema_to_pyarrow(table.schema(), include_field_ids=False)
    pq.write_table(pa.Table.from_pylist([event], schema), folder / "staged.parquet")
    return folder / "staged.parquet"


def allow_one_attempt(table: Table) -> None:
    with table.transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "0"})


@pytest.mark.parametrize("has_links", [True, False])
def test_a_staged_file_is_linked_where_the_disk_can_and_stays_when_the_run_removes_its_own(
    table, tmp_path, monkeypatch, has_links
):
    staged = stage(table, tmp_path)
    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)

    replace_window(table, ALWAYS, [staged], {})

    (path,) = table.inspect.files()["file_path"].to_pylist()
    assert Path(path.removeprefix("file://")).samefile(staged) == has_links
    staged.unlink()
    assert table.scan().to_arrow()["event_id"].to_pylist() == ["e1"]


def test_a_transaction_keeps_its_metadata_until_it_changes_and_never_shows_those_of_before(table, tmp_path):
    file = str(stage(table, tmp_path))
    with _Transaction(table) as transaction:
        for change in (
            lambda: transaction.set_properties(a="b"),
            lambda: transaction.add_files([file], check_duplicate_files=False),
            lambda: transaction.delete(ALWAYS),
            lambda: transaction.update_schema().add_column("more", StringType()).commit(),
        ):
            before = transaction.table_metadata

            change()

            found = transaction.table_metadata
            assert found is transaction.table_metadata and found is not before
            derived = Transaction.table_metadata.fget(transaction)  # at a moment of its own
            assert found == derived.model_copy(update={"last_updated_ms": found.last_updated_ms})
    assert table.properties["a"] == "b"


@pytest.mark.parametrize("error", [CommitFailedException, OperationalError])
def test_a_commit_that_landed_and_is_reported_as_failed_on_the_last_attempt_is_taken_for_one_that_succeeded(
    table, tmp_path, monkeypatch, error
):
    allow_one_attempt(table)
    real = SqlCatalog.commit_table

    def commit_and_lose_the_answer(*args):
        real(*args)
        raise error("lost", None, None)

    monkeypatch.setattr(SqlCatalog, "commit_table", commit_and_lose_the_answer)

    snapshot_id = replace_window(table, ALWAYS, [stage(table, tmp_path)], {})

    monkeypatch.undo()
    table.refresh()
    assert [snapshot.snapshot_id for snapshot in table.snapshots()] == [snapshot_id]
    assert table.scan().to_arrow()["event_id"].to_pylist() == ["e1"]


def test_a_commit_that_is_refused_is_not_taken_for_one_that_landed(table, tmp_path, monkeypatch):
    def refuse_commit(*_):
        raise CommitFailedException("another process")

    allow_one_attempt(table)
    monkeypatch.setattr(SqlCatalog, "commit_table", refuse_commit)

    with pytest.raises(WindowConflict):
        replace_window(table, ALWAYS, [stage(table, tmp_path)], {})
