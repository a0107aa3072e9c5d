"""What dbt could build that no table of the lake can be made of, and what could stand in a table's place while dbt runs."""

import json
import re
import shutil

import pytest

from lakehouse.dbt.doors.kept_models import refuse_a_model
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.catalog import list_tables, open_catalog
from loaders.ingest import ingest
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import dbt
from tests.integration.dbt.test_dbt import checks_of

DAILY = "materialized='incremental', event_time='day'"
EVENTS = "{{ source('bronze', 'raw_ticket_events', where=in_window('occurred_at')) }}"
DAYS = f"select cast(occurred_at as date) as day, count(*) as n from {EVENTS} group by 1"

REFUSED = {
    "seen": ("materialized='view'", "found `materialized` other than `incremental` and `table`"),
    "short": ("materialized='ephemeral'", "ephemeral; expected incremental or table"),
    "batches": (f"{DAILY}, incremental_strategy='microbatch', batch_size='day', begin='2026-04-14'", "microbatch"),
    "renamed": (f"{DAILY}, alias='another'", "`alias`, or versions of a model: another"),
    "elsewhere": (f"{DAILY}, schema='elsewhere'", "`schema` other than `silver` and `gold`: elsewhere"),
    "in_bronze": (f"{DAILY}, schema='bronze'", "`schema` other than `silver` and `gold`: bronze"),
    "far": (f"{DAILY}, database='other'", "`database`: other"),
    "hooked": (f"{DAILY}, pre_hook='select 1'", "what its SQL does to the rows no verdict would know"),
    "hooked_after": (f"{DAILY}, post_hook='select 1'", "what its SQL does to the rows no verdict would know"),
    "headed": (f"{DAILY}, sql_header='select 1;'", "`sql_header`"),
}


