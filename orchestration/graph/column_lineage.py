"""The columns that each column of a dbt model is computed from, as dagster-dbt reads them in the compiled SQL.

Called by `orchestration.graph.dbt_assets` after a build, never while definitions load: sqlglot takes about 0.15 s a
model. What was found is kept beside dbt's manifest, until the model, what it reads, or a macro changes.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dagster as dg

from lakehouse.settings import LakehouseSettings
from orchestration.graph.dbt_specs import OmniDbtTranslator, dbt_project

if TYPE_CHECKING:
    from dagster_dbt import DbtProject

logger = logging.getLogger(__name__)

_Found = dict[str, Any]
"""Model → `key`, and `columns`: column → pairs of asset and column."""


def column_lineage(
    settings: LakehouseSettings, translator: OmniDbtTranslator, models: Iterable[str]
) -> dict[str, dg.TableColumnLineage]:
    """Column lineage of models that dbt has compiled, by name; without those whose SQL cannot be read for it."""
    manifest = json.loads((settings.dbt_target_dir / "manifest.json").read_text("utf-8"))
    nodes = {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    kept_in = settings.dbt_target_dir / "column_lineage.json"
    kept: _Found = json.loads(kept_in.read_text("utf-8")) if kept_in.exists() else {}
    found: _Found = {}
    code, project = _shared_code(manifest), dbt_project(settings)
    for node in (nodes[name] for name in models):
        key = hashlib.sha256(json.dumps([code, node["checksum"], _columns(manifest, node)]).encode()).hexdigest()
        known = kept.get(node["name"])
        if known is not None and known["key"] == key:
            found[node["name"]] = known
        elif (columns := _read(project, translator, manifest, node)) is not None:
            found[node["name"]] = {"key": key, "columns": columns}
    if kept | found != kept:
        _replace(kept_in, kept | found)
    return {name: _as_lineage(item["columns"]) for name, item in found.items()}


def _shared_code(manifest: Mapping[str, Any]) -> list[Any]:
    """What the compiled SQL and the reading of it depend on, beside the model itself."""
    project = manifest["metadata"]["project_name"]
    macros = sorted(m["macro_sql"] for m in manifest["macros"].values() if m["package_name"] == project)
    return [macros, version("dagster-dbt"), version("sqlglot")]


def _columns(manifest: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    """Declared columns and their types: of a model, and of each table that it reads, by relation."""
    upstream = (manifest["nodes"].get(key) or manifest["sources"][key] for key in node["depends_on"]["nodes"])
    return {
        table["relation_name"]: {c["name"]: {"data_type": c["data_type"]} for c in table["columns"].values()}
        for table in (node, *upstream)
    }


def _read(
    project: "DbtProject", translator: OmniDbtTranslator, manifest: dict[str, Any], node: dict[str, Any]
) -> dict[str, list[tuple[str, str]]] | None:
    """Column → upstream columns; None, and a word in the log, where the SQL cannot be read for it."""
    # Private, but a function of plain values; its public callers want dagster-dbt to run dbt (`dbt.process` says why
    # it does not). A test holds what it gives to the models' SQL.
    from dagster_dbt.core.dbt_cli_event import EventHistoryMetadata, _build_column_lineage_metadata
    from sqlglot.errors import SqlglotError

    columns = _columns(manifest, node)
    history = EventHistoryMetadata(columns.pop(node["relation_name"]), columns)
    try:
        metadata = _build_column_lineage_metadata(history, node, manifest, translator, project.target_path, project)
    except (SqlglotError, ValueError, OSError) as error:
        logger.warning("no column lineage of %s: %s", node["name"], error)
        return None
    lineage: dg.TableColumnLineage = metadata["dagster/column_lineage"]
    return {
        column: sorted((dep.asset_key.to_user_string(), dep.column_name) for dep in deps)
        for column, deps in sorted(lineage.deps_by_column.items())
    }


def _as_lineage(columns: Mapping[str, Iterable[Iterable[str]]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(asset), upstream) for asset, upstream in deps]
            for column, deps in columns.items()
        }
    )


def _replace(path: Path, content: _Found) -> None:
    """Write at once: another run may be reading."""
    new = path.with_name(f"{path.name}.{uuid4().hex}")
    new.write_text(json.dumps(content), "utf-8")
    new.replace(path)
