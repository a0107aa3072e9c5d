"""What a record says without saying it, as SQL: values that a contract derives where the source gives none.

The contract's `derived` says how (docs/reference/contracts.md); nothing here knows any contract by name.
"""

from lakehouse.contracts.model import Case, Contract, ContractField, Derivation
from lakehouse.tables.duck import quoted


def derived_columns(contract: Contract) -> str:
    """Replacements over typed columns, ` replace (…)`; nothing where no field is derived from its record."""
    found = [f"{sql} as {_column(field.name)}" for field in contract.record_fields if (sql := _derived(field))]
    return f" replace ({', '.join(found)})" if found else ""


def is_found_in_record(field: ContractField) -> bool:
    """Whether other fields of its record decide what a missing value becomes."""
    return _derived(field) is not None


def key_columns(contract: Contract, source_id: str) -> str:
    """Replacements over typed rows with their origin: identities that are hashes of what is known of the record."""
    found = []
    for field in contract.record_fields:
        if field.derived is not None and field.derived.hash_of:
            texts = ", ".join(_hashed(name, source_id) for name in field.derived.hash_of)
            own = _column(field.name)
            found.append(f"coalesce({own}, sha256(to_json([{texts}])::varchar)) as {own}")
    return f" replace ({', '.join(found)})" if found else ""


def _hashed(name: str, source_id: str) -> str:
    return quoted(source_id) if name == "source_id" else f"{_column(name)}::varchar"


def _derived(field: ContractField) -> str | None:
    derived, own = field.derived, _column(field.name)
    if derived is None:
        return None
    if derived.first_of:
        return f"coalesce({', '.join([own, *map(_column, derived.first_of)])})"
    return f"coalesce({own}, {_cases(derived)})" if derived.cases else None


def _cases(derived: Derivation) -> str:
    whens = " ".join(f"when {_condition(case)} then {_value(case.then)}" for case in derived.cases or ())
    otherwise = "" if derived.otherwise is None else f" else {_value(derived.otherwise)}"
    return f"case {whens}{otherwise} end"


def _condition(case: Case) -> str:
    return " and ".join(_is(name, value) for name, value in case.when.items())


def _is(name: str, value: str | list[str] | None) -> str:
    if value is None:
        return f"{_column(name)} is null"
    if isinstance(value, list):
        return f"{_column(name)} in ({', '.join(map(_value, value))})"
    return f"{_column(name)} = {_value(value)}"


def _value(text: str) -> str:
    """A literal, or for `=name` the column of another field."""
    return _column(text[1:]) if text.startswith("=") else quoted(text)


def _column(name: str) -> str:
    return f'"{name}"'
