"""What `omni contract check` finds in a contract file: each rule on a file that breaks it alone."""

import json
from typing import Any

import duckdb
import pytest

from lakehouse.contracts.registry import judge_contract, load_contract, load_contracts
from lakehouse.contracts.sql_words import SQL_WORDS
from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings

AT = {"name": "sent_at", "type": "timestamp", "required": True, "description": "When."}
ID = {"name": "message_id", "type": "string", "required": True, "description": "Which."}
ASSET = {"name": "raw_messages", "kind": "events", "pipeline": "messages", "time": "sent_at"}

DAY = {"name": "day", "type": "date", "required": True, "description": "Which day."}
DAILY = {**ASSET, "kind": "snapshots", "time": "day"}


def text(**fields: Any) -> dict[str, Any]:
    return {"name": "v", "type": "string", "description": "A value.", **fields}


def document(**given: Any) -> dict[str, Any]:
    """A sound contract, with what is given in its place."""
    ref = "omni://contracts/data/message/v1"
    sound = {"name": "message", "version": "v1", "ref": ref, "grain": "One row per message.", "asset": ASSET}
    return {**sound, "primary_key": ["message_id"], "fields": [ID, AT], **given}


def judged(settings: LakehouseSettings, content: str, name: str = "message") -> list[str]:
    path = settings.manifests / "contracts" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, "utf-8")
    return [str(breach) for breach in judge_contract(path, settings)]


def test_a_sound_contract_has_no_breach_and_is_loaded(settings):
    assert judged(settings, json.dumps(document())) == []
    assert "raw_messages" in load_contracts(settings).assets


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        ({"fieldz": []}, "$.fieldz", "an unknown key"),
        ({"fields": [ID, AT, text(type="text")]}, "$.fields[2].type", "'string', 'boolean'"),
        ({"asset": {**ASSET, "kind": "stream"}}, "$.asset.kind", "'events' or 'snapshots'"),
        ({"fields": [ID, AT, ID]}, "$.fields[2].name", "no other field has"),
        ({"asset": {**ASSET, "time": "message_id"}}, "$.asset.time", "a timestamp"),
        ({"asset": {**ASSET, "time": "nowhere"}}, "$.asset.time", "no field"),
        ({"primary_key": []}, "$.primary_key", "identify a row"),
        ({"asset": DAILY, "fields": [DAY], "primary_key": ["day"]}, "$.primary_key", "tells rows of one day apart"),
        ({"fields": [{**ID, "name": "order"}, AT], "primary_key": ["order"]}, "$.primary_key[0]", "no word of SQL"),
        ({"fields": [ID, {**AT, "name": "at"}], "asset": {**ASSET, "time": "at"}}, "$.asset.time", "no word of SQL"),
        ({"fields": [{**ID, "name": "order"}], "primary_key": ["order"], "asset": None}, "$.primary_key[0]", "of SQL"),
        ({"extends": "nothing"}, "$.extends", "ticket"),
        ({"asset": {**ASSET, "name": "quarantine"}}, "$.asset.name", "^raw_"),
        ({"asset": {**ASSET, "checks": {"volume": {"at_most": 0.1}}}}, "$.asset.checks.volume.at_most", "at_least"),
        (
            {"asset": {**ASSET, "checks": {"contract_drift": {"at_least": 1}}}},
            "$.asset.checks.contract_drift.at_least",
            "no",
        ),
        ({"asset": {**ASSET, "name": "raw_doc_assets"}}, "$.asset.name", "doc_asset"),
        ({"asset": {**ASSET, "pipeline": "doc_snapshots"}}, "$.asset.pipeline", "doc_asset"),
        *(
            ({"fields": [ID, AT, text(name=name)]}, "$.fields[2].name", "that Bronze adds")
            for name in ("extra", "record_sha256", "source_id", "batch_id", "run_id", "ingested_at", "source_line")
        ),
        ({"fields": [ID, AT, text(name="Message_id")]}, "$.fields[2].name", "a-z"),
        ({"fields": [ID, AT, text(type="long", max_length=3)]}, "$.fields[2].max_length", "only on a string"),
        ({"fields": [ID, AT, text(enum=[])]}, "$.fields[2].enum", "at least 1"),
        ({"fields": [ID, AT, text(enum=["a"], aliases={"b": "c"})]}, "$.fields[2].aliases.b", "a word of enum: a"),
        ({"fields": [ID, AT, text(enum=["a", "b"], aliases={"b": "a"})]}, "$.fields[2].aliases.b", "another word"),
        ({"fields": [ID, AT, text(aliases={"b": "c"})]}, "$.fields[2].aliases.b", "without enum"),
    ],
)
def test_a_breach_says_where_what_and_what_is_allowed_and_nothing_loads_it(settings, given, path, expected):
    (found,) = judged(settings, json.dumps(document(**given)))

    assert found.startswith(f"{path}: found ") and expected in found
    with pytest.raises(ConfigurationError, match="omni contract check"):
        load_contracts(settings)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "Expecting property name"),
        ("[]", "a JSON object"),
        (json.dumps(document(grain="Half a \ud83d.")), r"\ud83d"),
        (json.dumps(document())[:-1] + ', "name": "message"}', "key 'name' twice"),
    ],
)
def test_what_is_no_plain_json_object_is_refused(settings, content, expected):
    (found,) = judged(settings, content)

    assert expected in found
    with pytest.raises(ConfigurationError):
        load_contracts(settings)


def test_another_field_may_be_a_word_of_sql(settings):
    assert judged(settings, json.dumps(document(fields=[ID, AT, text(name="from")]))) == []


