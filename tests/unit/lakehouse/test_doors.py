"""The table of doors knows every command and option that dbt has, the page shows it, and no unknown one is let in."""

import re

import click
import pytest
import yaml
from dbt.cli.main import cli

from lakehouse.dbt.doors.kept_models import REFUSED_CONFIGURATIONS
from lakehouse.dbt.doors.ways_in import (
    COMMANDS,
    HARMLESS_OPTIONS,
    REFUSED_OPTIONS,
    TARGETS,
    Invocation,
    refuse_a_wrong_door,
)
from lakehouse.errors import ConfigurationError
from lakehouse.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "reference" / "dbt.md").read_text("utf-8")


def commands(command, names=()):
    """Every command, as dbt's flag `which` calls it."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from commands(each, (*names, name))
    else:
        yield command.name, command


def test_every_command_and_option_of_dbt_is_in_the_table():
    found = dict(commands(cli))
    options = {param.name for command in (cli, *found.values()) for param in command.params}
    refused = [name for option in REFUSED_OPTIONS for name in option.names]
    harmless = [name for names in HARMLESS_OPTIONS.values() for name in names]

    assert found.keys() == COMMANDS.keys()
    assert sorted([*refused, *harmless]) == sorted(options)


def test_the_page_shows_the_table():
    shown = re.findall(r"^\| (.+) \|$", PAGE, re.MULTILINE)
    works = [f"`{command.typed}` | works | {command.effect}" for command in COMMANDS.values() if not command.way]
    refused = [f"`{each.typed}` | refused | {each.effect}; {each.way}" for each in COMMANDS.values() if each.way]
    options = [f"{option.typed} | refused | {option.reason}; {option.way}" for option in REFUSED_OPTIONS]
    harmless = [f"{', '.join(f'`{n}`' for n in names)} | works | {what}" for what, names in HARMLESS_OPTIONS.items()]
    models = [f"{each.what} | refused | {each.reason}; expected {each.expected}" for each in REFUSED_CONFIGURATIONS]

    assert [row for row in (*works, *refused, *options, *harmless, *models) if row not in shown] == []


def test_the_targets_are_those_of_the_profile():
    profile = yaml.safe_load((PROJECT_ROOT / "dbt_project" / "profiles.yml").read_text("utf-8"))["omni"]

    assert (profile["target"], *profile["outputs"]) == (TARGETS[0], *TARGETS)


def test_a_command_that_a_later_dbt_has_is_refused_until_somebody_knows_of_it():
    with pytest.raises(ConfigurationError, match="dbt teleport: nothing is known of this command"):
        refuse_a_wrong_door(Invocation("teleport", "duckdb", {}))


def test_a_window_alone_and_the_variables_of_the_project_are_let_in():
    for flags in ({"EVENT_TIME_START": "2026-04-14"}, {"VARS": {"start": 1, "end": 2, "force": True}}, {"VARS": None}):
        refuse_a_wrong_door(Invocation("build", "duckdb", flags))


@pytest.mark.parametrize("window", [{"EVENT_TIME_END": "2026-04-15"}, {"VARS": {"start": "2026-04-14"}}])
@pytest.mark.parametrize("command", ["build", "run"])
def test_a_full_refresh_of_a_window_is_refused_however_the_window_is_said(command, window):
    with pytest.raises(ConfigurationError, match="a window replaces its own days"):
        refuse_a_wrong_door(Invocation(command, "duckdb", {"FULL_REFRESH": True, **window}))


def test_variables_of_a_change_are_let_in_in_development_alone():
    flags = {"VARS": {"day": 1, "start": 2, "end": 3}}

    refuse_a_wrong_door(Invocation("build", "dev", flags))
    with pytest.raises(ConfigurationError, match="others than the project says"):
        refuse_a_wrong_door(Invocation("build", "duckdb", flags))
