"""A page in Chinese says what its English page says, as far as a program can tell: headings, commands, names."""

import re
from pathlib import Path

import pytest

from tests.documented_commands import PAGES, blocks

CHINESE = [page for page in PAGES if page.name.endswith(".zh-CN.md")]
REQUIRED = ("README", "asset_flow_plan_v1", "partition_backfill_strategy_v1")


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(".zh-CN", ""))


def sections(page: Path) -> list[tuple[str, set[str]]]:
    """Per heading its level, and what stands in code marks below it: names, commands, statuses."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    _, *parts = re.split(r"^(#+) .*$", text, flags=re.MULTILINE)
    return [(level, set(re.findall(r"`([^`]+)`", below))) for level, below in zip(parts[::2], parts[1::2], strict=True)]


def test_the_pages_that_a_reader_of_chinese_starts_with_are_there():
    assert sorted(page.name.removesuffix(".zh-CN.md") for page in CHINESE) == sorted(REQUIRED)


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_a_page_in_chinese_has_the_headings_and_the_names_of_its_english_one(page):
    assert sections(page) == sections(english(page))


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_a_page_in_chinese_has_the_blocks_and_the_commands_of_its_english_one(page):
    def shown(of: Path) -> list[tuple[str, str, list[str]]]:
        # The remarks behind commands are in each language; what is printed, and code, is in none.
        return [(b.mark, b.not_run, b.commands if b.mark == "sh" else list(b.lines)) for b in blocks([of])]

    assert shown(page) == shown(english(page))


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_each_of_the_two_leads_to_the_other(page):
    assert f"({page.name})" in english(page).read_text("utf-8")
    assert f"({english(page).name})" in page.read_text("utf-8")