def test_the_words_of_sql_are_those_of_duckdb():
    words = duckdb.sql("select keyword_name, keyword_category from duckdb_keywords()").fetchall()

    assert {word for word, category in words if category in ("reserved", "type_function")} == SQL_WORDS


def test_the_words_of_a_contract_decide_what_its_rows_look_like(settings):
    before = load_contract(settings, "ticket").sha256
    contract = json.loads(load_contract(settings, "ticket").model_dump_json())
    contract["fields"][3]["aliases"] = {}
    path = settings.manifests / "contracts" / "ticket.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(contract), "utf-8")

    assert load_contract(settings, "ticket").sha256 != before


def photos(**fields: Any) -> str:
    asset = {"name": "raw_photos", "kind": "snapshots", "pipeline": "photos", "time": "snapshot_date", "bytes": True}
    return json.dumps(
        document(
            **{
                "asset": asset,
                "primary_key": ["snapshot_date", "collection", "doc_id"],
                "extends": "listed_file",
                **fields,
            }
        )
    )


def test_a_contract_of_files_may_take_what_is_known_of_a_file(settings):
    pages = {"name": "page_count", "type": "long", "description": "Pages."}

    assert judged(settings, photos(fields=[pages])) == []


def test_a_field_that_no_listing_can_fill_is_refused_in_a_contract_of_files(settings):
    camera = {"name": "camera", "type": "string", "description": "Who took it."}
    length = {"name": "duration_sec", "type": "long", "description": "Length."}

    named, typed = judged(settings, photos(fields=[camera, length]))

    assert named.startswith('$.fields[0].name: found "camera", allowed: of a file: doc_id, ')
    assert typed == '$.fields[1].type: found "long", allowed: "double", as duration_sec of any file'


def test_the_day_alone_tells_no_two_files_apart(settings):
    (breach,) = judged(settings, photos(fields=[], primary_key=["snapshot_date"]))

    assert breach == "$.primary_key: found only the time, allowed: a field that tells rows of one day apart"


def test_a_contract_of_files_has_what_tells_one_from_another(settings):
    date = {"name": "snapshot_date", "type": "date", "required": True, "description": "Day."}
    names = {"name": "doc_id", "type": "string", "required": True, "description": "File."}

    alone = {**json.loads(photos(fields=[date, names], extends=None)), "primary_key": ["snapshot_date", "doc_id"]}

    (breach,) = judged(settings, json.dumps(alone))

    assert breach.startswith("$.fields: found no collection, disposition, is_tombstone, ")


def test_conservation_cannot_be_weakened(settings):
    asset = {**document()["asset"], "checks": {"conservation": {"severity": "warn"}}}

    (breach,) = judged(settings, json.dumps(document(asset=asset)))

    assert breach.startswith("$.asset.checks.conservation: found a check that it cannot change")


STATE = text(name="state", required=True, enum=["open", "done"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"fields": [ID, {**AT, "required": False}]},
            '$.asset.time: found "sent_at", allowed: a field that is required',
        ),
        (
            {"fields": [{**ID, "required": False, "derived": {"first_of": ["v"]}}, AT, text()]},
            '$.primary_key[0]: found "message_id", allowed: a field that is required, or derived by hash_of',
        ),
        (
            {"asset": {**ASSET, "fits": {"asset_type": ["jsonl", "pdf"]}}},
            '$.asset.fits.asset_type[1]: found "pdf", allowed',
        ),
        (
            {"fields": [ID, AT, text(derived={"first_of": ["sent_at"]})]},
            '$.fields[2].derived.first_of: found "sent_at", a timestamp, allowed: fields that are a string',
        ),
        (
            {"fields": [ID, AT, text(type="long", derived={"cases": [{"when": {"message_id": "x"}, "then": "1"}]})]},
            "$.fields[2].derived: found a text for a long, allowed: first_of",
        ),
        (
            {"fields": [ID, AT, text(derived={"hash_of": ["message_id"]})]},
            "$.fields[2].derived: found hash_of, allowed: a hash for a field of primary_key alone",
        ),
        (
            {"fields": [ID, AT, text(enum=["a"], derived={"cases": [{"when": {"message_id": "x"}, "then": "b"}]})]},
            '$.fields[2].derived: found "b", allowed: what leads to a word of enum: a',
        ),
        (
            {
                "fields": [
                    ID,
                    AT,
                    STATE,
                    text(enum=["open"], derived={"cases": [{"when": {"state": "done"}, "then": "=state"}]}),
                ]
            },
            '$.fields[3].derived: found "=state", allowed: what leads to a word of enum: open',
        ),
        (
            {
                "fields": [
                    ID,
                    AT,
                    text(enum=["a"], derived={"cases": [{"when": {"v": None}, "then": "a"}], "otherwise": "b"}),
                ]
            },
            '$.fields[2].derived: found "b", allowed: what leads to a word of enum: a',
        ),
    ],
)
def test_what_no_record_could_be_held_to_is_refused(settings, given, expected):
    (found,) = judged(settings, json.dumps(document(**given)))

    assert found.startswith(expected)


def test_a_derived_value_may_be_any_word_that_its_field_allows(settings):
    cases = [{"when": {"state": ["done"]}, "then": "=state"}, {"when": {"state": "open"}, "then": "new"}]
    kind = text(enum=["done", "new"], derived={"cases": cases, "otherwise": "new"})
    late = {"name": "seen_at", "type": "timestamp", "description": "When."}
    dated = {**late, "name": "at_all", "derived": {"first_of": ["seen_at", "sent_at"]}}
    asset = {**ASSET, "time": "at_all"}

    assert judged(settings, json.dumps(document(asset=asset, fields=[ID, AT, late, dated, STATE, kind]))) == []
