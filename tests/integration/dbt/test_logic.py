"""Edits of the dbt project and of thresholds, each with what becomes of every asset on every day: compiled, not built.

What an edit makes stale or unchecked is said beside it; what must be blocked behind it follows from who reads whom. All
the rest stays as it is.
"""

import json
import re
import shutil
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.partitions import WHOLE
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from orchestration.cli import edits as commands
from orchestration.cli import main
from orchestration.dbt_launcher.manifest import ensure_dbt_manifest
from orchestration.readiness.asset_graph import read_asset_graph
from orchestration.readiness.readiness import open_readiness

READERS = {
    "raw_ticket_events": {"ticket_events": "same_day"},
    "raw_doc_assets": {"int_doc_assets__listed": "same_day"},
    "raw_audio_assets": {},
    "raw_video_assets": {},
    "ticket_events": {
        "int_ticket_states__daily": "same_day",
        "support_kpi_daily": "same_day",
        "ticket_fact": "all",
    },
    "int_doc_assets__listed": {
        "knowledge_doc_history": "all",
        "doc_change_feed": "up_to_day",
        "doc_sections": "up_to_day",
        "passage_change_feed": "up_to_day",
    },
    "doc_sections": {"int_doc_passages__cut": "same_day", "knowledge_section": "all"},
    "int_doc_passages__cut": {"knowledge_passage": "all", "passage_change_feed": "up_to_day"},
    "knowledge_doc_history": {"knowledge_doc": "all"},
    "knowledge_doc": {"knowledge_section": "all", "knowledge_passage": "all"},
    "int_ticket_states__daily": {"int_open_tickets__monthly": "up_to_day", "support_backlog_daily": "up_to_day"},
    "int_open_tickets__monthly": {"support_backlog_daily": "up_to_day"},
}


class Edit(NamedTuple):
    """A replacement in a file of the project, and the assets that it makes stale or unchecked."""

    file: str
    old: str
    new: str
    stale: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


