"""SQL that turns JSON records into typed, judged rows, derived from a data contract.

Set-based: one DuckDB expression per field and rule (`lakehouse.tables.field_rules`), no Python per row. Called by both
ways to type, `loaders.events.record_typing` and `loaders.events.quick_typing`.
"""

import json

from lakehouse.contracts.model import Contract, ContractField
from lakehouse.tables.duck import quoted
from lakehouse.tables.field_rules import SQL_TYPES, SeenValue, rules_of

BATCH_FIELDS = ("batch_id", "ingest_batch_id", "manifest_id", "run_id", "exported_at", "ingested_at")
"""Fields by which re-exports of one event differ; they do not belong to its identity."""


def known_in_extra(contract: Contract) -> tuple[str, ...]:
    """Keys of `extra` that are neither a part of a record's identity nor unknown: batch fields, words with an alias."""
    return (*BATCH_FIELDS, *(field.name for field in contract.record_fields if field.aliases))


READ_AS_TEXT = ("string", "timestamp", "date")
"""Types whose values are read as text, by both ways."""


def parse_columns(contract: Contract) -> str:
    """Select list over `doc` (JSON or null): `f`, the fields as text, and `t`, the JSON type of each."""
    shape = {f.name: ["VARCHAR"] if f.type == "list<string>" else "VARCHAR" for f in contract.record_fields}
    pointers = [f"/{f.name}" for f in contract.record_fields]
    return f"from_json(doc, {quoted(json.dumps(shape))}) as f, json_type(doc, {pointers}) as t"


def typed_columns(contract: Contract) -> str:
    """Select list over `f`: every field in its type; what does not fit becomes null (and is judged apart)."""
    return ", ".join(f'{_typed(field)} as "{field.name}"' for field in contract.record_fields)


def breaches(contract: Contract, is_text: bool) -> list[tuple[str, str, str]]:
    """The rules of a contract over `doc`, `f` and `t`, as (condition, reason code, message): SQL expressions.

    Args:
        contract: Whose rules.
        is_text: The source knows text only (CSV): numbers and booleans arrive as text.
    """
    return [
        (rule.breach(field, seen), rule.code, f"{quoted(field.name)} || {rule.message(field, seen)}")
        for number, field in enumerate(contract.record_fields, start=1)
        for seen in [_seen_in_json(field, number, is_text)]
        for rule in rules_of(field)
    ]


def value_conditions(contract: Contract) -> list[str]:
    """Conditions that a row of strictly typed plain values breaks a rule, where instants are `instants."name"`: SQL.

    Says only whether; `breaches` says which and why.
    """
    return [rule.breach(field, _seen_plain(field)) for field in contract.record_fields for rule in rules_of(field)]


def _seen_in_json(field: ContractField, number: int, is_text: bool) -> SeenValue:
    """A value of a record that may have any type; `number` is that of the field, from 1."""
    value, kind = _contract_word(field), f"t[{number}]"

    def other_type(types: tuple[str, ...]) -> str:
        allowed = {*types, "NULL", *(["VARCHAR"] if is_text else [])}
        return f"{kind} is not null and {kind} not in ({', '.join(map(quoted, sorted(allowed)))})"

    elements = quoted(f'$."{field.name}"[*]')
    return SeenValue(
        value=value,
        is_absent=f"{kind} is null or {kind} = 'NULL'",
        is_text=f"{kind} = 'VARCHAR'",
        instant=instant(value),
        other_type=other_type,
        json_type=kind,
        odd_elements=f"list_filter(json_type(doc, {elements}), lambda k: k not in ('VARCHAR', 'NULL'))",
    )


def _seen_plain(field: ContractField) -> SeenValue:
    """A value that was read with the field's type, instants and days as text."""
    value = f'"{field.name}"'
    return SeenValue(
        value=value,
        is_absent=f"{value} is null",
        is_text=f"{value} is not null" if field.type in READ_AS_TEXT else "false",
        instant=f"instants.{value}",
        other_type=lambda types: "false",
        json_type="null",
        odd_elements="[]",
    )


def instant(value: str) -> str:
    """SQL: the instant (UTC) that a text names; null where it names none or lacks an offset."""
    return f"case when {_has_offset(value)} then try_cast({value} as timestamptz) end"


def with_source_words(contract: Contract, rest: str) -> str:
    """SQL over `f`: what the contract does not name of a record (JSON or null), with the words that were aliases."""
    patches, conditions = [], []
    for field in contract.record_fields:
        if field.aliases:
            value = f'f."{field.name}"'
            conditions.append(f"{value} in ({', '.join(map(quoted, field.aliases))})")
            patches.append(
                f"case when {conditions[-1]} then json_object({quoted(field.name)}, {value}) else '{{}}' end"
            )
    if not patches:
        return rest
    with_words = ", ".join([f"coalesce({rest}, '{{}}')", *patches])
    return f"case when {' or '.join(conditions)} then json_merge_patch({with_words}) else {rest} end"


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
    """SQL over typed columns and `extra`: a text that is the same for the same record, without its batch fields.

    Nor with the words of its source: an event that is told in aliases is the same event.
    """
    return f"to_json([{', '.join(canonical_texts(contract).values())}])::varchar"


def canonical_texts(contract: Contract) -> dict[str, str]:
    """The parts of `canonical` in their order, by field, those that the contract does not name last (`rest`)."""
    texts = {field.name: canonical_text(field) for field in contract.record_fields}
    no_part = quoted(json.dumps(dict.fromkeys(known_in_extra(contract))))
    return texts | {
        "rest": f"case when extra is not null then json_merge_patch(extra, {no_part})::varchar else '{{}}' end"
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


def _contract_word(field: ContractField) -> str:
    """SQL over `f`: a value as text, an alias as the word that it stands for."""
    value = f'f."{field.name}"'
    words = " ".join(f"when {quoted(alias)} then {quoted(word)}" for alias, word in field.aliases.items())
    return f"case {value} {words} else {value} end" if words else value


def _typed(field: ContractField) -> str:
    value = _contract_word(field)
    if field.type == "timestamp":
        return instant(value)
    sql_type = SQL_TYPES.get(field.type)
    return f"try_cast({value} as {sql_type})" if sql_type else value


def _has_offset(value: str) -> str:
    """SQL: the text ends in Z, +hh:mm, +hhmm or +hh behind a date and a time."""
    signs = " or ".join(f"substr({value}, -{back}, 1) in ('+', '-')" for back in (6, 5, 3))
    return f"(strlen({value}) > 16 and (ends_with({value}, 'Z') or ends_with({value}, 'z') or {signs}))"
