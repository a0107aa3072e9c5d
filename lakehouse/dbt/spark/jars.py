"""The jars that Spark reads Iceberg tables with: fetched once by `make spark`, by coordinates; used by checksum.

They lie outside of the repository. `python -m lakehouse.dbt.spark.jars` fetches them, by Spark's own resolver.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lakehouse.errors import ConfigurationError

JARS: Mapping[str, str] = {
    "org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.11.0": (
        "63c3b812549dc232c1920865ff42436df8604a9bbacd693930985c06bd97e6dc"
    ),
}
"""Maven coordinates → SHA-256 of the jar."""

NEXT = "next: make spark (it needs Java 17 or 21)"


def jars_folder() -> Path:
    """Where they are kept."""
    return Path.home() / ".cache" / "omni-lakehouse" / "jars"


def jar_files() -> list[Path]:
    """The jars, each as it was published.

    Raises:
        ConfigurationError: one is not there, or is another.
    """
    files = []
    for coordinates, expected in JARS.items():
        file = jars_folder() / _name(coordinates)
        found = _sha256(file) if file.exists() else "no file"
        if found != expected:
            raise ConfigurationError(f"{file}: found {found}, expected SHA-256 {expected}; {NEXT}")
        files.append(file)
    return files


def fetch_jars() -> None:
    """Have Spark resolve those that are not there, and keep them.

    Raises:
        ConfigurationError: what was published is not what is expected.
    """
    try:
        jar_files()
        return
    except ConfigurationError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        _resolve(Path(folder))
        jars_folder().mkdir(parents=True, exist_ok=True)
        for coordinates in JARS:
            name = _name(coordinates)
            (found,) = Path(folder, "jars").glob(f"*_{name}")
            part = jars_folder() / f"{name}.{os.getpid()}"
            shutil.copy(found, part)
            part.rename(jars_folder() / name)
    jar_files()


def _resolve(folder: Path) -> None:
    from pyspark.sql import SparkSession  # only who has the extra comes here

    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    builder.config("spark.jars.packages", ",".join(JARS)).config("spark.jars.ivy", str(folder)).getOrCreate().stop()


def _name(coordinates: str) -> str:
    _, artifact, version = coordinates.split(":")
    return f"{artifact}-{version}.jar"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    fetch_jars()
