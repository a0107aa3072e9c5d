"""The simulator: the same bytes each time, and exact counts.

Everything in `Counts` is counted again here from the written files alone, in plain Python, so that a mistake
in the simulator's own bookkeeping cannot hide. The sample is written to a temporary folder: bytes on disk are
the very thing under test.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from jsonschema_rs import Draft202012Validator

from loaders.simulator.sample import Counts, simulate

MANIFESTS = Path(__file__).parents[3] / "manifests"
CONTRACTS = MANIFESTS / "contracts"
SILENT_DAY = date(2026, 4, 19)

Json = dict[str, Any]  # parsed foreign JSON: its shape is what the tests look at


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder)
    return folder


@pytest.fixture(scope="module")
def counts(target: Path) -> Json:
    return dict(json.loads((target / "sample/counts.json").read_text()))


@pytest.fixture(scope="module")
def daily(target: Path) -> dict[date, list[str]]:
    files = sorted((target / "sample/tickets").iterdir())
    return {date.fromisoformat(path.name.split(".")[0]): read_lines(path) for path in files}


@pytest.fixture(scope="module")
def valid(daily: dict[date, list[str]]) -> dict[str, Json]:
    """The distinct valid desk events by event_id."""
    records = [json.loads(line) for lines in daily.values() for line in lines if not fault(line)]
    return {record["event_id"]: record for record in records}


@pytest.fixture(scope="module")
def again(target: Path) -> list[Json]:
    (path,) = (target / "sample/tickets_reexport").iterdir()
    return [json.loads(line) for line in read_lines(path)]


@pytest.fixture(scope="module")
def crm(target: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((target / "sample/crm/tickets.csv").read_text())))


def read_lines(path: Path) -> list[str]:
    with pa.CompressedInputStream(path.open("rb"), "zstd") as stream:
        return bytes(stream.read()).decode().splitlines()


def contract_fields(name: str) -> dict[str, Json]:
    return {field["name"]: field for field in json.loads((CONTRACTS / name).read_text())["fields"]}


def instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no offset")
    return at.astimezone(UTC)


def day_of(record: Json) -> str:
    return instant(record["occurred_at"]).date().isoformat()


FIELDS = contract_fields("ticket.json") | contract_fields("ticket_event.json")


def fault(line: str) -> str | None:
    """Name what is wrong with a line by the contract, else None; no line has two faults."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return "truncated_json"
    if "ticket_id" not in record:
        return "missing_ticket_id"
    for name, field in FIELDS.items():
        value = record.get(name)
        if value is None:
            continue
        if field["type"] in ("string", "timestamp") and not isinstance(value, str):
            return "number_for_string"
        if "enum" in field and value not in field["enum"]:
            return f"unknown_{name}"
        if field["type"] == "timestamp":
            try:
                naive = datetime.fromisoformat(value).tzinfo is None
            except ValueError:
                return "invalid_timestamp"
            if naive:
                return "naive_timestamp"
    return None


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifests_in(folder: Path) -> list[Json]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("manifest-*.json"))]


def tally(names: list[str]) -> dict[str, int]:
    return dict(Counter(names))


# --- the same bytes -----------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bytes(target: Path, tmp_path: Path) -> None:
    simulate(tmp_path, seed=42)
    assert bytes_below(tmp_path) == bytes_below(target)


def test_another_seed_gives_other_bytes(target: Path, tmp_path: Path) -> None:
    simulate(tmp_path, seed=43)
    ours, theirs = bytes_below(tmp_path), bytes_below(target)
    assert ours.keys() == theirs.keys()
    assert all(ours[path] != theirs[path] for path in ours if "/tickets" in path or "/crm/" in path)


def test_committed_sample_is_what_the_simulator_writes(target: Path) -> None:
    fresh = bytes_below(target)
    committed = bytes_below(MANIFESTS / "sample")
    assert {f"sample/{path}" for path in committed} == {path for path in fresh if path.startswith("sample/")}
    assert [path for path, content in fresh.items() if (MANIFESTS / path).read_bytes() != content] == []


