"""The columns that each column of a dbt model is computed from, as sqlglot reads them in the compiled SQL.

As dagster-dbt does for a run of dbt that it starts itself (`dbt.process` says why it does not).

Called by `orchestration.instance.mirror` after a build, never while definitions load: sqlglot takes about 0.15 s a
model. What was found is kept beside dbt's manifest, until the model, what it reads, or a macro changes.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import dagster as dg

from lakehouse.settings import LakehouseSettings
from lakehouse.whole_files import replace_file

logger = logging.getLogger(__name__)

_Found = dict[str, Any]
"""Model → `key`, and `columns`: column → pairs of asset and column."""


def column_lineage(settings: LakehouseSettings, models: Iterable[str]) -> dict[str, dg.TableColumnLineage]:
    """Column lineage of models that dbt has compiled, by name; without those whose SQL cannot be read for it."""
    manifest = json.loads(settings.dbt_manifest.read_text("utf-8"))
    nodes = {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    kept_in = settings.dbt_target_dir / "column_lineage.json"
    kept: _Found = json.loads(kept_in.read_text("utf-8")) if kept_in.exists() else {}
    found: _Found = {}
    code = _shared_code(manifest)
    for node in (nodes[name] for name in models):
        key = hashlib.sha256(json.dumps([code, node["checksum"], _columns(manifest, node)]).encode()).hexdigest()
        known = kept.get(node["name"])
        if known is not None and known["key"] == key:
            found[node["name"]] = known
        elif (columns := _read(settings, manifest, node)) is not None:
            found[node["name"]] = {"key": key, "columns": columns}
    if kept | found != kept:
        replace_file(kept_in, json.dumps(kept | found))
    return {name: _as_lineage(item["columns"]) for name, item in found.items()}


def _shared_code(manifest: Mapping[str, Any]) -> list[Any]:
    """What the compiled SQL and the reading of it depend on, beside the model itself."""
    project = manifest["metadata"]["project_name"]
    macros = sorted(m["macro_sql"] for m in manifest["macros"].values() if m["package_name"] == project)
    return [macros, version("sqlglot")]


def _columns(manifest: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    """Declared columns and their types: of a model, and of each table that it reads, by relation."""
    return {
        table["relation_name"]: {c["name"]: {"data_type": c["data_type"]} for c in table["columns"].values()}
        for table in (node, *_upstream(manifest, node))
    }


def _upstream(manifest: Mapping[str, Any], node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [manifest["nodes"].get(key) or manifest["sources"][key] for key in node["depends_on"]["nodes"]]


def _read(
    settings: LakehouseSettings, manifest: Mapping[str, Any], node: Mapping[str, Any]
) -> dict[str, list[tuple[str, str]]] | None:
    """Column → upstream columns; None, and a word in the log, where the SQL cannot be read for it."""
    from sqlglot.errors import SqlglotError

    compiled = settings.dbt_target_dir / "compiled" / node["package_name"] / node["original_file_path"]
    try:
        found = _traced(compiled.read_text("utf-8"), manifest, node)
    except (SqlglotError, ValueError, OSError) as error:
        logger.warning("no column lineage of %s: %s", node["name"], error)
        return None
    return {column: sorted(found.get(column.lower(), ())) for column in sorted(node["columns"])}


def _traced(sql: str, manifest: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, set[tuple[str, str]]]:
    from sqlglot import MappingSchema, exp, parse_one, to_table
    from sqlglot.expressions import normalize_table_name
    from sqlglot.lineage import lineage
    from sqlglot.optimizer import optimize

    dialect, schema = manifest["metadata"]["adapter_type"], MappingSchema()
    for relation, columns in _columns(manifest, node).items():
        types = {column: about["data_type"] for column, about in columns.items()}
        schema.add_table(to_table(relation, dialect=dialect), types, dialect=dialect)
    names = {
        normalize_table_name(to_table(table["relation_name"], dialect=dialect), dialect=dialect): table["name"]
        for table in _upstream(manifest, node)
    }
    tree = optimize(parse_one(sql, dialect=dialect), schema=schema, dialect=dialect)
    if not isinstance(tree, exp.Query):
        raise ValueError(f"its SQL is {type(tree).__name__}, not a query")
    plain = tree.sql(dialect=dialect)  # `lineage` cannot read the CTEs of a tree that is optimized
    found: dict[str, set[tuple[str, str]]] = {}
    for column in tree.named_selects:
        for each in lineage(column, plain, schema=schema, dialect=dialect).walk():
            table = None if each.downstream else each.expression.find(exp.Table)
            name = names.get(normalize_table_name(table, dialect=dialect)) if table else None
            if name is not None:
                found.setdefault(column.lower(), set()).add((name, exp.to_column(each.name).name.lower()))
    return found


def _as_lineage(columns: Mapping[str, Iterable[Iterable[str]]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(asset), upstream) for asset, upstream in deps]
            for column, deps in columns.items()
        }
    )
