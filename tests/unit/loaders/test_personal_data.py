"""Personal data end in Silver: no Gold table has a column that may hold them."""

from pathlib import Path
from typing import Any

import yaml

from lakehouse.settings import PROJECT_ROOT

MODELS = PROJECT_ROOT / "dbt_project" / "models"


def columns(layer: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(model, column) → what its YAML says; contracts are enforced, so the tables have these columns and no others."""
    files: list[Path] = sorted((MODELS / layer).glob("*.yml"))
    models = [model for file in files for model in yaml.safe_load(file.read_text("utf-8")).get("models", [])]
    return {(model["name"], column["name"]): column for model in models for column in model["columns"]}


def personal_names() -> set[str]:
    return {
        name
        for (_, name), column in columns("silver").items()
        if column.get("config", {}).get("meta", {}).get("personal")
    }


def test_gold_has_none_of_the_columns_that_silver_marks_as_personal():
    assert {name for _, name in columns("gold")} & personal_names() == set()


def test_what_may_hold_personal_data_is_marked_wherever_silver_has_it():
    told = {
        field["name"]
        for field in yaml.safe_load((PROJECT_ROOT / "manifests/contracts/ticket.json").read_text("utf-8"))["fields"]
        if "personal data" in field["description"] and field["type"] == "string" and "enum" not in field
    }

    assert told == {"subject", "description"}
    assert personal_names() == told | {"customer_id", "assignee_id"}
    unmarked = [
        key
        for key, column in columns("silver").items()
        if key[1] in personal_names() and not column.get("config", {}).get("meta", {}).get("personal")
    ]
    assert unmarked == []
