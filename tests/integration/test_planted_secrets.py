"""Credentials planted into manifests and settings: nothing that a load leaves or says holds one, loaded or refused."""

import json

import pytest
from typer.testing import CliRunner

from lakehouse.settings import LakehouseSettings, load_settings
from lakehouse.tables.catalog import open_catalog
from orchestration.cli.main import app
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.unit.loaders.test_hostile_sources import served

SECRETS = ["hunter2pass", "ghpToken", "awsSignature", "sasSig", "aliasPass", "noteToken"]
DAY, FORBIDDEN = "2026-04-15", ("2026-04-16", "2026-04-17")
ASSET = "raw_ticket_events"

COMMANDS = [
    ["run"],
    ["ingest"],
    ["status", "--json"],
    ["manifests", "check"],
    ["manifests", "list", "--all"],
    *(["manifests", "explain", name] for name in ("user", "signed", "forbidden", "forbidden-alias")),
    ["quarantine", "list"],
    ["quarantine", "list", "--json"],
    *(["ready", ASSET, day] for day in (DAY, *FORBIDDEN)),
    ["explain", ASSET, FORBIDDEN[0]],
    ["report"],
]


def manifest_with_secrets(store):
    forbidden = store.removeprefix("http://")
    return ticket_manifest(
        [
            source("user", "https://anna:hunter2pass@exports/a.jsonl"),
            source("token", "https://ghpToken@exports/b.jsonl"),
            source("signed", "https://exports/c.jsonl?X-Amz-Signature=awsSignature&X-Amz-Credential=awsSignature"),
            source("sas", "https://exports/d.jsonl?sig=sasSig", notes="https://x/?token=noteToken"),
            source("forbidden", f"http://anna:hunter2pass@{forbidden}/{FORBIDDEN[0]}.jsonl?token=ghpToken"),
            source("forbidden-alias", f"web://{FORBIDDEN[1]}.jsonl"),
        ],
        owner="see https://anna:hunter2pass@wiki/?token=noteToken",
        notes="https://x/?token=noteToken",
        batch_id="https://x/?sig=noteToken",
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory, parsed_project):
    """A lakehouse after `omni run` over sources with credentials, and what every command said."""
    folder = tmp_path_factory.mktemp("planted")
    settings = LakehouseSettings(home=folder / "home", manifests=folder / "manifests")
    parsed_project.give_to(settings)
    for number, name in enumerate("abcd"):
        write_lines(settings.manifests / "mirror" / f"{name}.jsonl", [ticket_event(number, DAY)] * 9 + ["no record"])
    with served(lambda request: request.send_error(403, "forbidden")) as store, pytest.MonkeyPatch.context() as patch:
        with_password = store.replace("http://", "http://me:aliasPass@")
        patch.setenv("OMNI_HOME", str(settings.home))
        patch.setenv("OMNI_MANIFESTS", str(settings.manifests))
        patch.setenv("OMNI_MAX_QUARANTINED_SHARE", "0.5")
        patch.setenv("OMNI_SOURCE_ALIASES", json.dumps({"https://exports/": "mirror/", "web://": f"{with_password}/"}))
        load_settings.cache_clear()
        good = manifest_with_secrets(store)
        bad = {**good, "manifest_id": "manifest-bad-20260501-001", "license_tag": "https://anna:hunter2pass@x/"}
        for manifest in (good, bad):
            (settings.manifests / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest), "utf-8")
        said = {" ".join(command): CliRunner().invoke(app, command).output for command in COMMANDS}
    load_settings.cache_clear()
    return settings, said


def test_the_sources_are_read_without_their_credentials_or_refused_with_what_to_do(lake):
    _, said = lake

    assert f"{ASSET} {DAY}: READY" in said[f"ready {ASSET} {DAY}"]
    assert "a URL of it has credentials: they are left out and not used" in said["manifests check"]
    forbidden = said[f"ready {ASSET} {FORBIDDEN[0]}"]
    assert "The credentials in its URL are not used" in forbidden and "next: give them to fsspec" in forbidden
    assert "forbidden-alias: web://" in said[f"ready {ASSET} {FORBIDDEN[1]}"]


def test_no_command_says_a_secret(lake):
    _, said = lake

    assert {name: each for name, text in said.items() if (each := [s for s in SECRETS if s in text])} == {}


def test_no_file_that_a_run_leaves_holds_a_secret(lake):
    settings, _ = lake
    files = [path for path in settings.home.rglob("*") if path.is_file()]

    found = {str(path): s for path in files for s in SECRETS if s.encode() in path.read_bytes()}

    assert len(files) > 50
    assert {"catalog.db", "dagster", "dlt", "reports", "warehouse"} <= {path.name for path in settings.home.iterdir()}
    assert found == {}


def test_no_table_and_no_snapshot_holds_a_secret(lake):
    settings, _ = lake
    catalog = open_catalog(settings)
    texts = []
    for namespace in catalog.list_namespaces():
        for name in catalog.list_tables(namespace):
            table = catalog.load_table(name)
            texts += [str(table.scan().to_arrow().to_pylist()), table.metadata.model_dump_json()]

    assert "mirror" not in "".join(texts) and "https://exports/a.jsonl" in "".join(texts)
    assert [s for s in SECRETS if s in "".join(texts)] == []
