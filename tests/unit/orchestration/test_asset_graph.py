"""The graph from dbt's manifest: what a model reads and nobody declares, and names that stand twice."""

import random
from datetime import UTC, datetime

import pytest

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.evidence import Materialization, RowCounts
from lakehouse.ledger.inputs import AssetVersions
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import WHOLE
from orchestration.readiness.asset_graph import read_asset_graph
from orchestration.readiness.decisions import decision_on
from orchestration.readiness.mending import next_command
from orchestration.readiness.readiness import readiness_now
from orchestration.readiness.root_causes import explain
from orchestration.readiness.verdicts import Status

AT = datetime(2026, 5, 1, tzinfo=UTC)
ACCOUNTS = ("crm", "accounts")


def source(group, name, **given):
    key = f"source.omni.{group}.{name}"
    node = {"unique_id": key, "resource_type": "source", "source_name": group, "schema": group, "name": name}
    return {**node, "identifier": name, "config": {}, **given}


def model(name, *reads):
    node = {"unique_id": f"model.omni.{name}", "resource_type": "model", "name": name, "schema": "silver"}
    return {**node, "config": {"meta": {"omni": {"unchecked": "a trial"}}}, "depends_on": {"nodes": list(reads)}}


def layered(name, layer, *reads):
    return {**model(name, *(f"model.omni.{read}" for read in reads)), "schema": layer}


def data_test(name, *reads, attached_to=None, severity="error"):
    node = {"unique_id": f"test.omni.{name}", "resource_type": "test", "name": name, "original_file_path": "t.yml"}
    given = {"description": "", "column_name": None, "attached_node": attached_to, "depends_on": {"nodes": list(reads)}}
    return {**node, **given, "config": {"severity": severity}}


def graph_of(settings, *nodes):
    """The graph of a project with these models, sources and tests."""
    found = {
        kind: {node["unique_id"]: node for node in nodes if (node["resource_type"] == "source") is (kind == "sources")}
        for kind in ("nodes", "sources")
    }
    return read_asset_graph(found, bronze_contracts(settings))


def build(settings, name, rows, **inputs):
    item = Materialization(name, WHOLE, "v", 1, AT, "run", RowCounts(loaded=rows), inputs)
    open_ledger(settings).record_materializations([item])


def test_a_model_named_as_a_bronze_asset_is_refused(settings):
    with pytest.raises(
        ConfigurationError, match=r"model\.omni\.raw_doc_assets: found .* bronze, expected .*; next: rename"
    ):
        graph_of(settings, model("raw_doc_assets"))


@pytest.mark.parametrize("seed", range(5))
def test_the_assets_come_upstream_first_then_by_layer_and_name_in_whatever_order_dbt_lists_them(settings, seed):
    models = [
        layered("z_events", "silver"),
        layered("a_kpi", "gold", "z_events"),
        layered("b_kpi", "gold"),
        layered("m_states", "silver", "z_events"),
        layered("late", "silver", "b_kpi"),
        layered("elsewhere", "scratch", "z_events"),
    ]
    random.Random(seed).shuffle(models)

    assert list(graph_of(settings, *models).nodes) == [
        *bronze_contracts(settings),
        *("z_events", "m_states", "a_kpi", "b_kpi", "late", "elsewhere"),
    ]


def test_a_test_that_reads_several_models_is_one_of_the_first_as_its_results_are(settings):
    first, second = model("customers"), model("report")
    test = data_test("totals_agree", first["unique_id"], second["unique_id"])

    graph = graph_of(settings, first, second, test)

    assert [graph[name].checks for name in ("customers", "report")] == [{"totals_agree": "error"}, {}]


@pytest.mark.parametrize(
    "other",
    [
        data_test("conservation", "source.omni.bronze.raw_ticket_events", severity="warn"),
        {**data_test("twice", "model.omni.customers"), "resource_type": "unit_test", "model": "customers"},
        {**data_test("twice", attached_to="model.omni.customers", severity="warn"), "unique_id": "test.omni.twice.2"},
    ],
    ids=["a check of the loaders", "a unit test", "a data test"],
)
def test_two_checks_of_an_asset_by_one_name_are_refused_since_either_would_pass_for_both(settings, other):
    first = data_test("twice", "model.omni.customers")

    with pytest.raises(ConfigurationError, match=r": found another check \w+ of \w+, .*; next: give .* in t\.yml"):
        graph_of(settings, model("customers"), first, {**other, "unique_id": other["unique_id"] + ".other"})


@pytest.mark.parametrize(
    "read",
    [
        source(*ACCOUNTS),
        source("bronze", "raw_calls"),
        source("crm", "raw_ticket_events"),
        source("bronze", "raw_ticket_events", schema="elsewhere"),
        source("bronze", "raw_ticket_events", identifier="raw_other"),
        {**model("codes"), "unique_id": "seed.omni.codes", "resource_type": "seed"},
    ],
    ids=["another system", "no contract", "a name of ours", "another schema", "another table", "a seed"],
)
@pytest.mark.parametrize("rows", [None, 0, 3], ids=["never built", "without rows", "with rows"])
def test_a_model_that_reads_what_is_no_asset_is_never_ready(settings, read, rows):
    graph = graph_of(settings, read, model("customers", read["unique_id"]), model("report", "model.omni.customers"))
    if rows is not None:
        build(settings, "customers", rows, **{read["name"]: ""})
        versions = AssetVersions(open_ledger(settings).current_materializations(["customers"]).values())
        build(settings, "report", rows, customers=versions.input_version("all", WHOLE))

    readiness = readiness_now(settings, graph, open_ledger(settings))
    found, below = readiness.verdict("customers", WHOLE), readiness.verdict("report", WHOLE)

    assert found.status is (Status.MISSING if rows is None else Status.BLOCKED)
    assert not below.is_ready
    label = f"{read.get('source_name', 'seed')}.{read['name']}"
    assert f"upstream {label} is unknown: no contract of this lakehouse names it" in found.reasons
    assert (readiness.mendable(), decision_on(found)) == ([], "hold")
    assert label in next_command(found)
    (cause,), waiting = explain([found, below])
    assert (cause.asset, [group.asset for group in waiting]) == ("customers", ["report"])


def test_other_models_are_judged_as_if_it_were_not_there(settings):
    alone = source("bronze", "raw_ticket_events")
    reads = model("tickets", alone["unique_id"])
    unknown = source(*ACCOUNTS)

    graph = graph_of(settings, alone, unknown, reads, model("customers", unknown["unique_id"]))

    assert graph["tickets"] == graph_of(settings, alone, reads)["tickets"]
    assert graph["tickets"].reach == {"raw_ticket_events": "all"}
    assert readiness_now(settings, graph, open_ledger(settings)).verdict("tickets", WHOLE).status is Status.UNKNOWN


def test_a_source_of_an_asset_with_another_time_column_is_refused_since_a_window_on_it_is_none_of_days(settings):
    given = {"original_file_path": "models/sources.yml"}
    for time in (None, "occurred_at"):
        graph_of(settings, source("bronze", "raw_ticket_events", config={"event_time": time}, **given))

    with pytest.raises(ConfigurationError, match="found event_time created_at; expected occurred_at, by whose day"):
        graph_of(settings, source("bronze", "raw_ticket_events", config={"event_time": "created_at"}, **given))
