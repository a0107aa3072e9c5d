"""The rules of a contract's fields: whom each concerns, what breaks it, how a breach is told, what it allows.

Everything that knows rules is derived from here: the careful and the quick way to type records (`loaders.events`), and
the docs (`lakehouse.tables.contract_docs`). A new rule is one more row, with all of its sides.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts.model import ContractField
from lakehouse.kinds import FieldType
from lakehouse.tables.duck import quoted

SQL_TYPES: Mapping[FieldType, str] = {
    "boolean": "boolean",
    "long": "bigint",
    "double": "double",
    "timestamp": "timestamptz",
    "date": "date",
}
"""Types that a text may be cast to."""

_JSON_TYPES: Mapping[FieldType, tuple[str, ...]] = {
    "string": ("VARCHAR",),
    "list<string>": ("ARRAY",),
    "boolean": ("BOOLEAN",),
    "long": ("UBIGINT", "BIGINT"),
    "double": ("UBIGINT", "BIGINT", "DOUBLE"),
    "timestamp": ("VARCHAR",),
    "date": ("VARCHAR",),
}


@dataclass(frozen=True)
class SeenValue:
    """SQL about a value of a field, in the words of whoever reads it. A text is in the words of the contract."""

    value: str
    is_absent: str
    is_text: str
    """It is there, and it is a text."""
    instant: str
    """The instant (UTC) that it names; null where it names none."""
    other_type: Callable[[tuple[str, ...]], str]
    """Whether it is there with another JSON type than one of these."""
    json_type: str
    odd_elements: str
    """The JSON types of the elements of a list that are no texts."""


@dataclass(frozen=True)
class FieldRule:
    """One rule. No side has a default: a rule that lacks one is a type error."""

    code: str
    """Reason code in quarantine, see docs/reference/manifests.md."""
    concerns: Callable[[ContractField], bool]
    breach: Callable[[ContractField, SeenValue], str]
    """SQL: the value breaks the rule; null is as good as false."""
    message: Callable[[ContractField, SeenValue], str]
    """SQL: what was found and what is expected, behind the name of the field."""
    is_seen_kept: Callable[[ContractField, pa.ChunkedArray], bool]
    """Whether Arrow sees that no value of a column breaks the rule; `_unseen` where only DuckDB can tell."""
    allowed: Callable[[ContractField], str]
    """For a reader of the contract; empty where the field's type or `required` says it."""
    in_odcs: Callable[[ContractField], Mapping[str, Any]]
    """Keys of a property in the Open Data Contract Standard."""


def rules_of(field: ContractField) -> list[FieldRule]:
    """The rules that concern a field, the one that a breach is told by first."""
    return [rule for rule in FIELD_RULES if rule.concerns(field)]


def keeps_rules(field: ContractField, column: pa.ChunkedArray) -> bool:
    """Whether Arrow sees that no value of a column breaks a rule of its field."""
    return all(rule.is_seen_kept(field, column) for rule in rules_of(field))


# ── how a breach is told ─────────────────────────────────────────────────────────────────────────────────────────────
def _found_text(expected: Callable[[ContractField], str]) -> Callable[[ContractField, SeenValue], str]:
    def message(field: ContractField, seen: SeenValue) -> str:
        found = f"{quoted(': found ' + chr(34))} || left({seen.value}, 80) || {quoted(chr(34))}"
        return f"{found} || {quoted(f', {expected(field)}')}"

    return message


def _found_type(json_type: str, expected: str) -> str:
    """SQL: the type of a JSON value as JSON calls it, from the name that DuckDB gives it, and what is expected."""
    numbers = "'UBIGINT', 'BIGINT', 'DOUBLE'"
    name = f"case when {json_type} = 'VARCHAR' then 'string' when {json_type} in ({numbers}) then 'number' "
    return f"': found a JSON ' || {name} else lower({json_type}) end || {quoted(expected)}"


# ── what breaks a rule ───────────────────────────────────────────────────────────────────────────────────────────────
def _is_missing(field: ContractField, seen: SeenValue) -> str:
    return seen.is_absent + (f" or trim({seen.value}) = ''" if field.type == "string" else "")


def _is_no_value(field: ContractField, seen: SeenValue) -> str:
    return f"{seen.is_text} and try_cast({seen.value} as {SQL_TYPES[field.type]}) is null"


def _is_no_instant(seen: SeenValue, what: str) -> str:
    """SQL: a text names no instant, and read without asking for an offset it `is null`, or `is not null`."""
    return f"case when {seen.is_text} and {seen.instant} is null then try_cast({seen.value} as timestamptz) {what} end"


def _is_not_in_enum(field: ContractField, seen: SeenValue) -> str:
    return f"{seen.is_text} and {seen.value} not in ({', '.join(map(quoted, field.enum or ()))})"


def _is_too_long(field: ContractField, seen: SeenValue) -> str:
    most = field.max_length  # bytes first: they are counted for nothing
    return f"{seen.is_text} and strlen({seen.value}) > {most} and length({seen.value}) > {most}"


# ── what Arrow sees ──────────────────────────────────────────────────────────────────────────────────────────────────
def _unseen(field: ContractField, column: pa.ChunkedArray) -> bool:
    return bool(column.null_count == len(column))


def _seen_by_its_reader(field: ContractField, column: pa.ChunkedArray) -> bool:
    """A column was read with the field's type: its reader has let nothing else pass."""
    return True


def _is_typed(field: ContractField, column: pa.ChunkedArray) -> bool:
    return not pa.types.is_string(column.type) or _unseen(field, column)


