"""Rules of a contract beyond what its types say: names that must be fields, a time that is one, a key that is there.

Pure. Called by `lakehouse.contracts.registry`, which reads the files.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lakehouse.contracts.model import AssetDeclaration, Contract, ContractField
from lakehouse.contracts.sql_words import SQL_WORDS
from lakehouse.kinds import CHECKS, FILE_FIELDS, FORMS, KINDS, NEEDED_OF_FILES, ORIGIN, SIDECARS, FieldType
from lakehouse.strict_json import Breach
from lakehouse.unicode_text import json_path

_LIMITS = {check.limit for check in CHECKS.values() if check.limit}


def contract_breaches(contract: Contract) -> list[Breach]:
    """Rules that span several values of a contract, its inherited fields included."""
    names = [field.name for field in contract.fields]
    types = {field.name: field.type for field in contract.fields}
    breaches = [
        Breach(f"$.fields[{number}].name", f'"{name}"', "a name that no other field has")
        for number, name in enumerate(names)
        if name in names[:number]
    ]
    added = added_columns(contract)
    breaches += [
        Breach(
            f"$.fields[{number}].name",
            f'"{name}"',
            f"a name other than of a column that Bronze adds: {', '.join(added)}",
        )
        for number, name in enumerate(names)
        if name in added
    ]
    breaches += [
        Breach(f"$.primary_key[{number}]", f'"{name}"', f"a field: {', '.join(names)}")
        for number, name in enumerate(contract.primary_key)
        if name not in types
    ]
    breaches += _sql_word_breaches(contract)
    for number, field in enumerate(contract.fields):
        breaches += _word_breaches(f"$.fields[{number}]", field)
        breaches += _derivation_breaches(f"$.fields[{number}].derived", field, contract)
    breaches += _sidecar_breaches(contract)
    if contract.asset is None:
        return breaches
    return breaches + _asset_breaches(contract, contract.asset, types)


def added_columns(contract: Contract) -> list[str]:
    """Columns of its table beside its fields; none of a contract that names no asset."""
    if contract.asset is None:
        return []
    return [name for name, _, _ in (*FORMS[contract.form].columns, *ORIGIN)]


def claim_breaches(contract: Contract, others: Iterable[Contract]) -> list[Breach]:
    """An asset and a pipeline belong to one contract."""
    if contract.asset is None:
        return []
    breaches = []
    for other in others:
        for what in ("name", "pipeline"):
            value = getattr(contract.asset, what)
            if other.name != contract.name and other.asset and getattr(other.asset, what) == value:
                found = f'"{value}", which the contract {other.name} has, too'
                breaches.append(Breach(f"$.asset.{what}", found, "one that no other contract has"))
    return breaches


def _asset_breaches(contract: Contract, asset: AssetDeclaration, types: Mapping[str, FieldType]) -> list[Breach]:
    breaches = []
    wanted = KINDS[asset.kind].time_type
    if types.get(asset.time) != wanted:
        fitting = [name for name, kind in types.items() if kind == wanted]
        found = f"{asset.time!r}, {'no field' if asset.time not in types else f'a {types[asset.time]}'}"
        allowed = f"a {wanted}, as the kind {asset.kind} needs: {', '.join(fitting) or 'there is none'}"
        breaches.append(Breach("$.asset.time", found, allowed))
    elif not KINDS[asset.kind].is_dated_by_batch and not _is_always_dated(contract):
        breaches.append(
            Breach("$.asset.time", f'"{asset.time}"', "a field that is required, or derived from one that is")
        )
    readable = FORMS[contract.form].asset_types
    for number, name in enumerate((readable and asset.fits.asset_type) or ()):
        if name not in (readable or ()):
            breaches.append(Breach(f"$.asset.fits.asset_type[{number}]", f'"{name}"', ", ".join(readable or ())))
    if asset.bytes and not KINDS[asset.kind].is_dated_by_batch:
        breaches.append(Breach("$.asset.bytes", "true", "false for the kind events"))
    if asset.bytes:
        breaches += _file_breaches(contract)
    known = FORMS["files" if asset.bytes else "records"].checks  # conservation is nobody's to weaken
    breaches += [
        Breach(f"$.asset.checks.{name}", "a check that it cannot change", ", ".join(known))
        for name in asset.checks
        if name not in known
    ]
    breaches += [
        Breach(f"$.asset.checks.{name}.{key}", "a limit that it does not have", CHECKS[name].limit or "none")
        for name, rule in asset.checks.items()
        for key in sorted(rule.model_fields_set & _LIMITS)
        if name in known and key != CHECKS[name].limit
    ]
    if not contract.primary_key:
        breaches.append(Breach("$.primary_key", "[]", "the fields that identify a row of the asset"))
    else:
        never_null = {f.name for f in contract.fields if f.required or (f.derived and f.derived.hash_of)}
        breaches += [
            Breach(f"$.primary_key[{number}]", f'"{name}"', "a field that is required, or derived by hash_of")
            for number, name in enumerate(contract.primary_key)
            if name in types and name not in never_null
        ]
        if KINDS[asset.kind].is_dated_by_batch and {*contract.primary_key} == {asset.time}:
            breaches.append(Breach("$.primary_key", "only the time", "a field that tells rows of one day apart"))
    return breaches


def _file_breaches(contract: Contract) -> Iterator[Breach]:
    """A listing fills the fields of a file, and knows no others."""
    for number, field in enumerate(contract.fields):
        wanted = FILE_FIELDS.get(field.name)
        if wanted is None:
            yield Breach(f"$.fields[{number}].name", f'"{field.name}"', f"of a file: {', '.join(FILE_FIELDS)}")
        elif field.type != wanted:
            yield Breach(f"$.fields[{number}].type", f'"{field.type}"', f'"{wanted}", as {field.name} of any file')
    if lacking := [name for name in NEEDED_OF_FILES if name not in {field.name for field in contract.fields}]:
        yield Breach("$.fields", f"no {', '.join(lacking)}", "the fields of listed_file, which it may extend")


def _sql_word_breaches(contract: Contract) -> Iterator[Breach]:
    """Windows and tests write the time and the key without quotes."""
    named = [(f"$.primary_key[{number}]", name) for number, name in enumerate(contract.primary_key)]
    if contract.asset is not None and contract.asset.time not in contract.primary_key:
        named.append(("$.asset.time", contract.asset.time))
    for path, name in named:
        if name in SQL_WORDS:
            yield Breach(path, f'"{name}"', "a field whose name is no word of SQL")


def _word_breaches(path: str, field: ContractField) -> list[Breach]:
    """Rules about texts, on a field of another type; aliases of no word, or of their own."""
    breaches = []
    if field.type != "string":
        breaches += [
            Breach(f"{path}.{rule}", f"a rule about texts, on a {field.type}", "only on a string")
            for rule in ("enum", "pattern", "max_length")
            if getattr(field, rule) is not None
        ]
    words = field.enum or []
    for alias, word in field.aliases.items():
        if word not in words:
            allowed = f"a word of enum: {', '.join(words)}" if words else "no aliases, on a field without enum"
            breaches.append(Breach(f"{path}.aliases.{alias}", f'"{word}"', allowed))
        if alias in words:
            breaches.append(Breach(f"{path}.aliases.{alias}", "an alias that is a word of enum itself", "another word"))
    return breaches


def _sidecar_breaches(contract: Contract) -> Iterator[Breach]:
    """A sidecar is a file that a source can declare beside its own; only a row that is a file has one."""
    for number, field in enumerate(contract.fields):
        path = f"$.fields[{number}]"
        if field.sidecar and field.name not in SIDECARS:
            yield Breach(f"{path}.name", f'the sidecar "{field.name}"', ", ".join(SIDECARS))
        if field.sidecar and contract.asset and not contract.asset.bytes:
            yield Breach(f"{path}.sidecar", "true", "false for an asset without bytes")


def _is_always_dated(contract: Contract) -> bool:
    """Whether a record that breaks no rule has an instant: a row without one would be of no day."""
    required = {field.name for field in contract.fields if field.required}
    return bool(required.intersection(contract.time_fields))


def _derivation_breaches(path: str, field: ContractField, contract: Contract) -> list[Breach]:
    derived = field.derived
    if derived is None:
        return []
    given = [name for name in ("first_of", "cases", "hash_of") if getattr(derived, name)]
    if len(given) != 1:
        return [Breach(path, ", ".join(given) or "nothing", "one of first_of, cases, hash_of")]
    fields = {each.name: each for each in contract.fields}
    known = {*fields, *(("source_id", "record_sha256") if derived.hash_of else ())}
    named = [*(derived.first_of or ()), *(derived.hash_of or ())]
    for case in derived.cases or ():
        texts = [
            text for value in case.when.values() if value for text in (value if isinstance(value, list) else [value])
        ]
        named += [*case.when, *(text[1:] for text in (*texts, case.then) if text.startswith("="))]
    named += [derived.otherwise[1:]] if derived.otherwise and derived.otherwise.startswith("=") else []
    if unknown := [name for name in named if name not in known]:
        return [Breach(path, f'"{name}"', f"a field: {', '.join(fields)}") for name in unknown]
    return [
        *_derived_type_breaches(path, field, fields, contract.primary_key),
        *_derived_word_breaches(path, field, fields),
    ]


def _derived_type_breaches(
    path: str, field: ContractField, fields: Mapping[str, ContractField], primary_key: Collection[str]
) -> Iterator[Breach]:
    """A derived value is judged by nobody: it must have the field's type by itself."""
    assert field.derived is not None
    for name in field.derived.first_of or ():
        if fields[name].type != field.type:
            yield Breach(f"{path}.first_of", f'"{name}", a {fields[name].type}', f"fields that are a {field.type}")
    if field.type != "string" and not field.derived.first_of:
        yield Breach(path, f"a text for a {field.type}", "first_of")
    if field.derived.hash_of and field.name not in primary_key:
        yield Breach(path, "hash_of", "a hash for a field of primary_key alone")