@pytest.fixture
def project(tmp_path, settings, declare):
    """A dbt project with our macros and Bronze, and models of its own; two days of events."""
    write_lines(settings.manifests / "a.jsonl", [ticket_event(n, f"2026-04-{n}") for n in (14, 15)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    assert ingest(settings).is_complete
    folder = tmp_path / "project"
    shutil.copytree(PROJECT_ROOT / "dbt_project", folder, ignore=shutil.ignore_patterns("gold", "silver"))
    (folder / "models" / "silver").mkdir()

    def write(name, config=DAILY, sql=DAYS, partitioned="daily", **described):
        model = folder / "models" / "silver" / f"{name}.sql"
        model.write_text(f"{{{{ config({config}) }}}}\n{sql}")
        columns = [{"name": "day", "data_type": "date"}, {"name": "n", "data_type": "bigint"}]
        meta = {"contract": {"enforced": "ephemeral" not in config}, "meta": {"omni": {"partitioned": partitioned}}}
        document = {"version": 2, "models": [{"name": name, "config": meta, "columns": columns, **described}]}
        model.with_suffix(".yml").write_text(json.dumps(document))

    write.folder = folder
    write.dbt = lambda *arguments: dbt(settings, *arguments, cwd=folder)
    return write


def written(settings):
    return list_tables(open_catalog(settings), "silver"), open_ledger(settings).current_checks()


def test_a_model_that_no_table_can_be_made_of_is_refused_before_anything_is_written(settings, project):
    for name, (config, _) in REFUSED.items():
        project(name, config)
    project("on_short", sql="select day, n from {{ ref('short') }}")
    (project.folder / "models" / "silver" / "scripted.py").write_text("def model(dbt, session):\n    return None\n")
    before = written(settings)

    for selected, said in (
        ("seen", REFUSED["seen"][1]),
        ("on_short", "model short: found"),
        ("batches", "each batch would replace the window by its own rows"),
        ("scripted", "a Python model"),
    ):
        refused = project.dbt("build", "--select", selected)
        assert refused.returncode != 0 and said in " ".join(refused.stdout.split()), refused.stdout
    assert written(settings) == before

    nodes = json.loads((settings.dbt_target_dir / "manifest.json").read_text("utf-8"))["nodes"]
    for name, (_, said) in REFUSED.items():
        with pytest.raises(ConfigurationError) as error:
            refuse_a_model(nodes[f"model.omni.{name}"])
        assert said in str(error.value)


def test_what_sql_puts_in_the_place_of_a_table_is_found_before_a_model_is_built_or_a_result_recorded(settings, project):
    project("days", data_tests=[{"unique_together": {"name": "days_unique", "arguments": {"columns": ["day"]}}}])
    forged = "{% if execute %}{% do run_query('create or replace view silver.days as select 1 as day') %}{% endif %}"
    project("forging", sql=forged + DAYS)
    assert project.dbt("build", "--select", "days", "--exclude", "resource_type:test").returncode == 0
    checked = written(settings)[1]

    built = project.dbt("run", "--select", "forging")
    (project.folder / "tests").mkdir()
    (project.folder / "tests" / "forges.sql").write_text(forged + "select * from {{ ref('days') }} where false")
    tested = project.dbt("test", "--select", "forges", "days_unique")

    for done in (built, tested):
        assert done.returncode != 0 and "silver.days: found other rows in its place" in " ".join(done.stdout.split())
    assert written(settings) == (["silver.days"], checked)


def test_two_tests_of_one_name_on_one_model_are_refused_since_one_would_pass_for_both(settings, project):
    tests = [{"holds_true": {"name": "days_hold", "arguments": {"condition": text}}} for text in ("false", "true")]
    project("days", data_tests=tests)

    refused = project.dbt("build", "--select", "days")

    assert refused.returncode != 0 and "found another test of its name" in " ".join(refused.stdout.split())
    assert written(settings)[0] == []


def test_a_test_in_a_window_says_nothing_of_a_model_that_is_replaced_whole(settings, project):
    sql = "select cast(occurred_at as date) as day, count(*) as n from {{ source('bronze', 'raw_ticket_events') }} group by 1"
    early = {"holds_true": {"name": "none_late", "arguments": {"condition": "day < date '2026-04-15'"}}}
    project("all_days", f"{DAILY}", sql, partitioned="whole", data_tests=[early])
    (project.folder / "tests").mkdir()
    singular = "select * from {{ ref('all_days') }} where day >= date '2026-04-15' and {{ in_window('day', 'date') }}"
    (project.folder / "tests" / "none_late_in_window.sql").write_text(singular)
    window = "{start: 2026-04-14, end: 2026-04-15}"

    done = project.dbt("build", "--select", "all_days", "--vars", window)

    assert done.returncode == 1, done.stdout
    assert checks_of(settings, "all_days") == {("", "none_late"): False}


def test_what_a_hook_or_profile_makes_of_duckdb_stops_what_would_be_built_or_recorded_by_it(settings, project):
    project("days", data_tests=[{"unique_together": {"name": "days_unique", "arguments": {"columns": ["day"]}}}])
    assert project.dbt("build", "--select", "days").returncode == 0
    before, items = written(settings), open_ledger(settings).current_materializations()
    file, profile = project.folder / "dbt_project.yml", project.folder / "profiles.yml"
    plain = file.read_text(), profile.read_text()

    hook = """on-run-start: ["create macro date_trunc(part, day) as day", """
    file.write_text(plain[0].replace("on-run-start: [", hook))
    built = project.dbt("run", "--select", "days")
    # Made after the lake's own hook has looked, and gone before the one that records.
    hooks = re.sub(r"(?m)^(on-run-start: .*)\]$", r'\1, "create macro date_trunc(part, day) as day"]', plain[0])
    hooks = re.sub(r"(?m)^on-run-end: (.*)$", r'on-run-end: ["drop macro date_trunc", \1]', hooks)
    assert hooks.count("date_trunc") == 2
    file.write_text(hooks)
    tested = project.dbt("test", "--select", "days_unique")
    file.write_text(plain[0])
    profile.write_text(plain[1].replace("threads: 2", "threads: 2\n      settings: {timezone: Europe/Berlin}"))
    elsewhere = project.dbt("run", "--select", "days")

    for done, found in (
        (built, "function date_trunc"),
        (tested, "function date_trunc"),
        (elsewhere, "TimeZone = Europe"),
    ):
        assert done.returncode != 0 and f"DuckDB: found {found}" in " ".join(done.stdout.split()), done.stdout
    assert (written(settings), open_ledger(settings).current_materializations()) == (before, items)


def test_a_test_whose_window_the_project_bounds_otherwise_is_recorded_as_another_test(settings, project):
    project("days", data_tests=[{"unique_together": {"name": "days_unique", "arguments": {"columns": ["day"]}}}])
    window = ("--vars", "{start: 2026-04-14, end: 2026-04-15}")
    macros = project.folder / "macros" / "window.sql"

    def definitions():
        (item,) = open_ledger(settings).current_materializations(["days"]).values()
        return {result.definition for result in open_ledger(settings).current_checks([item.id])[item.id]}

    assert project.dbt("build", "--select", "days", *window).returncode == 0
    (first,) = definitions()
    text = macros.read_text()
    assert text.count("date '{{ day }}'{%") == 1
    macros.write_text(text.replace("date '{{ day }}'{%", "date '{{ day }}' + 1{%"))
    assert project.dbt("test", "--select", "days_unique", *window).returncode == 0

    assert definitions() != {first}
