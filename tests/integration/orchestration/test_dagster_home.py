"""The storage of a Dagster home: whoever comes first makes it, once; a home that cannot be opened is named."""

import multiprocessing
import shutil
from multiprocessing.synchronize import Barrier

import dagster as dg
import pytest
from sqlalchemy import create_engine, text

from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings
from orchestration.instance.home import dagster_environment
from orchestration.instance.sqlite_events import open_instance

AT_ONCE = 3


def open_together(homes: list[LakehouseSettings], together: Barrier) -> None:
    """Open each home at the same moment as the other processes."""
    try:
        for settings in homes:
            together.wait()
            dagster_environment(settings)
            open_instance(settings.dagster_home).get_runs()
    except BaseException:
        together.abort()
        raise


def test_processes_that_open_a_fresh_home_at_once_all_do_and_so_do_later_ones(tmp_path):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["orchestration.instance.sqlite_events"])
    homes = [LakehouseSettings(home=tmp_path / str(number)) for number in range(3)]
    together = processes.Barrier(AT_ONCE, timeout=60)
    started = [processes.Process(target=open_together, args=(homes, together)) for _ in range(AT_ONCE)]

    for process in started:
        process.start()
    for process in started:
        process.join()

    assert [process.exitcode for process in started] == [0] * AT_ONCE
    for settings in homes:
        open_instance(settings.dagster_home).dispose()


def test_a_home_with_two_versions_is_named_with_what_to_delete_and_opens_after_it(tmp_path):
    settings = LakehouseSettings(home=tmp_path)
    dagster_environment(settings)
    home = settings.dagster_home
    with create_engine(f"sqlite:///{home / 'history' / 'runs.db'}").begin() as connection:
        connection.execute(text("insert into alembic_version values ('5771160a95ad')"))

    with pytest.raises(ConfigurationError) as refused:
        dagster_environment(settings)
    said = str(refused.value)
    for folder in ("history", "schedules"):
        assert str(home / folder) in said
        shutil.rmtree(home / folder)
    dagster_environment(settings)

    assert "run history" in said
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_runs() == []
