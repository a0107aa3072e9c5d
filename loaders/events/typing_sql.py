"""SQL that turns JSON records into typed, judged rows, derived from a data contract.

Set-based: one DuckDB expression per field and rule, no Python per row. Called by `loaders.events.records`.
"""

import json

from lakehouse.tables.contract_model import Contract, ContractField
from lakehouse.tables.duck import quoted

BATCH_FIELDS = ("batch_id", "ingest_batch_id", "manifest_id", "run_id", "exported_at", "ingested_at")
"""Fields by which re-exports of one event differ; they do not belong to its identity."""

_JSON_TYPES = {
    "string": ("VARCHAR",),
    "list<string>": ("ARRAY",),
    "boolean": ("BOOLEAN",),
    "long": ("UBIGINT", "BIGINT"),
    "double": ("UBIGINT", "BIGINT", "DOUBLE"),
    "timestamp": ("VARCHAR",),
    "date": ("VARCHAR",),
}
_SQL_TYPES = {"boolean": "boolean", "long": "bigint", "double": "double", "timestamp": "timestamptz", "date": "date"}


def parse_columns(contract: Contract) -> str:
    """Select list over `doc` (JSON or null): `f`, the fields as text, and `t`, the JSON type of each."""
    shape = {f.name: ["VARCHAR"] if f.type == "list<string>" else "VARCHAR" for f in contract.record_fields}
    pointers = [f"/{f.name}" for f in contract.record_fields]
    return f"from_json(doc, {quoted(json.dumps(shape))}) as f, json_type(doc, {pointers}) as t"


def typed_columns(contract: Contract) -> str:
    """Select list over `f`: every field in its type; what does not fit becomes null (and is judged apart)."""
    return ", ".join(f'{_typed(field)} as "{field.name}"' for field in contract.record_fields)


def breaches(contract: Contract, is_text: bool) -> list[tuple[str, str, str]]:
    """The rules of a contract over `f` and `t`, as (condition, reason code, message): SQL expressions.

    Args:
        contract: Whose rules.
        is_text: The source knows text only (CSV): numbers and booleans arrive as text.
    """
    found = []
    for number, field in enumerate(contract.record_fields, start=1):
        kind = f"t[{number}]"
        value = f'f."{field.name}"'
        if field.required:
            missing = f"{kind} is null or {kind} = 'NULL'" + (
                f" or trim({value}) = ''" if field.type == "string" else ""
            )
            found.append((missing, "missing_required", quoted(f"{field.name}: missing, a value is required")))
        allowed = {*_JSON_TYPES[field.type], "NULL", *(["VARCHAR"] if is_text else [])}
        wrong = f"{kind} is not null and {kind} not in ({', '.join(map(quoted, sorted(allowed)))})"
        found_type = f"{quoted(f'{field.name}: found a JSON ')} || {_json_type_name(kind)}"
        message = f"{found_type} || {quoted(f', expected {field.type}')}"
        found.append((wrong, "wrong_type", message))
        if field.type == "list<string>":
            found.append(_element_breach(field))
        found.extend(_value_breaches(field, value, kind))
    return found


def _element_breach(field: ContractField) -> tuple[str, str, str]:
    elements = quoted(f'$."{field.name}"[*]')
    kinds = f"json_type(doc, {elements})"
    odd = f"list_filter({kinds}, lambda k: k not in ('VARCHAR', 'NULL'))"
    found = f"{quoted(f'{field.name}: found a JSON ')} || {_json_type_name(f'{odd}[1]')}"
    return f"len({odd}) > 0", "wrong_type", f"{found} || {quoted(f' in the list, expected {field.type}')}"


def _value_breaches(field: ContractField, value: str, kind: str) -> list[tuple[str, str, str]]:
    is_text = f"{kind} = 'VARCHAR'"
    shown = f"{quoted(f'{field.name}: found ')} || {quoted(chr(34))} || left({value}, 80) || {quoted(chr(34))}"
    found = []
    if field.type == "timestamp":
        allowed = ", expected an instant with an offset such as 2026-04-15T08:00:00Z"
        bad = f"{is_text} and try_cast({value} as timestamptz) is null"
        found.append((bad, "invalid_instant", f"{shown} || {quoted(allowed)}"))
        naive = f"{is_text} and try_cast({value} as timestamptz) is not null and not {_has_offset(value)}"
        found.append((naive, "instant_without_offset", f"{shown} || {quoted(allowed)}"))
    elif field.type in _SQL_TYPES:
        bad = f"{is_text} and try_cast({value} as {_SQL_TYPES[field.type]}) is null"
        found.append((bad, "wrong_type", f"{shown} || {quoted(f', expected {field.type}')}"))
    if field.enum is not None:
        bad = f"{is_text} and {value} not in ({', '.join(map(quoted, field.enum))})"
        found.append((bad, "value_not_allowed", f"{shown} || {quoted(', allowed: ' + ', '.join(field.enum))}"))
    if field.pattern is not None:
        bad = f"{is_text} and not regexp_full_match({value}, {quoted(field.pattern)})"
        found.append((bad, "pattern_mismatch", f"{shown} || {quoted(f', expected {field.pattern}')}"))
    if field.max_length is not None:
        bad = f"{is_text} and length({value}) > {field.max_length}"
        found.append((bad, "too_long", f"{shown} || {quoted(f', allowed are {field.max_length} characters')}"))
    return found


