"""Assets that a contract of the manifest folder adds behave as those that ship: late, mended, replayed, listed again.

The contracts are those of docs/how-to/add_an_asset.md.
"""

import json
from typing import Any

import pytest

from lakehouse.ledger.ledger import open_ledger
from loaders.ingest import ingest
from orchestration.definitions import build_definitions
from orchestration.readiness import open_readiness
from tests.conftest import source, ticket_manifest, write_lines
from tests.e2e.test_added_to_the_project import FILES
from tests.integration.loaders.test_bronze import rows

CHATS, PRICES = "raw_chat_messages", "raw_price_lists"


@pytest.fixture(autouse=True)
def contracts(settings):
    for name in ("contracts/chat_message.json", "contracts/price_list.json"):
        (settings.manifests / "contracts").mkdir(exist_ok=True)
        (settings.manifests / name).write_text(FILES[name], "utf-8")


def message(number: int, day: str = "2026-04-15", **fields: Any) -> dict[str, Any]:
    said = {"chat_id": "c", "message_no": number, "sent_at": f"{day}T10:00:00Z", "sender": "agent", "text": "first"}
    return {**said, **fields}


def manifest(contract: str, assets: list[dict[str, Any]], number: int = 1, **fields: Any) -> dict[str, Any]:
    named = {"contract_ref": f"omni://contracts/data/{contract}/v1", "source_type": "other"}
    return ticket_manifest(assets, number, **{**named, **fields})


def texts(settings, where: str = "true") -> list[tuple[Any, ...]]:
    return rows(settings, CHATS, "sent_at::date::varchar, message_no, text", where)


def test_a_late_file_reaches_its_day_and_no_other(settings, declare):
    write_lines(settings.manifests / "chats" / "a.jsonl", [message(1), message(2, "2026-04-16")])
    declare(manifest("chat_message", [source("chats", "chats")]))
    first = ingest(settings)

    write_lines(settings.manifests / "chats" / "late.jsonl", [message(3, text="late")])
    second = ingest(settings)

    assert first.is_complete and second.is_complete
    assert [each.partition for each in second.load_of(CHATS).loaded] == ["2026-04-15"]
    assert texts(settings) == [("2026-04-15", 1, "first"), ("2026-04-15", 3, "late"), ("2026-04-16", 2, "first")]


def test_a_mended_record_leaves_quarantine_for_its_day(settings, declare):
    path = settings.manifests / "chats" / "a.jsonl"
    write_lines(path, [message(1), message(2, sender="martian")])
    declare(manifest("chat_message", [source("chats", "chats")]))
    ingest(settings)
    held = rows(settings, "quarantine", "asset, partition, reason_code")

    write_lines(path, [message(1), message(2)])
    ingest(settings)

    assert held == [(CHATS, "2026-04-15", "value_not_allowed")]
    assert rows(settings, "quarantine", "asset") == []
    assert [number for _, number, _ in texts(settings)] == [1, 2]


def test_a_replay_rolls_back_nothing_that_came_later(settings, declare):
    write_lines(settings.manifests / "first.jsonl", [message(1), message(2)])
    write_lines(settings.manifests / "later.jsonl", [message(1, text="edited")])
    declare(manifest("chat_message", [source("first", "first.jsonl")], 1))
    declare(manifest("chat_message", [source("later", "later.jsonl")], 2, created_at="2026-05-02T00:00:00Z"))
    ingest(settings)
    again = {"load_mode": "replay", "created_at": "2026-06-01T00:00:00Z", "batch_id": "batch-again"}
    declare(
        manifest(
            *("chat_message", [source("again", "first.jsonl")], 9),
            **{**again, "selection_window": {"replay_from_batch": "batch-1"}},
        )
    )

    assert ingest(settings).is_complete
    assert texts(settings) == [("2026-04-15", 1, "edited"), ("2026-04-15", 2, "first")]


def price_list(settings, name: str, *lines: str) -> dict[str, Any]:
    (settings.manifests / name).write_text("\n".join(("sku,price,stock", *lines)) + "\n", "utf-8")
    return source(name, name, "csv")


def test_a_list_is_typed_and_takes_its_day_from_its_batch(settings, declare):
    listed = price_list(settings, "p.csv", "A-1,9.50,3", "B-2,12,")
    declare(manifest("price_list", [listed], snapshot_at="2026-04-15T23:00:00Z", collection="prices"))
    ingest(settings)

    assert rows(settings, PRICES, "listed_on::varchar, sku, price, stock, extra") == [
        ("2026-04-15", "A-1", 9.5, 3, None),
        ("2026-04-15", "B-2", 12.0, None, None),
    ]
    assert list(open_ledger(settings).coverage(PRICES)) == [(PRICES, "2026-04-15")]


def declare_list(settings, declare, number: int, *lines: str, **fields: Any) -> None:
    at = {"created_at": f"2026-04-15T0{number}:00:00Z", "collection": "prices", **fields}
    declare(manifest("price_list", [price_list(settings, f"{number}.csv", *lines)], number, **at))


