"""The layout is kept: rooms of few files, each with a charter. Which room may import which is for import-linter."""

import ast
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT_ROOT

MOST_FILES = 12
PACKAGES = ("lakehouse", "loaders", "orchestration")
ROOMS = sorted({path.parent for package in PACKAGES for path in (PROJECT_ROOT / package).rglob("*.py")})


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(PROJECT_ROOT)))
def test_a_room_has_a_charter_and_no_more_files_than_one_sees_at_a_glance(room: Path):
    files = [path for path in room.glob("*.py") if path.name != "__init__.py"]

    assert len(files) <= MOST_FILES, "next: look for the room that is missing"
    assert ast.get_docstring(ast.parse((room / "__init__.py").read_text("utf-8")))
