"""What `omni contract dbt` writes: a source and a model that build as they are, and nothing over a person's file."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from lakehouse.contracts.registry import load_contract
from lakehouse.dbt.starter import start_model
from lakehouse.errors import ConfigurationError
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from loaders.ingest import ingest
from tests.conftest import source, ticket_manifest, write_lines
from tests.dbt_shell import dbt
from tests.integration.dbt.test_dbt import rows

PROJECT = PROJECT_ROOT / "dbt_project"


def field(name: str, kind: str = "string", *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "type": kind, "required": required, "description": f"The {name}."}


def define(
    settings: LakehouseSettings, name: str, kind: str, time: dict[str, Any], key: list[str], *more: dict[str, Any]
):
    """Put a contract into the manifest folder; its asset is named after it."""
    fields = [time, *(field(each, required=True) for each in key if each != time["name"]), *more]
    contract = {
        **{"name": name, "version": "v1", "ref": f"omni://contracts/data/{name}/v1", "grain": "One row per thing."},
        "asset": {"name": f"raw_{name}s", "kind": kind, "pipeline": f"{name}s", "time": time["name"]},
        **{"primary_key": key, "fields": fields},
    }
    path = settings.manifests / "contracts" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(contract), "utf-8")
    return load_contract(settings, name)


@pytest.fixture
def message(settings):
    """A contract of events, with a key of two fields and a field whose name is a word of SQL."""
    at = field("sent_at", "timestamp", required=True)
    return define(settings, "message", "events", at, ["chat", "no"], field("from"), field("tags", "list<string>"))


@pytest.fixture
def price(settings):
    """A contract of snapshots of records."""
    return define(settings, "price", "snapshots", field("on_day", "date", required=True), ["on_day", "sku"])


@pytest.fixture
def project(tmp_path) -> Path:
    """A dbt project with our macros and sources, and no models."""
    shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("gold", "silver"))
    (tmp_path / "project" / "models" / "silver").mkdir()
    return tmp_path / "project"


def arguments_of(path: Path) -> dict[str, Any]:
    """Test → its arguments, of the model in a YAML file."""
    (model,) = yaml.safe_load(path.read_text("utf-8"))["models"]
    return {name: given["arguments"] for each in model["data_tests"] for name, given in each.items()}


def test_a_person_s_model_stays_and_its_source_follows_the_contract(settings, message, project):
    started = start_model(settings, message, project)
    source_yaml, sql, described = started.written
    sql.write_text("-- mine", "utf-8")
    at = field("sent_at", "timestamp", required=True)
    changed = define(settings, "message", "events", at, ["chat"])

    again = start_model(settings, changed, project)

    assert (again.written, again.kept) == ((source_yaml,), (sql, described))
    assert sql.read_text("utf-8") == "-- mine"
    assert "name: no\n" not in source_yaml.read_text("utf-8")


def test_a_source_file_that_a_person_wrote_is_refused_and_nothing_is_written(settings, message, project):
    taken = project / "models" / "sources_message.yml"
    taken.write_text("version: 2\n", "utf-8")

    with pytest.raises(ConfigurationError, match=r"sources_message\.yml exists and was written by hand; next: remove"):
        start_model(settings, message, project)

    assert taken.read_text("utf-8") == "version: 2\n"
    assert not list((project / "models" / "silver").iterdir())


def test_a_model_of_the_name_in_another_folder_stays_the_only_one(settings, message, project):
    mine = project / "models" / "gold" / "messages.sql"
    mine.parent.mkdir()
    mine.write_text("select 1", "utf-8")

    assert start_model(settings, message, project).kept == (mine,)
    assert not list((project / "models" / "silver").iterdir())


def test_a_contract_without_an_asset_has_no_table(settings, project):
    with pytest.raises(
        ConfigurationError, match="contract listed_file names no asset, so there is no table; next: give"
    ):
        start_model(settings, load_contract(settings, "listed_file"), project)


def test_the_source_of_a_contract_that_ships_is_the_generated_one(settings, project):
    started = start_model(settings, load_contract(settings, "audio_asset"), project)

    assert [path.name for path in started.written] == ["sources.yml", "audio_assets.sql", "audio_assets.yml"]
    assert started.written[0].read_text("utf-8") == (PROJECT / "models" / "sources.yml").read_text("utf-8")


def test_a_key_is_unique_within_its_day(settings, message, price, project):
    of_events = arguments_of(start_model(settings, message, project).written[-1])
    of_snapshots = arguments_of(start_model(settings, price, project).written[-1])

    assert of_events["unique_together"] == {"columns": ["cast(sent_at as date)", "chat", "no"]}
    assert of_snapshots["unique_together"] == {"columns": ["on_day", "sku"]}
    assert (of_events["rows_conserved"]["key"], of_snapshots["rows_conserved"]["key"]) == (["chat", "no"], ["sku"])
    assert of_snapshots["rows_conserved"]["kind"] == "date"


def test_both_kinds_build_as_they_are_written(settings, declare, message, price, project):
    write_lines(
        settings.manifests / "a.jsonl", [{"chat": "c", "no": "1", "sent_at": "2026-04-30T23:59:59Z", "from": "x"}]
    )
    (settings.manifests / "p.csv").write_text("sku\nA-1\nB-2\n", "utf-8")
    other = {"source_type": "other"}
    declare(ticket_manifest([source("a", "a.jsonl")], 1, contract_ref=message.ref, **other))
    declare(ticket_manifest([source("p", "p.csv", "csv")], 2, contract_ref=price.ref, collection="prices", **other))
    for contract in (message, price):
        start_model(settings, contract, project)
    assert ingest(settings).is_complete

    done = dbt(settings, "build", cwd=project, OMNI_MANIFESTS=str(settings.manifests))

    assert done.returncode == 0, done.stdout
    assert rows(settings, "messages", 'chat, "from"') == [("c", "x")]
    assert rows(settings, "prices", "sku") == [("A-1",), ("B-2",)]