def _derived_word_breaches(path: str, field: ContractField, fields: Mapping[str, ContractField]) -> Iterator[Breach]:
    """Nor may it be a word that its field does not allow."""
    derived = field.derived
    if derived is None or field.enum is None:
        return
    values: list[tuple[str, list[str] | None]] = []
    for case in derived.cases or ():
        given = case.when.get(case.then.removeprefix("=")) if case.then.startswith("=") else None
        values.append((case.then, [given] if isinstance(given, str) else given))
    values += [(derived.otherwise, None)] if derived.otherwise else []
    values += [(f"={name}", None) for name in derived.first_of or ()]
    for value, given in values:
        words = (given or fields[value[1:]].enum) if value.startswith("=") else [value]
        if words is None or not {*words} <= {*field.enum}:
            yield Breach(path, f'"{value}"', f"what leads to a word of enum: {', '.join(field.enum)}")
    if derived.hash_of:
        yield Breach(path, "hash_of", "no hash, on a field with enum")


def name_breaches(contract: Contract, path: Path) -> list[Breach]:
    """A contract is found by the name of its file, and referred to by name and version."""
    ref = f"omni://contracts/data/{contract.name}/{contract.version}"
    breaches = []
    if contract.name != path.stem:
        breaches.append(Breach("$.name", f'"{contract.name}"', f'"{path.stem}", the name of its file'))
    if contract.ref != ref:
        breaches.append(Breach("$.ref", f'"{contract.ref}"', f'"{ref}", by its name and version'))
    return breaches


def type_breaches(error: ValidationError, page: str = "docs/reference/contracts.md") -> list[Breach]:
    """Values of the wrong type, unknown keys, missing ones; `page` says which keys there are."""
    return [_type_breach(each, page) for each in error.errors()]


def _type_breach(error: ErrorDetails, page: str) -> Breach:
    path = json_path(error["loc"])
    if error["type"] == "extra_forbidden":
        return Breach(path, "an unknown key", f"only keys of {page}")
    allowed = "a JSON object" if error["type"] == "model_type" else error["msg"]
    return Breach(path, json.dumps(error["input"], default=str)[:80], allowed)
