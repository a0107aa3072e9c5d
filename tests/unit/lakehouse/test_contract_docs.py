"""What is derived from the data contracts: valid by the published schema, and the same as what is committed."""

import json
from importlib.resources import files
from typing import Any

import pytest
import yaml
from jsonschema_rs import validator_for

from lakehouse.contracts.model import Contract
from lakehouse.contracts.registry import load_contract, load_contracts
from lakehouse.errors import ConfigurationError
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.contract_docs import (
    CONTRACTS_PAGE,
    DBT_SOURCES,
    as_dbt_sources,
    as_markdown,
    as_odcs,
    write_generated,
)

SHIPPED = ["audio_asset", "doc_asset", "listed_file", "ticket", "ticket_event", "video_asset"]


def own_contract(settings: LakehouseSettings, name: str = "call", **fields: Any) -> Contract:
    """A contract of the manifest folder, as it is loaded."""
    ref = f"omni://contracts/data/{name}/v1"
    field = {"name": "call_id", "type": "string", "description": "The call."}
    contract = {"name": name, "version": "v1", "ref": ref, "grain": "One row per call.", "fields": [field], **fields}
    path = settings.manifests / "contracts" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(contract), "utf-8")
    return load_contract(settings, name)


def properties(contract: Contract) -> dict[str, dict[str, Any]]:
    """The properties of the contract's ODCS document, by name."""
    (table,) = as_odcs(contract)["schema"]
    return {item["name"]: item for item in table["properties"]}


def breaches(document: dict[str, Any]) -> list[str]:
    """What the published schema of the standard finds wrong."""
    schema = json.loads(files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8"))
    return [error.message for error in validator_for(schema).iter_errors(document)]


def test_the_contracts_of_the_manifest_folder_are_listed_with_those_that_ship(settings):
    assert list(load_contracts(settings).by_name) == SHIPPED

    own_contract(settings)
    own_contract(settings, "audio_asset")

    assert list(load_contracts(settings).by_name) == sorted([*SHIPPED, "call"])


def test_a_base_without_what_its_heir_derives_from_is_named_where_it_stands(settings):
    with pytest.raises(
        ConfigurationError, match=r'ticket_event\.json, which extends .*/contracts/ticket\.json: .*"ticket_id"'
    ):
        own_contract(settings, "ticket")


def test_a_primary_key_that_names_no_field_is_refused(settings):
    with pytest.raises(ConfigurationError, match=r'primary_key\[1\]: found "caller", allowed: a field: call_id; next'):
        own_contract(settings, primary_key=["call_id", "caller"])


def test_a_lone_surrogate_is_refused_where_it_stands_and_shown_escaped(settings):
    field = {"name": "call_id", "type": "string", "description": "Half a \ud83d."}

    with pytest.raises(ConfigurationError, match=r'found "Half a \\ud83d\." at \$\.fields\[0\]\.description.*; next: '):
        own_contract(settings, fields=[field])


def test_a_primary_key_may_name_fields_of_the_contract_that_is_extended(settings):
    assert own_contract(settings, extends="ticket", primary_key=["call_id", "ticket_id"]).primary_key[1] == "ticket_id"


@pytest.mark.parametrize("name", SHIPPED)
def test_the_odcs_document_of_a_contract_is_valid_by_the_published_schema(settings, name):
    assert breaches(as_odcs(load_contract(settings, name))) == []


def test_every_rule_of_a_field_arrives_in_the_odcs_document(settings):
    rules = {"enum": ["a", "b"], "pattern": "a|b", "max_length": 1}
    field = {"name": "call_id", "type": "string", "description": "The call.", **rules}
    contract = own_contract(settings, fields=[field], primary_key=["call_id"])

    assert breaches(as_odcs(contract)) == []
    assert properties(contract)["call_id"] == {
        "name": "call_id",
        "logicalType": "string",
        "physicalType": "string",
        "description": "The call.",
        "required": True,
        "primaryKey": True,
        "primaryKeyPosition": 1,
        "enum": [{"value": "a"}, {"value": "b"}],
        "logicalTypeOptions": {"maxLength": 1, "pattern": "^(?:a|b)$"},
    }


def test_inherited_fields_lists_and_instants_arrive_in_the_odcs_document(settings):
    found = properties(load_contract(settings, "ticket_event"))

    assert found["ticket_id"]["required"] and "primaryKey" not in found["ticket_id"]
    assert found["tags"]["logicalType"] == "array"
    assert found["tags"]["items"] == {"logicalType": "string", "physicalType": "string"}
    assert found["occurred_at"]["physicalType"] == "timestamptz"
    assert found["occurred_at"]["logicalTypeOptions"] == {"timezone": True}


def test_a_key_of_several_columns_is_numbered_in_its_own_order(settings):
    found = properties(load_contract(settings, "doc_asset"))

    key = {name: item["primaryKeyPosition"] for name, item in found.items() if "primaryKey" in item}
    assert key == {"snapshot_date": 1, "collection": 2, "doc_id": 3}


def test_the_dbt_sources_test_the_keys_of_the_contracts(settings):
    (bronze,) = yaml.safe_load(as_dbt_sources(settings))["sources"]
    tests = {
        table["name"]: [
            (kind, test["name"])
            for tested in (table, *table["columns"])
            for item in tested.get("data_tests", [])
            for kind, test in item.items()
        ]
        for table in bronze["tables"]
    }

    assert tests == {
        "raw_ticket_events": [
            ("unique_together", "bronze_event_id_unique"),
            ("not_null", "bronze_event_id_not_null"),
            ("not_null", "bronze_ticket_id_not_null"),
        ],
        **{
            f"raw_{kind}_assets": [
                ("unique_together", f"bronze_{kind}_assets_unique"),
                ("not_null", "bronze_doc_id_not_null"),
                ("not_null", "bronze_collection_not_null"),
            ]
            for kind in ("audio", "doc", "video")
        },
        "quarantine": [],
    }


def test_the_committed_page_is_what_the_contracts_say(settings):
    expected = as_markdown(load_contracts(settings))
    assert (PROJECT_ROOT / CONTRACTS_PAGE).read_text("utf-8") == expected, "next: make docs"


def test_the_committed_dbt_sources_are_what_the_contracts_say(settings):
    assert (PROJECT_ROOT / DBT_SOURCES).read_text("utf-8") == as_dbt_sources(settings), "next: make docs"


def test_a_character_that_would_break_a_table_is_escaped_on_the_page(settings):
    field = {"name": "call_id", "type": "string", "description": "The\n  call.", "pattern": "a|b"}

    own_contract(settings, fields=[field])
    page = as_markdown(load_contracts(settings))

    assert r"| `call_id` | `string` |  | matches `a\|b` | The call. |" in page.splitlines()


def test_only_files_that_differ_are_written(settings, tmp_path):
    both = [tmp_path / CONTRACTS_PAGE, tmp_path / DBT_SOURCES]

    assert write_generated(settings, tmp_path) == both
    assert write_generated(settings, tmp_path) == []
    both[1].write_text("version: 2\n", "utf-8")
    assert write_generated(settings, tmp_path) == [both[1]]
