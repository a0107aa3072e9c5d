"""Isolation and the lakehouse of each test: nothing here reads or writes the developer's own settings or `var/`."""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings, load_settings
from orchestration.dbt_launcher.manifest import ensure_dbt_manifest
from tests.dbt_shell import dbt
from tests.parsed_project import ParsedProject

CREATED_AT = "2026-05-01T00:00:00Z"

TICKET_EVENTS = "raw_ticket_events"
DOC_ASSETS = "raw_doc_assets"
BRONZE_ASSETS = (TICKET_EVENTS, DOC_ASSETS)

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one may take its time over an example
hypothesis.settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def _isolated_from_the_developer(tmp_path_factory: pytest.TempPathFactory):
    """No OMNI_*, no Dagster home, no home directory of the developer reaches a test; telemetry is off."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("OMNI_", "DAGSTER_", "DBT_", "PYICEBERG_")):
                patch.delenv(name)
        home = tmp_path_factory.mktemp("home of a stranger")
        patch.setenv("HOME", str(home))
        patch.setenv("OMNI_HOME", str(home / "var"))
        patch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        patch.setenv("DAGSTER_DISABLE_TELEMETRY", "true")
        patch.setitem(LakehouseSettings.model_config, "env_file", None)
        load_settings.cache_clear()
        yield
    load_settings.cache_clear()


@contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Whether what a folder is for is still to be made: the first worker makes it, the others wait."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder / "made"
        yield not made.exists()
        made.touch()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str, testrun_uid: str) -> Path:
    """A folder of all workers of this run."""
    root = tmp_path_factory.getbasetemp()
    folder = (root if worker_id == "master" else root.parent) / f"shared by {testrun_uid}"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def parsed_project(shared: Path) -> ParsedProject:
    """The dbt project, parsed and its unit tests run once: a lakehouse that starts with it need not do so again."""
    settings = LakehouseSettings(home=shared / "parsed" / "home", manifests=shared / "parsed" / "no manifests")
    with made_once(shared / "parsed") as is_to_be_made:
        if is_to_be_made:
            settings.manifests.mkdir(parents=True)
            ensure_dbt_manifest(settings)
            done = dbt(settings, "build")
            assert done.returncode == 0, done.stdout
    parsed = ParsedProject(settings)
    parsed.give_to(load_settings())
    return parsed


@pytest.fixture
def settings(tmp_path: Path, parsed_project: ParsedProject) -> LakehouseSettings:
    """A lakehouse of its own, in a path with a space, with an empty manifest folder."""
    manifests = tmp_path / "the manifests"
    manifests.mkdir()
    settings = LakehouseSettings(home=tmp_path / "the home", manifests=manifests)
    parsed_project.give_to(settings)
    return settings


def ticket_lake(root: Path, parsed_project: ParsedProject, days: Iterable[str]) -> LakehouseSettings:
    """A lakehouse below a folder, to be shared by the tests of a module, with a manifest of an event on each day."""
    settings = LakehouseSettings(home=root / "home", manifests=root / "manifests")
    parsed_project.give_to(settings)
    write_lines(settings.manifests / "a.jsonl", [ticket_event(number, day) for number, day in enumerate(days, 1)])
    manifest = ticket_manifest([source("a", "a.jsonl")])
    (settings.manifests / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest), "utf-8")
    return settings


@pytest.fixture
def sample_settings(tmp_path: Path, parsed_project: ParsedProject) -> LakehouseSettings:
    """A lakehouse of its own over the bundled sample."""
    settings = LakehouseSettings(home=tmp_path / "the home", manifests=PROJECT_ROOT / "manifests")
    parsed_project.give_to(settings)
    return settings


def ticket_event(number: int, day: str = "2026-04-15", **fields: Any) -> dict[str, Any]:
    """A valid event of a ticket."""
    at = f"{day}T10:00:00Z"
    event = {"event_id": f"e{number}", "ticket_id": f"t{number}", "event_type": "created", "occurred_at": at}
    return {**event, "status": "new", "priority": "P2", "created_at": at, "updated_at": at, **fields}


def write_lines(path: Path, records: list[dict[str, Any] | str]) -> Path:
    """Write records as JSONL; a text is written as it stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records), "utf-8")
    return path


def source(source_id: str, path: str, asset_type: str = "jsonl", **fields: Any) -> dict[str, Any]:
    """A source that is admitted with a warning: it declares no checksum."""
    declared = {"source_id": source_id, "source_url_or_path": path, "asset_type": asset_type}
    return {**declared, "metadata_status": "complete", "pii_scan_status": "clear", **fields}


def ticket_manifest(assets: list[dict[str, Any]], number: int = 1, **fields: Any) -> dict[str, Any]:
    """A valid ticket manifest."""
    return {
        "manifest_id": f"manifest-tickets-20260501-{number:03}",
        "schema_version": "source_manifest_v1",
        "batch_id": f"batch-{number}",
        "modality": "structured",
        "source_type": "ticket_export",
        "license_tag": "course_synthetic",
        "contract_ref": "omni://contracts/data/ticket/v1",
        "load_mode": "full_snapshot",
        "assets": assets,
        "created_at": CREATED_AT,
        "owner": "support",
        **fields,
    }


def document_manifest(day: str, assets: list[dict[str, Any]], number: int = 1, **fields: Any) -> dict[str, Any]:
    """A valid document manifest: the snapshot of a collection on a day."""
    document = {
        "modality": "document",
        "source_type": "help_center",
        "contract_ref": "omni://contracts/data/doc_asset/v1",
    }
    named = {"manifest_id": f"manifest-docs-{day.replace('-', '')}-{number:03}", "created_at": f"{day}T06:00:00Z"}
    return ticket_manifest(assets, number, **{**document, **named, **fields})


def recording_manifest(modality: str, day: str, assets: list[dict[str, Any]], number: int = 1, **fields: Any):
    """A valid manifest of recordings: the snapshot of a collection of `audio` or `video` on a day."""
    recording = {"modality": modality, "contract_ref": f"omni://contracts/data/{modality}_asset/v1"}
    named = {"manifest_id": f"manifest-{modality}-{day.replace('-', '')}-{number:03}"}
    return document_manifest(day, assets, number, **{**recording, "source_type": "other", **named, **fields})


@pytest.fixture
def declare(settings: LakehouseSettings) -> Callable[[dict[str, Any]], Path]:
    """Write a manifest into the manifest folder, under its id."""

    def write(manifest: dict[str, Any]) -> Path:
        path = settings.manifests / f"{manifest['manifest_id']}.json"
        path.write_text(json.dumps(manifest, indent=2), "utf-8")
        return path

    return write