def test_second_run_replaces_the_first_and_keeps_foreign_files(target: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest-mine-20260401-001.json").write_text("{}")
    simulate(tmp_path, seed=7, tickets=60, start=date(2026, 1, 1), days=40)
    simulate(tmp_path, seed=42)
    assert bytes_below(tmp_path) == bytes_below(target) | {"manifest-mine-20260401-001.json": b"{}"}


def test_foreign_sample_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample/precious.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="counts.json"):
        simulate(tmp_path)
    assert bytes_below(tmp_path) == {"sample/precious.txt": b"keep"}


@pytest.mark.parametrize("wrong", [{"days": 27}, {"tickets": 0}])
def test_impossible_size_is_refused_before_anything_is_written(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="next:"):
        simulate(tmp_path, **wrong)  # type: ignore[arg-type]  # the keys are sizes, mypy cannot see it
    assert bytes_below(tmp_path) == {}


def test_sample_stays_small(target: Path) -> None:
    assert sum(map(len, bytes_below(target).values())) < 350_000


# --- manifests ----------------------------------------------------------------------------------------------


def test_every_manifest_is_valid(target: Path) -> None:
    schema = json.loads((MANIFESTS / "schema/source_manifest_v1.schema.json").read_text())
    validator = Draft202012Validator(schema)
    assert [error.message for item in manifests_in(target) for error in validator.iter_errors(item)] == []
    assert [f"{item['manifest_id']}.json" for item in manifests_in(target)] == sorted(
        path.name for path in target.glob("*.json")
    )


def test_declared_checksums_and_sizes_are_those_of_the_files(target: Path) -> None:
    unchecked = []
    for asset in (asset for item in manifests_in(target) for asset in item["assets"]):
        content = (target / asset["source_url_or_path"]).read_bytes()
        assert asset["size_bytes"] == len(content)
        assert asset["metadata_status"] == "complete"
        if asset.get("checksum_sha256") != hashlib.sha256(content).hexdigest():
            assert "checksum_sha256" not in asset
            unchecked.append(asset["source_id"])
    assert unchecked == ["help-center-gateway-certificates"]


def test_one_document_is_suspected_in_the_last_snapshot_only(target: Path) -> None:
    suspected = [
        (item["manifest_id"], asset["source_id"])
        for item in manifests_in(target)
        for asset in item["assets"]
        if asset["pii_scan_status"] not in ("clear", "redacted")
    ]
    assert suspected == [("manifest-help-center-20260422-001", "help-center-refund-form")]


def test_every_source_file_is_declared(target: Path, counts: Json) -> None:
    declared = {asset["source_url_or_path"] for item in manifests_in(target) for asset in item["assets"]}
    assert declared | {"sample/counts.json"} == {path for path in bytes_below(target) if "/" in path}
    kinds = tally([path.split("/")[1] for path in declared])
    assert kinds == counts["files"]
    assert counts["manifests"] == sorted(path.name for path in target.glob("*.json"))


# --- ticket files -------------------------------------------------------------------------------------------


def test_counts_file_says_what_simulate_returns(target: Path, tmp_path: Path) -> None:
    returned = simulate(tmp_path)
    assert isinstance(returned, Counts)
    assert json.loads(json.dumps(asdict(returned))) == json.loads((target / "sample/counts.json").read_text())


def test_lines_are_counted(
    daily: dict[date, list[str]], again: list[Json], crm: list[dict[str, str]], counts: Json
) -> None:
    assert counts["lines_per_file"] == {str(day): len(lines) for day, lines in daily.items()}
    total = sum(map(len, daily.values()))
    assert counts["lines"] == {"tickets": total, "tickets_reexport": len(again), "crm": len(crm)}


def test_bad_lines_are_counted_and_few(daily: dict[date, list[str]], counts: Json) -> None:
    faults = {day: [found for line in lines if (found := fault(line))] for day, lines in daily.items()}
    assert counts["bad"] == tally([found for day in faults for found in faults[day]])
    assert counts["bad_per_file"] == {str(day): len(found) for day, found in faults.items() if found}
    assert all(len(found) <= 0.04 * len(daily[day]) for day, found in faults.items())