def test_a_later_whole_list_of_a_day_replaces_the_earlier_one_and_what_was_broken_in_it(settings, declare):
    declare_list(settings, declare, 1, "A-1,1,1", "B-2,2,2", "C-3,three,3")
    declare_list(settings, declare, 2, "B-2,3,3")

    (loaded,) = ingest(settings).load_of(PRICES).loaded

    assert rows(settings, PRICES, "sku, price") == [("B-2", 3.0)]
    assert rows(settings, "quarantine", "reason_code") == []
    assert (loaded.rows.read, loaded.rows.loaded, loaded.rows.deduplicated) == (4, 1, 3)


def test_what_only_changes_a_list_lies_on_top_of_it(settings, declare):
    declare_list(settings, declare, 1, "A-1,1,1", "B-2,2,2")
    declare_list(settings, declare, 2, "B-2,3,3", disposition="merge")
    ingest(settings)

    assert rows(settings, PRICES, "sku, price") == [("A-1", 1.0), ("B-2", 3.0)]


def test_the_files_of_one_batch_are_one_list_and_another_collection_stands_beside_it(settings, declare):
    parts = [price_list(settings, "a.csv", "A-1,1,1"), price_list(settings, "b.csv", "B-2,2,2")]
    at = {"created_at": "2026-04-15T02:00:00Z", "collection": "prices"}
    declare(manifest("price_list", parts, 2, **at))
    declare_list(settings, declare, 1, "Z-9,9,9", collection="spare parts")
    declare_list(settings, declare, 3, "Y-8,8,8", collection="gifts")
    ingest(settings)

    assert rows(settings, PRICES, "sku, price") == [("A-1", 1.0), ("B-2", 2.0), ("Y-8", 8.0), ("Z-9", 9.0)]


def test_a_whole_list_that_does_not_say_of_what_is_refused(settings, declare):
    declare(manifest("price_list", [price_list(settings, "p.csv", "A-1,1,1")], created_at="2026-04-15T01:00:00Z"))

    (refused,) = ingest(settings).admission.refused

    (breach,) = refused.breaches
    assert (breach.path, breach.found) == ("$.collection", "none") and "or disposition merge" in breach.allowed


def test_a_tombstone_of_a_source_of_records_is_refused(settings, declare):
    declare(manifest("chat_message", [source("chats", "chats", deleted=True)]))

    (refused,) = ingest(settings).admission.refused

    assert [(breach.path, breach.found) for breach in refused.breaches] == [("$.assets[0].deleted", "true")]


def test_dagster_draws_an_asset_and_its_checks(settings):
    graph = build_definitions(settings).resolve_asset_graph()

    assert {CHATS, PRICES} <= {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert {"conservation", "quarantine_share"} <= {
        key.name for key in graph.asset_check_keys if key.asset_key.to_user_string() == CHATS
    }


@pytest.mark.parametrize("broken", [False, True], ids=["quick", "careful"])
def test_a_derived_text_is_found_by_both_ways_to_type(settings, declare, broken):
    contract = json.loads(FILES["contracts/chat_message.json"])
    shown = {"name": "shown", "type": "string", "description": "Name shown.", "derived": {"first_of": ["sender"]}}
    contract["fields"].append(shown)
    (settings.manifests / "contracts" / "chat_message.json").write_text(json.dumps(contract), "utf-8")
    records = [message(1), message(2, shown="Ann"), *([message(3, text=["a list"])] if broken else [])]
    write_lines(settings.manifests / "a.jsonl", records)
    declare(manifest("chat_message", [source("chats", "a.jsonl")]))
    ingest(settings)

    assert rows(settings, CHATS, "message_no, shown") == [(1, "agent"), (2, "Ann")]


def test_a_day_with_too_few_records_fails_where_the_contract_calls_it_an_error(settings, declare):
    contract = json.loads(FILES["contracts/chat_message.json"])
    contract["asset"]["checks"] = {"volume": {"severity": "error", "at_least": 0.9}}
    (settings.manifests / "contracts" / "chat_message.json").write_text(json.dumps(contract), "utf-8")
    days = {f"2026-04-{day:02}": 10 for day in (1, 8, 15, 22)} | {"2026-04-29": 8, "2026-04-30": 1}
    records = [message(number, day) for number, day in enumerate(d for d, n in days.items() for _ in range(n))]
    write_lines(settings.manifests / "a.jsonl", records)
    declare(manifest("chat_message", [source("chats", "a.jsonl")]))

    ingest(settings)

    readiness = open_readiness(settings)
    verdicts = {day: readiness.verdict(CHATS, day) for day in days}
    assert [day for day, verdict in verdicts.items() if not verdict.is_ready] == ["2026-04-29"]
    assert verdicts["2026-04-29"].reasons[0].startswith("check volume failed: 8 records; usual are 10, the median of 4")
