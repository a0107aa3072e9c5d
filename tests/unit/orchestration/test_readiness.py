"""Verdicts over a hand-built graph and a real ledger: the evidence is written as the loaders and dbt write it."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lakehouse.ledger.acceptances import Acceptance, record_acceptances
from lakehouse.ledger.evidence import (
    CheckResult,
    Coverage,
    Materialization,
    RowCounts,
    SourceFileRecord,
    coverage_version,
)
from lakehouse.ledger.inputs import AssetVersions
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import WHOLE, Window
from lakehouse.settings import LakehouseSettings
from loaders.manifests.expectations import Expectation
from orchestration.readiness.asset_graph import AssetGraph, AssetNode, UnknownAsset
from orchestration.readiness.mending import next_command, windows_to_mend
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.verdicts import Status

AT = datetime(2026, 5, 1, tzinfo=UTC)
NOW = datetime(2026, 5, 2, tzinfo=UTC)
MUST = {"sound": "error"}
NODES = [
    AssetNode("raw", "bronze", True, {}, MUST),
    AssetNode("other_raw", "bronze", True, {}, MUST),
    AssetNode("daily", "silver", True, {"raw": "same_day"}, MUST),
    AssetNode("running", "gold", True, {"daily": "up_to_day"}, MUST),
    AssetNode("whole", "silver", False, {"daily": "all"}, MUST),
    AssetNode("report", "gold", False, {"whole": "all"}, unchecked="as good as the whole"),
]
GRAPH = AssetGraph({node.name: node for node in NODES})
ONE, TWO, THREE = "2026-04-01", "2026-04-02", "2026-04-03"


def expectation(**fields):
    """A rhythm of `raw`: every day of April, due with its end."""
    told = {"name": "raw_daily", "asset": "raw", "rhythm": "daily", "due_after_hours": 0, "owner": "support"}
    return Expectation.model_validate_json(json.dumps({**told, "since": ONE, "until": "2026-04-30", **fields}))


class Lake:
    """A ledger, written to as the tools do: cover, load Bronze, build what is derived, check."""

    def __init__(self, home):
        self.ledger = open_ledger(LakehouseSettings(home=home))

    def cover(self, *days, asset="raw", file="a.jsonl", content="1", rows=2, problem=None):
        """Declare that a file holds rows of these days."""
        record = SourceFileRecord(asset, "m1", "s1", file, content, problem=problem)
        shares = [Coverage(asset, day, *record.key, rows, f"{file} {day} {content}", problem) for day in days]
        self.ledger.replace_file_coverage([record], shares)

    def load(self, *days, asset="raw", loaded=2):
        """Load days of a Bronze asset from what covers them now."""
        rows = RowCounts(loaded, loaded, loaded)
        covered = self.ledger.coverage(asset)
        self._write(asset, {day: (coverage_version(covered.get((asset, day), [])), {}) for day in days}, rows)

    def build(self, asset, *days, loaded=1, version="built"):
        """Build partitions of a derived asset from what is written upstream now."""
        written = self.ledger.current_materializations()
        inputs = {
            day: {
                upstream: AssetVersions(item for (name, _), item in written.items() if name == upstream).input_version(
                    reach, day
                )
                for upstream, reach in GRAPH[asset].reach.items()
            }
            for day in days
        }
        self._write(asset, {day: (f"{version} {inputs[day]}", inputs[day]) for day in days}, RowCounts(loaded=loaded))

    def build_all(self, *days):
        """Load and build everything, checks included."""
        self.load(*days)
        self.build("daily", *days)
        self.build("running", *days)
        self.build("whole", WHOLE)
        self.build("report", WHOLE)

    def _write(self, asset, partitions, rows):
        for day, (version, inputs) in partitions.items():
            self.ledger.record_materializations([Materialization(asset, day, version, 1, AT, "run", rows, inputs)])
            if GRAPH[asset].checks:
                self.check(asset, day)

    def check(self, asset, day, passed=True, name="sound"):
        item = self.ledger.current_materializations([asset])[asset, day]
        message = "all is well" if passed else "2 rows lost"
        self.ledger.record_checks([CheckResult(asset, day, name, "error", passed, message, item.id, AT, "run")])

    def write_unchecked(self, asset, day):
        """Write the current content again, and die before the checks."""
        item = self.ledger.current_materializations([asset])[asset, day]
        self.ledger.record_materializations([item])

    def read(self, *expectations, now=NOW):
        return Readiness(GRAPH, self.ledger, now, expectations)

    def statuses(self, *days):
        """Status of each asset on each day, and of the assets that have no days."""
        readiness = self.read()
        of = {
            name: [str(readiness.verdict(name, day).status) for day in (days if node.is_partitioned else [WHOLE])]
            for name, node in GRAPH.nodes.items()
        }
        return {name: found[0] if len(found) == 1 else found for name, found in of.items()}


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def test_in_an_empty_ledger_everything_is_unknown(lake):
    assert set(lake.statuses(ONE).values()) == {"UNKNOWN"}
    assert (lake.read().days(), lake.read().mendable()) == ([], [])


def test_a_chain_that_was_loaded_built_and_checked_is_ready(lake):
    lake.cover(ONE, TWO)
    lake.build_all(ONE, TWO)

    assert lake.statuses(ONE, TWO) == {
        "raw": ["READY", "READY"],
        "other_raw": ["UNKNOWN", "UNKNOWN"],
        "daily": ["READY", "READY"],
        "running": ["READY", "READY"],
        "whole": "READY",
        "report": "READY",
    }
    assert lake.read().mendable() == []


def test_a_run_mends_next_what_is_to_be_computed_only_since_it_began(lake):
    lake.cover(ONE)
    lake.cover(THREE, file="c.jsonl")
    before = lake.read()
    lake.build_all(ONE, THREE)

    asked = {verdict.name for verdict in before.mendable()}

    assert [verdict.name for verdict in lake.read().mendable()] == [f"running {TWO}"]
    assert windows_to_mend(lake.read(), asked) == [Window.of_keys(TWO, TWO)]
    assert windows_to_mend(lake.read(), {*asked, f"running {TWO}"}) == []


def test_what_is_covered_and_was_never_loaded_is_missing_in_the_whole_chain(lake):
    lake.cover(ONE)

    readiness = lake.read()

    assert lake.statuses(ONE) == {
        "raw": "MISSING",
        "other_raw": "UNKNOWN",
        "daily": "MISSING",
        "running": "MISSING",
        "whole": "MISSING",
        "report": "MISSING",
    }
    assert readiness.verdict("raw", ONE).reasons == ("expected, never materialized",)
    assert readiness.verdict("daily", ONE).reasons == ("expected, never materialized", f"upstream raw {ONE} is MISSING")


def test_one_missing_day_blocks_that_day_downstream_later_running_days_and_the_whole(lake):
    lake.cover(ONE, THREE)
    lake.build_all(ONE, THREE)
    lake.cover(TWO, file="b.jsonl")

    assert lake.statuses(ONE, TWO, THREE) == {
        "raw": ["READY", "MISSING", "READY"],
        "other_raw": ["UNKNOWN"] * 3,
        "daily": ["READY", "MISSING", "READY"],
        "running": ["READY", "MISSING", "BLOCKED"],
        "whole": "BLOCKED",
        "report": "BLOCKED",
    }


def test_changed_coverage_makes_a_loaded_day_stale_and_blocks_what_is_built_from_it(lake):
    lake.cover(ONE, TWO)
    lake.build_all(ONE, TWO)

    lake.cover(TWO, file="late.jsonl")

    verdict = lake.read().verdict("raw", TWO)
    assert (verdict.status, verdict.reasons) == (Status.STALE, ("the coverage of its sources has changed since",))
    assert lake.statuses(ONE, TWO) == {
        "raw": ["READY", "STALE"],
        "other_raw": ["UNKNOWN", "UNKNOWN"],
        "daily": ["READY", "BLOCKED"],
        "running": ["READY", "BLOCKED"],
        "whole": "BLOCKED",
        "report": "BLOCKED",
    }


def test_a_reload_from_changed_sources_makes_what_was_built_from_the_old_rows_stale(lake):
    lake.cover(ONE, TWO)
    lake.build_all(ONE, TWO)
    lake.cover(ONE, TWO, content="2")

    lake.load(ONE)

    verdict = lake.read().verdict("daily", ONE)
    assert lake.read().verdict("raw", ONE).status is Status.READY
    assert (verdict.status, verdict.reasons) == (Status.STALE, ("raw has changed since",))


def test_a_reload_of_unchanged_sources_makes_nothing_stale(lake):
    lake.cover(ONE)
    lake.build_all(ONE)

    lake.load(ONE)

    assert lake.statuses(ONE) == {**dict.fromkeys(GRAPH.nodes, "READY"), "other_raw": "UNKNOWN"}


def test_up_to_day_makes_later_days_stale_and_leaves_earlier_ones(lake):
    lake.cover(ONE, TWO, THREE)
    lake.build_all(ONE, TWO, THREE)

    lake.build("daily", TWO, version="rebuilt")

    assert lake.statuses(ONE, TWO, THREE)["running"] == ["READY", "STALE", "STALE"]


def test_all_makes_the_whole_stale_with_any_day_and_blocks_what_follows(lake):
    lake.cover(ONE, TWO)
    lake.build_all(ONE, TWO)

    lake.build("daily", ONE, version="rebuilt")

    readiness = lake.read()
    assert readiness.verdict("whole", WHOLE).reasons == ("daily has changed since",)
    assert readiness.verdict("whole", WHOLE).status is Status.STALE
    assert readiness.verdict("report", WHOLE).status is Status.BLOCKED


def test_an_input_that_the_asset_does_not_read_any_more_makes_it_stale(lake):
    lake.cover(ONE)
    lake.build_all(ONE)
    item = lake.ledger.current_materializations(["daily"])["daily", ONE]
    lake._write("daily", {ONE: (item.version, {**item.inputs, "retired": "v"})}, item.rows)

    assert lake.read().verdict("daily", ONE).reasons == ("retired has changed since",)


def test_a_partition_written_again_is_unchecked_until_its_checks_run_again(lake):
    lake.cover(ONE)
    lake.build_all(ONE)

    lake.write_unchecked("raw", ONE)
    unchecked = lake.read().verdict("raw", ONE)
    lake.check("raw", ONE)

    assert (unchecked.status, unchecked.reasons) == (
        Status.UNCHECKED,
        ("check sound has not run on this materialization",),
    )
    assert lake.read().verdict("raw", ONE).status is Status.READY


def test_a_failed_check_fails_its_day_and_blocks_what_is_built_from_it(lake):
    lake.cover(ONE, TWO)
    lake.build_all(ONE, TWO)

    lake.check("daily", TWO, passed=False)

    assert lake.statuses(ONE, TWO)["daily"] == ["READY", "FAILED"]
    assert lake.statuses(ONE, TWO)["running"] == ["READY", "BLOCKED"]
    assert lake.statuses(ONE, TWO)["whole"] == "BLOCKED"
    assert lake.read().verdict("daily", TWO).reasons == ("check sound failed: 2 rows lost",)


def test_a_failed_result_of_a_check_that_the_asset_does_not_have_any_more_does_not_count(lake):
    lake.cover(ONE)
    lake.build_all(ONE)

    lake.check("daily", ONE, passed=False, name="retired")

    assert lake.read().verdict("daily", ONE).status is Status.READY


def test_an_unreadable_source_is_named_and_no_run_can_mend_it(lake):
    lake.cover(ONE, rows=None, problem="a.jsonl: cut off")

    verdict = lake.read().verdict("raw", ONE)

    assert (verdict.status, verdict.reasons) == (Status.MISSING, ("a.jsonl: cut off",))
    assert lake.read().mendable() == []


def test_a_source_that_broke_after_the_load_makes_its_day_stale(lake):
    lake.cover(ONE)
    lake.build_all(ONE)

    lake.cover(ONE, rows=2, problem="a.jsonl: cut off")

    verdict = lake.read().verdict("raw", ONE)
    assert verdict.status is Status.STALE
    assert "a.jsonl: cut off" in verdict.reasons


# ── empty days ───────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_day_between_others_that_nothing_covers_is_empty_and_blocks_nothing(lake):
    lake.cover(ONE, THREE)
    lake.build_all(ONE, THREE)

    assert lake.read().verdict("raw", TWO).status is Status.EMPTY
    assert lake.read().verdict("daily", TWO).status is Status.EMPTY
    assert lake.statuses(THREE)["running"] == "READY"


def test_a_day_between_others_is_not_empty_where_it_was_never_built_from_the_days_before(lake):
    lake.cover(ONE, THREE)
    lake.build_all(ONE, THREE)

    verdict = lake.read().verdict("running", TWO)

    assert (verdict.status, verdict.reasons) == (Status.MISSING, ("what it reads holds rows, never materialized",))
    assert lake.read().mendable() == [lake.read().verdict("running", TWO)]
    assert next_command(verdict) == f"omni run --partition {TWO}"

    lake.build("running", TWO, loaded=0)
    assert lake.read().verdict("running", TWO).status is Status.EMPTY


@pytest.mark.parametrize("is_built", [False, True])
def test_a_day_without_rows_is_not_empty_where_a_day_before_that_it_reads_is_not_ready(lake, is_built):
    lake.cover(ONE, THREE)
    lake.build_all(ONE, THREE)
    if is_built:
        lake.build("running", TWO, loaded=0)
    lake.check("daily", ONE, passed=False)

    verdict = lake.read().verdict("running", TWO)

    assert verdict.status is (Status.BLOCKED if is_built else Status.MISSING)
    assert f"upstream daily {ONE} is FAILED" in verdict.reasons


def test_what_reads_the_same_day_of_one_that_is_not_ready_is_not_empty_though_nothing_is_there(lake):
    lake.cover(ONE, THREE)
    nodes = [*NODES, AssetNode("share", "gold", True, {"running": "same_day"}, MUST)]

    readiness = Readiness(AssetGraph({node.name: node for node in nodes}), lake.ledger, NOW, [])

    assert readiness.verdict("running", TWO).reasons == (f"upstream daily {ONE} is MISSING",)
    assert readiness.verdict("share", TWO).reasons == (f"upstream running {TWO} is BLOCKED",)


def test_an_empty_day_that_was_written_changes_nothing(lake):
    lake.cover(ONE, THREE)
    lake.build_all(ONE, THREE)
    lake.build("running", TWO, loaded=0)
    before = lake.statuses(ONE, TWO, THREE)

    lake.load(TWO, loaded=0)
    lake.build("daily", TWO, loaded=0)

    assert lake.statuses(ONE, TWO, THREE) == before
    assert lake.read().days() == [ONE, TWO, THREE]


def test_a_file_without_rows_for_a_day_expects_nothing_of_it(lake):
    lake.cover(ONE, rows=0)

    assert lake.read().verdict("raw", ONE).status is Status.EMPTY


def test_a_file_without_rows_that_went_away_leaves_a_day_that_nothing_is_known_of(lake):
    lake.cover(ONE, rows=0)
    lake.load(ONE, loaded=0)
    assert lake.read().verdict("raw", ONE).status is Status.EMPTY

    lake.ledger.forget_files("raw", [("m1", "s1", "a.jsonl")])

    assert lake.read().verdict("raw", ONE).status is Status.UNKNOWN


def test_a_day_whose_files_went_away_is_stale_until_it_is_cleared(lake):
    lake.cover(ONE, TWO)
    lake.build_all(ONE, TWO)
    lake.ledger.forget_files("raw", [("m1", "s1", "a.jsonl")])
    lake.cover(ONE, content="1")

    before = lake.statuses(ONE, TWO)
    lake.load(TWO, loaded=0)
    after = lake.statuses(ONE, TWO)

    assert (before["raw"], before["daily"]) == (["READY", "STALE"], ["READY", "BLOCKED"])
    assert (after["raw"], after["daily"]) == (["READY", "UNKNOWN"], ["READY", "STALE"])


# ── unpartitioned ────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_unpartitioned_asset_has_one_verdict_and_no_day(lake):
    lake.cover(ONE, TWO)
    lake.build_all(ONE, TWO)

    readiness = lake.read()

    assert list(readiness.verdicts("whole")) == [WHOLE]
    assert list(readiness.verdicts("daily")) == readiness.days() == [ONE, TWO]
    assert readiness.verdict("whole", WHOLE).name == "whole"


def test_the_latest_blockers_of_a_whole_are_named_first(lake):
    days = [f"2026-04-{number:02}" for number in range(1, 7)]
    lake.cover(*days)
    lake.build_all(*days)
    for day in days:
        lake.check("daily", day, passed=False)

    reasons = lake.read().verdict("whole", WHOLE).reasons

    assert reasons == (
        "upstream daily 2026-04-06 is FAILED",
        "upstream daily 2026-04-05 is FAILED",
        "upstream daily 2026-04-04 is FAILED",
        "3 more upstream partitions are not ready",
    )


def test_up_to_day_is_not_blocked_by_later_days(lake):
    lake.cover(ONE, TWO, THREE)
    lake.build_all(ONE, TWO, THREE)

    lake.check("daily", TWO, passed=False)

    assert lake.statuses(ONE, TWO, THREE)["running"] == ["READY", "BLOCKED", "BLOCKED"]


# ── what to do ───────────────────────────────────────────────────────────────────────────────────────────────────────
def test_what_a_run_can_mend_is_listed_upstream_first(lake):
    lake.cover(ONE)
    lake.build_all(ONE)
    lake.cover(TWO, file="b.jsonl")

    assert [verdict.name for verdict in lake.read().mendable()] == [
        f"raw {TWO}",
        f"daily {TWO}",
        f"running {TWO}",
        "whole",
        "report",
    ]


def test_a_failed_check_is_not_mended_by_a_run_nor_is_what_it_blocks(lake):
    lake.cover(ONE, TWO)
    lake.build_all(ONE, TWO)
    lake.check("daily", ONE, passed=False)
    lake.cover(TWO, content="2", file="late.jsonl")

    assert [verdict.name for verdict in lake.read().mendable()] == [f"raw {TWO}", f"daily {TWO}"]


@pytest.mark.parametrize(
    ("asset", "partition", "command"),
    [
        ("raw", TWO, f"omni run --partition {TWO}"),
        ("raw", ONE, None),
        ("daily", ONE, f"mend what the check found, then: omni run --partition {ONE}"),
        ("running", ONE, f"omni ready daily {ONE}"),
        ("report", WHOLE, "omni ready whole"),
        ("raw", THREE, "declare what raw should hold: a manifest, or an expectation; then: omni run"),
        ("daily", THREE, f"omni ready raw {THREE}"),
    ],
)
def test_the_next_command_leads_to_what_must_be_mended(lake, asset, partition, command):
    lake.cover(ONE, TWO)
    lake.build_all(ONE, TWO)
    lake.check("daily", ONE, passed=False)
    lake.cover(TWO, file="late.jsonl")

    assert next_command(lake.read().verdict(asset, partition)) == command


def test_a_run_over_everything_mends_a_whole(lake):
    lake.cover(ONE)
    lake.build_all(ONE)
    lake.write_unchecked("whole", WHOLE)

    assert next_command(lake.read().verdict("whole", WHOLE)) == "omni run"


def test_an_asset_that_nobody_declares_is_unknown_and_the_others_are_named(lake):
    readiness = lake.read()

    for ask in (lambda: readiness.verdict("tickets", ONE), lambda: readiness.verdicts("tickets")):
        with pytest.raises(UnknownAsset, match="asset 'tickets' is unknown; there are: raw, other_raw, daily"):
            ask()


def test_a_verdict_stays_as_it_was_read_while_the_ledger_moves_on(lake):
    lake.cover(ONE)
    readiness = lake.read()

    lake.build_all(ONE)

    assert readiness.verdict("raw", ONE).status is Status.MISSING


def test_a_verdict_needs_no_engine():
    engines = ["dlt", "dbt", "dagster", "dagster_dbt", "pyiceberg", "duckdb", "pyarrow", "pandas"]
    program = (
        "import json, sys, orchestration.readiness.readiness, orchestration.readiness.verdicts, lakehouse.ledger.ledger; "
        f"print(json.dumps(sorted(set({engines}) & set(sys.modules))))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == []


def test_a_failed_partition_is_mendable_once_its_sources_have_changed(lake):
    lake.cover(ONE)
    lake.build_all(ONE)
    lake.check("raw", ONE, passed=False)
    assert not any(verdict.name == f"raw {ONE}" for verdict in lake.read().mendable())

    lake.cover(ONE, file="mended.jsonl")

    assert any(verdict.name == f"raw {ONE}" for verdict in lake.read().mendable())


def test_scattered_days_are_mended_in_one_range_with_the_safe_days_between(lake):
    days = [f"2026-04-{number:02}" for number in range(1, 21)]
    lake.cover(*days)
    lake.build_all(*days)
    lake.cover("2026-04-01", "2026-04-08", "2026-04-20", file="late.jsonl")

    daily_alone = {"whole", "report", *(f"running {day}" for day in days)}
    assert windows_to_mend(lake.read(), daily_alone) == [Window.of_keys("2026-04-01", "2026-04-20")]


def test_a_day_that_no_run_can_mend_keeps_two_ranges_apart(lake):
    lake.cover(ONE, TWO, THREE)
    lake.load(ONE, TWO, THREE)
    lake.check("raw", TWO, passed=False)

    assert windows_to_mend(lake.read()) == [Window.of_keys(ONE, ONE), Window.of_keys(THREE, THREE)]


def test_a_day_that_a_person_let_stand_is_not_computed_again_beside_others(lake):
    lake.cover(ONE, TWO, THREE)
    lake.build_all(ONE, TWO, THREE)
    item = lake.ledger.current_materializations(["daily"])["daily", TWO]
    word = Acceptance(item.id, "daily", TWO, item.logic, "edited", "the same rows", "ana", AT)
    record_acceptances(lake.ledger, [word])
    edited = {name: replace(node, logic="edited") if name == "daily" else node for name, node in GRAPH.nodes.items()}
    above = {"whole", "report", *(f"running {day}" for day in (ONE, TWO, THREE))}

    windows = windows_to_mend(Readiness(AssetGraph(edited), lake.ledger, NOW, []), above)

    assert windows == [Window.of_keys(ONE, ONE), Window.of_keys(THREE, THREE)]


def test_far_apart_days_are_ranges_of_their_own(lake):
    lake.cover("2026-04-01", "2026-04-17")

    assert [str(window) for window in windows_to_mend(lake.read())] == ["2026-04-01", "2026-04-17"]
