"""The assets, what each is built from, and which checks it must pass: Bronze from the contracts, the rest from dbt.

dbt's manifest is read as JSON, so that a verdict needs no dbt. `load_asset_graph` brings it up to date first, in a
process of its own, when the dbt project has changed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lakehouse.builds.reach import is_daily, reach_of
from lakehouse.contracts.check_definitions import check_definitions
from lakehouse.contracts.model import Contract
from lakehouse.contracts.registry import bronze_contracts
from lakehouse.dbt.declared import Declared
from lakehouse.errors import ConfigurationError, OmniError, did_you_mean
from lakehouse.kinds import Severity
from lakehouse.ledger.inputs import Reach
from lakehouse.namespaces import BRONZE, NAMESPACES
from lakehouse.settings import LakehouseSettings
from orchestration.dbt_launcher.manifest import ensure_dbt_manifest, ensure_declared


class UnknownAsset(OmniError):
    """No asset of that name is declared."""


@dataclass(frozen=True)
class AssetNode:
    """One asset of the graph."""

    name: str
    layer: str
    is_partitioned: bool
    reach: dict[str, Reach] = field(default_factory=dict)
    """Upstream asset → which of its partitions a partition reads. Empty for Bronze, which reads sources."""
    checks: dict[str, Severity] = field(default_factory=dict)
    loader_checks: Mapping[str, Severity] = field(default_factory=dict)
    """Those of them that the loaders run, of a Bronze asset."""
    check_descriptions: dict[str, str] = field(default_factory=dict)
    """Of the checks that dbt runs: its data tests and unit tests."""
    definitions: dict[str, str] = field(default_factory=dict)
    """Check → its definition today, of those that are compared with what ran; empty where it cannot be told."""
    unchecked: str | None = None
    """Why a model declares no check, in its own words."""
    logic: str | None = None
    """What its rows are computed by today; None for Bronze, and where nothing says it.

    Where Spark has other words than DuckDB, both, with a space between: rows of either are as good.
    """
    logic_problem: str | None = None
    """Why it cannot be told: the model cannot be compiled."""
    unknown_inputs: Mapping[str, str] = field(default_factory=dict)
    """What it reads beside assets, such as a source that no contract names: its name → how the dbt project calls it.

    The ledger knows nothing of these, so what is built from them is never ready.
    """


@dataclass(frozen=True)
class AssetGraph:
    """Assets in the order of every screen: Bronze, events first; then upstream first, by layer and name."""

    nodes: dict[str, AssetNode]

    def __getitem__(self, name: str) -> AssetNode:
        try:
            return self.nodes[name]
        except KeyError:
            hint = did_you_mean(name, self.nodes)
            raise UnknownAsset(f"asset {name!r} is unknown{hint}; there are: {', '.join(self.nodes)}") from None


def load_asset_graph(settings: LakehouseSettings) -> AssetGraph:
    """Read the graph from dbt's manifest, which is brought up to date first.

    Raises:
        ConfigurationError: dbt cannot parse the project, or a model has the name of another asset.
    """
    manifest = json.loads(ensure_dbt_manifest(settings).read_text("utf-8"))
    return read_asset_graph(manifest, bronze_contracts(settings), ensure_declared(settings), settings)


def read_asset_graph(
    manifest: dict[str, Any],
    contracts: Mapping[str, Contract],
    declared: Declared | None = None,
    settings: LakehouseSettings | None = None,
) -> AssetGraph:
    """Build the graph from dbt's manifest and the contracts of the Bronze assets.

    Args:
        manifest: dbt's.
        contracts: Of the Bronze assets, by name.
        declared: What the project compiles to; without it no logic and no definition of a test is compared.
        settings: Hold thresholds of the loaders' checks; without them none is compared.

    Raises:
        ConfigurationError: a model has the name of another asset, a test that of another check of its asset, or a
            source another time column than its contract.
    """
    for source in manifest.get("sources", {}).values():
        if _is_asset(source, contracts):
            _refuse_another_time(source, contracts[source["name"]])
    nodes = {
        name: AssetNode(
            name,
            BRONZE,
            True,
            {},
            dict(contract.checks),
            contract.checks,
            definitions=check_definitions(settings, contract) if settings else {},
        )
        for name, contract in contracts.items()
    }
    known = manifest["nodes"] | manifest.get("sources", {})
    for model in _in_order([node for node in manifest["nodes"].values() if node["resource_type"] == "model"]):
        if (other := nodes.get(model["name"])) is not None:
            raise ConfigurationError(
                f"dbt model {model['unique_id']}: found another asset of its name in {other.layer}, expected a name of "
                "its own; next: rename the model, or the other asset"
            )
        upstream = [known[key] for key in model["depends_on"]["nodes"] if key in known]
        reach = {node["name"]: reach_of(model, node) for node in upstream if _is_asset(node, contracts)}
        unknown = {node["name"]: _called(node) for node in upstream if not _is_asset(node, contracts)}
        nodes[model["name"]] = AssetNode(
            model["name"],
            model["schema"],
            is_daily(model),
            reach,
            unchecked=model["config"]["meta"].get("omni", {}).get("unchecked"),
            logic=_logic(declared, model["name"]) if declared else None,
            logic_problem=_logic_problem(declared, model["name"]) if declared else None,
            unknown_inputs=unknown,
        )
    for test in (*manifest["nodes"].values(), *manifest.get("unit_tests", {}).values()):
        if test["resource_type"] in ("test", "unit_test") and (tested := _tested_asset(test, manifest)) in nodes:
            _add_check(nodes[tested], test, declared)
    return AssetGraph(nodes)


def _in_order(models: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Models, each after all that it reads; of those that might come next the one of the upper layer, then by name.

    Whatever the order of dbt's manifest, in which partial parsing puts an edited model last.
    """
    waiting = {model["unique_id"]: model for model in models}
    while waiting:  # dbt has refused cycles, so there is always one whose upstream has come
        free = [model for model in waiting.values() if not waiting.keys() & set(model["depends_on"]["nodes"])]
        yield waiting.pop(min(free, key=_place)["unique_id"])


