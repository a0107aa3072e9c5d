"""docs/how-to/add_an_asset.md and add_a_dbt_model.md, done as they say: files, commands, what these print.

Both write into the dbt project, so the code runs from a copy of the repository, whose project is not the developer's.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT_ROOT
from tests.conftest import source, ticket_manifest

SHELL = ("omni ", "dlt ", "$ ")


def blocks(page: str) -> list[tuple[str | None, str]]:
    """Code blocks of a page, each with the file that the text before it names last; None for commands."""
    text = (PROJECT_ROOT / "docs" / "how-to" / page).read_text("utf-8")
    parts = re.split(r"^ *```.*?\n(.*?)^ *```\n", text, flags=re.MULTILINE | re.DOTALL)
    found: list[tuple[str | None, str]] = []
    for said, block in zip(parts[::2], parts[1::2], strict=False):
        indent = len(block) - len(block.lstrip(" "))
        code = "".join(line[indent:] for line in block.splitlines(keepends=True))
        names = re.findall(r"`([\w/.-]+\.(?:json|jsonl|csv|sql|yml))`", said)
        found.append((None if code.startswith(SHELL) else names[-1], code))
    return found


ASSET, MODEL = blocks("add_an_asset.md"), blocks("add_a_dbt_model.md")
FILES = {name: code for name, code in ASSET if name}
COMMANDS = [code for name, code in ASSET if not name]
MANIFEST, CHATS = "manifest-chats-20260501-001.json", "chats/2026-04-30.jsonl"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with an empty manifest folder beside the one that ships."""
    root = tmp_path_factory.mktemp("a clone")
    for folder in (
        "lakehouse",
        "loaders",
        "orchestration",
        "dbt_project",
        "infra",
        "manifests/contracts",
        "manifests/schema",
    ):
        shutil.copytree(PROJECT_ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "mine").mkdir()
    return root


@pytest.fixture(scope="module")
def shell(root: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """A shell in the copy, with the manifest folder in the page's place of `manifests`."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "OMNI_HOME": str(root / "var"),
        "OMNI_MANIFESTS": str(root / "mine"),
    }

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command.replace(" manifests/", " mine/"),
            shell=True,
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def write(root: Path, name: str, text: str | None = None) -> None:
    path = root / "mine" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILES[name] if text is None else text, "utf-8")


def drafted(root: Path, prefix: str) -> Path:
    (path,) = (root / "mine").glob(f"{prefix}-*.json")
    return path


def filled(path: Path, **fields: str) -> str:
    """A draft after a person has judged what only a person can."""
    judged = {"metadata_status": "complete", "pii_scan_status": "clear"}
    draft = json.loads(path.read_text("utf-8"))
    return json.dumps({**draft, **fields, "assets": [{**source, **judged} for source in draft["assets"]]})


def expect(shell: Callable[[str], subprocess.CompletedProcess[str]], session: str) -> str:
    """Type each command of a session, and see that it prints the lines below it; all that was printed."""
    printed, inside = "", ""
    for command, *lines in (part.splitlines() for part in re.split(r"^\$ ", session, flags=re.MULTILINE) if part):
        if command.startswith("cd "):
            inside = f"{command} && "
            continue
        done = shell(inside + command)
        said = done.stdout + done.stderr
        shown = {" ".join(line.split()) for line in said.splitlines()}
        missing = [line for line in lines if " ".join(line.split()) not in shown]
        assert not missing, f"{command} does not print {missing}, but:\n{said}"
        assert done.returncode == 0 or lines, f"{command}:\n{said}"
        printed += said
    return printed


def test_the_page_is_read_whole():
    assert set(FILES) == {
        "contracts/chat_message.json",
        CHATS,
        MANIFEST,
        "contracts/price_list.json",
        "prices/2026-05-01.csv",
    }
    assert len(COMMANDS) == 5


def test_a_stranger_adds_two_assets_as_the_page_says(root, shell):
    check, init, load, build, prices = COMMANDS
    before = {path: path.stat().st_mtime_ns for path in (PROJECT_ROOT / "dbt_project").rglob("*")}

    write(root, "contracts/chat_message.json")
    expect(shell, check)
    write(root, CHATS)
    expect(shell, f"$ {init}")
    draft = drafted(root, "manifest-chats")
    dated = ("manifest_id", "batch_id", "created_at")
    page = json.loads(FILES[MANIFEST])
    assert json.loads(filled(draft, **{field: page[field] for field in dated})) == page
    draft.unlink()
    write(root, MANIFEST)
    expect(shell, load)

    write(root, CHATS, FILES[CHATS].replace("martian", "customer"))

    write(root, "contracts/price_list.json")
    write(root, "prices/2026-05-01.csv")
    draft_prices, load_prices, start_prices = (
        f"$ {each}" for each in re.split(r"^\$ ", prices, flags=re.MULTILINE)[1:]
    )
    expect(shell, draft_prices)
    path = drafted(root, "manifest-prices")
    path.write_text(filled(path, created_at="2026-05-01T12:00:00Z"), "utf-8")
    assert "raw_price_lists: 1 partition loaded" in expect(shell, load_prices)
    expect(shell, start_prices)

    expect(shell, build)  # its run loads the mended record, and builds both
    expect(shell, "$ omni ready price_lists 2026-05-01\nprice_lists 2026-05-01: READY\n")
    assert "3 rows chat_messages" in expect(shell, "$ omni digest chat_messages")
    assert {path: path.stat().st_mtime_ns for path in (PROJECT_ROOT / "dbt_project").rglob("*")} == before


def test_a_stranger_adds_a_daily_model_as_the_page_says(root, shell):
    (sql, query), (described, yaml), (_, build), _ = MODEL
    day = PROJECT_ROOT / "manifests" / "sample" / "tickets" / "2026-04-15.jsonl.zst"
    shutil.copy(day, root / "mine")
    declared = ticket_manifest([source("one-day", day.name)])
    (root / "mine" / f"{declared['manifest_id']}.json").write_text(json.dumps(declared), "utf-8")
    expect(shell, "$ omni ingest")

    (root / str(sql)).write_text(query, "utf-8")
    (root / str(described)).write_text(yaml, "utf-8")
    printed = expect(shell, build)

    assert "a_ticket_that_is_escalated_twice_is_one_ticket" in printed
