"""What dlt does by itself with the same files: its filesystem source, dict items, its own Iceberg tables.

Without a catalog of ours: dlt then keeps one in memory, which is what its documentation starts with.
"""

import tempfile
from pathlib import Path

import dlt
from dlt.destinations import filesystem as lake
from dlt.sources.filesystem import filesystem, read_jsonl


def load(folder: str, events: int) -> None:
    """From JSONL files to Iceberg tables."""
    with tempfile.TemporaryDirectory() as scratch:
        pipeline = dlt.pipeline(
            "bench",
            destination=lake(bucket_url=Path(scratch, "lake").as_uri()),
            dataset_name="bronze",
            pipelines_dir=str(Path(scratch, "pipelines")),
        )
        rows = (filesystem(Path(folder).as_uri(), file_glob="*.jsonl.gz") | read_jsonl()).with_name("raw_ticket_events")
        rows.apply_hints(table_format="iceberg", write_disposition="append")
        pipeline.run(rows)
        loaded = pipeline.last_trace.last_normalize_info.row_counts["raw_ticket_events"]
        if loaded != events:
            raise RuntimeError(f"dlt loaded {loaded} events, expected {events}")
