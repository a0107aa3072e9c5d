"""The examples of README and command reference that only read the sample say what the commands print."""

import re
import shlex

import pytest
from typer.testing import CliRunner

from lakehouse.settings import PROJECT_ROOT, load_settings
from orchestration.cli.main import app

READING = ("ready", "digest", "coverage", "quarantine list", "manifests check")
OMITTED = "…"
VOLATILE = {r"\d{15,}": "SNAPSHOT", r"run [0-9a-f-]{32,36}": "run RUN", r" +$": ""}


def examples(page):
    """Command → the lines that a page shows of its output."""
    blocks = re.findall(
        r"^```console\n\$ omni ([^\n|]+)\n(.*?)^```", (PROJECT_ROOT / page).read_text("utf-8"), re.M | re.S
    )
    return {command: shown for command, shown in blocks if command.startswith(READING)}


EXAMPLES = examples("docs/reference/cli.md")


@pytest.fixture
def omni(filled_sample, monkeypatch):
    """The command, over the sample as the main job leaves it."""
    monkeypatch.setenv("OMNI_HOME", str(filled_sample.home))
    load_settings.cache_clear()
    yield lambda command: CliRunner().invoke(app, shlex.split(command)).stdout
    load_settings.cache_clear()


def lines(text):
    for pattern, name in VOLATILE.items():
        text = re.sub(pattern, name, text, flags=re.M)
    return text.splitlines()


def missing(shown, printed):
    """The first line of an example that the output has not, in its order; lines may be left out where it says so."""
    rest = iter(lines(printed))
    is_next = True
    for line in lines(shown):
        if line == OMITTED:
            is_next = False
            continue
        found = next(rest, None) if is_next else next((each for each in rest if each == line), None)
        if found != line:
            return line
        is_next = True
    return None


def test_every_kind_of_example_is_found():
    assert {kind for kind in READING if any(command.startswith(kind) for command in EXAMPLES)} == set(READING)


@pytest.mark.parametrize("command", EXAMPLES)
def test_an_example_of_the_command_reference_shows_what_the_command_prints(omni, command):
    printed = omni(command)

    assert missing(EXAMPLES[command], printed) is None, printed


def test_the_readme_shows_the_verdicts_that_the_first_run_ends_with(omni, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    readme = (PROJECT_ROOT / "README.md").read_text("utf-8")
    (shown,) = re.findall(r"^```text\ningest_all_job [^\n]*\n(.*?)^```", readme, re.M | re.S)

    printed = omni("status")

    assert missing(shown, printed) is None, printed


def test_the_command_reference_counts_the_verdicts_of_the_sample(omni):
    page = (PROJECT_ROOT / "docs/reference/cli.md").read_text("utf-8")
    (counts,) = re.findall(r"^\$ omni run .*?\n([^\n]* ready \d+ [^\n]*)\n", page, re.M | re.S)

    assert counts in lines(omni("status"))