KPI, EVENTS, FACT = "gold/support_kpi_daily", "silver/ticket_events", "silver/ticket_fact"
BACKLOG, FEED, STATES = "gold/support_backlog_daily", "gold/doc_change_feed", "silver/int_ticket_states__daily"
HARMLESS = [
    Edit(f"{KPI}.sql", "with events as (", "-- the events of a day\nwith events as ("),
    Edit(f"{KPI}.sql", "select * from final", "/* all of it */ SELECT *\n\n  FROM   final"),
    Edit(f"{KPI}.sql", "count(*) as events,", "COUNT( * ) AS events , -- each once"),
    Edit(
        f"{KPI}.sql",
        "{{ whole_minutes('created_at', 'resolved_at') }}",
        "{{ minutes_of('created_at', 'resolved_at') }}",
    ),
    Edit(
        "macros/dialect.sql",
        "{% macro instant",
        "{% macro minutes_of(a, b) %}{{ return(whole_minutes(a, b)) }}{% endmacro %}\n{% macro instant",
    ),
    Edit("macros/dialect.sql", "cast(floor(", "CAST(\n  floor("),
    Edit("macros/documents.sql", "distinct\n", "distinct -- days\n"),
    Edit("macros/window.sql", "{# What depends on the window", "{# All that depends on the window"),
    Edit("macros/results.sql", "{# Hands the results", "{# Hands all results"),
    Edit(f"{EVENTS}.sql", "materialized='incremental'", "materialized='table'"),
    Edit(f"{EVENTS}.sql", "source_line desc", "source_line DESC"),
    Edit(f"{FACT}.sql", "inner join lives on", "INNER JOIN lives\n        ON"),
    Edit(f"{BACKLOG}.sql", "-- Without a checkpoint, the whole history.", ""),
    Edit(
        f"{BACKLOG}.sql",
        "rows between unbounded preceding and current row",
        "ROWS BETWEEN Unbounded Preceding AND CURRENT row",
    ),
    Edit(f"{FEED}.sql", "else 'changed'", "ELSE\n 'changed'"),
    Edit(f"{KPI}.yml", "description: UTC day.", "description: The UTC day."),
    Edit(f"{KPI}.yml", "name: kpi_kpi_date_not_null", "name: kpi_kpi_date_not_null, description: said"),
    Edit(
        f"{KPI}.yml",
        "data_type: bigint\n        description: Number of ticket",
        "data_type: int8\n        description: Number of ticket",
    ),
    Edit(
        f"{KPI}.yml",
        "name: kpi_key_unique, arguments",
        "name: kpi_key_unique, config: {store_failures: true}, arguments",
    ),
    Edit(f"{KPI}.yml", "p1_created <= tickets_created and", "p1_created   <= tickets_created AND"),
    Edit(f"{STATES}.yml", "meta:\n        omni:", "tags: [t]\n      meta:\n        omni:"),
    Edit(
        f"{BACKLOG}.yml",
        "omni: {partitioned: daily}",
        "omni: {partitioned: daily, reach: {int_ticket_states__daily: up_to_day}}",
    ),
    Edit("sources.yml", "description: Identity of the event;", "description: The identity of the event;"),
    Edit("sources.yml", "count: 36", "count: 35"),
    Edit("dbt_project.yml", "+on_schema_change: append_new_columns", "+on_schema_change: fail"),
    Edit(
        "macros/window.sql",
        "and {{ column }} < {{ bound_literal(w.hi, kind) }}\n",
        "and {{ column }} <= {{ bound_literal(w.hi, kind) }}\n",
    ),
]
"""No row and no check is another."""
LOGIC = [
    Edit(
        f"{KPI}.sql", "when event_type = 'created' then 1", "when event_type = 'Created' then 1", ("support_kpi_daily",)
    ),
    Edit(f"{KPI}.sql", "else 0 end as is_created", "else 0.0 end as is_created", ("support_kpi_daily",)),
    Edit(f"{KPI}.sql", "resolved_at > sla_due_at", "resolved_at >= sla_due_at", ("support_kpi_daily",)),
    Edit(f"{KPI}.sql", "cast(sum(is_created) as bigint)", "cast(sum(is_created) as integer)", ("support_kpi_daily",)),
    Edit(f"{EVENTS}.sql", "order by batch_id desc", "order by batch_id asc", ("ticket_events",)),
    Edit(f"{EVENTS}.sql", "where recency = 1", "where recency = 1 and event_type <> 'x'", ("ticket_events",)),
    Edit(f"{FACT}.sql", "'resolved', 'closed'", "'resolved', 'Closed'", ("ticket_fact",)),
    Edit(f"{FACT}.sql", "inner join", "left join", ("ticket_fact",)),
    Edit(f"{STATES}.sql", "event_id desc", "event_id", ("int_ticket_states__daily",)),
    Edit(
        f"{BACKLOG}.sql",
        "(select max(kpi_date) from days)",
        "(select min(kpi_date) from days)",
        ("support_backlog_daily",),
    ),
    Edit(f"{BACKLOG}.sql", "date '0001-01-01'", "date '0002-01-01'", ("support_backlog_daily",)),
    Edit(f"{FEED}.sql", "where=up_to_window('snapshot_date', 'date')", "", ("doc_change_feed",)),
    Edit("macros/dialect.sql", "60000000", "1000000", ("support_kpi_daily",)),
    Edit("macros/contents.sql", "'html-1 markdown-1", "'html-1 markdown-2", ("doc_sections",)),
    Edit("macros/contents.sql", "sentencex-1.0.32", "sentencex-1.0.33", ("int_doc_passages__cut",)),
    Edit("silver/int_doc_passages__cut.sql", "most_tokens = 200", "most_tokens = 300", ("int_doc_passages__cut",)),
    Edit(
        "macros/documents.sql",
        "where disposition = 'replace'",
        "where disposition = 'merge'",
        ("doc_change_feed", "knowledge_doc_history", "passage_change_feed"),
    ),
    Edit(
        f"{KPI}.yml",
        "- name: sla_breaches\n        data_type: bigint",
        "- name: sla_breaches\n        data_type: integer",
        ("support_kpi_daily",),
    ),
    Edit(
        f"{FACT}.yml",
        "- name: customer_id\n        data_type: varchar",
        "- name: customer_id\n        data_type: blob",
        ("ticket_fact",),
    ),
    Edit(
        f"{FACT}.sql",
        "with events as",
        "with is_incremental as (select run_query('select 1')), events as".replace(
            "select run_query('select 1')",
            "select {{ run_query('select 1').columns[0].values()[0] if execute else 1 }}",
        ),
        ("ticket_fact",),
    ),
]
"""Rows would be others."""
CHECKS = [
    Edit("macros/contents.sql", "'anchors-1 ", "'anchors-2 ", (), ("doc_sections", "int_doc_passages__cut")),
    Edit("silver/doc_sections.yml", "at_least: 0.9", "at_least: 0.8", (), ("doc_sections",)),
    Edit(
        f"{KPI}.yml",
        "events >= 1 and tickets_created >= 0",
        "events >= 2 and tickets_created >= 0",
        (),
        ("support_kpi_daily",),
    ),
    Edit(
        f"{KPI}.yml",
        "columns: [kpi_date, product_line, priority, category, org_id]",
        "columns: [kpi_date, product_line, priority]",
        (),
        ("support_kpi_daily",),
    ),
    Edit(
        f"{KPI}.yml",
        "name: kpi_key_unique, arguments",
        "name: kpi_key_unique, config: {where: events > 5}, arguments",
        (),
        ("support_kpi_daily",),
    ),
    Edit(
        f"{KPI}.yml",
        "name: kpi_key_unique, arguments",
        "name: kpi_key_unique, config: {error_if: '>5'}, arguments",
        (),
        ("support_kpi_daily",),
    ),
    Edit(
        f"{KPI}.yml",
        "name: kpi_key_unique, arguments",
        "name: kpi_key_unique, config: {limit: 5}, arguments",
        (),
        ("support_kpi_daily",),
    ),
    Edit(
        f"{KPI}.yml",
        "name: kpi_key_unique, arguments",
        "name: kpi_another_key_unique, arguments",
        (),
        ("support_kpi_daily",),
    ),
    Edit(
        f"{KPI}.yml",
        "sla_breaches: 1, resolution_minutes_sum: 300",
        "sla_breaches: 2, resolution_minutes_sum: 300",
        (),
        ("support_kpi_daily",),
    ),
    Edit(
        f"{KPI}.yml",
        "event_type: created, status: new",
        "event_type: created, status: open",
        (),
        ("support_kpi_daily",),
    ),
    Edit(
        "macros/generic_tests.sql",
        "having count(*) > 1",
        "having count(*) > 2",
        (),
        ("support_kpi_daily", "support_backlog_daily", "raw_ticket_events", "raw_doc_assets", "UNIQUE"),
    ),
    Edit("sources.yml", "- cast(occurred_at as date)\n", "", (), ("raw_ticket_events",)),
    Edit(f"{FACT}.yml", "event_count >= 1", "event_count >= 2", (), ("ticket_fact",)),
]
"""Results would be others."""
UNIQUE = {
    path.stem for path in (PROJECT_ROOT / "dbt_project/models").rglob("*.yml") if "unique_together" in path.read_text()
}


