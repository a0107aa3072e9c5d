"""Reach comes from a model's SQL: what is noted when dbt parses, what contradicts it, and what the verdicts make of it."""

import json
import shutil

import pytest

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import PROJECT_ROOT
from lakehouse.tables.catalog import list_tables, open_catalog
from loaders.ingest import ingest
from orchestration.readiness.asset_graph import load_asset_graph, read_asset_graph
from orchestration.readiness.readiness import readiness_now
from tests.conftest import source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import dbt

EVENTS = "source('bronze', 'raw_ticket_events'{})"
IN, UP_TO, BEFORE = (f", where={name}_window('occurred_at')" for name in ("in", "up_to", "before"))


@pytest.fixture
def project(tmp_path, settings):
    """A dbt project with our macros and Bronze, and models of its own."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT_ROOT / "dbt_project", folder, ignore=shutil.ignore_patterns("gold", "silver"))
    (folder / "models" / "silver").mkdir()

    def write(name, sql, **omni):
        model = folder / "models" / "silver" / f"{name}.sql"
        model.write_text("{{ config(materialized='incremental', event_time='day') }}\n" + sql)
        columns = [{"name": "day", "data_type": "date"}, {"name": "n", "data_type": "bigint"}]
        omni = {"meta": {"omni": {"partitioned": "daily", **omni}}}
        described = {"name": name, "config": omni, "columns": columns}
        model.with_suffix(".yml").write_text(json.dumps({"version": 2, "models": [described]}))

    def reach(name):
        manifest = json.loads((settings.dbt_target_dir / "manifest.json").read_text("utf-8"))
        return read_asset_graph(manifest, bronze_contracts(settings))[name].reach

    write.dbt = lambda *arguments: dbt(settings, *arguments, cwd=folder)
    write.reach = reach
    return write


def daily(*windows):
    """A model's SQL with a row per day, over one read of Bronze per window."""
    reads = " union all ".join("select occurred_at from {{ " + EVENTS.format(w) + " }}" for w in windows)
    return f"select cast(occurred_at as date) as day, count(*) as n from ({reads}) group by 1"


def test_the_shipped_models_reach_as_far_as_their_sql_reads(settings):
    assert {name: node.reach for name, node in load_asset_graph(settings).nodes.items() if node.reach} == {
        "ticket_events": {"raw_ticket_events": "same_day"},
        "int_doc_assets__listed": {"raw_doc_assets": "same_day"},
        "int_ticket_states__daily": {"ticket_events": "same_day"},
        "int_open_tickets__monthly": {"int_ticket_states__daily": "up_to_day"},
        "ticket_fact": {"ticket_events": "all"},
        "knowledge_doc_history": {"int_doc_assets__listed": "all"},
        "knowledge_doc": {"knowledge_doc_history": "all"},
        "support_kpi_daily": {"ticket_events": "same_day"},
        "support_backlog_daily": {"int_ticket_states__daily": "up_to_day", "int_open_tickets__monthly": "up_to_day"},
        "doc_change_feed": {"int_doc_assets__listed": "up_to_day"},
        "doc_sections": {"int_doc_assets__listed": "up_to_day"},
        "int_doc_passages__cut": {"doc_sections": "same_day"},
        "knowledge_section": {"knowledge_doc": "all", "doc_sections": "all"},
        "knowledge_passage": {"knowledge_doc": "all", "int_doc_passages__cut": "all"},
        "passage_change_feed": {"int_doc_assets__listed": "up_to_day", "int_doc_passages__cut": "up_to_day"},
    }


def test_a_parse_alone_tells_the_reach_of_models_whose_yaml_says_nothing(project):
    other_column = IN.replace("occurred_at", "created_at")
    cases = {
        "inside": (daily(IN), "same_day"),
        "until": (daily(UP_TO), "up_to_day"),
        "before": (daily(BEFORE), "up_to_day"),
        "both": (daily(UP_TO, IN), "up_to_day"),
        "both_the_other_way": (daily(IN, BEFORE), "up_to_day"),
        "once_without": (daily(IN, ""), "all"),
        "first_without": (daily("", IN), "all"),
        "another_column": (daily(other_column), "all"),
        "filtered_later": (
            "with events as (select * from {{ source('bronze', 'raw_ticket_events') }}) "
            "select cast(occurred_at as date) as day, count(*) as n from events "
            "where {{ in_window('occurred_at') }} group by 1",
            "all",
        ),
        "bare": (
            "select cast(occurred_at as date) as day, 1 as n from {{ source('bronze', 'raw_ticket_events') }}",
            "all",
        ),
    }
    for name, (sql, _) in cases.items():
        project(name, sql)

    done = project.dbt("parse")

    assert done.returncode == 0, done.stdout
    assert {name: project.reach(name)["raw_ticket_events"] for name in cases} == {n: r for n, (_, r) in cases.items()}

    project("inside", daily(UP_TO))  # parsed anew, the others are kept
    project("until", daily(IN))
    assert project.dbt("parse").returncode == 0
    again = {n: project.reach(n)["raw_ticket_events"] for n in ("inside", "until", "once_without")}
    assert again == {"inside": "up_to_day", "until": "same_day", "once_without": "all"}


def test_a_yaml_that_contradicts_the_sql_is_refused_when_dbt_parses(project):
    project("shape", daily(IN), reach={"raw_ticket_events": "same_day"})
    done = project.dbt("parse")
    assert done.returncode == 0, done.stdout  # it says the same

    for windows, said, found in (
        ([IN], "up_to_day", "same_day"),
        ([UP_TO, IN], "same_day", "up_to_day"),
        ([""], "same_day", "all"),
        ([IN, ""], "same_day", "all"),
    ):
        project("shape", daily(*windows), reach={"raw_ticket_events": said})
        for command in ("parse", "build"):
            done = project.dbt(command)

            assert done.returncode == 2
            told = " ".join(done.stdout.split())
            assert f"its YAML says that it reads raw_ticket_events {said}, its SQL reads {found}; expected" in told
            assert "next: take raw_ticket_events out of meta.omni.reach" in told


