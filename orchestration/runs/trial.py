"""What an edit would do to the rows: the touched models built in a development namespace, compared, and dropped.

Production is read and not written. Called by `omni plan --diff`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from lakehouse.dbt.development import Development
from lakehouse.errors import OmniError
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import Window
from lakehouse.proof.row_differences import RowDifference, row_differences
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import load_table_if_exists, open_catalog
from orchestration.dbt_launcher.process import Event, run_dbt
from orchestration.planning.edits import Touched
from orchestration.planning.steps import plan_steps
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.verdicts import Status


class TrialFailed(OmniError):
    """What an edit would do to the rows cannot be told, since dbt does not build it."""


@dataclass(frozen=True)
class AssetDifference:
    """What an edit would do to one asset."""

    asset: str
    partitions: int
    """Partitions that were built and compared."""
    differences: Sequence[RowDifference]
    """Of those that would hold other rows."""


def try_edit(
    settings: LakehouseSettings,
    readiness: Readiness,
    ledger: Ledger,
    found: Iterable[Touched],
    progress: Callable[[str], None],
) -> list[AssetDifference]:
    """Build what an edit makes stale, and what reads that, into scratch, and compare it with what there is.

    Raises:
        TrialFailed: dbt does not build it; nothing is left behind.
    """
    graph = readiness.graph
    targets = {(group.asset, key) for group in found if group.after in _BUILT for key in group.partitions}
    torn = _torn(readiness, targets)
    targets = {(asset, key) for asset, key in targets if not torn & graph[asset].reach.keys()}
    with _scratch(settings, ledger) as (trial, development):
        for step in plan_steps(targets, list(graph.nodes)):
            progress(f"builds {', '.join(step.assets)} {step.window or ''} into scratch".rstrip())
            _build(trial, step.assets, step.window)
        catalog, keys = open_catalog(settings), _keys(settings)
        differences = []
        for asset in (name for name in graph.nodes if any(name == of for of, _ in targets)):
            layer = graph[asset].layer
            own = next(name for name, of in development.layers.items() if of == layer)
            before, after = (load_table_if_exists(catalog, f"{place}.{asset}") for place in (layer, own))
            partitions = [key for of, key in targets if of == asset]
            rows = row_differences(before, after, keys.get(asset, ()), partitions)
            differences.append(AssetDifference(asset, len(partitions), rows))
    return differences


_BUILT = (Status.STALE, Status.BLOCKED)


def _torn(readiness: Readiness, targets: set[tuple[str, str]]) -> set[str]:
    """Assets of which only some rows would be in scratch: what reads them would read there what production does not."""
    built = {asset for asset, _ in targets}
    written = {target for target, item in readiness.materializations.items() if item.rows.loaded}
    return {asset for asset, key in written - targets if asset in built}


@contextmanager
def _scratch(settings: LakehouseSettings, ledger: Ledger) -> Iterator[tuple[LakehouseSettings, Development]]:
    """A development namespace that nobody has used, for the time of a trial."""
    trial = settings.model_copy(update={"dev_namespace": f"plan_{uuid4().hex[:8]}"})
    development = Development(trial, open_catalog(settings), ledger)
    try:
        yield trial, development
    finally:
        development.drop()


def _build(trial: LakehouseSettings, assets: Sequence[str], window: Window | None) -> None:
    said: list[str] = []

    def note(event: Event) -> None:
        if event["info"]["level"] == "error":
            said.append(event["info"]["msg"])

    arguments = ["run", "--select", *assets]
    environment = {
        "DBT_TARGET": "dev",
        "DBT_TARGET_PATH": str(trial.home / "dbt" / "trial"),  # `dbt retry` reads the results of a person's own run
        "OMNI_DEV_NAMESPACE": trial.dev_name,
    }
    run_id = f"trial-{trial.dev_name}"
    if not run_dbt(trial, arguments, window=window, run_id=run_id, on_event=note, environment=environment).succeeded:
        raise TrialFailed(f"dbt does not build {', '.join(assets)}: {' '.join(said)[-2000:]}; next: mend the edit")


def _keys(settings: LakehouseSettings) -> Mapping[str, Sequence[str]]:
    """Model → expressions that tell its rows apart, by the first of its tests that says so for all rows."""
    manifest = json.loads(settings.dbt_manifest.read_text("utf-8"))
    found: dict[str, Sequence[str]] = {}
    for test in manifest["nodes"].values():
        generic = test.get("test_metadata") or {"name": None, "kwargs": {}}
        columns = generic["kwargs"].get("columns") or [generic["kwargs"].get("column_name")]
        if generic["name"] in ("unique_together", "unique") and not test["config"].get("where"):
            found.setdefault(str(test["attached_node"]).rpartition(".")[2], columns)
    return found


def difference_lines(difference: AssetDifference) -> Iterator[str]:
    """Lines for a person: per partition how many rows would be others, with some of them."""
    name = difference.asset
    for each in difference.differences:
        counts = f"{each.added} added, {each.removed} removed, {each.changed} changed"
        yield f"{name} {each.partition}".strip() + f": {counts}"
        yield from (f"  {example}" for example in each.examples)
    if same := difference.partitions - len(difference.differences):
        yield f"{name}: {same} partitions would hold the same rows"