def _is_there(field: ContractField, column: pa.ChunkedArray) -> bool:
    if column.null_count:
        return False
    is_text = field.type == "string" and len(column) > 0
    return not is_text or bool(pc.min(pc.binary_length(pc.utf8_trim_whitespace(column))).as_py())


def _is_in_enum(field: ContractField, column: pa.ChunkedArray) -> bool:
    if not pa.types.is_string(column.type):
        return _unseen(field, column)
    words = pa.array([*(field.enum or ()), None], pa.string())
    return bool(pc.all(pc.is_in(column, words)).as_py())


def _is_short(field: ContractField, column: pa.ChunkedArray) -> bool:
    if _unseen(field, column):
        return True
    return pa.types.is_string(column.type) and bool(pc.max(pc.binary_length(column)).as_py() <= (field.max_length or 0))


# ── what is written of it ────────────────────────────────────────────────────────────────────────────────────────────
def _nothing(field: ContractField) -> str:
    return ""


def _no_key(field: ContractField) -> Mapping[str, Any]:
    return {}


def _options(**options: Any) -> Mapping[str, Any]:
    return {"logicalTypeOptions": options}


def _words(field: ContractField) -> str:
    words = ", ".join(f"`{word}`" for word in field.enum or ())
    aliases = ", ".join(f"`{alias}` for `{word}`" for alias, word in field.aliases.items())
    return f"{words}; also {aliases}" if aliases else words


def _odcs_words(field: ContractField) -> Mapping[str, Any]:
    """The table holds the words of the contract alone; what sources may write is told beside them."""
    said: dict[str, Any] = {"enum": [{"value": word} for word in field.enum or ()]}
    return said | ({"customProperties": [{"property": "aliases", "value": field.aliases}]} if field.aliases else {})


_INSTANT_EXPECTED = "expected an instant with an offset such as 2026-04-15T08:00:00Z"

FIELD_RULES: tuple[FieldRule, ...] = (
    FieldRule(
        code="missing_required",
        concerns=lambda field: field.required,
        breach=_is_missing,
        message=lambda field, seen: quoted(": missing, a value is required"),
        is_seen_kept=_is_there,
        allowed=_nothing,
        in_odcs=lambda field: {"required": True},
    ),
    FieldRule(
        code="wrong_type",
        concerns=lambda field: True,
        breach=lambda field, seen: seen.other_type(_JSON_TYPES[field.type]),
        message=lambda field, seen: _found_type(seen.json_type, f", expected {field.type}"),
        is_seen_kept=_seen_by_its_reader,
        allowed=_nothing,
        in_odcs=_no_key,
    ),
    FieldRule(
        code="wrong_type",
        concerns=lambda field: field.type == "list<string>",
        breach=lambda field, seen: f"len({seen.odd_elements}) > 0",
        message=lambda field, seen: _found_type(f"{seen.odd_elements}[1]", f" in the list, expected {field.type}"),
        is_seen_kept=_seen_by_its_reader,
        allowed=_nothing,
        in_odcs=_no_key,
    ),
    FieldRule(
        code="invalid_instant",
        concerns=lambda field: field.type == "timestamp",
        breach=lambda field, seen: _is_no_instant(seen, "is null"),
        message=_found_text(lambda field: _INSTANT_EXPECTED),
        is_seen_kept=_is_typed,
        allowed=_nothing,
        in_odcs=_no_key,
    ),
    FieldRule(
        code="instant_without_offset",
        concerns=lambda field: field.type == "timestamp",
        breach=lambda field, seen: _is_no_instant(seen, "is not null"),
        message=_found_text(lambda field: _INSTANT_EXPECTED),
        is_seen_kept=_is_typed,
        allowed=_nothing,
        in_odcs=lambda field: _options(timezone=True),
    ),
    FieldRule(
        code="wrong_type",
        concerns=lambda field: field.type in SQL_TYPES and field.type != "timestamp",
        breach=_is_no_value,
        message=_found_text(lambda field: f"expected {field.type}"),
        is_seen_kept=_is_typed,
        allowed=_nothing,
        in_odcs=_no_key,
    ),
    FieldRule(
        code="value_not_allowed",
        concerns=lambda field: field.enum is not None,
        breach=_is_not_in_enum,
        message=_found_text(lambda field: f"allowed: {', '.join(field.enum or ())}"),
        is_seen_kept=_is_in_enum,
        allowed=_words,
        in_odcs=_odcs_words,
    ),
    FieldRule(
        code="pattern_mismatch",
        concerns=lambda field: field.pattern is not None,
        breach=lambda field, seen: (
            f"{seen.is_text} and not regexp_full_match({seen.value}, {quoted(str(field.pattern))})"
        ),
        message=_found_text(lambda field: f"expected {field.pattern}"),
        is_seen_kept=_unseen,
        allowed=lambda field: f"matches `{field.pattern}`",
        in_odcs=lambda field: _options(pattern=f"^(?:{field.pattern})$"),  # the loader matches the whole value
    ),
    FieldRule(
        code="too_long",
        concerns=lambda field: field.max_length is not None,
        breach=_is_too_long,
        message=_found_text(lambda field: f"allowed are {field.max_length} characters"),
        is_seen_kept=_is_short,
        allowed=lambda field: f"up to {field.max_length} characters",
        in_odcs=lambda field: _options(maxLength=field.max_length),
    ),
)
"""All of them. Of a record that breaks several, the first says why it is in quarantine."""
