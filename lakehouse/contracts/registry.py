"""The data contracts in force: those of the manifest folder, and those that ship where it has none of the name.

One source of truth: table definitions, the loader's typing and row rules, checks, and what
`lakehouse.tables.contract_docs` writes are derived from these files, `contracts/*.json`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from lakehouse.contracts.model import Contract
from lakehouse.contracts.rules import claim_breaches, contract_breaches, name_breaches, type_breaches
from lakehouse.errors import ConfigurationError, did_you_mean
from lakehouse.kinds import KindName
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.strict_json import Breach, load_json, read_declared
from lakehouse.unicode_text import WHOLE_TEXT, broken_texts


@dataclass(frozen=True, eq=False)
class Contracts:
    """All contracts of a lakehouse: those of its manifest folder, and those that ship where it has none of the name.

    The same object until a file changes.
    """

    by_name: Mapping[str, Contract]

    @cached_property
    def assets(self) -> dict[str, Contract]:
        """Bronze asset → the contract that names it: events first, then by name."""
        found = [contract for contract in self.by_name.values() if contract.asset]
        kinds = get_args(KindName)
        found.sort(key=lambda each: (kinds.index(each.declared_asset.kind), each.declared_asset.name))
        return {each.declared_asset.name: each for each in found}

    @cached_property
    def pipelines(self) -> dict[str, str]:
        """Dlt pipeline → Bronze asset."""
        return {contract.declared_asset.pipeline: name for name, contract in self.assets.items()}

    @cached_property
    def by_ref(self) -> dict[str, Contract]:
        """`contract_ref` of a source → the contract whose asset it is loaded into.

        A contract that names no asset stands for the one that extends it, where that is one.
        """
        found = {contract.ref: contract for contract in self.assets.values()}
        for base in self.by_name.values():
            heirs = [contract for contract in self.assets.values() if contract.extends == base.name]
            if base.asset is None and len(heirs) == 1:
                found[base.ref] = heirs[0]
        return found

    def of_asset(self, asset: str) -> Contract:
        """The contract of a Bronze asset.

        Raises:
            ConfigurationError: no contract names it.
        """
        try:
            return self.assets[asset]
        except KeyError:
            hint = did_you_mean(asset, self.assets)
            raise ConfigurationError(
                f"{asset!r} is no Bronze asset{hint}; there are: {', '.join(self.assets)}; next: name one, or add it "
                "(docs/how-to/add_an_asset.md)"
            ) from None


def load_contracts(settings: LakehouseSettings) -> Contracts:
    """Read all contracts; each file is read once, until it changes.

    Raises:
        ConfigurationError: a file is no contract, or two of them claim one asset or pipeline.
    """
    return _load(tuple(_stamped(path) for path in contract_files(settings)))


def load_contract(settings: LakehouseSettings, name: str) -> Contract:
    """Read a contract by its name; the fields of the contract that it extends follow its own.

    Raises:
        ConfigurationError: there is none, or a file is no contract.
    """
    contracts = load_contracts(settings).by_name
    if name not in contracts:
        raise ConfigurationError(f"contract {name!r} not found; there are: {', '.join(contracts)}")
    return contracts[name]


def bronze_contracts(settings: LakehouseSettings) -> dict[str, Contract]:
    """Bronze asset → its contract, of every asset of the lakehouse."""
    return load_contracts(settings).assets


def contract_files(settings: LakehouseSettings) -> list[Path]:
    """Contract files in force, by name: the manifest folder's own come before those that ship."""
    found: dict[str, Path] = {}
    for folder in (PROJECT_ROOT / "manifests" / "contracts", settings.manifests / "contracts"):
        found |= {path.stem: path for path in folder.glob("*.json")}
    return [found[name] for name in sorted(found)]


def judge_contract(path: Path, settings: LakehouseSettings) -> list[Breach]:
    """Every rule that a contract file breaks, with the other contracts in force around it, sound or not.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        contract = _parse(path)
    except ValidationError as error:
        return type_breaches(error)
    except ValueError as error:
        return [Breach("$", str(error), "a JSON object in UTF-8, each key once")]
    files = {each.stem: each for each in contract_files(settings) if each.stem != path.stem}
    if contract.extends is not None and contract.extends not in files:
        return [Breach("$.extends", repr(contract.extends), ", ".join(sorted(files)))]
    others = {name: other for name, each in files.items() if (other := _parsed(each)) is not None}
    base = others.get(contract.extends or "")
    if contract.extends is not None and base is None:
        return [Breach("$.extends", f"{contract.extends!r}, which is no sound contract itself", "a sound contract")]
    return [
        *name_breaches(contract, path),
        *contract_breaches(_extended(contract, base)),
        *claim_breaches(contract, others.values()),
    ]


def _parsed(path: Path) -> Contract | None:
    """A contract by its types alone; None where it is none."""
    try:
        return _parse(path)
    except (OSError, ValueError):
        return None


def _stamped(path: Path) -> tuple[Path, int, int]:
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=8)
def _load(files: Sequence[tuple[Path, int, int]]) -> Contracts:
    parsed: dict[str, Contract] = {}
    for path, _, _ in files:
        try:
            contract = _parse(path)
        except ValidationError as error:
            raise _refused(path, type_breaches(error)) from error
        except ValueError as error:
            raise ConfigurationError(f"contract {path} cannot be read: {error}; next: omni contract check") from error
        if breaches := name_breaches(contract, path):
            raise _refused(path, breaches)
        parsed[contract.name] = contract
    whole = {}
    paths = {path.stem: path for path, _, _ in files}
    for path in paths.values():
        contract = parsed[path.stem]
        if contract.extends is not None and contract.extends not in parsed:
            raise _refused(path, [Breach("$.extends", repr(contract.extends), ", ".join(sorted(parsed)))])
        whole[contract.name] = _extended(contract, parsed[contract.extends] if contract.extends else None)
        breaches = [*contract_breaches(whole[contract.name]), *claim_breaches(contract, parsed.values())]
        if breaches:
            raise _refused(path, breaches, paths.get(contract.extends or ""))
    return Contracts(whole)


def _refused(path: Path, breaches: Sequence[Breach], base: Path | None = None) -> ConfigurationError:
    named = f"{path}, which extends {base}" if base else str(path)
    return ConfigurationError(f"contract {named}: {'; '.join(map(str, breaches))}; next: mend it, omni contract check")


_MOST_BYTES = 16 * 1024 * 1024
"""Size of a contract."""


def _parse(path: Path) -> Contract:
    document = load_json(read_declared(path, _MOST_BYTES))
    if broken := [f"{found} at {where}" for where, found in broken_texts(document)]:
        raise ValueError(f"found {', '.join(broken)}, expected {WHOLE_TEXT}; next: write the character itself")
    return Contract.model_validate(document)


def _extended(contract: Contract, base: Contract | None) -> Contract:
    if base is None:
        return contract
    return contract.model_copy(update={"fields": [*contract.fields, *base.fields]})