def test_late_events_and_duplicates_are_counted(daily: dict[date, list[str]], counts: Json) -> None:
    delays: list[int] = []
    duplicates = 0
    for day, lines in daily.items():
        good = [line for line in lines if not fault(line)]
        duplicates += len(good) - len(set(good))
        delays += [(day - date.fromisoformat(day_of(json.loads(line)))).days for line in set(good)]
    assert counts["duplicates"] == duplicates
    assert counts["late"] == sum(delay > 0 for delay in delays)
    assert set(delays) == {0, 1, 2, 3, 4, 5}


def test_an_event_stands_in_one_file_only(daily: dict[date, list[str]], valid: dict[str, Json]) -> None:
    assert sum(len({line for line in lines if not fault(line)}) for lines in daily.values()) == len(valid)


def test_events_are_counted(valid: dict[str, Json], crm: list[dict[str, str]], counts: Json) -> None:
    assert counts["events_by_source"] == {"tickets": len(valid), "crm": len(crm)}
    assert counts["events"] == len(valid) + len(crm)
    days = [day_of(event) for event in valid.values()]
    days += [instant(row["updated_at"]).date().isoformat() for row in crm]
    assert counts["events_per_day"] == tally(days)
    derived = {"resolved": "resolved", "escalated": "escalated", "closed": "closed"}
    types = [event["event_type"] for event in valid.values()]
    types += [
        "created" if row["updated_at"] == row["created_at"] else derived.get(row["status"], "updated") for row in crm
    ]
    assert counts["event_types"] == tally(types)


def test_silent_day_has_no_event_and_no_file(daily: dict[date, list[str]], counts: Json) -> None:
    assert SILENT_DAY not in daily
    assert str(SILENT_DAY) not in counts["events_per_day"]
    assert len(counts["events_per_day"]) == 29
    assert max(counts["events_per_day"]) == "2026-04-30"


def test_tickets_are_counted(valid: dict[str, Json], crm: list[dict[str, str]], counts: Json) -> None:
    ordered = sorted(valid.values(), key=lambda event: instant(event["occurred_at"]))
    last = {event["ticket_id"]: event for event in ordered}
    assert counts["tickets_by_source"] == {
        "tickets": len(last),
        "crm": len({row["ticket_id"] for row in crm}),
    }
    closed = [event for event in last.values() if event["status"] == "closed"]
    assert counts["tickets_closed_unresolved"] == sum("resolved_at" not in event for event in closed)
    open_at_end = [event for event in last.values() if event["status"] not in ("resolved", "closed")]
    assert counts["tickets_open_at_end"] == len(open_at_end)


def test_reexport_repeats_three_days_in_other_order_and_corrects_some(
    valid: dict[str, Json], again: list[Json], counts: Json
) -> None:
    days = ("2026-04-10", "2026-04-11", "2026-04-12")
    assert {event["event_id"] for event in again} == {
        identity for identity, event in valid.items() if day_of(event) in days
    }
    assert counts["reexported"] == len(again)
    corrected = [event for event in again if event != valid[event["event_id"]]]
    assert counts["corrected"] == len(corrected) == 5
    for event in corrected:
        assert event | {"category": None} == valid[event["event_id"]] | {"category": None}
    assert all(list(event) == list(reversed(valid[event["event_id"]])) for event in again)


def test_state_fits_the_event_in_every_life(valid: dict[str, Json]) -> None:
    lives: dict[str, list[Json]] = {}
    for event in sorted(valid.values(), key=lambda event: instant(event["occurred_at"])):
        lives.setdefault(event["ticket_id"], []).append(event)
    for life in lives.values():
        assert [event["event_type"] for event in life].count("created") == 1
        assert life[0]["event_type"] == "created" and life[0]["created_at"] == life[0]["occurred_at"]
        instants = [instant(event["occurred_at"]) for event in life]
        assert len(set(instants)) == len(instants)
        for before, event in zip([None, *life], life, strict=False):
            assert_state_fits(before, event)


