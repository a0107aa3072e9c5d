"""What should have come: a month of arrivals against an oracle that knows neither zoneinfo nor the code under test."""

import json
import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.kinds import CONSERVATION
from lakehouse.ledger.evidence import CheckResult, Coverage, Materialization, RowCounts, SourceFileRecord
from lakehouse.ledger.evidence import coverage_version as version_of
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import WHOLE, Window
from lakehouse.settings import LakehouseSettings
from loaders.manifests.expectations import Expectation
from orchestration.readiness.arrivals import late_arrivals
from orchestration.readiness.asset_graph import AssetGraph, AssetNode
from orchestration.readiness.gate import Gate
from orchestration.readiness.mending import next_command
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.verdicts import Status
from tests.unit.orchestration.test_readiness import GRAPH, NOW, ONE, THREE, TWO, Lake, expectation

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 31)
DAYS = [FIRST + timedelta(days=n) for n in range(-2, 36)]
HOURS = {"daily": 6, "weekly": 30, "monthly": 0, "cron": 2.5}
FEWEST = {"daily": 1, "weekly": 3, "monthly": 1, "cron": 2}
RHYTHMS = {
    "daily": {"rhythm": "daily"},
    "weekly": {"rhythm": "weekly", "days": ["tuesday", "saturday"]},
    "monthly": {"rhythm": "monthly", "days": [1, 8, 29, 31]},
    "cron": {"rhythm": "cron", "cron": "30 */6 * * 1-5"},
}
ZONES = {"berlin": "Europe/Berlin", "new_york": "America/New_York", "tokyo": "Asia/Tokyo"}
ASSETS = [(zone, rhythm) for zone in ZONES for rhythm in RHYTHMS]
CHANGES = {"berlin": (datetime(2026, 3, 29, 1), 1, 2), "new_york": (datetime(2026, 3, 8, 7), -5, -4)}
"""The instant (UTC) at which clocks change, and the hours ahead of UTC before and after."""


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


# ── the oracle ───────────────────────────────────────────────────────────────────────────────────────────────────────
def ahead(zone, at):
    """Hours ahead of UTC at an instant, which is given without a zone."""
    change, before, after = CHANGES.get(zone, (at, 9, 9))
    return before if at < change else after


def is_named(rhythm, day):
    """Whether a rhythm names a day of March 2026, which has 31."""
    if not FIRST <= day <= LAST:
        return False
    name = day.strftime("%A")
    return {
        "daily": True,
        "weekly": name in ("Tuesday", "Saturday"),
        "monthly": day.day in (1, 8, 29, 31),
        "cron": name not in ("Saturday", "Sunday"),
    }[rhythm]


NAMED = {rhythm: [day for day in DAYS if is_named(rhythm, day)] for rhythm in RHYTHMS}


def oracle(zone, rhythm, now, records):
    """Status of each day: `records` of each day have arrived by now, an instant without a zone."""
    today = (now + timedelta(hours=ahead(zone, now))).date()
    scheduled = {each for each in NAMED[rhythm] if each <= max([today, *records])}
    known = {*scheduled, *records}
    return {
        day: status(zone, rhythm, day, now, records, scheduled)
        if known and min(known) <= day <= max(known)
        else "UNKNOWN"
        for day in DAYS
    }


def status(zone, rhythm, day, now, records, scheduled):
    if day in scheduled and records.get(day, 0) < FEWEST[rhythm]:
        midnight = datetime.combine(day + timedelta(days=1), datetime.min.time())
        guess = midnight - timedelta(hours=ahead(zone, midnight))
        ends_at = midnight - timedelta(hours=ahead(zone, guess))
        return "MISSING" if now >= ends_at + timedelta(hours=HOURS[rhythm]) else "PENDING"
    return "READY" if records.get(day) else "EMPTY"


def arrivals(dice):
    """(instant, asset, day, records): on time, late, early, in two parts, twice, and some days never."""
    for zone, rhythm in ASSETS:
        for day in DAYS[2:-4]:
            if not is_named(rhythm, day) and dice.random() < 0.8:
                continue
            kind = dice.choice(["on time", "on time", "late", "early", "in parts", "twice", "never"])
            hours = {"early": -40, "late": 60}.get(kind, 24) + dice.randrange(12)
            at = datetime.combine(day, datetime.min.time()) + timedelta(hours=hours, minutes=dice.randrange(60))
            if kind == "in parts":
                yield at, (zone, rhythm), day, 1
                yield at + timedelta(hours=20), (zone, rhythm), day, 4
            elif kind != "never":
                for number in range(2 if kind == "twice" else 1):
                    yield at + timedelta(hours=9 * number), (zone, rhythm), day, 4


