"""The documentation says what there is: every command and option, every setting, and no link leads nowhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from orchestration.cli.main import app

DOCS = PROJECT_ROOT / "docs"
PAGES = [*sorted(PROJECT_ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
REPORTS = sorted((PROJECT_ROOT / "reports").rglob("*.md"))


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something by itself, under the name that a person types."""
    below = getattr(command, "commands", {})  # a group has some; typer may bring a click of its own
    if not below or command.invoke_without_command:
        yield name, command
    for child, each in below.items():
        if not each.hidden:
            yield from commands(each, f"{name} {child}")


COMMANDS = dict(commands(typer.main.get_command(app), "omni"))
GROUPS = {name.rpartition(" ")[0] for name in COMMANDS} - {"omni"}


def described(page: str, command: str) -> str | None:
    """What a page says of a command: its section, or its row of a table in the section of its group."""
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        if title.strip() == command:
            return text
        for row in re.findall(rf"^\| `{re.escape(command)}\b.*$", text, re.MULTILINE):
            return str(row)
    return None


def slug(heading: str) -> str:
    """Anchor of a heading, as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    without_code = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Relative links of a page: the path that each leads to, and its anchor."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def test_the_walk_finds_commands_of_every_depth():
    assert {"omni run", "omni report", "omni report smoke", "omni quarantine list"} <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_described_with_all_its_options(name):
    text = described((DOCS / "reference" / "cli.md").read_text("utf-8"), name)

    assert text is not None, f"docs/reference/cli.md has no section and no table row for `{name}`"
    options = [o for p in COMMANDS[name].params if p.param_type_name == "option" for o in (*p.opts, *p.secondary_opts)]
    missing = [option for option in options if option != "--help" and not re.search(rf"{option}(?![\w-])", text)]
    assert not missing, f"docs/reference/cli.md says nothing of {missing} of `{name}`"


def test_no_command_is_described_that_does_not_exist():
    page = (DOCS / "reference" / "cli.md").read_text("utf-8")
    headed = re.findall(r"^## (omni .+?)\s*$", page, re.MULTILINE)
    groups = {name.rpartition(" ")[0] for name in COMMANDS}

    assert [name for name in headed if name not in COMMANDS and name not in groups] == []


@pytest.mark.parametrize("page", ["infra/env/.env.example", "docs/reference/settings.md"])
def test_every_setting_is_listed(page):
    text = (PROJECT_ROOT / page).read_text("utf-8")
    names = [f"OMNI_{field.upper()}" for field in LakehouseSettings.model_fields]

    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("page", ["infra/env/.env.example", "docs/reference/settings.md"])
def test_no_setting_is_listed_that_does_not_exist(page):
    text = (PROJECT_ROOT / page).read_text("utf-8")
    listed = re.findall(r"^(?:# ?|\| `)(OMNI_[A-Z_]+)", text, re.MULTILINE)

    assert listed
    assert [name for name in listed if name.removeprefix("OMNI_").lower() not in LakehouseSettings.model_fields] == []


@pytest.mark.parametrize("page", [*PAGES, *REPORTS], ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_every_relative_link_leads_somewhere(page):
    broken = [
        f"{path.relative_to(PROJECT_ROOT)}#{anchor}"
        for path, anchor in links(page)
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path))
    ]

    assert broken == []


def test_every_page_is_linked_from_the_index():
    index, readme = DOCS / "README.md", PROJECT_ROOT / "README.md"
    linked = {path for path, _ in links(index)}
    beside = {path for path, _ in links(readme)}  # pages at the root

    unlinked = [page for page in [*PAGES, *REPORTS] if page not in (beside if page.parent == PROJECT_ROOT else linked)]
    assert [str(page.relative_to(PROJECT_ROOT)) for page in unlinked if page not in (index, readme)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_every_command_that_a_sentence_names_exists_with_its_options(page):
    named = re.findall(r"`(omni [a-z][^`]*)`", page.read_text("utf-8"))

    assert [span for span in named if not exists(span)] == []


def exists(typed: str) -> bool:
    """Whether a command is there, with every option that stands behind it."""
    words = re.split(r"[\s\[\]|…]+", typed)
    known = [" ".join(words[:end]) for end in range(len(words), 0, -1) if " ".join(words[:end]) in [*COMMANDS, *GROUPS]]
    if not known:
        return False
    params = COMMANDS[known[0]].params if known[0] in COMMANDS else []
    options = {option for p in params if p.param_type_name == "option" for option in (*p.opts, *p.secondary_opts)}
    return {word.partition("=")[0] for word in words if word.startswith("--")} <= options


def test_the_readme_leads_from_each_word_of_the_glossary_to_one_file():
    glossary = (DOCS / "reference" / "glossary.md").read_text("utf-8")
    words = [word for word in re.findall(r"^\| ([^|]+?) \|", glossary, re.MULTILINE) if word not in ("word", "---")]
    readme = (PROJECT_ROOT / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+?) \| \[([^]]+\.py)\]", readme, re.MULTILINE)

    led_to_a_file = [word for named, _ in rows for word in named.split(", ")]

    assert sorted(led_to_a_file) == sorted(words)
