"""A run over a broken world calls safe exactly what its prediction says: one world here, a hundred by `make soak`."""

import json
import os

import pytest

from lakehouse.partitions import WHOLE
from lakehouse.settings import LakehouseSettings
from loaders.simulator.chaos import PREDICTION, write_chaos
from loaders.simulator.deliveries import BREAKAGES
from orchestration.readiness.readiness import open_readiness
from orchestration.runs.main_job import run_main_job

SEEDS = range(1, 101) if os.environ.get("OMNI_SOAK") else (6,)
NAMED = ("READY", "EMPTY", "UNKNOWN")

READS = {
    "ticket_events": ("raw_ticket_events", "same_day"),
    "int_ticket_states__daily": ("raw_ticket_events", "same_day"),
    "support_kpi_daily": ("raw_ticket_events", "same_day"),
    "int_open_tickets__monthly": ("raw_ticket_events", "up_to_day"),
    "support_backlog_daily": ("raw_ticket_events", "up_to_day"),
    "ticket_fact": ("raw_ticket_events", "all"),
    "int_doc_assets__listed": ("raw_doc_assets", "same_day"),
    "doc_change_feed": ("raw_doc_assets", "up_to_day"),
    "doc_sections": ("raw_doc_assets", "up_to_day"),
    "int_doc_passages__cut": ("raw_doc_assets", "up_to_day"),
    "passage_change_feed": ("raw_doc_assets", "up_to_day"),
    "knowledge_doc_history": ("raw_doc_assets", "all"),
    "knowledge_doc": ("raw_doc_assets", "all"),
    "knowledge_section": ("raw_doc_assets", "all"),
    "knowledge_passage": ("raw_doc_assets", "all"),
}
"""Model → the Bronze asset that it is built from in the end, and which of its days a partition reads of it."""


def is_safe(days: dict[str, str], reach: str, partition: str) -> bool:
    """Whether what is built of these days is safe: no day that it reads is unsafe, and something is known of them."""
    if reach == "all":
        return "UNSAFE" not in days.values()
    read = [said for day, said in days.items() if day == partition or (reach == "up_to_day" and day < partition)]
    return days[partition] != "UNKNOWN" and "UNSAFE" not in read


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_broken_world_is_judged_as_predicted(tmp_path, parsed_project, seed):
    settings = LakehouseSettings(home=tmp_path / "the home", manifests=tmp_path / "the world")
    parsed_project.give_to(settings)
    write_chaos(settings.manifests, seed)
    predicted = json.loads((settings.manifests / PREDICTION).read_text("utf-8"))

    outcome = run_main_job(settings, None, lambda _: None)

    readiness = open_readiness(settings)
    said = {
        a: {day: str(readiness.verdict(a, day).status) for day in days} for a, days in predicted["partitions"].items()
    }
    found = {a: {day: s if s in NAMED else "UNSAFE" for day, s in days.items()} for a, days in said.items()}
    assert found == predicted["partitions"], predicted["broken"]
    for model, (asset, reach) in READS.items():
        days = predicted["partitions"][asset]
        for partition in [WHOLE] if reach == "all" else days:
            verdict = readiness.verdict(model, partition)
            assert verdict.is_ready == is_safe(days, reach, partition), (verdict, predicted["broken"])
    is_whole = all(each["verdict"] == "READY" and each["kind"] != "manifest_twice" for each in predicted["broken"])
    assert outcome.is_complete or not is_whole, outcome.lines


def test_a_world_is_the_same_bytes_each_time_and_refuses_a_folder_that_holds_anything(tmp_path):
    for name in ("one", "two"):
        write_chaos(tmp_path / name, 3)

    written = [
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in ("one", "two")
    ]
    assert written[0] == written[1]
    with pytest.raises(FileExistsError, match="not empty"):
        write_chaos(tmp_path / "one", 3)


def test_a_hundred_worlds_are_broken_in_every_way(tmp_path):
    worlds = [write_chaos(tmp_path / str(seed), seed)["broken"] for seed in range(1, 101)]

    kinds = {each["kind"] for broken in worlds for each in broken}
    assert kinds >= BREAKAGES.keys() and len(kinds) == len(BREAKAGES) + 6
    assert all(len(broken) >= 3 for broken in worlds)
