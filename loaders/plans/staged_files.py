"""How staged files are written: Parquet, the rows of one partition of one table."""

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PARQUET_FORMAT = {"compression": "zstd", "dictionary_pagesize_limit": 64 * 1024}
"""Identifiers and texts outgrow so small a dictionary soon, and are larger in one."""


def new_file(folder: Path) -> Path:
    """Path of a staged file to be written."""
    return folder / f"{uuid.uuid4().hex}.parquet"


def write_staged(rows: pa.Table, folder: Path) -> Path | None:
    """Write the rows of a partition; None where there are none."""
    if not len(rows):
        return None
    pq.write_table(rows, target := new_file(folder), **PARQUET_FORMAT)
    return target
