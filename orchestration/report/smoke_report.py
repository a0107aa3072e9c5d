"""What Dagster itself recorded of the assets: materialized or not, with which metadata, which checks passed.

Reads the Dagster instance under OMNI_HOME, not the ledger: a report on what a person sees in the graph. Called by
`omni report smoke`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import BRONZE, GOLD, SILVER
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from orchestration.instance.home import dagster_environment
from orchestration.readiness.asset_graph import AssetGraph
from orchestration.report.pages import code, instant, template_environment

_MANIFESTS = "seed_manifests"
_EVERY = (
    *("dagster/partition_row_count", "rows_in", "rows_out", "written_by"),
    *("run_id", "iceberg_table", "snapshot_id", "size_bytes", "version"),
)
EXPECTED_METADATA = {
    "manifests": (
        *("manifests", "sources", "batch_ids", "manifest_sha256"),
        *("coverage_from", "coverage_to", "arrivals"),
    ),
    BRONZE: (
        *(*_EVERY, "batch_ids", "manifest_ids", "manifest_sha256"),
        *("rows_expected", "rows_deduplicated", "rows_quarantined"),
    ),
    SILVER: (*_EVERY, "inputs"),
    GOLD: (*_EVERY, "inputs"),
}
"""Layer → what a materialization must carry, and not empty."""

PLANNED = (
    "Text of images and transcripts of recordings (`ocr_text_path`, `transcript_object_path`): stored, not read.",
)

_PAGE = 500


@dataclass(frozen=True)
class SmokeCheck:
    """The evaluation of a check in the latest run that had it."""

    name: str
    severity: str
    result: str
    """`passed`, `failed` or `not run`."""
    failed: Sequence[str]
    """Days, and why."""


@dataclass(frozen=True)
class SmokeAsset:
    """What Dagster knows of one asset."""

    name: str
    layer: str
    events: int
    """Partitions that Dagster calls materialized; 1 for an asset without partitions."""
    told: int
    """Of these, how many carry metadata: not those that a person marked as materialized."""
    rows: int | None
    present: list[str]
    missing: dict[str, int]
    """Expected metadata → how many of the told materializations lack it."""
    other: list[str]
    """Metadata beyond what is expected."""
    checks: list[SmokeCheck]


@dataclass(frozen=True)
class SmokeReport:
    """Everything that the report says."""

    generated_at: datetime
    manifest_dir: str
    runs: list[tuple[str, str, str]]
    """Run id, job, status; the latest first."""
    assets: list[SmokeAsset]
    planned: Sequence[str] = PLANNED

    @property
    def is_sound(self) -> bool:
        """Every asset was materialized with its metadata, and no check that blocks failed or is yet to run."""
        return all(
            asset.events
            and not asset.missing
            and all(check.result == "passed" or check.severity == "warn" for check in asset.checks)
            for asset in self.assets
        )


def build_smoke_report(settings: LakehouseSettings, graph: AssetGraph, generated_at: datetime) -> SmokeReport:
    """Read the Dagster instance of a lakehouse.

    Raises:
        ConfigurationError: the lakehouse has none.
    """
    if not (settings.dagster_home / "dagster.yaml").exists():
        raise ConfigurationError(f"no Dagster instance at {settings.dagster_home}; next: omni run")
    layers = {_MANIFESTS: "manifests", **{name: node.layer for name, node in graph.nodes.items()}}
    checks: dict[str, Mapping[str, str]] = {name: node.checks for name, node in graph.nodes.items()}
    checks[_MANIFESTS] = {"all_manifests_valid": "warn"}
    with dg.DagsterInstance.from_config(dagster_environment(settings)["DAGSTER_HOME"]) as instance:
        runs = [(run.run_id, run.job_name, run.status.value) for run in instance.get_runs(limit=5)]
        told = {name for name, _ in open_ledger(settings).current_materializations()} | {_MANIFESTS}
        assets = [_asset(instance, name, layer, checks[name], name in told) for name, layer in layers.items()]
    return SmokeReport(generated_at, _inside_the_repository(settings), runs, assets)


def smoke_markdown(report: SmokeReport) -> str:
    """The report as Markdown."""
    environment = template_environment(autoescape=False)
    environment.filters.update(instant=instant, code=code, number=lambda value: f"{value:,}")
    return environment.get_template("smoke.md.j2").render(report=report)


def _inside_the_repository(settings: LakehouseSettings) -> str:
    """Manifest folder, relative to the repository; of one elsewhere, the name alone."""
    path = settings.manifests
    return path.relative_to(PROJECT_ROOT).as_posix() if path.is_relative_to(PROJECT_ROOT) else path.name


def _asset(
    instance: dg.DagsterInstance, name: str, layer: str, checks: Mapping[str, str], has_data: bool
) -> SmokeAsset:
    """What Dagster has of an asset; where neither it nor the ledger has any data, no metadata are expected."""
    latest = _latest_metadata(instance, name)
    told = [metadata for metadata in latest.values() if metadata]
    expected = EXPECTED_METADATA[layer] if has_data or told else ()
    lacking = {key: sum(_is_empty(metadata.get(key)) for metadata in told) for key in expected}
    counts = [metadata["dagster/partition_row_count"] for metadata in told if "dagster/partition_row_count" in metadata]
    return SmokeAsset(
        name=name,
        layer=layer,
        events=len(latest),
        told=len(told),
        rows=sum(counts) if counts else None,
        present=[key for key in expected if told and not lacking[key]],
        missing={key: lacks for key, lacks in lacking.items() if lacks} if told else dict.fromkeys(lacking, 0),
        other=sorted({key for metadata in told for key in metadata if not _is_empty(metadata[key])} - set(expected)),
        checks=list(_checks(instance, name, checks)),
    )


def _latest_metadata(instance: dg.DagsterInstance, asset: str) -> dict[str | None, dict[str, Any]]:
    """Partition → metadata of its latest materialization."""
    found: dict[str | None, dict[str, Any]] = {}
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(dg.AssetKey(asset), limit=_PAGE, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            if event is not None:
                values = {key: getattr(value, "value", None) for key, value in event.metadata.items()}
                found.setdefault(record.partition_key, values)
        if not page.has_more:
            return found
        cursor = page.cursor


def _checks(instance: dg.DagsterInstance, asset: str, checks: Mapping[str, str]) -> Iterator[SmokeCheck]:
    keys = {name: dg.AssetCheckKey(dg.AssetKey(asset), name) for name in checks}
    # The latest is that of the run as a whole, which comes after those of its days; of a run over one day, that day's.
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys.values()))
    for name, severity in sorted(checks.items()):
        record = latest.get(keys[name])
        event = record.event.dagster_event if record and record.event else None
        if event is None or event.event_type_value != dg.DagsterEventType.ASSET_CHECK_EVALUATION.value:
            yield SmokeCheck(name, severity, "not run", ())
            continue
        evaluation = event.asset_check_evaluation_data
        failed = evaluation.metadata["failed"].value if "failed" in evaluation.metadata else []
        result = "passed" if evaluation.passed else "failed"
        yield SmokeCheck(name, severity, result, failed if isinstance(failed, list) else [])


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})
