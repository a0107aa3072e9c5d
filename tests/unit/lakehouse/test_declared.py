"""What the dbt project declares speaks for the project and the environment that it was compiled in, and for no other."""

import os
import time
from datetime import UTC, datetime

import pytest

from lakehouse.dbt.declared import (
    Declared,
    declared_path,
    has_changed_since,
    hash_of_variable,
    read_declared,
    stamp_of,
    write_declared,
)
from lakehouse.settings import LakehouseSettings


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "dbt_project"
    (folder / "models").mkdir(parents=True)
    (tmp_path / "shared").mkdir()
    (folder / "models" / "shared").symlink_to(tmp_path / "shared")
    for name in ("a.sql", "b.yml", "shared/c.sql"):
        (folder / "models" / name).write_text("select 1", "utf-8")
    monkeypatch.setattr(LakehouseSettings, "dbt_project_dir", folder)
    return folder


@pytest.fixture
def settings(tmp_path, project):
    settings = LakehouseSettings(home=tmp_path / "home")
    write_declared(declared_path(settings), Declared(stamp_of(project), {"CURRENCY": ""}, {"a": "logic of a"}))
    return settings


def test_what_was_declared_is_read_back(settings):
    assert read_declared(settings).logic == {"a": "logic of a"}


def test_a_project_has_changed_since_whatever_is_not_later_than_its_last_change(project):
    before = datetime.now(UTC)
    time.sleep(0.1)
    (project / "models" / "shared" / "c.sql").touch()  # behind a link
    time.sleep(0.1)

    assert has_changed_since(project, before)
    assert not has_changed_since(project, datetime.now(UTC))
    rewrite(project / "models" / "b.yml")
    assert has_changed_since(project, datetime.now(UTC))


def rewrite(file):
    """The same size, and the time of the file before."""
    times = file.stat()
    file.write_text("select 2", "utf-8")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(
    "edit",
    [
        lambda models: rewrite(models / "a.sql"),
        lambda models: rewrite(models / "shared" / "c.sql"),
        lambda models: (models / "b.yml").unlink(),
        lambda models: (models / "a.sql").rename(models / "d.sql"),
        lambda models: (models / "d.csv").write_text("a\n1\n", "utf-8"),
    ],
    ids=["in place", "behind a link", "gone", "renamed", "added"],
)
def test_an_edit_of_any_file_of_the_project_ends_it(settings, project, edit):
    edit(project / "models")

    assert read_declared(settings) is None


def test_another_value_of_a_variable_that_the_project_reads_ends_it(settings, monkeypatch):
    monkeypatch.setenv("CURRENCY", "EUR")

    assert read_declared(settings) is None
    assert hash_of_variable("CURRENCY") not in ("", "EUR")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"stamp": "s", "of": "another version"}'])
def test_a_file_that_is_not_one_is_none(settings, text):
    declared_path(settings).write_text(text, "utf-8")

    assert read_declared(settings) is None
