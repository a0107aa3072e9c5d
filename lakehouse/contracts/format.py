"""What a contract file may say, key by key, from the models that read it; called by `contract_docs`."""

from collections.abc import Iterator
from typing import Any

from lakehouse.contracts.model import Contract

Key = tuple[str, str, str]
"""Name (with a star where it is required), values, meaning."""


def contract_keys() -> Iterator[tuple[str, str, list[Key]]]:
    """The objects of a contract file, outermost first: where it stands, what it is, its keys."""
    schema = Contract.model_json_schema()
    models = schema["$defs"] | {"Contract": schema}
    waiting, seen = [("", "Contract")], set()
    while waiting:
        path, name = waiting.pop(0)
        if name not in seen:
            seen.add(name)
            model = models[name]
            yield path, model["description"], [_key(model, key, of) for key, of in model["properties"].items()]
            waiting += [
                (f"{path}.{key}".lstrip("."), n) for key, of in model["properties"].items() if (n := _model(of))
            ]


def _key(model: dict[str, Any], name: str, declared: dict[str, Any]) -> Key:
    star = " *" if name in model.get("required", ()) else ""
    return f"`{name}`{star}", _values(declared), declared.get("description", "")


def _values(declared: dict[str, Any]) -> str:
    """What a key may hold, for a person."""
    for choice in declared.get("anyOf", ()):
        if choice.get("type") != "null" and len(declared["anyOf"]) == 2:
            return _values(choice)
    if "enum" in declared:
        return ", ".join(f"`{value}`" for value in declared["enum"])
    if "$ref" in declared:
        return "object"
    if "items" in declared:
        return f"list of {_values(declared['items'])}s"
    if "pattern" in declared:
        return f"text that matches `{declared['pattern']}`"
    bounds = [f"from {declared['minimum']}"] if "minimum" in declared else []
    bounds += [f"to {declared['maximum']}"] if "maximum" in declared else []
    return " ".join([_WORDS[declared["type"]], *bounds])


_WORDS = {
    "string": "text",
    "boolean": "`true` or `false`",
    "integer": "whole number",
    "number": "number",
    "object": "object",
}


def _model(declared: dict[str, Any]) -> str | None:
    """Name of the model that a key holds, or holds many of."""
    places = [declared, *declared.get("anyOf", ())]
    nested = [part for place in places for part in (place, place.get("items"), place.get("additionalProperties"))]
    refs = [part["$ref"] for part in nested if isinstance(part, dict) and "$ref" in part]
    return refs[0].rpartition("/")[2] if refs else None
