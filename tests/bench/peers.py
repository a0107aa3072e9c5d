"""What others do with the same files: from JSON lines in gzip to a table, by the shortest way that their guides show.

None of them knows what should have come, holds a broken record back, or tells a second load from the first. What each
notices is in docs/reference/benchmarks.md.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pj
from pyiceberg.catalog.sql import SqlCatalog


def dlt_default(folder: str, events: int) -> None:
    """By dlt: its filesystem source, dict items, its own Iceberg tables in a catalog that it keeps in memory."""
    from dlt.sources.filesystem import filesystem, read_jsonl

    _run_dlt(filesystem(Path(folder).as_uri(), file_glob="*.jsonl.gz") | read_jsonl(), events)


def dlt_arrow(folder: str, events: int) -> None:
    """By dlt, which is handed Arrow tables, a file at a time."""
    import dlt

    _run_dlt(dlt.resource(_tables(folder), name="events"), events)


def _run_dlt(rows: Any, events: int) -> None:
    import dlt
    from dlt.destinations import filesystem

    with tempfile.TemporaryDirectory() as scratch:
        pipeline = dlt.pipeline(
            "bench",
            destination=filesystem(bucket_url=Path(scratch, "lake").as_uri()),
            dataset_name="bronze",
            pipelines_dir=str(Path(scratch, "pipelines")),
        )
        pipeline.run(rows.with_name("events").apply_hints(table_format="iceberg", write_disposition="append"))
        _expect(pipeline.last_trace.last_normalize_info.row_counts["events"], events)


def pyiceberg_append(folder: str, events: int) -> None:
    """By pyiceberg: pyarrow reads a file, with the types that it guesses, and a commit appends it."""
    with _catalog() as catalog:
        tables = _tables(folder)
        table = catalog.create_table("bronze.events", (first := next(tables)).schema)
        for rows in (first, *tables):
            table.append(rows)
        _expect(table.scan().count(), events)


def polars_append(folder: str, events: int) -> None:
    """By Polars: it reads all files at once, with the types that it guesses, and appends them in one commit."""
    import polars as pl

    with _catalog() as catalog:
        rows = pl.concat([pl.read_ndjson(file) for file in _files(folder)])
        table = catalog.create_table("bronze.events", rows.to_arrow().schema)
        rows.write_iceberg(table, mode="append")
        _expect(table.scan().count(), events)


def duckdb_copy(folder: str, events: int) -> None:
    """By DuckDB: one COPY of all files to one Parquet file, with the types that it guesses; no table, no commit."""
    import duckdb

    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as connection:
        query = f"copy (from '{folder}/*.jsonl.gz') to '{scratch}/events.parquet' (compression zstd)"
        _expect(connection.execute(query).fetchone()[0], events)


def _files(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("*.jsonl.gz"))


def _tables(folder: str) -> Iterator[pa.Table]:
    for file in _files(folder):
        with pa.CompressedInputStream(str(file), "gzip") as stream:
            yield pj.read_json(stream)


@contextmanager
def _catalog() -> Iterator[SqlCatalog]:
    with tempfile.TemporaryDirectory() as scratch:
        catalog = SqlCatalog("bench", uri=f"sqlite:///{scratch}/catalog.db", warehouse=Path(scratch).as_uri())
        catalog.create_namespace("bronze")
        yield catalog


def _expect(loaded: int, events: int) -> None:
    if loaded != events:
        raise RuntimeError(f"{loaded} events were loaded, expected {events}")
