"""Which fields are sidecars: of a contract, of a manifest's source, of the manifest schema."""

import json

import pytest

from lakehouse.contracts.model import Contract
from lakehouse.contracts.rules import contract_breaches
from lakehouse.kinds import SIDECARS
from lakehouse.settings import PROJECT_ROOT
from loaders.manifests.manifest import SCHEMA_FILE, Source


def decks(field, **asset):
    """A contract of listed files with one field more."""
    listing = {"kind": "snapshots", "pipeline": "slide_decks", "time": "snapshot_date", "bytes": True}
    listed = json.loads((PROJECT_ROOT / "manifests" / "contracts" / "listed_file.json").read_text("utf-8"))
    others = [each for each in listed["fields"] if each["name"] != field["name"]]
    document = {
        "name": "slide_deck",
        "version": "v1",
        "ref": "omni://contracts/data/slide_deck/v1",
        "grain": "One row per deck.",
        "asset": {"name": "raw_slide_decks", **listing, **asset},
        "primary_key": ["snapshot_date", "doc_id"],
        "fields": [{"type": "string", "description": "Text.", **field}, *others],
    }
    return Contract.model_validate(document)


@pytest.mark.parametrize(
    ("contract", "path", "found", "allowed"),
    [
        (decks({"name": "title", "sidecar": True}), "$.fields[0].name", 'the sidecar "title"', ", ".join(SIDECARS)),
        (
            decks({"name": "ocr_text_path", "type": "long", "sidecar": True}),
            "$.fields[0].type",
            '"long"',
            '"string", as',
        ),
        (decks({"name": "ocr_text_path", "sidecar": True}, bytes=False), "$.fields[0].sidecar", "true", "false for"),
    ],
)
def test_a_sidecar_that_no_row_can_have_is_a_breach(contract, path, found, allowed):
    (breach,) = contract_breaches(contract)

    assert (breach.path, breach.found) == (path, found) and breach.allowed.startswith(allowed)


def test_a_contract_says_which_columns_hold_objects_and_a_sidecar_is_another_contract():
    beside, text = decks({"name": "ocr_text_path", "sidecar": True}), decks({"name": "ocr_text_path"})

    assert contract_breaches(beside) == contract_breaches(text) == []
    assert beside.object_columns == ("raw_object_path", "ocr_text_path")
    assert text.object_columns == ("raw_object_path",)
    assert beside.sha256 != text.sha256


def test_what_can_be_a_sidecar_can_be_declared():
    schema = json.loads((PROJECT_ROOT / "manifests" / "schema" / SCHEMA_FILE).read_text("utf-8"))
    text = json.dumps(schema)

    assert set(SIDECARS) <= Source.model_fields.keys()
    assert all(f'"{name}":' in text for name in SIDECARS)


def test_a_source_without_length_and_sidecars_says_what_it_did_before_there_were_any():
    declared = Source(source_id="a", source_url_or_path="a.wav", asset_type="audio")

    assert not {"duration_sec", *SIDECARS} & json.loads(declared.model_dump_json()).keys()
    longer = declared.model_copy(update={"duration_sec": 1.5, SIDECARS[0]: "a.txt"})
    assert json.loads(longer.model_dump_json()).items() >= {"duration_sec": 1.5, SIDECARS[0]: "a.txt"}.items()