def instant(value: str) -> str:
    """SQL: the instant (UTC) that a text names; null where it names none or lacks an offset."""
    return f"case when {_has_offset(value)} then try_cast({value} as timestamptz) end"


def value_conditions(contract: Contract) -> list[str]:
    """Conditions that a row of strictly typed plain values breaks a rule, where instants are `instants."name"`: SQL.

    Says only whether; `breaches` says which and why.
    """
    found = []
    for field in contract.record_fields:
        value = f'"{field.name}"'
        if field.required:
            found.append(f"{value} is null" + (f" or trim({value}) = ''" if field.type == "string" else ""))
        if field.type == "timestamp":
            found.append(f"{value} is not null and instants.{value} is null")
        elif field.type == "date":
            found.append(f"{value} is not null and try_cast({value} as date) is null")
        if field.enum is not None:
            found.append(f"{value} not in ({', '.join(map(quoted, field.enum))})")
        if field.pattern is not None:
            found.append(f"not regexp_full_match({value}, {quoted(field.pattern)})")
        if field.max_length is not None:  # bytes first: they are counted for nothing
            found.append(f"strlen({value}) > {field.max_length} and length({value}) > {field.max_length}")
    return found


def rest_column(contract: Contract, doc: str) -> str:
    """SQL over a JSON record: the record without the fields that the contract names; null where it has no others."""
    known = quoted(json.dumps(dict.fromkeys(field.name for field in contract.record_fields)))
    return f"case when {doc} is not null then nullif(json_merge_patch({doc}, {known})::varchar, '{{}}')::json end"


def extra_column(rest: str) -> str:
    """SQL: a JSON object as text with its keys in order, so that their order in the source changes nothing."""
    entries = (
        f"list_transform(list_sort(json_keys({rest})), "
        f"lambda k: to_json(k)::varchar || ':' || "
        f"json_extract({rest}, '/' || replace(replace(k, '~', '~0'), '/', '~1'))::varchar)"
    )
    return f"case when {rest} is not null then '{{' || array_to_string({entries}, ',') || '}}' end"


def canonical(contract: Contract) -> str:
    """SQL over typed columns and `extra`: a text that is the same for the same record, without its batch fields."""
    return f"to_json([{', '.join(canonical_texts(contract).values())}])::varchar"


def canonical_texts(contract: Contract) -> dict[str, str]:
    """The parts of `canonical` in their order, by field, those that the contract does not name last (`rest`)."""
    texts = {field.name: canonical_text(field) for field in contract.record_fields}
    batch = quoted(json.dumps(dict.fromkeys(BATCH_FIELDS)))
    return texts | {
        "rest": f"case when extra is not null then json_merge_patch(extra, {batch})::varchar else '{{}}' end"
    }


def canonical_text(field: ContractField) -> str:
    """SQL: a typed value as text."""
    if field.type == "list<string>":
        return f'to_json("{field.name}")::varchar'
    text = f'"{field.name}"::varchar'
    if field.type != "timestamp":
        return text
    # DuckDB writes a timestamp without a zone at half the cost; years of four digits look the same.
    is_plain = f"\"{field.name}\" between timestamptz '0001-01-01 00:00:00Z' and timestamptz '9999-12-31 00:00:00Z'"
    return f"case when {is_plain} then make_timestamp(epoch_us(\"{field.name}\"))::varchar || '+00' else {text} end"


def _json_type_name(kind: str) -> str:
    """SQL: the type of a JSON value as JSON calls it, from the name that DuckDB gives it."""
    numbers = "'UBIGINT', 'BIGINT', 'DOUBLE'"
    return f"case when {kind} = 'VARCHAR' then 'string' when {kind} in ({numbers}) then 'number' else lower({kind}) end"


def _typed(field: ContractField) -> str:
    value = f'f."{field.name}"'
    if field.type == "timestamp":
        return instant(value)
    sql_type = _SQL_TYPES.get(field.type)
    return f"try_cast({value} as {sql_type})" if sql_type else value


def _has_offset(value: str) -> str:
    """SQL: the text ends in Z, +hh:mm, +hhmm or +hh behind a date and a time."""
    signs = " or ".join(f"substr({value}, -{back}, 1) in ('+', '-')" for back in (6, 5, 3))
    return f"(strlen({value}) > 16 and (ends_with({value}, 'Z') or ends_with({value}, 'z') or {signs}))"
