"""What another logic or another check has left behind, `omni run` finds and mends; what no project says is not built."""

import json
from collections import Counter

from sqlalchemy import update

from lakehouse.dbt.declared import declared_path
from lakehouse.ledger import schema as t
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import WHOLE
from orchestration.readiness.readiness import open_readiness
from orchestration.runs.main_job import run_main_job
from tests.conftest import TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines
from tests.dbt_shell import dbt

ONE, TWO = "2026-04-01", "2026-04-02"


def run(settings):
    outcome = run_main_job(settings, None, lambda _: None)
    assert outcome.is_complete, outcome.lines


def statuses(settings):
    readiness = open_readiness(settings)
    return {v.name: str(v.status) for asset in readiness.graph.nodes for v in readiness.verdicts(asset).values()}


def write(settings, table, values, **where):
    """Leave in the ledger what another logic, another definition or an earlier version would have."""
    with open_ledger(settings).engine.begin() as connection:
        conditions = [table.c[name] == value for name, value in where.items()]
        assert connection.execute(update(table).where(*conditions).values(**values)).rowcount


def test_what_an_edit_leaves_behind_is_found_and_mended_by_a_run(settings, declare):
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1, ONE), ticket_event(2, TWO)])
    declare(ticket_manifest([source("a", "a.jsonl")]))
    run(settings)
    assert set(statuses(settings).values()) <= {"READY", "EMPTY"}
    loaded = open_ledger(settings).current_materializations([TICKET_EVENTS])

    write(settings, t.materializations, {"logic": None}, asset="ticket_events", partition=ONE)
    write(settings, t.materializations, {"logic": "another"}, asset="ticket_fact")
    write(settings, t.checks, {"definition": "another"}, check_name="kpi_key_unique", partition=ONE)
    write(settings, t.checks, {"definition": "at most 0.5"}, check_name="quarantine_share", partition=TWO)
    readiness, found = open_readiness(settings), Counter(statuses(settings).values())

    assert readiness.verdict("ticket_events", ONE).reasons == ("its SQL is not on record",)
    assert readiness.verdict("ticket_fact", WHOLE).reasons[0] == "its SQL has changed since"
    assert readiness.verdict("support_kpi_daily", ONE).reasons[0] == (
        "check kpi_key_unique is defined otherwise since it ran"
    )
    assert readiness.verdict(TICKET_EVENTS, TWO).reasons == (
        "check quarantine_share is defined otherwise since it ran",
    )
    assert (found["STALE"], found["UNCHECKED"]) == (2, 2)

    run(settings)

    assert set(statuses(settings).values()) <= {"READY", "EMPTY"}
    # The loaders' check was asked again, and the day was not loaded for it.
    assert open_ledger(settings).current_materializations([TICKET_EVENTS]) == loaded

    declared = json.loads(declared_path(settings).read_text("utf-8"))
    declared["logic"]["ticket_fact"] = "what the project compiles to, whatever the run"
    declared_path(settings).write_text(json.dumps(declared), "utf-8")
    before = open_ledger(settings).current_materializations(["ticket_fact"])
    refused = dbt(settings, "build", "--select", "ticket_fact", "--vars", "threshold: 5")

    assert refused.returncode == 1
    said = " ".join(refused.stdout.split())
    assert "ticket_fact: its SQL depends on this run, compiled for itself it is another" in said
    assert "nothing was written; next: take is_incremental, run_started_at" in said
    assert open_ledger(settings).current_materializations(["ticket_fact"]) == before