def assert_state_fits(before: Json | None, event: Json) -> None:
    expected = {"created": "new", "escalated": "escalated", "resolved": "resolved", "reopened": "open"}
    expected |= {"closed": "closed"}
    assert event["status"] == expected.get(event["event_type"], event["status"])
    assert event["updated_at"] == event["occurred_at"]
    if event["event_type"] == "resolved":
        assert event["resolved_at"] == event["occurred_at"]
    elif event["event_type"] == "reopened":
        assert "resolved_at" not in event
    elif before:
        assert event.get("resolved_at") == before.get("resolved_at")
    if before and before.get("first_response_at"):
        assert event["first_response_at"] == before["first_response_at"]
    hours = {"P1": 4, "P2": 24, "P3": 72, "P4": 120}[event["priority"]]
    assert instant(event["sla_due_at"]) == instant(event["created_at"]) + timedelta(hours=hours)


def test_offsets_cross_midnight_and_one_unnamed_field_appears(valid: dict[str, Json]) -> None:
    local = [event["occurred_at"] for event in valid.values()]
    assert {text[19:] for text in local} == {"Z", "+08:00", "-05:00"}
    assert any(instant(text).date() != date.fromisoformat(text[:10]) for text in local)
    assert {name for event in valid.values() for name in event} - set(FIELDS) == {"channel"}


def test_crm_rows_fit_the_plain_ticket_contract(crm: list[dict[str, str]]) -> None:
    fields = contract_fields("ticket.json")
    assert set(crm[0]) < set(fields)
    for row in crm:
        assert fault(json.dumps({name: value for name, value in row.items() if value})) is None
        assert all(row[name] for name, field in fields.items() if field.get("required"))
        for name in ("created_at", "updated_at"):
            day = instant(row[name]).date()
            assert date(2026, 4, 5) <= day <= date(2026, 4, 25) and day != SILENT_DAY
    assert 0 < sum(row["created_at"] == row["updated_at"] for row in crm) < len(crm)


# --- documents ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("collection", ["help_center", "release_notes"])
def test_document_changes_are_counted(collection: str, target: Path, counts: Json) -> None:
    snapshots = [item for item in manifests_in(target) if item.get("collection") == collection]
    assert [item["created_at"][:10] for item in snapshots] == list(counts["docs"][collection])
    known: dict[str, str] = {}
    for item in snapshots:
        admitted = [asset for asset in item["assets"] if asset["pii_scan_status"] != "suspected"]
        fresh = {
            asset["source_id"]: hashlib.sha256((target / asset["source_url_or_path"]).read_bytes()).hexdigest()
            for asset in admitted
            if not asset.get("deleted")
        }
        gone = {asset["source_id"] for asset in admitted if asset.get("deleted")}
        if item["disposition"] == "replace":
            gone = set(known) - set(fresh)
        assert counts["docs"][collection][item["created_at"][:10]] == {
            "listed": len(fresh),
            "added": len(set(fresh) - set(known)),
            "changed": sum(known[doc] != fresh[doc] for doc in set(known) & set(fresh)),
            "removed": len(gone),
            "quarantined": len(item["assets"]) - len(admitted),
        }
        known = {doc: seen for doc, seen in (known | fresh).items() if doc not in gone}


def test_a_document_disappears_and_comes_back(target: Path) -> None:
    snapshots = [item for item in manifests_in(target) if item.get("collection") == "help_center"]
    present = [any(asset["source_id"] == "help-center-sync-stuck" for asset in item["assets"]) for item in snapshots]
    assert present == [True, False, True, True]


def test_twenty_thousand_tickets_stay_exact(tmp_path: Path) -> None:
    returned = simulate(tmp_path, tickets=20_000)
    read = [line for path in sorted((tmp_path / "sample/tickets").iterdir()) for line in read_lines(path)]
    assert returned.events_by_source["tickets"] > 100_000
    expected = returned.events_by_source["tickets"] + returned.duplicates + sum(returned.bad.values())
    assert len(read) == returned.lines["tickets"] == expected
