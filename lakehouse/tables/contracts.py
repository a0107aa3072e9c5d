"""Data contracts: the fields of a record, their types and rules, read from `manifests/contracts/*.json`.

One source of truth: table definitions, the loader's typing and row rules, and what `lakehouse.tables.contract_docs`
writes are derived from these files.
"""

import hashlib
import json
import re
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lakehouse.errors import ConfigurationError
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.unicode_text import WHOLE_TEXT, broken_texts

FieldType = Literal["string", "boolean", "long", "double", "date", "timestamp", "list<string>"]


class ContractField(BaseModel):
    """One field: its type, and the rules that a value must meet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    type: FieldType
    description: str
    required: bool = False
    enum: list[str] | None = None
    pattern: str | None = None
    max_length: int | None = None


class Contract(BaseModel):
    """The shape of one kind of record. Timestamps are instants with an offset, kept in UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    ref: str
    grain: str
    extends: str | None = None
    primary_key: list[str] = []
    """Fields that together identify a row; they may be those of the contract that this one extends."""
    fields: list[ContractField]

    @cached_property
    def sha256(self) -> str:
        """Hash of the contract's content: another contract re-opens the partitions typed by this one."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def list_contracts(settings: LakehouseSettings) -> list[str]:
    """Names of the contracts: those of the manifest folder and those that ship, in order."""
    folders = (settings.manifests / "contracts", PROJECT_ROOT / "manifests" / "contracts")
    return sorted({path.stem for folder in folders for path in folder.glob("*.json")})


def load_contract(settings: LakehouseSettings, name: str) -> Contract:
    """Read a contract by its name; the fields of the contract that it extends follow its own.

    Raises:
        ConfigurationError: the file is missing or is not a contract, or its primary key names no field.
    """
    path = settings.manifest_resource("contracts", f"{name}.json")
    try:
        document = json.loads(path.read_text("utf-8"))
        if broken := [f"{found} at {where}" for where, found in broken_texts(document)]:
            raise ValueError(f"found {', '.join(broken)}, expected {WHOLE_TEXT}; next: write the character itself")
        contract = Contract.model_validate(document)
    except FileNotFoundError:
        raise ConfigurationError(
            f"contract {name!r} not found: expected {path}; restore it from the repository"
        ) from None
    except (ValueError, ValidationError) as error:
        raise ConfigurationError(f"contract {path} cannot be read: {error}") from error
    if contract.extends is not None:
        base = load_contract(settings, contract.extends)
        contract = contract.model_copy(update={"fields": [*contract.fields, *base.fields]})
    names = [field.name for field in contract.fields]
    if unknown := [name for name in contract.primary_key if name not in names]:
        raise ConfigurationError(
            f"contract {path}: primary_key names {', '.join(unknown)}, expected fields out of {', '.join(names)}"
        )
    return contract


def contract_name(ref: str) -> str:
    """Name of the contract in a reference such as `omni://contracts/data/ticket/v1`."""
    match = re.fullmatch(r"omni://contracts/data/([a-z_]+)/v\d+", ref)
    if match is None:
        raise ConfigurationError(f"contract_ref {ref!r}: expected omni://contracts/data/<name>/v1")
    return match[1]
