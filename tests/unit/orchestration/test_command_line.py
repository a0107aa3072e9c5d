"""What the `omni` command says before it does anything: its help, its examples, what it refuses and how it ends."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lakehouse.proof.partition_comparison import Finding
from orchestration.cli.console import Screen
from orchestration.cli.main import app
from orchestration.cli.upkeep import _told

OMNI = Path(sys.executable).with_name("omni")
REFUSED_EARLY = [
    (["run", "--partition", "soon"], "partition 'soon': expected one UTC day such as 2026-04-15"),
    (["ready", "raw_ticket_events", "2026-4-1"], "partition '2026-4-1': expected one UTC day such as 2026-04-15"),
    (["run", "--from", "2026-04-02"], "--from 2026-04-02: a range needs both --from and --to; next: add --to DAY"),
    (["ingest", "--to", "2026-04-02"], "--to 2026-04-02: a range needs both --from and --to; next: add --from DAY"),
    (
        ["backfill", "--from", "2026-04-15", "--to", "2026-04-14", "--missing"],
        "--from 2026-04-15 --to 2026-04-14: --to lies before --from; next: exchange them",
    ),
    (["status", "--from", "2026-04-15", "--to", "2026-04-14"], "--to lies before --from"),
    (["accept", "support_kpi_daily"], "an acceptance needs its reason"),
    (["ready", "raw_ticket_events", "--as-of", "noon"], "--as-of noon: expected an instant with its offset"),
]


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command that a person may type, the groups among them."""
    yield name, command
    for child, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield from commands(each, f"{name} {child}")


COMMANDS = dict(commands(typer.main.get_command(app), "omni"))
DOING = [name for name, each in COMMANDS.items() if not getattr(each, "commands", {}) or each.invoke_without_command]


@pytest.mark.parametrize(("arguments", "said"), REFUSED_EARLY)
def test_what_is_typed_wrongly_is_refused_in_one_line(arguments, said):
    done = CliRunner().invoke(app, arguments)

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and said in done.stderr and done.stderr.count("\n") == 1


def test_what_is_typed_wrongly_is_refused_before_engines_and_sqlalchemy_are_imported():
    code = """
import sys
from typer.testing import CliRunner
from orchestration.cli.main import app
from orchestration.cli.upkeep import _told
for arguments in {arguments}:
    assert CliRunner().invoke(app, arguments).exit_code == 2
print({{'dlt', 'dbt', 'dagster', 'pyiceberg', 'duckdb', 'pyarrow', 'sqlalchemy'}} & sys.modules.keys())
"""
    asked = code.format(arguments=[arguments for arguments, _ in REFUSED_EARLY if arguments[0] != "backfill"])

    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_the_help_fits_one_screen_and_names_every_command_below_what_it_is_for():
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}, terminal_width=80).stdout

    assert len(shown.rstrip().splitlines()) < 45 and max(map(len, shown.splitlines())) <= 80
    panels = [line.strip("╭─╮ ") for line in shown.splitlines() if line.startswith("╭")]
    assert panels == ["Options", "Every day", "Something is wrong", "What should be there", "Prove, keep, try"]
    first = [line.split()[1] for line in shown.splitlines() if line.startswith("│ ") and line[2] != " "]
    assert {name.split()[1] for name in COMMANDS if name != "omni"} <= {*first}


@pytest.mark.parametrize("name", DOING)
def test_every_command_has_examples_of_what_it_takes(name):
    head, *lines = [line for line in (COMMANDS[name].epilog or "").split("\n\n")]

    assert head in ("Example:", "Examples:") and lines
    for line in lines:
        typed = shlex.split(line)
        command = name.split()
        assert typed[: len(command)] == command
        COMMANDS[name].make_context(name, typed[len(command) :], resilient_parsing=False).close()


def test_version_says_which_one_it_is():
    assert CliRunner().invoke(app, ["--version"]).stdout == "omni 0.1.0\n"


def test_a_closed_pipe_ends_as_one_and_answers_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nobody:
        done = subprocess.run([OMNI, "--version"], stdout=nobody, stderr=subprocess.PIPE, text=True, check=False)

    assert (done.returncode, done.stderr) == (141, "")


def test_progress_that_nobody_reads_ends_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nobody:
        screen = Screen(stderr=True, file=nobody)
        screen.print("a step")
        screen.print("another")


def test_what_verify_finds_alike_of_several_days_stands_once():
    def found(day, what="no result of unique"):
        return Finding("check_absent", "raw", day, what, "passed", f"omni run --partition {day}".rstrip())

    told = list(
        _told([found("2026-04-01"), found("2026-04-02"), found("2026-04-05"), found("2026-04-01", "a"), found("")])
    )

    assert told == [
        "check_absent raw 2026-04-01..2026-04-02, 2026-04-05",
        "  found: no result of unique",
        "  expected: passed",
        "  next: omni run --partition 2026-04-01; likewise of 2 other days",
        "check_absent raw 2026-04-01",
        "  found: a",
        "  expected: passed",
        "  next: omni run --partition 2026-04-01",
        "check_absent raw",
        "  found: no result of unique",
        "  expected: passed",
        "  next: omni run --partition",
    ]
