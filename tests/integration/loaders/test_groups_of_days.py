"""Many days in one commit: each keeps its own evidence, and one that others keep writing holds back no other."""

import json

import pytest
from sqlalchemy.exc import OperationalError

from lakehouse.builds.commit_evidence import read_evidence
from lakehouse.contracts.registry import bronze_contracts
from lakehouse.ledger.ledger import Ledger, open_ledger
from lakehouse.namespaces import QUARANTINE
from lakehouse.proof.verification import verify
from lakehouse.tables import commits
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.digest import content_digest, find_table
from loaders.bronze import pipelines
from loaders.errors import StoreUnavailable
from loaders.ingest import ingest, refresh
from orchestration.readiness.asset_graph import read_asset_graph
from orchestration.readiness.readiness import readiness_now
from tests.conftest import TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines

DAYS = [f"2026-04-{day}" for day in (12, 13, 15, 17)]


@pytest.fixture
def declared(settings, declare):
    """Four days, one of them with a broken line; the second version is another one."""

    def version(number):
        events = [ticket_event(int(day[-2:]), day, subject=f"version {number}") for day in DAYS]
        write_lines(settings.manifests / "a.jsonl", [*events, ticket_event(99, DAYS[1], status="nope")])

    version(1)
    declare(ticket_manifest([source("a", "a.jsonl")]))
    version.settings = settings.model_copy(update={"max_quarantined_share": 0.9})
    return version


def table_of(settings, name=TICKET_EVENTS):
    return find_table(open_catalog(settings), name)


def commits_of(settings, name=TICKET_EVENTS):
    """Partitions that each commit speaks of."""
    told = [s.summary.additional_properties for s in table_of(settings, name).snapshots() if s.summary]
    return [[item.partition for item in items] for each in told if (items := read_evidence(each, None))]


@pytest.mark.parametrize(("most", "sizes"), [(100, [4]), (3, [3, 1])])
def test_days_are_committed_together_each_with_its_evidence_and_the_quarantine_before(
    declared, monkeypatch, most, sizes
):
    monkeypatch.setattr(pipelines, "MOST_DAYS", most)

    report = ingest(declared.settings)

    assert report.is_complete
    groups = commits_of(declared.settings)
    assert [len(days) for days in groups] == sizes and sum(groups, []) == DAYS
    assert commits_of(declared.settings, QUARANTINE) == [days for days in groups if DAYS[1] in days]
    current = open_ledger(declared.settings).current_materializations()
    assert {key: (m.rows.read, m.rows.loaded, m.rows.quarantined) for (_, key), m in current.items()} == {
        day: (2, 1, 1) if day == DAYS[1] else (1, 1, 0) for day in DAYS
    }
    assert all(m.size_bytes and m.source_files == ("a.jsonl",) for m in current.values())
    assert verify(open_catalog(declared.settings), open_ledger(declared.settings), declared.settings).findings == []


def test_a_day_of_a_group_that_the_ledger_lost_is_found_and_a_run_mends_it(declared):
    ingest(declared.settings)
    catalog, ledger = open_catalog(declared.settings), open_ledger(declared.settings)
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql(f"delete from omni_materializations where partition = '{DAYS[0]}'")

    (lost,) = verify(catalog, ledger, declared.settings).findings
    report = ingest(declared.settings)

    assert (lost.code, lost.partition) == ("commit_unrecorded", DAYS[0])
    assert [item.partition for item in report.load_of(TICKET_EVENTS).loaded] == [DAYS[0]]
    assert verify(open_catalog(declared.settings), ledger, declared.settings).findings == []


