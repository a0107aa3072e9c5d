"""What a table of the lake can be made of: the models that dbt may build, judged by their configuration.

Called before the first model of an invocation (macros/doors.sql) and again for each model that is built.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lakehouse.errors import ConfigurationError
from lakehouse.namespaces import BRONZE, GOLD, SILVER

KEPT = ("incremental", "table")
"""Materializations that become tables."""

Node = Mapping[str, Any]
"""A node of dbt's manifest."""


@dataclass(frozen=True)
class Refused:
    """A configuration that no table of the lake can have."""

    what: str
    found: Callable[[Node], object]
    """What a node has of it; nothing, if it has none."""
    expected: str
    reason: str


REFUSED_CONFIGURATIONS = (
    Refused(
        "`materialized` other than `incremental` and `table` (`view`, `ephemeral`, …)",
        lambda node: _unless(node["config"]["materialized"], KEPT),
        "incremental or table",
        "it has no partitions to be judged",
    ),
    Refused(
        "a Python model", lambda node: _unless(node["language"], ("sql",)), "SQL", "nobody could tell what it reads"
    ),
    Refused(
        "`incremental_strategy: microbatch`",
        lambda node: node["config"].get("incremental_strategy") == "microbatch" and "microbatch",
        "another strategy, or none: each replaces the window",
        "each batch would replace the window by its own rows",
    ),
    Refused(
        "`alias`, or versions of a model",
        lambda node: _unless(node["alias"], (node["name"],)) or node.get("version"),
        "the model's own name",
        "its rows would be recorded of another asset",
    ),
    Refused(
        "`schema` other than `silver` and `gold`",
        lambda node: _unless(node["schema"], (SILVER, GOLD)),
        f"{SILVER} or {GOLD}",
        "nobody would look for its table there",
    ),
    Refused(
        "`database`",
        lambda node: node["config"].get("database"),
        "none",
        "its table is in the catalog, wherever dbt reads",
    ),
    Refused(
        "`pre_hook`, `post_hook`, `sql_header`",
        lambda node: (
            (node["config"].get("pre-hook") or [])
            + (node["config"].get("post-hook") or [])
            + ([node["config"]["sql_header"]] if node["config"].get("sql_header") else [])
        ),
        "none",
        "what its SQL does to the rows no verdict would know",
    ),
)
"""Of a model that is built, or that is read by one that is."""


def refuse_what_no_table_keeps(
    nodes: Mapping[str, Node], sources: Mapping[str, Node], selected: Iterable[str], database: str
) -> None:
    """Stop an invocation that would build, or test, what the lake cannot keep.

    Args:
        nodes: Those of dbt's manifest, by unique id.
        sources: Likewise.
        selected: What the invocation works on.
        database: The one in which DuckDB shows the lake.

    Raises:
        ConfigurationError: it would; nothing was built, tested or recorded.
    """
    chosen = [nodes[key] for key in selected if key in nodes]
    models = [node for node in chosen if node["resource_type"] == "model"]
    read = [nodes[key] for node in models for key in node["depends_on"]["nodes"] if key in nodes]
    for node in (*models, *read):
        refuse_a_model(node)
    for node in chosen:
        if node["resource_type"] == "snapshot":
            _refuse(node, "a snapshot", "a model", "its history would be gone with dbt's database, in memory")
    for source in sources.values():
        _refuse_another_place(source, database)
    _refuse_one_name_of_two_tests(node for node in nodes.values() if node["resource_type"] == "test")


def refuse_a_model(node: Node) -> None:
    """Stop a model that no table can be made of; other nodes pass.

    Raises:
        ConfigurationError: it is one.
    """
    if node["resource_type"] == "model":
        for refused in REFUSED_CONFIGURATIONS:
            if found := refused.found(node):
                _refuse(node, f"{refused.what}: {found}", refused.expected, refused.reason)


def _refuse_another_place(source: Node, database: str) -> None:
    """A source that dbt would read from elsewhere than the lake, under the name of a table of the lake."""
    config = source["config"]
    said = {*source.get("meta", {}), *source.get("source_meta", {}), *config, *config.get("meta", {})}
    found = sorted(said & {"external_location", "plugin"})
    if source["database"].lower() != database.lower():
        found.append(f"database {source['database']}")
    if source["schema"] == BRONZE and found:
        _refuse(source, " and ".join(found), "the lake's own table", "rows of another place would stand for it")


def _refuse_one_name_of_two_tests(tests: Iterable[Node]) -> None:
    """Two tests of one asset by one name: the result of either would stand for both."""
    seen: dict[tuple[object, str], Node] = {}
    for test in tests:
        tested = test.get("attached_node") or next(iter(test["depends_on"]["nodes"]), None)
        first = seen.setdefault((tested, test["name"]), test)
        if first is not test:
            _refuse(
                test, f"another test of its name in {first['original_file_path']}", "one", "one would pass for both"
            )


def _unless(found: str, expected: tuple[str, ...]) -> str | None:
    return None if found in expected else found


def _refuse(node: Node, found: str, expected: str, reason: str) -> None:
    raise ConfigurationError(
        f"{node['resource_type']} {node['name']}: found {found}; expected {expected}: {reason}; nothing was built, "
        f"tested or recorded; next: mend {node['original_file_path']}, or leave it out: --exclude {node['name']}"
    )
