"""Every command that README and docs print does what a command should: it ends, with 0 or with the 1 of an answer.

On one lakehouse of three days of the sample, each command once, in the order of the pages. Those that build models by
`make soak` (OMNI_SOAK=1), since minutes of that are in other tests. What those commands print that only read the sample
is in test_examples.
"""

import json
import os
import re
import shlex
import shutil
import sys
from importlib.metadata import entry_points

import pytest
from typer.testing import CliRunner

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings, load_settings
from orchestration.cli.main import app
from tests.dbt_shell import dbt
from tests.documented_commands import PAGES, blocks
from tests.integration.conftest import run
from tests.integration.test_examples import EXAMPLES

NOT_RUN = {
    "a test of its own does what this page says",
    "it computes everything",
    "it computes the whole sample, and starts a server",
    "it drops a table",
    "it installs an extra",
    "it makes files of yours",
    "it needs a server",
    "it needs files of others",
    "it sets up, tests and lints the project",
    "it shows a broken day",
    "it shows a lost catalog",
    "it shows an edited model",
    "it shows files of yours",
    "it shows late data",
    "it starts a server",
}
DAYS = {"start_at": "2026-04-14T00:00:00Z", "end_at": "2026-04-17T00:00:00Z"}
BUILDS = re.compile(r"omni (?:run|verify --deep|backfill (?!.*--(?:dry-run|list)))|dbt (?:build|show|run-operation)")
PRINTED = list(
    dict.fromkeys(
        command
        for block in blocks()
        if block.mark in ("sh", "console") and not block.not_run
        for command in block.commands
        if command.removeprefix("omni ") not in EXAMPLES
    )
)
COMMANDS = [command for command in PRINTED if os.environ.get("OMNI_SOAK") or not BUILDS.match(command)]


@pytest.fixture(scope="module")
def three_days_of_the_sample(tmp_path_factory, parsed_project):
    """The sample as the main job leaves it, but of its tickets the days that the pages speak of."""
    root = tmp_path_factory.mktemp("documented")
    # What cannot be dated counts to the first day, of all files: more than a day's share of them may be held.
    settings = LakehouseSettings(home=root / "home", manifests=root / "manifests", max_quarantined_share=0.5)
    settings.manifests.mkdir()
    for folder in ("mappings", "sample"):
        shutil.copytree(PROJECT_ROOT / "manifests" / folder, settings.manifests / folder)
    for path in (PROJECT_ROOT / "manifests").glob("manifest-*.json"):
        declared = json.loads(path.read_text("utf-8"))
        if declared["modality"] == "structured":
            declared |= {"load_mode": "backfill", "selection_window": DAYS}
        (settings.manifests / path.name).write_text(json.dumps(declared), "utf-8")
    parsed_project.give_to(settings)
    run(settings)
    return settings


@pytest.fixture(scope="module")
def shell(three_days_of_the_sample):
    """What stands for a person's shell; `cd` and `export` last."""
    settings = three_days_of_the_sample
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMNI_HOME", str(settings.home))
        patch.setenv("OMNI_MANIFESTS", str(settings.manifests))
        patch.setenv("OMNI_MAX_QUARANTINED_SHARE", str(settings.max_quarantined_share))
        patch.chdir(settings.home)  # where `omni report --output reports` may write
        load_settings.cache_clear()

        def omni(*words):
            done = CliRunner().invoke(app, list(words))
            assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
            return done.exit_code, done.output

        def in_dbt(*words):
            done = dbt(settings, *words, cwd=PROJECT_ROOT if "DBT_PROJECT_DIR" in os.environ else None)
            return done.returncode, done.stdout

        def in_dlt(*words):
            (command,) = entry_points(group="console_scripts", name="dlt")
            patch.setattr(sys, "argv", ["dlt", *words])
            try:
                return command.load()() or 0, ""
            except SystemExit as ended:
                return ended.code or 0, ""

        def export(*words):
            for name, value in (word.split("=", 1) for word in words):
                patch.setenv(name, os.path.expandvars(value))
            return 0, ""

        def unset(*words):
            for name in words:
                patch.delenv(name)
            return 0, ""

        yield {"omni": omni, "dbt": in_dbt, "dlt": in_dlt, "export": export, "unset": unset, "cd": lambda _: (0, "")}
    load_settings.cache_clear()


def test_a_block_that_shows_a_command_is_marked_as_one():
    assert [block for block in blocks() if block.looks_typed and block.mark not in ("sh", "console")] == []


def test_what_is_not_run_says_why_in_one_of_these_words():
    assert {block.not_run for block in blocks() if block.not_run} == NOT_RUN


def test_the_pages_are_read_whole():
    assert PROJECT_ROOT / "README.md" in PAGES
    assert len(PRINTED) > 30
    assert {command.split()[0] for command in COMMANDS} >= {"omni", "dbt", "dlt", "export"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_printed_works(shell, command):
    name, *words = shlex.split(command)

    status, said = shell[name](*words)

    assert status in (0, 1) and (name != "dbt" or status == 0), said
