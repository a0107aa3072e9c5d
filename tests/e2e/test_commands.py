"""The commands as a user types them, from the repository root and from elsewhere, with nothing set but OMNI_HOME."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT_ROOT
from tests.conftest import recording_manifest, source, ticket_event, ticket_manifest, write_lines

BIN = Path(sys.executable).parent
MEDIA = ("raw_audio_assets", "raw_video_assets")


@pytest.fixture(scope="module")
def lakehouse(tmp_path_factory):
    """A home with two days in Bronze, loaded by the dlt command itself; one record of the second day is broken."""
    root = tmp_path_factory.mktemp("a place")
    manifests = root / "manifests"
    write_lines(manifests / "a.jsonl", [ticket_event(1), ticket_event(2, "2026-04-16"), "broken"])
    three_days = {"start_at": "2026-04-14T00:00:00Z", "end_at": "2026-04-17T00:00:00Z"}
    declared = ticket_manifest([source("a", "a.jsonl")], selection_window=three_days)
    (manifests / "m.json").write_text(json.dumps(declared))
    home = {"OMNI_HOME": str(root / "home"), "OMNI_MANIFESTS": str(manifests), "OMNI_MAX_QUARANTINED_SHARE": "0.5"}

    def typed(*command, cwd=PROJECT_ROOT, **env):
        done = subprocess.run(
            [BIN / command[0], *command[1:]],
            cwd=cwd,
            env={**os.environ, **home, "DBT_LOG_PATH": str(root / "logs"), **env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not [*Path({**home, **env}["OMNI_HOME"]).rglob("*-wal")], "a copy of a database alone would not be whole"
        return done

    return typed


@pytest.fixture(scope="module")
def loaded(lakehouse):
    done = lakehouse("dlt", "pipeline", "run", "ticket_events")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 records read = 2 loaded + 0 deduplicated + 1 quarantined" in done.stdout
    return lakehouse


def test_dlt_runs_verb_last_too_and_its_own_operations_show_the_last_run(loaded, tmp_path):
    again = loaded("dlt", "pipeline", "ticket_events", "run", "--partition", "2026-04-15")
    assert again.returncode == 0 and "1 partition loaded" in again.stdout
    elsewhere = loaded(
        "dlt", "pipeline", "run", "ticket_events", "--from", "2026-04-15", "--to", "2026-04-16", cwd=tmp_path
    )
    assert elsewhere.returncode == 0 and "2 partitions loaded" in elsewhere.stdout

    preview = loaded("dlt", "pipeline", "run", "ticket_events", "--partition", "2026-04-16", "--dry-run")
    assert preview.returncode == 0
    assert "raw_ticket_events 2026-04-16: 2 records from 1 file, 2 read before" in preview.stdout
    failed = loaded("dlt", "pipeline", "ticket_events", "failed-jobs")
    assert failed.returncode == 0, failed.stderr

    info = loaded("dlt", "pipeline", "ticket_events", "info")
    trace = loaded("dlt", "pipeline", "ticket_events", "trace")

    assert info.returncode == 0 and "pipeline_name: ticket_events" in info.stdout
    assert trace.returncode == 0 and "COMPLETED" in trace.stdout


def test_dlt_refuses_what_it_cannot_run_with_status_2(loaded):
    unknown = loaded("dlt", "pipeline", "run", "nope")
    half = loaded("dlt", "pipeline", "run", "ticket_events", "--from", "2026-04-15")

    assert (unknown.returncode, half.returncode) == (2, 2)
    assert "expected ticket_events or audio_snapshots or doc_snapshots or video_snapshots" in unknown.stderr


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_dlt_loads_recordings_with_their_sidecars_and_refuses_one_whose_sidecar_is_gone(lakehouse, tmp_path, modality):
    """With a lakehouse of its own."""
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "a.bin").write_text("recorded")
    (manifests / "a.txt").write_text("what is said")
    recording = source("a", "a.bin", modality, transcript_object_path="a.txt")
    (manifests / "m.json").write_text(json.dumps(recording_manifest(modality, "2026-04-01", [recording])))
    own = {"OMNI_HOME": str(tmp_path / "home"), "OMNI_MANIFESTS": str(manifests)}

    done = lakehouse("dlt", "pipeline", "run", f"{modality}_snapshots", **own)
    objects = [path for path in (tmp_path / "home" / "warehouse" / "objects").rglob("*") if path.is_file()]
    (manifests / "a.txt").unlink()
    refused = lakehouse("dlt", "pipeline", "run", f"{modality}_snapshots", **own)

    assert done.returncode == 0 and "1 partition loaded" in done.stdout, done.stdout + done.stderr
    assert sorted(path.read_text() for path in objects) == ["recorded", "what is said"]
    assert refused.returncode == 1 and "a, transcript_object_path: no file at 'a.txt'" in refused.stdout


def test_ready_answers_0_ready_1_not_ready_2_error(loaded, tmp_path):
    empty = loaded("omni", "ready", "raw_ticket_events", "2026-04-14", cwd=tmp_path)
    beyond = loaded("omni", "ready", "raw_ticket_events", "2026-04-17", cwd=tmp_path)
    unchecked = loaded("omni", "ready", "raw_ticket_events", "2026-04-15", "--json", cwd=tmp_path)
    missing = loaded("omni", "ready", "ticket_events", "2026-04-15", "2026-04-16", "--wait", "0.1")
    unknown = loaded("omni", "ready", "nope", "2026-04-15")
    no_day = loaded("omni", "ready", "raw_ticket_events", "the other day")

    assert [r.returncode for r in (empty, beyond, unchecked, missing, unknown, no_day)] == [0, 1, 1, 1, 2, 2]
    assert "raw_ticket_events 2026-04-17: UNKNOWN" in beyond.stdout
    assert json.loads(unchecked.stdout)["status"] == "UNCHECKED"
    assert "ticket_events 2026-04-15: MISSING" in missing.stdout and "next: omni run" in missing.stdout
    assert "expected one UTC day such as 2026-04-15" in no_day.stderr


def test_explain_follows_the_reasons_to_the_root_cause_and_names_what_mends_it(loaded):
    done = loaded("omni", "explain", "support_kpi_daily", "2026-04-15")

    assert done.returncode == 0, done.stderr
    assert "↳ ticket_events 2026-04-15: MISSING" in done.stdout
    assert "root cause: raw_ticket_events 2026-04-15 UNCHECKED: check bronze_" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("next: omni run")


def test_a_backfill_is_bounded_and_planned_before_it_runs(loaded):
    planned = loaded("omni", "backfill", "raw_ticket_events", "--partition", "2026-04-16", "--dry-run", "--json")
    unbounded = loaded("omni", "backfill")
    unknown = loaded("omni", "backfill", "--resume", "nope")

    plan = json.loads(planned.stdout)
    assert [(p["asset"], p["partition"], p["rows_expected"]) for p in plan["partitions"]] == [
        ("raw_ticket_events", "2026-04-16", 2)
    ]
    assert "ticket_events" in {touched["asset"] for touched in plan["downstream"]}
    assert (unbounded.returncode, unknown.returncode) == (2, 2)
    assert "a backfill is bounded" in unbounded.stderr and "next: omni backfill --list" in unknown.stderr


def test_the_main_job_mends_everything_and_a_second_run_changes_nothing(loaded):
    first = loaded("omni", "run")
    assert first.returncode == 0, first.stdout + first.stderr
    digest = loaded("omni", "digest", "support_kpi_daily").stdout

    second = loaded("omni", "run")

    assert "no data changed" in second.stdout
    assert loaded("omni", "digest", "support_kpi_daily").stdout == digest
    verdicts = json.loads(loaded("omni", "status", "--json").stdout)
    assert {v["asset"] for v in verdicts} >= {"raw_ticket_events", "ticket_fact", "support_kpi_daily"}
    one = json.loads(loaded("omni", "status", "--asset", "ticket_fact", "--json").stdout)
    assert one == [v for v in verdicts if v["asset"] == "ticket_fact"]
    assert {
        (v["status"], any(word in v["asset"] for word in ("doc", "passage", "section")) or v["asset"] in MEDIA)
        for v in verdicts
        if not v["ready"]
    } == {("UNKNOWN", True)}
    assert all(v["ready"] for v in verdicts if "ticket" in v["asset"] or "support" in v["asset"])
    explained = loaded("omni", "explain", "raw_ticket_events", "2026-04-16").stdout
    assert "2 rows read = 1 loaded + 0 deduplicated + 1 quarantined" in explained and "checks passed" in explained
    both = loaded("omni", "ready", "support_kpi_daily", "2026-04-15", "2026-04-16", "--json")
    assert both.returncode == 0 and [v["partition"] for v in json.loads(both.stdout)] == ["2026-04-15", "2026-04-16"]


def test_a_folder_without_manifests_says_what_to_do(lakehouse, tmp_path):
    done = lakehouse("omni", "run", OMNI_HOME=str(tmp_path / "home"), OMNI_MANIFESTS=str(tmp_path))

    assert done.returncode == 2
    assert "next: put manifests into" in done.stderr


def test_manifests_check_judges_what_is_declared(loaded, tmp_path):
    (tmp_path / "m.json").write_text(
        json.dumps(ticket_manifest([source("a", "nowhere.jsonl", checksum_sha256="0" * 64)]))
    )
    admitted = loaded("omni", "manifests", "check", "--manifest-dir", str(tmp_path), "--json")
    (tmp_path / "bad.json").write_text("{")
    unreadable = loaded("omni", "manifests", "check", "--manifest-dir", str(tmp_path))

    assert admitted.returncode == 0
    assert json.loads(admitted.stdout)["sources"][0]["judgment"] == "accept"
    assert unreadable.returncode == 2 and "bad.json is refused" in unreadable.stdout


def test_dagster_and_dg_find_the_definitions_from_the_root(loaded):
    checked = loaded("dg", "check", "defs")
    listed = loaded("dagster", "asset", "list", "-m", "orchestration.definitions")
    jobs = loaded("dagster", "job", "list")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "ingest_all_job" in jobs.stdout, jobs.stderr
    assert {"seed_manifests", "raw_ticket_events", "support_kpi_daily"} <= set(listed.stdout.split())


def test_dbt_works_inside_its_folder_and_from_the_root_with_one_line(loaded):
    inside = loaded("dbt", "--quiet", "build", "--select", "ticket_events", cwd=PROJECT_ROOT / "dbt_project")
    here = {"DBT_PROJECT_DIR": "dbt_project", "DBT_PROFILES_DIR": "dbt_project"}
    root = loaded("dbt", "--quiet", "ls", "--select", "+support_kpi_daily", "--resource-type", "model", **here)

    assert inside.returncode == 0, inside.stdout
    assert root.stdout.split() == ["omni.gold.support_kpi_daily", "omni.silver.ticket_events"]


def test_a_verdict_imports_no_engine():
    code = (
        "import sys, orchestration.cli.main, orchestration.readiness.readiness, lakehouse.ledger.ledger; "
        "print({'dlt', 'dbt', 'dagster', 'pyiceberg', 'duckdb'} & {name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "folder", ["lakehouse", "loaders", "orchestration", "manifests", "dbt_project", "docs", "tests"]
)
def test_nothing_a_run_writes_lands_in_a_tracked_folder(folder, loaded):
    found = subprocess.run(
        ["git", "status", "--porcelain", "--ignored", folder],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    written = [line for line in found.stdout.splitlines() if line.startswith("!!") and "__pycache__" not in line]
    assert written == []