def _place(model: Mapping[str, Any]) -> tuple[int, str, str]:
    schema = model["schema"]
    return NAMESPACES.index(schema) if schema in NAMESPACES else len(NAMESPACES), schema, model["name"]


def _add_check(node: AssetNode, test: Mapping[str, Any], declared: Declared | None) -> None:
    """Require a test of an asset; of two checks by one name, the result of either would stand for both."""
    name, is_unit_test = test["name"], test["resource_type"] == "unit_test"
    if name in node.checks:
        raise ConfigurationError(
            f"{test['unique_id']}: found another check {name} of {node.name}, expected a name of its own; next: give "
            f"the test another name in {test['original_file_path']}"
        )
    is_warning = not is_unit_test and test["config"]["severity"].lower() == "warn"
    node.checks[name] = "warn" if is_warning else "error"
    told = test["description"] or ("Unit test of the model's logic." if is_unit_test else _described(test))
    node.check_descriptions[name] = told
    node.definitions.update(_definition(test, declared))


def _is_asset(node: Mapping[str, Any], contracts: Mapping[str, Contract]) -> bool:
    """Whether a node of dbt's is an asset: a model, or the source that is the table of a contract."""
    if node["resource_type"] == "source":
        return node["schema"] == BRONZE and node["name"] == node["identifier"] and node["name"] in contracts
    return bool(node["resource_type"] == "model")


def _refuse_another_time(source: Mapping[str, Any], contract: Contract) -> None:
    """By another column a window would be taken for the days of the table, which it is not."""
    found, expected = source["config"].get("event_time"), contract.declared_asset.time
    if found not in (None, expected):
        raise ConfigurationError(
            f"source {_called(source)}: found event_time {found}; expected {expected}, by whose day the table is "
            f"partitioned; next: mend {source['original_file_path']} (omni contract dbt {contract.name} writes it)"
        )


def _definition(test: Mapping[str, Any], declared: Declared | None) -> dict[str, str]:
    """A test that cannot be compiled is defined as no result is."""
    return {test["name"]: declared.definitions.get(test["unique_id"], "")} if declared else {}


def _logic(declared: Declared, model: str) -> str | None:
    return " ".join(filter(None, (declared.logic.get(model), declared.on_spark.get(model)))) or None


def _logic_problem(declared: Declared, model: str) -> str | None:
    if model in declared.logic:
        return None
    return declared.problems.get(model, "dbt did not compile it")


def _called(node: Mapping[str, Any]) -> str:
    """A source, seed or snapshot as the dbt project calls it: `crm.accounts`, `seed.codes`."""
    return f"{node.get('source_name', node['resource_type'])}.{node['name']}"


def _tested_asset(test: Mapping[str, Any], manifest: Mapping[str, Any]) -> str | None:
    """Asset that a test speaks of, as its results are recorded: what it is attached to, or reads first."""
    if test["resource_type"] == "unit_test":
        return str(test["model"])
    tested = test.get("attached_node") or next(iter(test["depends_on"]["nodes"]), None)
    return tested.rpartition(".")[2] if tested else None


def _described(test: Mapping[str, Any]) -> str:
    """What a generic test asserts, from its name and arguments."""
    generic = test.get("test_metadata") or {"name": "holds no failing row", "kwargs": {}}
    given = {k: v for k, v in generic["kwargs"].items() if k not in ("model", "column_name")}
    about = ", ".join(v if isinstance(v, str) else json.dumps(v) for v in given.values())
    words = [test.get("column_name"), generic["name"].replace("_", " "), about]
    return " ".join(word for word in words if word)
