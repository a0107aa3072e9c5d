"""The one way to write a table: what becomes of a staged file."""

import errno
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io.pyarrow import schema_to_pyarrow

from lakehouse.tables.bronze import bronze_table
from lakehouse.tables.catalog import ensure_table, open_catalog
from lakehouse.tables.commits import replace_window
from lakehouse.tables.filters import ALWAYS
from tests.conftest import TICKET_EVENTS


def refuse(*_):
    raise OSError(errno.EXDEV, "Invalid cross-device link")


@pytest.mark.parametrize("has_links", [True, False])
def test_a_staged_file_is_linked_where_the_disk_can_and_stays_when_the_run_removes_its_own(
    settings, tmp_path, monkeypatch, has_links
):
    definition = bronze_table(settings, TICKET_EVENTS)
    table = ensure_table(open_catalog(settings), definition.identifier, definition.schema, definition.partition_by)
    event = {"event_id": "e1", "occurred_at": datetime(2026, 4, 15, tzinfo=UTC)}
    staged = tmp_path / "staged.parquet"
    schema = schema_to_pyarrow(definition.schema, include_field_ids=False)
    pq.write_table(pa.Table.from_pylist([event], schema), staged)
    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)

    replace_window(table, ALWAYS, [staged], {})

    (path,) = table.inspect.files()["file_path"].to_pylist()
    assert Path(path.removeprefix("file://")).samefile(staged) == has_links
    staged.unlink()
    assert table.scan().to_arrow()["event_id"].to_pylist() == ["e1"]