class Month:
    """A ledger that what arrives is loaded into and checked at once."""

    def __init__(self, home):
        self.ledger = open_ledger(LakehouseSettings(home=home))
        names = [f"{zone}_{rhythm}" for zone, rhythm in ASSETS]
        checks = {CONSERVATION: "error"}
        self.graph = AssetGraph({name: AssetNode(name, "bronze", True, {}, checks, checks) for name in names})
        self.covered = {}
        self.expectations = [
            Expectation.model_validate_json(
                json.dumps(
                    {
                        "name": f"{zone}_{rhythm}",
                        "asset": f"{zone}_{rhythm}",
                        "time_zone": ZONES[zone],
                        "due_after_hours": HOURS[rhythm],
                        "min_records": FEWEST[rhythm],
                        "since": str(FIRST),
                        "until": str(LAST),
                        "owner": "support",
                        **RHYTHMS[rhythm],
                    }
                )
            )
            for zone, rhythm in ASSETS
        ]

    def take(self, found):
        """Cover, load and check some arrivals."""
        files, shares = [], []
        for number, (at, (zone, rhythm), day, records) in enumerate(found):
            name = f"{zone}_{rhythm}"
            files.append(SourceFileRecord(name, "m", "s", f"{at} {day} {number}", "stamp"))
            shares.append(Coverage(name, str(day), *files[-1].key, records, f"{at} {number}"))
            self.covered.setdefault((name, str(day)), []).append(shares[-1])
        self.ledger.replace_file_coverage(files, shares)
        items = []
        for name, day in dict.fromkeys((share.asset, share.partition) for share in shares):
            rows = self.covered[name, day]
            number = sum(row.rows_expected for row in rows)
            counts = RowCounts(number, number, number)
            items.append(Materialization(name, day, version_of(rows), 1, datetime.now(UTC), "run", counts))
        ids = self.ledger.record_materializations(items)
        self.ledger.record_checks(
            [
                CheckResult(i.asset, i.partition, CONSERVATION, "error", True, "", key, i.committed_at, "run")
                for i, key in zip(items, ids, strict=True)
            ]
        )


def test_a_month_of_arrivals_is_judged_at_every_instant_as_the_oracle_judges_it(tmp_path):
    dice = random.Random(20260301)
    month, coming = Month(tmp_path), sorted(arrivals(dice))
    minutes = sorted(dice.sample(range(-2 * 1440, 34 * 1440), 200))
    records, seen = {}, set()

    for now in (datetime(2026, 3, 1) + timedelta(minutes=n) for n in minutes):
        due = [each for each in coming if each[0] <= now]
        coming = coming[len(due) :]
        month.take(due)
        for _, asset, day, number in due:
            of = records.setdefault(asset, {})
            of[day] = of.get(day, 0) + number
        readiness = Readiness(month.graph, month.ledger, now.replace(tzinfo=UTC), month.expectations)
        for zone, rhythm in ASSETS:
            told = {day: str(readiness.verdict(f"{zone}_{rhythm}", str(day)).status) for day in DAYS}
            assert told == oracle(zone, rhythm, now, records.get((zone, rhythm), {})), (zone, rhythm, now)
            seen |= {(rhythm, status) for status in told.values()}

    assert {status for rhythm, status in seen if rhythm == "daily"} == {"UNKNOWN", "PENDING", "MISSING", "READY"}
    assert {status for rhythm, status in seen if rhythm == "weekly"} >= {"EMPTY", "PENDING", "MISSING", "READY"}


# ── what is built upon it ────────────────────────────────────────────────────────────────────────────────────────────
AFTER_TWO = datetime(2026, 4, 3, 5, tzinfo=UTC)


def test_a_day_that_did_not_come_is_missing_and_with_it_what_reads_it(lake):
    lake.cover(ONE)
    lake.build_all(ONE)

    readiness = lake.read(expectation(until=TWO, due_after_hours=4), now=AFTER_TWO)

    verdict = readiness.verdict("raw", TWO)
    assert (verdict.status, verdict.reasons) == (
        Status.MISSING,
        ("due since 2026-04-03T04:00Z, not arrived; owner support (raw_daily)",),
    )
    assert next_command(verdict) == "bring it (support owes it), then: omni run"
    assert readiness.verdict("daily", TWO).status is Status.MISSING
    assert readiness.verdict("whole", WHOLE).status is Status.BLOCKED
    assert readiness.mendable() == []


