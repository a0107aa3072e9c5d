"""The commands that README and docs print: blocks marked `sh` (one command a line) or `console` (behind `$`).

A block that is not to run says so behind its mark, ` not run: ` and the reason, which no page shows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lakehouse.settings import PROJECT_ROOT

PAGES = [
    *sorted(PROJECT_ROOT.glob("*.md")),
    *sorted((PROJECT_ROOT / "docs").rglob("*.md")),
    *sorted((PROJECT_ROOT / "manifests").rglob("*.md")),
    *sorted((PROJECT_ROOT / "dbt_project").rglob("*.md")),
]
_BLOCK = re.compile(r"^( *)```(.*)\n((?:.*\n)*?)\1```$", re.MULTILINE)
_TYPED = re.compile(r"(?:omni|dbt|dlt|dagster|dg|make|python|docker|export|cd|cp|git) \S", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    mark: str
    """`sh`, `console`, or another language; empty for none."""
    not_run: str
    """Why its commands are not run; empty where they are."""
    lines: tuple[str, ...]

    @property
    def looks_typed(self) -> bool:
        """Whether it shows a command, whatever its mark says."""
        return any(line.startswith("$ ") or _TYPED.match(line) for line in self.lines)

    @property
    def commands(self) -> list[str]:
        """What a person types, without remarks and without what only a person has behind a pipe or `&&`."""
        typed = [line.removeprefix("$ ") for line in self.lines if self.mark == "sh" or line.startswith("$ ")]
        return [command for line in typed if (command := re.split(r"\s+(?:#|\||&&)\s", line)[0].strip())]


def blocks(pages: list[Path] = PAGES) -> Iterator[Block]:
    """Every fenced block of the pages."""
    for page in pages:
        for indent, info, body in _BLOCK.findall(page.read_text("utf-8")):
            mark, _, why = info.partition(" not run: ")
            yield Block(page, mark, why, tuple(line.removeprefix(indent) for line in body.splitlines()))