def touched(edit):
    return {edit.file, *edit.stale, *hit_checks(edit)}


def hit_checks(edit):
    return set(edit.unchecked) | (UNIQUE if "UNIQUE" in edit.unchecked else set())


def apart(edits):
    """Edits in as few groups as have no file and no asset twice: each group is compiled once."""
    groups = []
    for edit in edits:
        free = (group for group in groups if not any(touched(edit) & touched(other) for other in group))
        if (group := next(free, None)) is None:
            groups.append(group := [])
        group.append(edit)
    return groups


@pytest.fixture(scope="module")
def lake(filled_sample, tmp_path_factory):
    """The filled sample; its dbt project is a copy, and so is what it makes of that."""
    root = tmp_path_factory.mktemp("edited")
    project = root / "dbt_project"
    shutil.copytree(PROJECT_ROOT / "dbt_project", project)
    shutil.copytree(filled_sample.dbt_target_dir.parent, root / "home" / "dbt")
    settings = filled_sample.model_copy(
        update={
            "home": root / "home",
            "catalog_uri": filled_sample.catalog_url,
            "warehouse": filled_sample.warehouse_url,
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LakehouseSettings, "dbt_project_dir", project)
        yield settings


@pytest.fixture(scope="module")
def before(lake):
    return statuses(lake)


@pytest.fixture
def edited(lake, before):
    """Apply edits for the time of a test."""
    originals = {}

    def apply(*edits):
        for edit in edits:
            file = lake.dbt_project_dir / ("" if re.match("macros|dbt_project", edit.file) else "models") / edit.file
            text = file.read_text("utf-8")
            originals.setdefault(file, text)
            assert edit.old in text, edit
            file.write_text(text.replace(edit.old, edit.new), "utf-8")
        return lake

    yield apply
    for file, text in originals.items():
        file.write_text(text, "utf-8")


def statuses(settings):
    readiness = open_readiness(settings)
    return {
        (asset, key): str(verdict.status)
        for asset in readiness.graph.nodes
        for key, verdict in readiness.verdicts(asset).items()
    }


def predicted(before, edits):
    """By the readers alone: what was written is hit by the edit, whoever reads a day that is hit is blocked, empty or not.

    Of what was unknown nothing more is known.
    """
    stale = {asset for edit in edits for asset in edit.stale}
    unchecked = {asset for edit in edits for asset in hit_checks(edit)}
    after = dict(before)
    for asset, key in before:
        if before[asset, key] == "UNKNOWN":
            continue
        if asset in stale:
            after[asset, key] = "STALE"
        elif asset in unchecked and before[asset, key] != "EMPTY":
            after[asset, key] = "UNCHECKED"
    for asset in READERS:  # upstream first
        for reader, reach in READERS[asset].items():
            hit = [
                key
                for (name, key), status in after.items()
                if name == asset and status in ("STALE", "UNCHECKED", "BLOCKED")
            ]
            for name, key in before:
                days = [day for day in hit if reach == "all" or day == key or (reach == "up_to_day" and day <= key)]
                if name == reader and days and after[name, key] in ("READY", "EMPTY"):
                    after[name, key] = "BLOCKED"
    return after


def differences(found, expected):
    return {
        key: (found.get(key), expected.get(key))
        for key in found.keys() | expected
        if found.get(key) != expected.get(key)
    }


def test_before_any_edit_everything_that_is_known_is_safe(before):
    assert set(before.values()) == {"READY", "EMPTY", "UNKNOWN"}
    assert len([key for _, key in before if key == WHOLE]) == 5


def test_the_assets_keep_their_order_where_an_edit_moves_a_model_in_the_manifest_of_dbt(edited, lake):
    orders = []
    for file, old, new in ((KPI, "count(*) as", "COUNT(*) as"), (FACT, "inner join", "INNER JOIN")):
        edit = Edit(f"{file}.sql", old, new)
        manifest = json.loads(ensure_dbt_manifest(edited(edit)).read_text("utf-8"))
        parsed = [node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "model"]
        orders.append((parsed, list(read_asset_graph(manifest, bronze_contracts(lake)).nodes)))

    (parsed, shown), (parsed_again, shown_again) = orders
    assert parsed != parsed_again
    assert shown == shown_again


def test_edits_that_change_no_row_and_no_check_change_no_verdict(edited, before):
    assert differences(statuses(edited(*HARMLESS)), before) == {}


@pytest.mark.parametrize("edits", apart(LOGIC + CHECKS), ids=lambda edits: f"{len(edits)} edits")
def test_an_edit_changes_what_it_must_and_nothing_else(edited, before, edits):
    assert differences(statuses(edited(*edits)), predicted(before, edits)) == {}


def test_the_verdict_says_what_has_changed(edited):
    readiness = open_readiness(edited(LOGIC[0], CHECKS[-1]))

    assert readiness.verdict("support_kpi_daily", "2026-04-15").reasons == ("its SQL has changed since",)
    assert readiness.verdict("ticket_fact", WHOLE).reasons == (
        "check fact_life_consistent is defined otherwise since it ran",
    )
    assert {verdict.asset for verdict in readiness.mendable()} == {"support_kpi_daily", "ticket_fact"}


def test_a_plan_lists_what_an_edit_touches_and_what_it_was_before(edited, lake, monkeypatch):
    monkeypatch.setattr(commands, "load_settings", lambda: lake)
    untouched = CliRunner().invoke(main.app, ["plan"])
    edited(LOGIC[0], CHECKS[-1])
    touched = CliRunner().invoke(main.app, ["plan"])

    assert (untouched.exit_code, touched.exit_code) == (0, 1)
    assert untouched.stdout.startswith("no edit touches any partition")
    said = " ".join(touched.stdout.split())
    assert "ticket_fact: READY → UNCHECKED: check fact_life_consistent is defined otherwise since it ran" in said
    assert "support_kpi_daily 2026-04-01" in said and ": READY → STALE: its SQL has changed since" in said
    assert "30 STALE" in said and "1 UNCHECKED" in said


def test_a_model_that_cannot_be_compiled_or_asks_the_clock_is_stale_and_says_why_and_the_others_are_judged(
    edited, before
):
    broken = Edit(
        f"{FACT}.sql",
        "with events as",
        "{{ exceptions.raise_compiler_error('no such luck') if execute }} with events as",
        ("ticket_fact",),
    )
    asking = Edit(
        "macros/dialect.sql",
        "60000000",
        "' ~ modules.datetime.date.today().year ~ '",
        (KPI[5:],),
    )

    lake = edited(broken, asking)

    assert differences(statuses(lake), predicted(before, [broken, asking])) == {}
    (reason,) = open_readiness(lake).verdict("ticket_fact", WHOLE).reasons
    assert reason.startswith("its SQL cannot be compiled") and "no such luck" in reason
    (reason,) = open_readiness(lake).verdict("support_kpi_daily", "2026-04-15").reasons
    assert reason == "its SQL cannot be compiled: it asks the clock; expected the same SQL on every day"


@pytest.mark.parametrize(
    "checks, status",
    [
        ({"quarantine_share": {"at_most": 0.01}}, "UNCHECKED"),
        ({"quarantine_share": {"at_most": 0.05}}, "READY"),
        ({"quarantine_share": {"severity": "error"}}, "READY"),
    ],
)
def test_a_threshold_in_a_contract_is_part_of_the_check(lake, before, tmp_path, checks, status):
    shutil.copytree(PROJECT_ROOT / "manifests" / "contracts", tmp_path / "contracts")
    file = tmp_path / "contracts" / "ticket_event.json"
    contract = json.loads(file.read_text("utf-8"))
    contract["asset"]["checks"] = checks
    file.write_text(json.dumps(contract), "utf-8")

    found = statuses(lake.model_copy(update={"manifests": tmp_path}))

    edit = Edit("", "", "", (), ("raw_ticket_events",) if status == "UNCHECKED" else ())
    assert differences(found, predicted(before, [edit])) == {}


def test_a_threshold_in_the_settings_is_part_of_the_check(lake, before):
    found = statuses(lake.model_copy(update={"max_quarantined_share": 0.01}))

    assert differences(found, predicted(before, [Edit("", "", "", (), ("raw_ticket_events",))])) == {}


def test_a_model_without_a_check_of_severity_error_is_unchecked_unless_it_says_why(edited):
    file = f"{BACKLOG}.yml"
    silent = [
        Edit(
            file,
            "holds_true: {name: backlog_not_negative,",
            "holds_true: {name: backlog_not_negative, config: {severity: warn},",
        )
    ]
    silent += [Edit(file, "backlog_key_unique,", "backlog_key_unique, config: {severity: warn},")]
    silent += [
        Edit(
            file,
            "not_null: {name: backlog_kpi_date_not_null",
            "not_null: {config: {severity: warn}, name: backlog_kpi_date_not_null",
        )
    ]
    silent += [Edit(file, "model: support_backlog_daily", "config: {enabled: false}\n    model: support_backlog_daily")]
    lake = edited(*silent)

    unchecked = open_readiness(lake).verdict("support_backlog_daily", "2026-04-15")
    edited(Edit(file, "{partitioned: daily}", "{partitioned: daily, unchecked: 'a trial'}"))
    excused = open_readiness(lake).verdict("support_backlog_daily", "2026-04-15")

    assert (unchecked.status, unchecked.reasons) == ("UNCHECKED", ("no check of severity error is declared",))
    assert not unchecked.is_mendable
    assert (excused.status, excused.evidence.unchecked) == ("READY", "a trial")
