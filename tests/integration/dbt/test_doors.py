"""Every way in through dbt: after each, a partition that is READY holds what a clean lakehouse would hold.

One lakehouse, built and then late: an event came to a day that was built before, so that a door that only seems to
build or to test shows as a READY partition with the rows of before.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import NAMESPACES
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import list_tables, open_catalog
from lakehouse.tables.digest import content_digest, find_table
from loaders.ingest import ingest
from orchestration.readiness.readiness import open_readiness
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import dbt

LATE = "2026-04-14"
WINDOW = ("--event-time-start", LATE, "--event-time-end", "2026-04-15")
FOREIGN = {
    "seeds/codes.csv": "code\n1\n",
    "snapshots/kept.sql": "{% snapshot kept %}{{ config(strategy='check', check_cols='all', unique_key='x') }}select 1 as x{% endsnapshot %}",
    "macros/forge.sql": "{% macro forge() %}{% do adapter.store_relation('lakehouse', "
    "api.Relation.create(schema='silver', identifier='x'), [], '', 'iceberg', {}) %}{% endmacro %}",
}


@dataclass
class Lake:
    """A lakehouse that can be put back to what it was, at the same place."""

    settings: LakehouseSettings
    clean: dict
    """(asset, partition) → digest, after a build of all."""

    @property
    def kept(self) -> Path:
        return self.settings.home.with_name("kept")

    def put_back(self):
        shutil.rmtree(self.settings.home)
        shutil.copytree(self.kept, self.settings.home)

    def dbt(self, *arguments, **environment):
        return dbt(self.settings, *arguments, **environment)

    def state(self):
        """All that a verdict could go by, and all that a reader could read."""
        ledger, catalog = open_ledger(self.settings), open_catalog(self.settings)
        tables = [name for namespace in NAMESPACES for name in list_tables(catalog, namespace)]
        snapshots = {name: catalog.load_table(name).metadata_location for name in tables}
        return ledger.current_materializations(), ledger.current_checks(), snapshots

    def ready(self):
        """Partitions that are safe to consume; each is what a clean lakehouse would hold."""
        verdicts = verdicts_on(self.settings)
        ready = {key for key, verdict in verdicts.items() if verdict.status == "READY"}
        assert {key: digest(self.settings, *key) for key in ready} == {key: self.clean[key] for key in ready}
        return ready


def verdicts_on(settings):
    readiness = open_readiness(settings)
    return {(n, key): verdict for n in readiness.graph.nodes for key, verdict in readiness.verdicts(n).items()}


def digest(settings, asset, partition):
    return content_digest(find_table(open_catalog(settings), asset), partition)


@pytest.fixture(scope="module")
def late_lake(tmp_path_factory, parsed_project):
    root = tmp_path_factory.mktemp("doors")
    settings = LakehouseSettings(home=root / "the home", manifests=root / "the manifests")
    parsed_project.give_to(settings)
    load(settings, 1, [ticket_event(13, "2026-04-13"), ticket_event(14, LATE)])
    built(settings)
    load(settings, 2, [ticket_event(99, LATE)])
    lake = Lake(settings, {})
    shutil.copytree(settings.home, lake.kept)
    built(settings)
    verdicts = verdicts_on(settings)
    assert {key for key, verdict in verdicts.items() if verdict.is_ready} >= {
        ("ticket_events", LATE),
        ("ticket_fact", ""),
    }
    lake.clean |= {key: digest(settings, *key) for key in verdicts}
    lake.put_back()
    return lake


def load(settings, number, events):
    write_lines(settings.manifests / f"{number}.jsonl", events)
    manifest = ticket_manifest([source(f"source-{number}", f"{number}.jsonl")], number)
    (settings.manifests / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest), "utf-8")
    assert ingest(settings).is_complete


def built(settings):
    done = dbt(settings, "build")
    assert done.returncode == 0, done.stdout


@pytest.fixture
def lake(late_lake):
    yield late_lake
    late_lake.put_back()


def test_what_a_shell_leaves_is_late_until_it_is_built_and_tested_and_then_what_a_clean_lakehouse_holds(lake):
    before = lake.ready()
    assert ("ticket_events", LATE) not in before and ("ticket_events", "2026-04-13") in before

    ran = lake.dbt("run", *WINDOW)
    untested = lake.ready()
    tested = lake.dbt("test", "--fail-fast")

    assert ran.returncode == 0 and tested.returncode == 0, ran.stdout + tested.stdout
    assert ("ticket_events", LATE) not in untested
    assert lake.ready() >= before | {("ticket_events", LATE), ("support_kpi_daily", LATE)}


def test_a_test_that_fails_is_recorded_where_dbt_stops_at_it(lake):
    built(lake.settings)
    find_table(open_catalog(lake.settings), "ticket_events").delete("event_id == 'e99'")

    stopped = lake.dbt("test", "--select", "event_rows_conserved", "--fail-fast")

    assert stopped.returncode == 1, stopped.stdout
    assert verdicts_on(lake.settings)["ticket_events", LATE].status == "FAILED"


def test_a_retry_keeps_to_the_window_of_what_it_tries_again(lake):
    assert lake.dbt("run", *WINDOW, "--select", "ticket_events").returncode == 0
    path = lake.settings.dbt_target_dir / "run_results.json"
    results = json.loads(path.read_text("utf-8"))
    for each in results["results"]:
        each["status"] = "error"
    path.write_text(json.dumps(results), "utf-8")
    _, _, before = lake.state()

    done = lake.dbt("retry")

    assert done.returncode == 0, done.stdout
    items = open_ledger(lake.settings).current_materializations(["ticket_events"])
    runs = {key: item.run_id for (_, key), item in items.items()}
    assert runs["2026-04-13"] != runs[LATE]
    assert lake.state()[2]["silver.ticket_events"] != before["silver.ticket_events"]
    assert verdicts_on(lake.settings)["ticket_events", LATE].status == "UNCHECKED"


def test_a_door_that_is_shut_is_refused_with_its_reason_before_anything_is_written(lake, tmp_path):
    state = str(shutil.copytree(lake.settings.dbt_target_dir, tmp_path / "state"))
    own = tmp_path / "profiles"
    own.mkdir()
    profiles = (PROJECT_ROOT / "dbt_project" / "profiles.yml").read_text("utf-8")
    (own / "profiles.yml").write_text(profiles.replace("duckdb: &lake", "staging: &lake"), "utf-8")
    project = tmp_path / "project"
    shutil.copytree(PROJECT_ROOT / "dbt_project", project, ignore=shutil.ignore_patterns("gold", "silver"))
    elsewhere = ("--project-dir", str(project), "--target-path", str(tmp_path / "target"))
    for path, text in FOREIGN.items():
        (project / path).parent.mkdir(exist_ok=True)
        (project / path).write_text(text, "utf-8")
    before = lake.state()
    cases = [
        (["build", "--full-refresh", *WINDOW], {}, "a window replaces its own days"),
        (["run", *WINDOW], {"DBT_ENGINE_FULL_REFRESH": "1"}, "a window replaces its own days"),
        (["build", "--defer", "--state", state], {}, "another manifest names"),
        (["test", "--state", state], {"DBT_DEFER": "1"}, "another manifest names"),
        (["run"], {"DBT_ENGINE_FAVOR_STATE": "1"}, "another manifest names"),
        (["test", "--vars", "{force: true, day: 1}"], {}, "others than the project says"),
        (["test", "--profiles-dir", str(own), "--target", "staging"], {}, "no lake is declared"),
        (["build"], {"DBT_TARGET": "nowhere"}, "does not have a target named 'nowhere'"),
        (["clone", "--state", state], {}, "tables that nobody built"),
        (["seed", *elsewhere], {}, "gone with dbt's database"),
        (["snapshot", *elsewhere], {}, "gone with dbt's database"),
        (["run-operation", "forge", *elsewhere], {}, "only dbt build and dbt run do"),
    ]
    for arguments, environment, reason in cases:
        refused = lake.dbt(*arguments, **environment)
        said = " ".join(refused.stdout.split())
        assert refused.returncode != 0 and reason in said, (arguments, environment, refused.stdout)
        assert "nothing was built, tested or recorded; next: " in said or "nowhere" in said, refused.stdout
    assert lake.state() == before


def test_what_only_shows_records_nothing(lake, tmp_path):
    before = lake.state()

    for arguments in (
        ["compile", "--full-refresh"],
        ["show", "--inline-direct", "create or replace view silver.ticket_events as select 1 as x"],
        ["show", "--inline", "select count(*) from {{ ref('ticket_events') }}"],
        ["ls", "--defer", "--state", str(lake.settings.dbt_target_dir)],
        ["run-operation", "refuse_what_is_not_ready"],
        ["debug"],
    ):
        shown = lake.dbt(*arguments)
        assert shown.returncode == 0, (arguments, shown.stdout)

    assert lake.state() == before


def without_tests(document):
    """A YAML document of dbt's without data tests and unit tests."""
    if isinstance(document, list):
        return [without_tests(each) for each in document]
    if not isinstance(document, dict):
        return document
    return {key: without_tests(value) for key, value in document.items() if key not in ("data_tests", "unit_tests")}


def test_verdicts_are_read_by_the_project_and_not_by_what_dbt_parsed_last_in_a_shell(lake, tmp_path):
    assert lake.dbt("run", *WINDOW).returncode == 0
    project = tmp_path / "project"
    shutil.copytree(PROJECT_ROOT / "dbt_project", project)
    for path in (project / "models").rglob("*.yml"):
        path.write_text(yaml.safe_dump(without_tests(yaml.safe_load(path.read_text("utf-8")))), "utf-8")

    parsed = dbt(lake.settings, "parse", "--no-partial-parse", cwd=project)

    artifact = json.loads((lake.settings.dbt_target_dir / "manifest.json").read_text("utf-8"))
    assert not [key for key in artifact["nodes"] if key.startswith("test.")], parsed.stdout
    assert verdicts_on(lake.settings)["ticket_events", LATE].status == "UNCHECKED"
