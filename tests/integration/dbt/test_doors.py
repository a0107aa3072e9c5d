"""Every way in through dbt: after each, a partition that is READY holds what a clean lakehouse would hold.

One lakehouse, built and then late: an event came to a day that was built before, so that a door that only seems to
build or to test shows as a READY partition with the rows of before.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from string import Template

import pytest
import yaml

from lakehouse.dbt.doors.ways_in import COMMANDS, HARMLESS_OPTIONS, REFUSED_OPTIONS
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import NAMESPACES
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.tables.catalog import list_tables, open_catalog
from lakehouse.tables.digest import content_digest, find_table
from loaders.ingest import ingest
from orchestration.readiness.readiness import open_readiness
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import dbt
from tests.integration.dbt.dbt_runs import FORGE, LATE, REFUSED, RETRY, RUNS, SHOWN, STEPS, WINDOW

FOREIGN = {
    "seeds/codes.csv": "code\n1\n",
    "snapshots/kept.sql": "{% snapshot kept %}{{ config(strategy='check', check_cols='all', unique_key='x') }}select 1 as x{% endsnapshot %}",
    "macros/forge.sql": "{% macro forge() %}" + FORGE + "{% endmacro %}",
}
SELECTORS = {"selectors": [{"name": "one", "definition": "event_status_known"}]}


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
    # By a process of its own: to close a copy of it here would take SQLite's locks from the connections of this one.
    subprocess.run(["cp", "-a", settings.home, lake.kept], check=True)
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


@pytest.fixture(scope="module")
def places(late_lake, tmp_path_factory):
    """Folders that the runs name: projects that are not ours, a package, artifacts of another time."""
    root = tmp_path_factory.mktemp("places")
    names = {
        name: root / name.lower()
        for name in ("FREE", "PACKAGE", "PROFILES", "SMALL", "COPY", "STATE", "TARGET", "ASIDE")
    }
    for name in ("FREE", "PACKAGE", "PROFILES"):
        names[name].mkdir()
    (names["PACKAGE"] / "dbt_project.yml").write_text("{name: other, version: '1.0.0'}")
    profiles = (PROJECT_ROOT / "dbt_project" / "profiles.yml").read_text("utf-8").replace("duckdb: &", "staging: &")
    other = profiles.replace("omni:", "other:").replace("target: duckdb", "target: staging")
    (names["PROFILES"] / "profiles.yml").write_text(
        profiles + other.replace("&lake", "&other").replace("*lake", "*other")
    )
    shutil.copytree(PROJECT_ROOT / "dbt_project", names["COPY"])
    (names["COPY"] / "selectors.yml").write_text(yaml.safe_dump(SELECTORS))
    shutil.copytree(PROJECT_ROOT / "dbt_project", names["SMALL"], ignore=shutil.ignore_patterns("gold", "silver"))
    for path, text in FOREIGN.items():
        (names["SMALL"] / path).parent.mkdir(exist_ok=True)
        (names["SMALL"] / path).write_text(text, "utf-8")
    shutil.copytree(late_lake.settings.dbt_target_dir, names["STATE"])
    return names


@pytest.fixture
def run(lake, places):
    """Run dbt as a run of the table says, and hear what it should say."""

    def start(typed):
        cwd = typed.cwd and places[typed.cwd.removeprefix("$")]
        environment = {name: Template(value).substitute(places) for name, value in typed.environment.items()}
        done = lake.dbt(*typed.arguments(places), cwd=cwd, until=typed.until, **environment)
        assert (done.returncode, typed.said in " ".join(done.stdout.split())) == (typed.status, True), (
            typed.typed,
            done.stdout,
        )
        return done.stdout

    return start


def test_each_command_and_option_of_the_table_has_a_run():
    def used(runs):
        return {name for run in runs for name in run.used[1]}

    assert {run.used[0] for run in RUNS} - {"cli"} == COMMANDS.keys()
    assert {name for option in REFUSED_OPTIONS for name in option.names} <= used(REFUSED)
    assert {name for names in HARMLESS_OPTIONS.values() for name in names} <= used({*RUNS} - {*REFUSED})
    assert {name for name, command in COMMANDS.items() if command.way} <= {run.used[0] for run in REFUSED}


def test_what_only_shows_and_what_is_refused_changes_nothing(lake, run):
    before = lake.state()

    for each in (*REFUSED, *SHOWN):
        said = " ".join(run(each).split())
        assert each in SHOWN or "nothing was built, tested or recorded; next: " in said or each.is_dbts, said
        assert lake.state() == before, each.typed


@pytest.mark.parametrize("steps", STEPS)
def test_what_a_shell_leaves_is_late_until_it_is_built_and_tested_and_then_what_a_clean_lakehouse_holds(
    lake, run, steps
):
    before = lake.ready()
    assert ("ticket_events", LATE) not in before and ("ticket_events", "2026-04-13") in before

    for each, status in steps:
        run(each)
        assert lake.ready() >= before, each.typed
        assert verdicts_on(lake.settings)["ticket_events", LATE].status == status, each.typed


def test_a_test_that_fails_is_recorded_where_dbt_stops_at_it(lake):
    built(lake.settings)
    find_table(open_catalog(lake.settings), "ticket_events").delete("event_id == 'e99'")

    stopped = lake.dbt("test", "--select", "event_rows_conserved", "--fail-fast")

    assert stopped.returncode == 1, stopped.stdout
    assert verdicts_on(lake.settings)["ticket_events", LATE].status == "FAILED"


def test_a_retry_keeps_to_the_window_of_what_it_tries_again(lake):
    assert lake.dbt("run", *WINDOW.split(), "--select", "ticket_events").returncode == 0
    path = lake.settings.dbt_target_dir / "run_results.json"
    results = json.loads(path.read_text("utf-8"))
    for each in results["results"]:
        each["status"] = "error"
    path.write_text(json.dumps(results), "utf-8")
    _, _, before = lake.state()

    done = lake.dbt(*RETRY.arguments({}))

    assert done.returncode == 0, done.stdout
    items = open_ledger(lake.settings).current_materializations(["ticket_events"])
    runs = {key: item.run_id for (_, key), item in items.items()}
    assert runs["2026-04-13"] != runs[LATE]
    assert lake.state()[2]["silver.ticket_events"] != before["silver.ticket_events"]
    assert verdicts_on(lake.settings)["ticket_events", LATE].status == "UNCHECKED"


def without_tests(document):
    """A YAML document of dbt's without data tests and unit tests."""
    if isinstance(document, list):
        return [without_tests(each) for each in document]
    if not isinstance(document, dict):
        return document
    return {key: without_tests(value) for key, value in document.items() if key not in ("data_tests", "unit_tests")}


def test_verdicts_are_read_by_the_project_and_not_by_what_dbt_parsed_last_in_a_shell(lake, tmp_path):
    assert lake.dbt("run", *WINDOW.split()).returncode == 0
    project = tmp_path / "project"
    shutil.copytree(PROJECT_ROOT / "dbt_project", project)
    for path in (project / "models").rglob("*.yml"):
        path.write_text(yaml.safe_dump(without_tests(yaml.safe_load(path.read_text("utf-8")))), "utf-8")

    parsed = dbt(lake.settings, "parse", "--no-partial-parse", cwd=project)

    artifact = json.loads((lake.settings.dbt_target_dir / "manifest.json").read_text("utf-8"))
    assert not [key for key in artifact["nodes"] if key.startswith("test.")], parsed.stdout
    assert verdicts_on(lake.settings)["ticket_events", LATE].status == "UNCHECKED"