def test_a_day_that_is_not_due_yet_waits_and_what_reads_that_day_waits_with_it(lake):
    lake.cover(ONE)
    lake.build_all(ONE)

    readiness = lake.read(expectation(until=TWO, due_after_hours=6), now=AFTER_TWO)

    verdict = readiness.verdict("raw", TWO)
    assert (verdict.status, verdict.reasons) == (
        Status.PENDING,
        ("expected by raw_daily, due 2026-04-03T06:00Z; owner support",),
    )
    assert next_command(verdict) == "wait until 2026-04-03T06:00Z, or bring it (support owes it), then: omni run"
    assert {readiness.verdict(name, TWO).status for name in ("daily", "running")} == {Status.PENDING}
    assert readiness.verdict("whole", WHOLE).status is Status.READY
    assert readiness.mendable() == []
    assert not verdict.is_problem


def test_too_few_records_are_loaded_and_the_day_has_not_arrived_for_all_that(lake):
    lake.cover(ONE)
    few = expectation(until=ONE, min_records=3)
    before = lake.read(few, now=AFTER_TWO)

    lake.build_all(ONE)
    after = lake.read(few, now=AFTER_TWO)

    assert [verdict.name for verdict in before.mendable()][:1] == [f"raw {ONE}"]
    verdict = after.verdict("raw", ONE)
    assert verdict.status is Status.MISSING
    assert verdict.reasons[0].startswith("due since 2026-04-02T00:00Z, 2 of at least 3 records arrived")
    assert after.verdict("daily", ONE).status is Status.BLOCKED
    assert after.mendable() == []


def test_records_that_came_twice_make_no_day_of_few_records_an_arrived_one(lake):
    enough = expectation(until=ONE, min_records=3)
    lake.cover(ONE)
    lake.cover(ONE, file="the same once more.jsonl")
    before = lake.read(enough, now=AFTER_TWO)

    lake.load(ONE, loaded=2)
    lake.build("daily", ONE)
    after = lake.read(enough, now=AFTER_TWO)

    assert before.verdict("raw", ONE).reasons == ("expected, never materialized",)
    assert after.verdict("raw", ONE).status is Status.MISSING
    assert after.verdict("raw", ONE).reasons[0].startswith("due since 2026-04-02T00:00Z, 2 of at least 3 records")
    assert after.verdict("daily", ONE).status is Status.BLOCKED
    lake.load(ONE, loaded=3)
    assert lake.read(enough, now=AFTER_TWO).verdict("raw", ONE).status is Status.READY


def test_a_failed_check_of_a_day_that_is_not_due_yet_is_a_problem_and_holds_back_what_would_be_built(lake):
    lake.cover(ONE)
    lake.build_all(ONE)
    lake.check("raw", ONE, passed=False)

    readiness = lake.read(expectation(until=ONE, min_records=3, due_after_hours=900), now=AFTER_TWO)

    verdict = readiness.verdict("raw", ONE)
    assert (verdict.status, verdict.is_problem) == (Status.PENDING, True)
    held = Gate(readiness, Window.of_keys(ONE, ONE)).obstacles("daily", ONE, lambda _: False)
    assert [each.status for each in held] == [Status.FAILED]


@pytest.mark.parametrize("fields", [{"due_after_hours": 900}, {"since": "2026-04-05", "until": "2026-04-05"}])
def test_nothing_is_held_back_by_a_day_that_is_not_due_or_not_known(lake, fields):
    lake.cover(ONE)
    readiness = lake.read(expectation(**{"until": TWO, **fields}), now=datetime(2026, 4, 6, tzinfo=UTC))

    assert readiness.verdict("raw", TWO).status is (Status.EMPTY if "since" in fields else Status.PENDING)
    assert Gate(readiness, Window.of_keys(TWO, THREE)).obstacles("daily", TWO, lambda _: False) == []
    assert Gate(readiness, Window.of_keys(TWO, THREE)).obstacles("daily", "2026-04-09", lambda _: False) == []


@pytest.mark.parametrize(("source", "status"), [("s1", Status.READY), ("s2", Status.MISSING)])
def test_only_what_the_expected_source_brings_counts(lake, source, status):
    lake.cover(ONE)
    lake.build_all(ONE)

    assert lake.read(expectation(until=ONE, source=source), now=AFTER_TWO).verdict("raw", ONE).status is status


