"""The dbt-duckdb plugin that refuses to build upon what is not ready, from whatever shell dbt was started.

dbt_project/macros/gate.sql hands it the selection before the first model runs; the rule is
`orchestration.readiness.gate`. `--vars 'force: true'` builds all the same, and the materializations say so.
"""

import logging
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt.flags import get_flags

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.dbt.declared import Declared
from lakehouse.errors import OmniError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import WHOLE, Window, parse_day
from lakehouse.settings import LakehouseSettings, load_settings
from orchestration.dbt_launcher.manifest import ensure_declared
from orchestration.readiness.asset_graph import read_asset_graph
from orchestration.readiness.gate import Gate
from orchestration.readiness.readiness import readiness_now
from orchestration.readiness.verdicts import Verdict

logger = logging.getLogger(__name__)

_SHOWN = 5


class UpstreamNotReady(OmniError):
    """A build would read partitions that must not be built upon."""


class Plugin(BasePlugin):
    """See the module's docstring; dbt-duckdb looks for a class of this name."""

    def store(self, target_config: TargetConfig) -> None:
        """Judge a selection.

        Raises:
            UpstreamNotReady: it would read what is not ready, and no force was asked for.
        """
        config: dict[str, Any] = target_config.config
        declared = _declared(load_settings())
        found = _obstacles(config, declared) if config["builds"] else []
        if not found:
            return
        shown = "; ".join(f"{v.name} is {v.status} ({v.reasons[0]})" for v in found[:_SHOWN])
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        if config["forced"]:
            logger.warning("forced past what is not ready: %s%s", shown, more)
            return
        raise UpstreamNotReady(
            f"this build would read what is not ready: {shown}{more}; nothing was built; next: omni run, or leave "
            "these days or models out, or, knowing what you do: --vars 'force: true'"
        )


def _declared(settings: LakehouseSettings) -> Declared | None:
    """What the project declares, compiled anew where it has changed; None for a project that is another's."""
    is_ours = Path(get_flags().PROJECT_DIR).resolve() == settings.dbt_project_dir  # type: ignore[no-untyped-call]
    return ensure_declared(settings) if is_ours else None


def _obstacles(manifest: dict[str, Any], declared: Declared | None) -> list[Verdict]:
    """Upstream partitions that hold the selection back, each once."""
    settings, nodes = load_settings(), manifest["nodes"]
    lo: str | None = manifest["lo"]
    hi: str | None = manifest["hi"]
    chosen = {key: nodes[key] for key in manifest["selected"] if key in nodes}
    models = [node["name"] for node in chosen.values() if node["resource_type"] == "model"]
    if not models:
        return []
    graph = read_asset_graph(manifest, bronze_contracts(settings), declared, settings)
    readiness = readiness_now(settings, graph, open_ledger(settings))
    window = Window(parse_day(lo), parse_day(hi)) if lo and hi else None
    tests = {node["name"] for node in chosen.values() if node["resource_type"] == "test"}
    gate = Gate(readiness, window, {name: tests for name in graph.nodes}, settings.run_id)

    def is_rebuilt(verdict: Verdict) -> bool:
        is_inside = window is None or verdict.partition == WHOLE or parse_day(verdict.partition) in window
        return verdict.asset in models and is_inside

    found: dict[str, Verdict] = {}
    for name in models:
        is_daily = graph[name].is_partitioned
        for key in (window.keys if window else readiness.days()) if is_daily else [WHOLE]:
            found |= {verdict.name: verdict for verdict in gate.obstacles(name, key, is_rebuilt)}
    return list(found.values())
