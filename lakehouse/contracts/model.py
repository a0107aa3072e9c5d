"""A data contract as a typed value: the fields of a record, their types and rules, and the Bronze asset that they make.

Pure. Read from files and judged by `lakehouse.contracts.registry` and `lakehouse.contracts.rules`.
"""

import hashlib
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lakehouse.kinds import (
    CHECKS,
    CONSERVATION,
    FORMS,
    KINDS,
    OBJECT_COLUMN,
    FieldType,
    KindName,
    RowForm,
    Severity,
)


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Case(_Declared):
    """One case of a derived value: where all conditions hold, this value."""

    when: dict[str, str | list[str] | None]
    """Field → its value, one of several, or null; `=name` stands for the value of another field."""
    then: str
    """The value; `=name` for that of another field."""


class Derivation(_Declared):
    """What a record says without saying it: the value of a field that its source may leave out. One of the three."""

    first_of: list[str] | None = None
    """The first of these fields that has a value; of the field's own type."""
    cases: list[Case] | None = None
    """The first case that applies, else `otherwise`."""
    otherwise: str | None = None
    """Where no case applies; `=name` for the value of another field."""
    hash_of: list[str] | None = None
    """SHA-256 over these columns: fields, `source_id`, `record_sha256`. For a field of the key alone."""


class ContractField(_Declared):
    """One field: its type, and the rules that a value must meet."""

    name: str = Field(pattern=r"^[a-z_][a-z0-9_]*$")
    type: FieldType
    """A `timestamp` is an instant with an offset, kept in UTC."""
    description: str
    """What it means, with its unit or time zone; the comment of the column."""
    required: bool = False
    """A record without a value is quarantined."""
    enum: list[str] | None = Field(default=None, min_length=1)
    """The values that are allowed."""
    aliases: dict[str, str] = {}
    """Word that a source may write → the word of `enum` that it stands for; exact."""
    pattern: str | None = None
    """Regular expression that the whole value matches."""
    max_length: int | None = Field(default=None, ge=1)
    """Characters."""
    derived: Derivation | None = None
    """How a value is found where the source gives none: by its type, and by `enum`, one that the field allows."""
    sidecar: bool = False
    """The value is the path of an object: the bytes of the file that a source declares in its field of this name."""


class CheckRule(_Declared):
    """What a contract says of a check."""

    severity: Severity | None = None
    """`error` keeps the partition from being READY, `warn` does not; else the check's own."""
    at_most: float | None = Field(default=None, ge=0, le=1)
    """Share of the records that `quarantine_share` allows; else the setting's."""
    at_least: float | None = Field(default=None, ge=0, le=1)
    """Share of what is usual that `volume` expects; else 0.5."""


class Fitting(_Declared):
    """What a manifest may declare of sources under a contract; anything, where a key is left out."""

    modality: list[str] | None = None
    source_type: list[str] | None = None
    asset_type: list[str] | None = None
    """Only such as the asset's rows can be read from."""


class AssetDeclaration(_Declared):
    """The Bronze asset of a contract."""

    name: str = Field(pattern=r"^raw_[a-z0-9_]+$")
    """Name of the asset, and of its table in Bronze."""
    kind: KindName
    """How its partitions come about."""
    pipeline: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name under which `dlt pipeline run` loads it."""
    time: str
    """Field whose UTC day is the partition: a `timestamp` of events, required or `first_of` such; a `date` of
    snapshots, which the batch fills."""
    bytes: bool = False
    """Each row is a source file, whose bytes are stored as an object; else a record of one. Snapshots only."""
    checks: dict[str, CheckRule] = {}
    """What it says of the checks that the loaders run, by name."""
    fits: Fitting = Fitting()
    """Which declarations of a manifest its sources may have."""
    warn_after_hours: int | None = Field(default=None, ge=1)
    """Age of the latest row from which on `dbt source freshness` warns."""


class Contract(_Declared):
    """The shape of one kind of record. Timestamps are instants with an offset, kept in UTC."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """That of its file, without `.json`."""
    version: str = Field(pattern=r"^v[0-9]+$")
    """Another one where the meaning of its records changes."""
    ref: str
    """`omni://contracts/data/NAME/VERSION`, as manifests refer to it."""
    grain: str
    """What a row is, in one sentence."""
    extends: str | None = None
    """Contract whose fields follow its own."""
    asset: AssetDeclaration | None = None
    """The Bronze asset that it makes; left out of a contract that only others extend."""
    primary_key: list[str] = []
    """Fields that together identify a row, each required or derived by `hash_of`; they may be those of the contract
    that this one extends. Of snapshots one beside the time, which all rows of a day share."""
    fields: list[ContractField]
    """Its columns, in their order."""

    @cached_property
    def sha256(self) -> str:
        """Hash of what decides what its rows look like: another one re-opens the partitions that it typed.

        Descriptions, checks and their thresholds are no part of it.
        """
        no_part: Any = {
            "grain": True,
            "fields": {"__all__": {"description"}},
            "asset": {"checks", "fits", "warn_after_hours"},
        }
        text = self.model_dump_json(exclude=no_part, exclude_defaults=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def declared_asset(self) -> AssetDeclaration:
        """The asset, of a contract that names one."""
        assert self.asset is not None, self.name
        return self.asset

    @property
    def lists_records(self) -> bool:
        """Whether a batch lists records as they are on its day."""
        return self.form == "records" and KINDS[self.declared_asset.kind].is_dated_by_batch

    @property
    def form(self) -> RowForm:
        """What a row is."""
        return "files" if self.declared_asset.bytes else "records"

    @cached_property
    def sidecars(self) -> tuple[str, ...]:
        """Columns that hold the object of a file beside the row's own."""
        return tuple(field.name for field in self.fields if field.sidecar)

    @property
    def object_columns(self) -> tuple[str, ...]:
        """Columns that hold paths of objects: of the row's own file, of its sidecars."""
        own = (field.name for field in self.fields if self.form == "files" and field.name == OBJECT_COLUMN)
        return (*own, *self.sidecars)

    @cached_property
    def record_fields(self) -> list[ContractField]:
        """Fields that a record of a source has; the day of a snapshot is its batch's to say."""
        by_batch = {self.asset.time} if self.asset and KINDS[self.asset.kind].is_dated_by_batch else set()
        return [field for field in self.fields if field.name not in by_batch]

    @property
    def key(self) -> list[str]:
        """Fields of the primary key that tell rows of one day apart."""
        names = {field.name for field in self.record_fields}
        return [name for name in self.primary_key if name in names]

    @property
    def time_fields(self) -> list[str]:
        """Fields that date a record, the first that is an instant; none where the batch does."""
        asset = self.declared_asset
        if KINDS[asset.kind].is_dated_by_batch:
            return []
        time = next(field for field in self.fields if field.name == asset.time)
        return [time.name, *((time.derived and time.derived.first_of) or ())]

    @property
    def checks(self) -> dict[str, Severity]:
        """Checks that the loaders run on each partition, with the severity that counts."""
        given = self.declared_asset.checks
        names = (CONSERVATION, *FORMS[self.form].checks)
        return {name: (name in given and given[name].severity) or CHECKS[name].severity for name in names}

    @property
    def fits(self) -> Fitting:
        """What a manifest may declare of its sources; formats that its rows cannot be read from never."""
        fits, readable = self.declared_asset.fits, FORMS[self.form].asset_types
        return fits if fits.asset_type else fits.model_copy(update={"asset_type": readable and list(readable)})

    def rule_of(self, check: str) -> CheckRule:
        """What it says of a check."""
        return self.declared_asset.checks.get(check) or CheckRule()