def test_a_yaml_with_a_word_that_nobody_reads_is_refused(project):
    project("shape", daily(IN), inputs={"raw_ticket_events": "same_day"})

    done = project.dbt("parse")

    assert done.returncode == 2 and "meta.omni has inputs; expected partitioned, reach or unchecked" in done.stdout


@pytest.mark.parametrize(
    "where", [IN + " ~ ' or true'", ", where='/*window:occurred_at:timestamp*/ true /*end window*/'"]
)
def test_a_where_that_is_not_just_a_window_is_refused(project, where):
    project("shape", daily(where))

    done = project.dbt("parse")

    assert done.returncode == 2 and "expected in_window, up_to_window or before_window" in done.stdout


@pytest.fixture
def two_days(settings, declare):
    """An event on 2026-04-15 and one on the 16th, in Bronze."""
    write_lines(settings.manifests / "a.jsonl", [ticket_event(n, f"2026-04-{n}") for n in (15, 16)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    assert ingest(settings).is_complete
    return settings


def test_a_read_that_only_some_runs_have_stops_the_model(project, two_days):
    sql = (
        "{% if execute %}{{ source('bronze', 'raw_ticket_events') }}{% else %}{{ "
        + EVENTS.format(IN)
        + " }}{% endif %}"
    )
    project("shape", f"select cast(occurred_at as date) as day, count(*) as n from {sql} group by 1")

    done = project.dbt("build", "--exclude", "source:*")

    assert done.returncode == 1
    assert "shape reads raw_ticket_events all" in done.stdout and "did not see when it parsed" in done.stdout
    assert not open_catalog(two_days).table_exists("silver.shape")


def test_a_table_that_is_replaced_whole_is_not_replaced_by_a_window(project, two_days):
    project("shape", daily(IN), partitioned="whole")

    done = project.dbt(
        "build", "--exclude", "source:*", "--event-time-start", "2026-04-15", "--event-time-end", "2026-04-16"
    )

    assert done.returncode == 1 and "its table is replaced whole; expected no macro of a window" in done.stdout
    assert not open_catalog(two_days).table_exists("silver.shape")


def test_writer_and_verdict_agree_on_every_reach(project, two_days):
    project("listed", daily(IN))
    project("whole", daily(""), partitioned="whole")
    for name, window in (("day_of_days", "in"), ("until", "up_to")):
        project(
            name,
            f"select day, n from {{{{ ref('listed', where={window}_window('day', 'date')) }}}} where {{{{ in_window('day', 'date') }}}}",
        )
    project("of_whole", "select day, n from {{ ref('whole', where=in_window('day', 'date')) }}")
    project("of_all", "select day, n from {{ ref('listed') }} where {{ in_window('day', 'date') }}")

    done = project.dbt("build", "--exclude", "source:*")

    assert done.returncode == 0, done.stdout
    names = ("listed", "whole", "day_of_days", "until", "of_whole", "of_all")
    manifest = json.loads((two_days.dbt_target_dir / "manifest.json").read_text("utf-8"))
    graph = read_asset_graph(manifest, bronze_contracts(two_days))
    reach = {name: [*graph[name].reach.values()] for name in names[2:]}
    assert reach == {"day_of_days": ["same_day"], "until": ["up_to_day"], "of_whole": ["all"], "of_all": ["all"]}
    readiness = readiness_now(two_days, graph, open_ledger(two_days))
    verdicts = [verdict for name in names for verdict in readiness.verdicts(name).values()]
    assert len(verdicts) >= 11 and not [v.name for v in verdicts if v.evidence.changed_inputs]


PAST_REF_AND_SOURCE = {
    "by_name": ("bronze.raw_ticket_events", "bronze.raw_ticket_events"),
    "nested": (
        "(select * from (with t as (select * from BRONZE.raw_ticket_events) select * from t))",
        "BRONZE.raw_ticket_events",
    ),
    "function": ("read_csv('{file}')", "read_csv()"),
    "file": ("'{file}'", "{file}"),
    "sql": ("query('select * from bronze.raw_ticket_events')", "query()"),
}
"""Model → what it reads, and what is named of it."""


def test_a_read_past_ref_and_source_stops_the_model_before_it_is_computed(project, two_days, tmp_path):
    file = tmp_path / "events.csv"
    file.write_text("occurred_at\n2026-04-15\n")
    for name, (read, _) in PAST_REF_AND_SOURCE.items():
        rows = read.format(file=file)
        project(name, f"select cast(occurred_at as date) as day, count(*) as n from {rows} group by 1")

    done = project.dbt("build", "--select", *PAST_REF_AND_SOURCE)

    assert done.returncode == 1
    for name, (_, named) in PAST_REF_AND_SOURCE.items():
        said = f"{name}: its SQL reads {named.format(file=file)}, expected only what ref"
        assert said in done.stdout, done.stdout
    assert list_tables(open_catalog(two_days), "silver") == []


def test_sql_that_asks_the_clock_stops_the_model_before_it_is_computed(settings, declare, project):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ingest(settings)
    events = "{{ source('bronze', 'raw_ticket_events', where=in_window('occurred_at')) }}"
    project("late", f"select current_date as day, count(*) as n from {events} where occurred_at < now()")

    done = project.dbt("build", "--select", "late")

    assert done.returncode == 1 and "late: its SQL has current_date, now(), expected the same rows" in done.stdout
    assert list_tables(open_catalog(settings), "silver") == []
