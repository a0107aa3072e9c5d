"""One lakehouse full of bad manifests, sources and records beside one good source: each says what it is, none hurts it."""

import gzip
import json
import os

import pytest
from typer.testing import CliRunner

from lakehouse.settings import LakehouseSettings, load_settings
from orchestration.cli.main import app
from tests.conftest import source, ticket_event, ticket_manifest, write_lines

DAY, BAD_DAY = "2026-04-15", "2026-04-16"
ESCAPES = "\x1b]0;owned\x07\x9b31m\u202egnp\n  READY"
EVENT = json.dumps(ticket_event(1, BAD_DAY))[:-1]

MANIFESTS = {
    "deep": "[" * 100_000,
    "null": "null",
    "nan": json.dumps(ticket_manifest([source("a", "good.jsonl")], 50))[:-1] + ', "max_deleted_ratio": NaN}',
    "infinite": json.dumps(ticket_manifest([source("a", "good.jsonl")], 51))[:-1] + ', "max_deleted_ratio": 1e400}',
    "huge number": json.dumps(ticket_manifest([source("a", "good.jsonl", size_bytes=2**63)], 52)),
    "twice": '{"owner": "a", "owner": "b"}',
    "surrogate": json.dumps(ticket_manifest([source("a", "good.jsonl")], 53, owner="a\ud800b")),
    "surrogate mapping": json.dumps(ticket_manifest([source("a", "good.jsonl")], 54, mapping="a\ud800b")),
    "mapping elsewhere": json.dumps(ticket_manifest([source("a", "good.jsonl")], 55, mapping="../../etc/passwd")),
    "utf-16": json.dumps(ticket_manifest([source("a", "good.jsonl")], 56)).encode("utf-16"),
    "of one id": json.dumps(ticket_manifest([source("a", "good.jsonl")])),
    "id of two lines": json.dumps({**ticket_manifest([source("a", "good.jsonl")]), "manifest_id": ESCAPES}),
    "empty": "",
    f"escapes {ESCAPES.replace('/', '')}": "{",
}

SOURCES = {
    "environ": "/proc/self/environ",
    "zero": "/dev/zero",
    "pipe": "pipe.jsonl",
    "outside": "../home/catalog.db",
    "folder-link": "folder",
    "gz-of-gz": "twice.jsonl.gz",
    "scheme": "nosuch://bucket/a.jsonl",
    "chain": "zip://a::file:///etc/passwd",
    "null character": "a\0b",
    f"name {ESCAPES}": f"no {ESCAPES} file.jsonl",
    "no utf-8": "names/*",
}

RECORDS = {
    "nan": EVENT + ', "score": NaN}',
    "twice": EVENT + ', "status": "new"}',
    "surrogate": EVENT + r', "subject": "a\ud800"}',
    "deep": EVENT + ', "deep": ' + "[" * 200 + "]" * 200 + "}",
    "list": "[1]",
    "escapes": json.dumps({**ticket_event(2, BAD_DAY), "status": ESCAPES}, ensure_ascii=False),
}
GOOD_RECORDS = {
    "1e400 in a field of its own": EVENT + ', "score": 1e400}',
    "minus zero": ticket_event(3, BAD_DAY, score=-0.0),
    "two to the 63": ticket_event(4, BAD_DAY, score=2**63),
    "escapes in a field of its own": ticket_event(5, BAD_DAY, subject=ESCAPES),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory, parsed_project):
    """The folders, and a function that runs a command over them."""
    folder = tmp_path_factory.mktemp("hostile")
    settings = LakehouseSettings(home=folder / "home", manifests=folder / "manifests")
    parsed_project.give_to(settings)
    root = settings.manifests
    write_lines(root / "good.jsonl", [ticket_event(1, DAY)])
    write_lines(root / "bad.jsonl", [*RECORDS.values(), *GOOD_RECORDS.values()])
    write_lines(root / "names" / os.fsdecode(b"\xff.jsonl"), [ticket_event(1, DAY)])
    os.mkfifo(root / "pipe.jsonl")
    os.mkfifo(root / "pipe.json")
    (root / "zero.json").symlink_to("/dev/zero")
    (root / "folder").mkdir()
    (root / "folder" / "link").symlink_to("/etc")
    (root / "empty.jsonl").touch()
    (root / "twice.jsonl.gz").write_bytes(gzip.compress(gzip.compress(EVENT.encode())))
    for number, (name, content) in enumerate(MANIFESTS.items()):
        path = root / f"z{number} {name.encode().decode('utf-8')}.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    good = ticket_manifest([source("good", "good.jsonl"), source("bad", "bad.jsonl"), source("empty", "empty.jsonl")])
    bad = ticket_manifest([source(name, path) for name, path in SOURCES.items()], 2)
    for name, manifest in (("a", good), ("b", bad)):
        (root / f"{name}.json").write_text(json.dumps(manifest), "utf-8")

    def omni(*command):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OMNI_HOME", str(settings.home))
            patch.setenv("OMNI_MANIFESTS", str(root))
            load_settings.cache_clear()
            done = CliRunner().invoke(app, list(command))
        load_settings.cache_clear()
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    omni("ingest")
    return omni


@pytest.mark.timeout(300)
def test_a_good_source_is_loaded_beside_everything_else(lake):
    said = lake("ingest", "--partition", DAY)

    assert "1 record read = 1 loaded" in said.output, said.output


def test_every_bad_manifest_is_refused_by_its_own_name_and_the_command_ends_with_2(lake):
    said = lake("manifests", "check")

    assert said.exit_code == 2
    for number, name in enumerate(MANIFESTS):
        shown = name if name.isascii() and name.isprintable() else r"\u001b]0;owned\u0007\u009b31m\u202egnp\n"
        assert any(line.startswith(f"z{number} ") and shown in line for line in said.output.splitlines()), name
    assert "pipe.json is refused" in said.output and "zero.json is refused" in said.output


def test_every_bad_source_is_unreadable_by_its_own_name(lake):
    said = lake("ingest")

    assert said.exit_code == 1
    for name in SOURCES:
        shown = name if name.isprintable() else r"name \u001b]0;owned\u0007\u009b31m\u202egnp\n  READY"
        problem = [line for line in said.output.splitlines() if line.startswith(f"unreadable: {shown}: ")]
        problem += [line for line in said.output.splitlines() if "twice.jsonl.gz" in line and name == "gz-of-gz"]
        assert problem and "next: " in problem[0], (name, said.output)


def test_bad_records_are_held_and_shown_without_what_a_terminal_obeys(lake):
    held = json.loads(lake("quarantine", "list", "--json").output)

    assert sorted(record["source_line"] for record in held) == list(range(1, len(RECORDS) + 1))
    for record in held:
        said = lake("quarantine", "show", record["record_id"])
        assert said.exit_code == 0
        assert not [c for c in said.output if not c.isprintable() and c != "\n"]
        assert not any(line.startswith("  READY") for line in said.output.splitlines())


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["ready", "raw_ticket_events", BAD_DAY],
        ["explain", "raw_ticket_events", BAD_DAY],
        ["manifests", "list", "--all"],
        ["manifests", "check"],
        ["quarantine", "list"],
        ["manifests", "explain", f"name {ESCAPES}"],
        ["ready", f"raw {ESCAPES}", DAY],
        ["quarantine", "show", ESCAPES],
    ],
)
def test_no_command_prints_what_a_terminal_obeys(lake, command):
    said = lake(*command)

    assert said.exit_code in (0, 1, 2)
    assert not [c for c in said.output if not c.isprintable() and c != "\n"]
    assert "\n  READY" not in said.output
