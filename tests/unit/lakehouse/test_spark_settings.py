"""What a profile may set of Spark, and which jars it takes."""

import pytest

from lakehouse.dbt.spark import jars
from lakehouse.dbt.spark.session import OURS, refuse_a_store, refuse_other_settings
from lakehouse.errors import ConfigurationError


@pytest.mark.parametrize(
    "name, value",
    [
        ("spark.sql.ansi.enabled", "false"),
        ("spark.sql.session.timeZone", "Europe/Berlin"),
        ("spark.sql.ansi.enforceReservedKeywords", "false"),
        ("spark.sql.caseSensitive", "true"),
        ("spark.sql.files.ignoreCorruptFiles", "true"),
        ("spark.sql.catalog.default_iceberg", "a.stranger's.catalog"),
        ("spark.sql.extensions", "a.stranger's.rules"),
        ("spark.sql.catalog.lake", "a.stranger's.catalog"),
    ],
)
def test_a_setting_by_which_rows_may_be_others_is_refused(name, value):
    with pytest.raises(ConfigurationError, match="rows do not depend on"):
        refuse_other_settings({"spark.master": "local[1]", name: value})


def test_what_costs_time_and_memory_is_for_the_profile_to_say():
    speed = {"spark.sql.shuffle.partitions": "400", "spark.sql.adaptive.enabled": "true", "spark.executor.memory": "8g"}

    refuse_other_settings({**speed, **OURS})


def test_a_jar_that_is_another_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(jars, "jars_folder", lambda: tmp_path)
    for coordinates in jars.JARS:
        _, artifact, version = coordinates.split(":")
        (tmp_path / f"{artifact}-{version}.jar").write_bytes(b"another")

    with pytest.raises(ConfigurationError, match="expected SHA-256 .* next: make spark"):
        jars.jar_files()


def test_without_jars_it_is_said_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(jars, "jars_folder", lambda: tmp_path)

    with pytest.raises(ConfigurationError, match="found no file, expected SHA-256 .* next: make spark"):
        jars.jar_files()


def test_a_warehouse_in_a_store_is_refused():
    with pytest.raises(ConfigurationError, match="found the warehouse in s3://lake/warehouse, expected a folder"):
        refuse_a_store("s3://lake/warehouse")

    refuse_a_store("file:///a/folder")