def test_a_day_between_two_scheduled_ones_is_empty_and_the_ones_beyond_are_unknown(lake):
    rhythm = expectation(rhythm="weekly", days=["wednesday"], until="2026-04-08")

    readiness = lake.read(rhythm, now=datetime(2026, 4, 20, tzinfo=UTC))

    assert [readiness.verdict("raw", f"2026-04-{day:02}").status for day in (1, 5, 8, 9)] == [
        Status.MISSING,
        Status.EMPTY,
        Status.MISSING,
        Status.UNKNOWN,
    ]


def test_a_day_ahead_that_came_early_leaves_no_scheduled_day_before_it_empty(lake):
    lake.cover("2026-04-09")

    readiness = lake.read(expectation(), now=datetime(2026, 4, 7, tzinfo=UTC))

    assert readiness.verdict("raw", "2026-04-08").status is Status.PENDING
    assert readiness.verdict("raw", "2026-04-10").status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("loads", "hours"),
    [
        ({4: datetime(2026, 4, 2, 6, tzinfo=UTC)}, []),
        ({2: datetime(2026, 4, 2, 1, tzinfo=UTC), 4: datetime(2026, 4, 2, 9, 30, tzinfo=UTC)}, [3.5]),
        ({2: datetime(2026, 4, 2, 9, tzinfo=UTC)}, []),
        ({}, []),
    ],
)
def test_a_day_is_as_late_as_its_first_load_with_enough_records(loads, hours):
    rhythms = [expectation(due_after_hours=6, min_records=3), expectation(name="monthly", since=TWO)]

    found = list(late_arrivals(rhythms, "raw", date(2026, 4, 1), loads, NOW))

    assert [late.hours for late in found] == hours
    assert all(late.reason == "arrived 3.5 h late for raw_daily: loaded at 2026-04-02T09:30Z" for late in found)


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────
BUILDS = st.lists(
    st.tuples(st.sampled_from(["raw", "daily", "running", "whole"]), st.sampled_from([ONE, TWO, THREE]), st.booleans()),
    max_size=6,
)


@settings(max_examples=20)
@given(builds=BUILDS, covered=st.sampled_from([(), (ONE,), (TWO,)]))
def test_building_something_never_makes_the_unknown_known(tmp_path_factory, builds, covered):
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.cover(*covered)
    readiness = lake.read()
    places = [
        (n, day if node.is_partitioned else WHOLE) for n, node in GRAPH.nodes.items() for day in (ONE, TWO, THREE)
    ]
    unknown = {place for place in places if readiness.verdict(*place).status is Status.UNKNOWN}

    for asset, day, has_rows in builds:
        rows = {"loaded": 2 if has_rows else 0}
        key = day if GRAPH[asset].is_partitioned else WHOLE
        if asset != "raw":
            lake.build(asset, key, **rows)
        elif day in covered or not has_rows:  # rows of Bronze come from sources alone
            lake.load(day, loaded=2 if day in covered else 0)

    readiness = lake.read()
    assert not {place for place in unknown if readiness.verdict(*place).is_ready}


LESS = st.sampled_from(["a failed check", "a late file", "a broken file", "an expectation", "a source that goes"])


@settings(max_examples=20)
@given(changes=st.lists(LESS, min_size=1, max_size=3), day=st.sampled_from([ONE, TWO]))
def test_more_ignorance_failures_or_changes_never_make_anything_safe(tmp_path_factory, changes, day):
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.cover(ONE, TWO)
    lake.build_all(ONE)
    expectations = []

    def unsafe():
        readiness = lake.read(*expectations)
        places = [
            (n, d if node.is_partitioned else WHOLE) for n, node in GRAPH.nodes.items() for d in (ONE, TWO, THREE)
        ]
        return {place for place in places if not readiness.verdict(*place).is_ready}

    for change in changes:
        before = unsafe()
        if change == "a failed check":
            lake.check("daily", ONE, passed=False)
        elif change == "a late file":
            lake.cover(day, file="late.jsonl")
        elif change == "a broken file":
            lake.cover(day, file="broken.jsonl", rows=None, problem="cut off")
        elif change == "an expectation":
            expectations.append(expectation(name=f"more_{len(expectations)}", until=THREE, min_records=9))
        else:
            lake.ledger.forget_files("raw", [("m1", "s1", "a.jsonl")])
        assert before <= unsafe() or change == "an expectation"