def test_a_database_that_fails_in_the_midst_of_a_group_ends_the_load_and_is_not_hidden_by_the_days_after_it(
    declared, monkeypatch
):
    monkeypatch.setattr(pipelines, "MOST_DAYS", 2)
    real, calls = Ledger.record_materializations, []

    def failing(self, items, *order):
        calls.append(items := list(items))
        if items and len([each for each in calls if each]) == 1:
            raise OperationalError("insert", {}, Exception("database is locked"))
        return real(self, items, *order)

    monkeypatch.setattr(Ledger, "record_materializations", failing)
    with pytest.raises(StoreUnavailable, match="locked"):
        ingest(declared.settings)
    monkeypatch.undo()

    assert ingest(declared.settings).is_complete
    assert sorted(key for _, key in open_ledger(declared.settings).current_materializations()) == DAYS


def test_a_group_is_the_days_one_by_one(declared, monkeypatch):
    ingest(declared.settings)
    digests = [content_digest(table_of(declared.settings, name)) for name in (TICKET_EVENTS, QUARANTINE)]
    declared(2)
    ingest(declared.settings)
    declared(1)
    monkeypatch.setattr(pipelines, "MOST_DAYS", 1)

    ingest(declared.settings)

    assert [content_digest(table_of(declared.settings, name)) for name in (TICKET_EVENTS, QUARANTINE)] == digests


@pytest.mark.parametrize("most", [100, 2, 1])
def test_a_day_that_others_keep_writing_holds_back_itself_alone(declared, monkeypatch, most):
    monkeypatch.setattr(pipelines, "MOST_DAYS", most)
    ingest(declared.settings)
    declared(2)
    real, busy = commits._commit, DAYS[0]

    def overtaken(table, window, added, evidence, retyped):
        told = [item.partition for item in read_evidence(evidence, None)]
        if table.name()[-1] == TICKET_EVENTS and busy in told:
            other = table_of(declared.settings)
            other.append(other.scan(row_filter=f"source_line = {DAYS.index(busy) + 1}").to_arrow().slice(0, 1))
        real(table, window, added, evidence, retyped)

    monkeypatch.setattr(commits, "_commit", overtaken)
    with pytest.raises(StoreUnavailable, match="another writer replaced the same window"):
        ingest(declared.settings)
    monkeypatch.undo()

    rows = table_of(declared.settings).scan(selected_fields=("event_id", "subject")).to_arrow().to_pylist()
    of_busy = f"e{busy[-2:]}"
    assert {row["subject"] for row in rows if row["event_id"] != of_busy} == {"version 2"}
    assert {row["subject"] for row in rows if row["event_id"] == of_busy} == {"version 1"}
    assert ingest(declared.settings).is_complete
    assert json.dumps(sorted(row["subject"] for row in table_of(declared.settings).scan().to_arrow().to_pylist())) == (
        json.dumps(["version 2"] * len(DAYS))
    )


def test_a_load_that_dies_after_the_quarantine_leaves_its_days_in_doubt_also_when_the_edit_is_undone(
    declared, monkeypatch
):
    ingest(declared.settings)
    graph = read_asset_graph({"nodes": {}}, bronze_contracts(declared.settings))

    def statuses():
        verdicts = readiness_now(declared.settings, graph, open_ledger(declared.settings)).verdicts(TICKET_EVENTS)
        return {key: verdict.status for key, verdict in verdicts.items()}

    real = commits._commit

    def dying(table, *rest):
        if table.name()[-1] == TICKET_EVENTS:
            raise KeyboardInterrupt
        real(table, *rest)

    declared(2)
    write_lines(declared.settings.manifests / "a.jsonl", [ticket_event(98, DAYS[0], status="nope")])
    with monkeypatch.context() as patch:
        patch.setattr(commits, "_commit", dying)
        with pytest.raises(KeyboardInterrupt):
            ingest(declared.settings)
    declared(1)
    refresh(declared.settings)

    assert statuses() == dict.fromkeys(DAYS, "STALE")
    report = ingest(declared.settings)

    assert report.is_complete and statuses() == dict.fromkeys(DAYS, "READY")
    assert verify(open_catalog(declared.settings), open_ledger(declared.settings), declared.settings).findings == []
