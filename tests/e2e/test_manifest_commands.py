"""The commands about manifests, coverage and contracts, as a user types them: exit status, output, what they record."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from sqlalchemy import update
from typer.testing import CliRunner

from lakehouse.contracts.registry import load_contracts
from lakehouse.ledger import schema
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings, load_settings
from loaders import seed_loader
from loaders.ingest import ingest
from orchestration.cli.main import app
from tests.conftest import TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines
from tests.integration.loaders.test_bronze import rows

Omni = Callable[..., Result]
Declare = Callable[[dict[str, Any]], Path]

MANIFEST = "manifest-tickets-20260501-001"
SHA256 = "0" * 64


@pytest.fixture
def omni(settings: LakehouseSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Omni]:
    """The `omni` command on a lakehouse of its own."""
    monkeypatch.setenv("OMNI_HOME", str(settings.home))
    monkeypatch.setenv("OMNI_MANIFESTS", str(settings.manifests))
    load_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])
    load_settings.cache_clear()


def accepted(source_id: str, path: str, **fields: Any) -> dict[str, Any]:
    """A source that nothing stands against."""
    return source(source_id, path, checksum_sha256=SHA256, **fields)


@pytest.fixture
def held_back(settings: LakehouseSettings, declare: Declare) -> dict[str, Any]:
    """A declared source that is in quarantine; its manifest."""
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1)])
    manifest = ticket_manifest([source("a", "a.jsonl", pii_scan_status="suspected")])
    declare(manifest)
    return manifest


# ── manifests check ──────────────────────────────────────────────────────────────────────────────────────────────────
def test_check_ends_with_0_where_all_is_admitted_and_needs_no_source_file_and_no_home(omni, settings, declare):
    path = declare(ticket_manifest([accepted("a", "nowhere.jsonl"), source("b", "nowhere-either.jsonl")]))

    done = omni("manifests", "check", "--json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "manifests": [{"path": str(path), "manifest_id": MANIFEST, "valid": True, "errors": []}],
        "sources": [
            {"manifest_id": MANIFEST, "source_id": "a", "judgment": "accept", "reasons": []},
            {
                "manifest_id": MANIFEST,
                "source_id": "b",
                "judgment": "warn",
                "reasons": ["warn: checksum_sha256 is missing, so changed bytes would go unnoticed"],
            },
        ],
        "expectations": [],
    }
    assert not (settings.home / "catalog.db").exists()


def test_check_ends_with_1_where_something_is_held_back_or_breaks_a_rule(omni, declare):
    declare(ticket_manifest([accepted("a", "a.jsonl", pii_scan_status="suspected")]))
    quarantined = omni("manifests", "check", "--json")
    refused = declare(ticket_manifest([accepted("b", "b.jsonl")], 2, surprise=1))
    broken = omni("manifests", "check", "--json")

    assert (quarantined.exit_code, broken.exit_code) == (1, 1)
    assert json.loads(quarantined.stdout)["sources"][0] == {
        "manifest_id": MANIFEST,
        "source_id": "a",
        "judgment": "quarantine",
        "reasons": ["quarantine: pii_scan_status is suspected: personal data must be cleared at the source"],
    }
    (error,) = json.loads(broken.stdout)["manifests"][1]["errors"]
    assert error.startswith("$: found the unknown property surprise, allowed: only $schema, assets, ")
    assert json.loads(broken.stdout)["manifests"][1] == {
        "path": str(refused),
        "manifest_id": None,
        "valid": False,
        "errors": [error],
    }
    assert len(json.loads(broken.stdout)["sources"]) == 1


def test_check_ends_with_2_where_a_manifest_or_the_folder_is_unreadable(omni, settings, declare, tmp_path):
    declare(ticket_manifest([accepted("a", "a.jsonl")]))
    (settings.manifests / "bad.json").write_text("{")
    unreadable = omni("manifests", "check", "--json")
    no_folder = omni("manifests", "check", "--manifest-dir", tmp_path / "nowhere")

    assert (unreadable.exit_code, no_folder.exit_code) == (2, 2)
    bad = json.loads(unreadable.stdout)["manifests"][0]
    assert (bad["manifest_id"], bad["valid"], len(bad["errors"])) == (None, False, 1)
    assert json.loads(unreadable.stdout)["sources"][0]["source_id"] == "a"
    assert no_folder.stderr == (
        f"error: manifest folder {tmp_path / 'nowhere'} does not exist; next: set OMNI_MANIFESTS\n"
    )


def test_check_tells_a_person_every_reason_and_the_way_in(omni, held_back):
    done = omni("manifests", "check")

    assert done.stdout.splitlines() == [
        f"quarantine: {MANIFEST} a",
        "    warn: checksum_sha256 is missing, so changed bytes would go unnoticed",
        "    quarantine: pii_scan_status is suspected: personal data must be cleared at the source",
        f"    next: mend it and declare it in a new version of {MANIFEST}.json, or: omni manifests release {MANIFEST} "
        "a --reason WHY",
        "1 manifest, 0 refused; sources: 1 quarantine",
    ]


# ── manifests list, explain ──────────────────────────────────────────────────────────────────────────────────────────
def test_list_shows_the_versions_of_the_folder_and_with_all_every_one(omni, declare):
    declare(ticket_manifest([accepted("a", "a.jsonl")]))
    omni("manifests", "list")
    declare(ticket_manifest([accepted("a", "a.jsonl"), source("b", "b.jsonl")], batch_id="again"))

    current = json.loads(omni("manifests", "list", "--json").stdout)
    every = json.loads(omni("manifests", "list", "--all", "--json").stdout)

    assert [(row["manifest_id"], row["batch_id"], row["load_mode"], row["sources"]) for row in every] == [
        (MANIFEST, "batch-1", "full_snapshot", {"accept": 1}),
        (MANIFEST, "again", "full_snapshot", {"accept": 1, "warn": 1}),
    ]
    assert current == every[1:]
    assert set(current[0]) == {"manifest_id", "batch_id", "load_mode", "sources", "sha256", "admitted_at"}


def test_list_of_an_empty_folder_is_empty(omni):
    table, values = omni("manifests", "list"), omni("manifests", "list", "--json")

    assert (table.exit_code, values.exit_code, json.loads(values.stdout)) == (0, 0, [])
    assert table.stdout.splitlines()[1:] == ["0 manifests, 0 refused; sources: none"]


def test_list_names_what_is_held_back_and_what_changed(omni, declare, held_back):
    omni("manifests", "list")
    declare({**held_back, "batch_id": "again"})

    lines = omni("manifests", "list").stdout.splitlines()

    assert lines[0].split() == ["manifest", "batch", "load", "mode", "sources", "admitted", "at", "sha256"]
    assert lines[1].split()[:5] == [MANIFEST, "again", "full_snapshot", "1", "quarantine"]
    assert lines[2] == f"quarantine: {MANIFEST} a"
    assert lines[6:8] == [f"new version of {MANIFEST}", "    batch_id was batch-1, is again"]


def test_explain_says_who_let_a_source_in_and_what_it_brought(omni, settings, declare, held_back):
    omni("manifests", "release", MANIFEST, "a", "--reason", "cleared by legal", "--by", "kim")
    ingest(settings)

    done = omni("manifests", "explain", "a")

    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert lines[:2] == [f"a of {MANIFEST} ({MANIFEST}.json, batch batch-1)", "  warn: jsonl at a.jsonl"]
    assert lines[4].startswith("  released by kim on ") and lines[4].endswith(": cleared by legal")
    assert lines[-1] == f"  {TICKET_EVENTS}: 1 record in 1 file on 1 day, 2026-04-15 to 2026-04-15"


def test_a_lone_surrogate_in_the_ledger_is_shown_escaped_and_stands_in_no_command_s_way(omni, settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1)])
    declare(ticket_manifest([accepted("a", "a.jsonl")]))
    assert omni("manifests", "list").exit_code == 0
    with open_ledger(settings).engine.begin() as connection:
        # As it was recorded while a manifest with one was not refused.
        connection.execute(update(schema.batches).values(declared={"owner": "\ud83d"}))
        connection.execute(update(schema.admissions).values(declared={"title": "\ud83d"}))
    declare(ticket_manifest([source("a", "a.jsonl", title="whole")], owner="whole"))

    listed, explained, loaded = omni("manifests", "list", "--all"), omni("manifests", "explain", "a"), omni("ingest")

    assert (listed.exit_code, explained.exit_code, loaded.exit_code) == (0, 0, 0)
    assert r"owner was \ud83d, is whole" in listed.stdout
    assert r"title was \ud83d, is whole" in listed.stdout
    assert "raw_ticket_events: 1 partition loaded" in loaded.stdout


def test_explain_says_that_nothing_is_covered_and_refuses_a_source_that_nobody_declares(omni, held_back):
    known, unknown = omni("manifests", "explain", "a"), omni("manifests", "explain", "nope")

    assert (known.exit_code, unknown.exit_code) == (0, 2)
    assert known.stdout.splitlines()[-1] == f"  nothing of it is covered in {TICKET_EVENTS}"
    assert unknown.stderr == "error: no manifest declares the source 'nope'; next: omni manifests list\n"


# ── manifests release ────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_released_source_loads_with_a_warning_until_its_manifest_changes(omni, settings, declare, held_back):
    assert ingest(settings).admission.judgments == {"quarantine": 1}

    done = omni("manifests", "release", MANIFEST, "a", "--reason", "cleared by legal", "--by", "kim")
    report = ingest(settings)

    assert done.exit_code == 0
    assert done.stdout == f"a of {MANIFEST} is let in by kim, for this version of the manifest; next: omni run\n"
    assert report.admission.judgments == {"warn": 1}
    assert rows(settings, TICKET_EVENTS, "event_id") == [("e1",)]

    declare({**held_back, "notes": "another version"})
    assert ingest(settings).admission.judgments == {"quarantine": 1}
    assert rows(settings, TICKET_EVENTS, "event_id") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([MANIFEST, "held"], "Missing option '--reason'", id="no-reason"),
        pytest.param(
            [MANIFEST, "held", "--reason", "  "],
            "error: a release needs a reason; next: --reason 'who cleared it, and how'\n",
            id="blank-reason",
        ),
        pytest.param(
            [MANIFEST, "nope", "--reason", "why"],
            f"error: {MANIFEST} nope: no such source; next: omni manifests list\n",
            id="unknown-source",
        ),
        pytest.param(
            ["manifest-nope-20260501-001", "held", "--reason", "why"],
            "error: manifest-nope-20260501-001 held: no such source; next: omni manifests list\n",
            id="unknown-manifest",
        ),
        pytest.param(
            [MANIFEST, "fine", "--reason", "why"],
            f"error: {MANIFEST} fine is not in quarantine but accept (nothing stands against it); next: omni run, "
            "which loads it\n",
            id="accepted",
        ),
        pytest.param(
            ["manifest-tickets-20260501-002", "out", "--reason", "why"],
            "error: manifest-tickets-20260501-002 out is not in quarantine but reject (reject: license_tag is "
            "unknown); no word of a person lets it in; next: mend it, and declare it in a new version of its manifest\n",
            id="rejected",
        ),
    ],
)
def test_a_release_without_a_reason_or_a_quarantined_source_is_refused(omni, settings, declare, arguments, message):
    held = accepted("held", "a.jsonl", pii_scan_status="suspected")
    declare(ticket_manifest([held, accepted("fine", "b.jsonl")]))
    declare(ticket_manifest([accepted("out", "c.jsonl")], 2, license_tag="unknown"))

    done = omni("manifests", "release", *arguments)

    assert done.exit_code == 2
    assert message == done.stderr if message.startswith("error") else message in done.stderr
    assert open_ledger(settings).releases() == {}


# ── manifests init ───────────────────────────────────────────────────────────────────────────────────────────────────
TO_FILL_IN = [
    "quarantine: metadata_status is unknown",
    "quarantine: pii_scan_status is not_run",
    "reject: license_tag is unknown",
]


@pytest.mark.parametrize(
    ("files", "modality"),
    [
        pytest.param({"a.jsonl": json.dumps(ticket_event(1)), "b.csv": "ticket_id\n"}, "structured", id="tickets"),
        pytest.param({"a.md": "# A title", "sub/b.html": "<title>B</title>"}, "document", id="documents"),
    ],
)
def test_init_writes_a_starter_and_check_says_what_is_left_to_fill_in(omni, settings, tmp_path, files, modality):
    for name, text in files.items():
        (tmp_path / "export" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "export" / name).write_text(text)

    done = omni("manifests", "init", tmp_path / "export", "--name", "Desk", "--owner", "support")
    checked = omni("manifests", "check", "--json")

    (path,) = settings.manifests.glob("manifest-desk-*-001.json")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        f"wrote {path} with 2 sources\n"
        "next: set license_tag, and metadata_status and pii_scan_status of each source; then: omni manifests check\n"
    )
    assert json.loads(path.read_text())["modality"] == modality
    assert checked.exit_code == 1
    assert [s["judgment"] for s in json.loads(checked.stdout)["sources"]] == ["reject", "reject"]
    assert all(s["reasons"] == TO_FILL_IN for s in json.loads(checked.stdout)["sources"])

    draft = json.loads(path.read_text())
    for each in draft["assets"]:
        each.update(metadata_status="complete", pii_scan_status="clear")
    path.write_text(json.dumps({**draft, "license_tag": "proprietary"}))
    assert omni("manifests", "check").exit_code == 0


def test_init_says_what_it_left_out_and_asks_for_no_licence_that_it_was_given(omni, settings, tmp_path):
    for name in ("a.jsonl", "..md", "_SUCCESS", ".git/config"):
        (tmp_path / "export" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "export" / name).write_text("{}")
    named = ("--name", "Desk", "--owner", "support", "--source-id", "desk", "--license", "cc_by")

    done = omni("manifests", "init", tmp_path / "export", *named, "--contract", "ticket_event")

    (path,) = settings.manifests.glob("*.json")
    assert done.stdout == (
        "left out 3 that start with . or _: ..md, .git/, _SUCCESS\n"
        f"wrote {path} with 1 source\n"
        "next: set metadata_status and pii_scan_status of each source; then: omni manifests check\n"
    )
    draft = json.loads(path.read_text())
    (source_,) = draft["assets"]
    assert (draft["license_tag"], draft["contract_ref"]) == ("cc_by", "omni://contracts/data/ticket_event/v1")
    assert (source_["source_id"], source_["source_url_or_path"]) == ("desk", str(tmp_path / "export"))


def test_init_overwrites_nothing_and_refuses_what_is_no_source(omni, settings, tmp_path):
    write_lines(tmp_path / "a.jsonl", [ticket_event(1)])
    named = ("--name", "desk", "--owner", "support")
    omni("manifests", "init", tmp_path / "a.jsonl", *named)
    (path,) = settings.manifests.glob("*.json")
    before = path.read_bytes()

    again = omni("manifests", "init", tmp_path / "a.jsonl", *named)
    missing = omni("manifests", "init", tmp_path / "nowhere", *named)
    second = omni("manifests", "init", tmp_path / "a.jsonl", *named, "--number", "2")

    assert (again.exit_code, missing.exit_code, second.exit_code) == (2, 2, 0)
    assert again.stderr == (
        f"error: {path} exists, and a starter overwrites nothing; next: edit that file, or take another number or name\n"
    )
    assert missing.stderr == f"error: {tmp_path / 'nowhere'}: no file and no folder there; next: name one that exists\n"
    assert path.read_bytes() == before


# ── coverage ─────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def covered(omni: Omni, settings: LakehouseSettings, declare: Declare) -> Omni:
    """Two files over two days, and one that is missing; the command."""
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1), ticket_event(2), ticket_event(3, "2026-04-16")])
    write_lines(settings.manifests / "b.jsonl", [ticket_event(4, "2026-04-16")])
    declare(ticket_manifest([source(name, f"{name}.jsonl") for name in ("a", "b", "2026-04-17")]))
    ingest(settings, assets=[TICKET_EVENTS])
    return omni


GONE = (
    f"2026-04-17: no file at '2026-04-17.jsonl', neither beside {MANIFEST}.json nor under OMNI_SOURCE_ROOT; "
    f"next: bring the file or take the source out of {MANIFEST}.json"
)


def test_coverage_says_per_day_what_is_expected_and_why_something_is_not_known(covered):
    done = covered("coverage", "raw_ticket_events")

    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "raw_ticket_events  2026-04-15          2 records      1 file",
        "raw_ticket_events  2026-04-16          2 records     2 files",
        "raw_ticket_events  2026-04-17          0 records      1 file, 1 of them not read",
        f"    {GONE}",
        "raw_ticket_events: 2026-04-15 to 2026-04-17, 3 days, 4 records expected",
        "raw_ticket_events: high-water mark 2026-04-16T10:00:00Z",
    ]
    others = ("raw_audio_assets", "raw_doc_assets", "raw_video_assets")
    nothing = "".join(f"{name}: no days, 0 days, 0 records expected\n" for name in others)
    assert covered("coverage").stdout == done.stdout + nothing


def test_a_run_that_can_mend_nothing_says_so_and_each_cause_once_with_its_owner(covered, settings):
    (settings.manifests / "a.jsonl").write_text("")  # the day of c alone is left, and it is gone
    (settings.manifests / "b.jsonl").write_text("")
    ingest(settings)

    done = covered("run")

    assert done.exit_code == 1, done.output
    lines = done.stdout.splitlines()
    assert lines[0].endswith("not ready, and no run can mend that: below is why, and who can; no data changed")
    assert [line for line in lines if GONE in line] == [f"    {GONE}"]
    assert "    next: mend the source named above (owner: support), then: omni run" in lines
    assert "up to date" not in done.stdout


def test_a_check_that_fails_on_several_days_is_said_once(omni, settings, declare):
    days = ("2026-04-01", "2026-04-02", "2026-04-04")
    write_lines(settings.manifests / "a.jsonl", [ticket_event(n, day, surprise=1) for n, day in enumerate(days)])
    declare(ticket_manifest([source("a", "a.jsonl")]))

    done = omni("ingest")

    (said,) = [line for line in done.stdout.splitlines() if "contract_drift" in line]
    assert said.startswith(f"warning: {TICKET_EVENTS} 2026-04-01..2026-04-02, 2026-04-04 contract_drift: fields that ")
    assert said.endswith(f"(on 2026-04-01; of another day: omni explain {TICKET_EVENTS} DAY)")


def test_coverage_of_a_window_as_json_has_one_object_per_day_and_file(covered):
    done = covered("coverage", "--from", "2026-04-16", "--to", "2026-04-17", "--json")

    found = json.loads(done.stdout)
    assert [(row["partition"], row["source_file"], row["rows_expected"], row["problem"]) for row in found] == [
        ("2026-04-16", "a.jsonl", 1, None),
        ("2026-04-16", "b.jsonl", 1, None),
        ("2026-04-17", "2026-04-17.jsonl", None, GONE),
    ]
    assert found[0] == {
        "asset": "raw_ticket_events",
        "partition": "2026-04-16",
        "manifest_id": MANIFEST,
        "source_id": "a",
        "source_file": "a.jsonl",
        "rows_expected": 1,
        "first_at": "2026-04-16T10:00:00+00:00",
        "last_at": "2026-04-16T10:00:00+00:00",
        "problem": None,
    }


def test_coverage_ends_with_2_on_a_wrong_question(covered):
    unknown, half = covered("coverage", "ticket_fact"), covered("coverage", "--from", "2026-04-16")

    assert (unknown.exit_code, half.exit_code) == (2, 2)
    assert unknown.stderr == (
        "error: 'ticket_fact' is no Bronze asset; there are: raw_ticket_events, raw_audio_assets, raw_doc_assets, "
        "raw_video_assets; next: name one, or add it (docs/how-to/add_an_asset.md)\n"
    )
    assert (
        half.stderr
        == "error: --from 2026-04-16: a range needs both --from and --to; next: add --to DAY, or use --partition\n"
    )


def test_coverage_before_anything_was_admitted_ends_with_2(omni):
    done = omni("coverage")

    assert done.exit_code == 2
    assert done.stderr.startswith("error: no manifest was ever admitted into ")


# ── contract export ──────────────────────────────────────────────────────────────────────────────────────────────────
def test_contracts_are_exported_to_the_screen_or_to_one_file_each(omni, settings, tmp_path):
    names = list(load_contracts(settings).by_name)

    printed = omni("contract", "export", "--format", "odcs")
    written = omni("contract", "export", "--format", "odcs", "--output", tmp_path / "a" / "b")

    documents = list(yaml.safe_load_all(printed.stdout))
    assert [document["kind"] for document in documents] == ["DataContract"] * len(names)
    files = sorted((tmp_path / "a" / "b").iterdir())
    assert [file.name for file in files] == [f"{name}.odcs.yaml" for name in sorted(names)]
    assert [yaml.safe_load(file.read_text("utf-8")) for file in files] == sorted(documents, key=lambda d: d["name"])
    assert written.stdout.splitlines() == [f"wrote {tmp_path / 'a' / 'b' / f'{name}.odcs.yaml'}" for name in names]
    assert not (settings.home / "catalog.db").exists()


def test_one_contract_is_exported_by_name_and_a_wrong_question_ends_with_2(omni):
    one = omni("contract", "export", "ticket")
    unknown = omni("contract", "export", "nope")
    format_ = omni("contract", "export", "--format", "avro")

    assert (one.exit_code, unknown.exit_code, format_.exit_code) == (0, 2, 2)
    assert yaml.safe_load(one.stdout)["name"] == "ticket"
    assert unknown.stdout == "" and "nope" in unknown.stderr
    assert format_.stderr == "error: format 'avro': expected odcs\n"


# ── python -m loaders.seed_loader ────────────────────────────────────────────────────────────────────────────────────
def seed_loader_process(settings: LakehouseSettings, *arguments: object) -> subprocess.Popen[str]:
    """Start the module as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "loaders.seed_loader", *map(str, arguments)],
        cwd=PROJECT_ROOT,
        env={**os.environ, "OMNI_HOME": str(settings.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_seed_loader_reports_as_json_and_records_a_version_once(omni, settings, declare, tmp_path):
    declare(ticket_manifest([accepted("a", "nowhere.jsonl")]))
    arguments = ["--manifest-dir", str(settings.manifests), "--report-json", str(tmp_path / "report.json")]

    first, second = seed_loader.main(arguments), seed_loader.main(arguments)

    assert (first, second) == (0, 0)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(omni("manifests", "check", "--json").stdout)
    (version,) = open_ledger(settings).manifest_versions()
    assert (version.manifest_id, version.batch_id) == (MANIFEST, "batch-1")
    assert [s.judgment for s in open_ledger(settings).source_admissions(version)] == ["accept"]


def test_seed_loader_run_by_two_processes_at_once_records_a_version_once(settings, declare):
    declare(ticket_manifest([accepted("a", "nowhere.jsonl"), source("b", "nowhere.jsonl")]))

    started = [seed_loader_process(settings, "--manifest-dir", settings.manifests) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in started]

    assert [process.returncode for process in started] == [0, 0], outputs
    assert all(stdout.endswith("1 manifest, 0 refused; sources: 1 accept, 1 warn\n") for stdout, _ in outputs)
    (version,) = open_ledger(settings).manifest_versions()
    assert len(open_ledger(settings).source_admissions(version)) == 2


def test_seed_loader_ends_with_1_for_what_is_held_back_and_2_for_what_is_unreadable(
    omni, settings, declare, held_back, tmp_path, capsys
):
    folder = ["--manifest-dir", str(settings.manifests)]
    quarantined = seed_loader.main(folder)
    (settings.manifests / "bad.json").write_text("{")
    unreadable = seed_loader.main([*folder, "--report-json", str(tmp_path / "report.json")])
    capsys.readouterr()
    no_folder = seed_loader.main(["--manifest-dir", str(tmp_path / "nowhere")])

    assert (quarantined, unreadable, no_folder) == (1, 2, 2)
    report = json.loads((tmp_path / "report.json").read_text())
    assert [manifest["valid"] for manifest in report["manifests"]] == [False, True]
    assert capsys.readouterr().err == (
        f"error: manifest folder {tmp_path / 'nowhere'} does not exist; next: set OMNI_MANIFESTS\n"
    )


def test_seed_loader_admits_only_the_files_that_are_named(omni, settings, declare, tmp_path):
    first = declare(ticket_manifest([accepted("a", "a.jsonl")], 1))
    second = declare(ticket_manifest([accepted("b", "b.jsonl")], 2))
    declare(ticket_manifest([accepted("c", "c.jsonl")], 3))
    folder = ["--manifest-dir", str(settings.manifests), "--report-json", str(tmp_path / "report.json")]

    done = seed_loader.main([*folder, "--manifest-path", str(first), "--manifest-path", str(second)])

    report = json.loads((tmp_path / "report.json").read_text())
    assert done == 0
    assert [source["source_id"] for source in report["sources"]] == ["a", "b"]
    assert len(open_ledger(settings).manifest_versions()) == 2
    assert seed_loader.main([*folder, "--manifest-path", str(tmp_path / "nowhere.json")]) == 2
    (missing,) = json.loads((tmp_path / "report.json").read_text())["manifests"]
    assert missing["errors"] == ["$: found No such file or directory, allowed: a readable file"]


def test_seed_loader_ends_with_2_where_the_report_cannot_be_written(omni, settings, declare, tmp_path):
    declare(ticket_manifest([accepted("a", "a.jsonl")]))

    done = seed_loader.main(
        ["--manifest-dir", str(settings.manifests), "--report-json", str(tmp_path / "nowhere" / "report.json")]
    )

    assert done == 2


def test_contract_export_ends_with_2_where_its_folder_cannot_be_made(omni, tmp_path):
    (tmp_path / "a file").write_text("")

    done = omni("contract", "export", "--output", tmp_path / "a file")

    assert done.exit_code == 2


# ── contract check ───────────────────────────────────────────────────────────────────────────────────────────────────
def test_contract_check_judges_all_even_where_one_is_broken(omni, settings):
    own = settings.manifests / "contracts"
    own.mkdir()
    (own / "call.json").write_text("{")

    done, one, none = (
        omni("contract", "check"),
        omni("contract", "check", "ticket"),
        omni("contract", "check", "nowhere"),
    )

    assert (done.exit_code, one.exit_code, none.exit_code) == (1, 0, 2)
    assert f"{own / 'call.json'}: $: found " in done.stdout
    found = json.loads(omni("contract", "check", own / "call.json", "--json").stdout)
    assert [(each["path"], each["valid"], len(each["errors"])) for each in found] == [
        (str(own / "call.json"), False, 1)
    ]
