"""The verdict on one asset partition: a pure function of its evidence."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.ledger.evidence import CheckOutcomes, CheckResult, Materialization, RowCounts
from orchestration.readiness.arrivals import Awaited
from orchestration.readiness.verdicts import PartitionEvidence, Status, Verdict, decide

AT = datetime(2026, 5, 1, tzinfo=UTC)
DAY = "2026-04-15"
ORDER = [
    Status.UNKNOWN,
    Status.PENDING,
    Status.MISSING,
    Status.FAILED,
    Status.UNCHECKED,
    Status.STALE,
    Status.BLOCKED,
    Status.READY,
]
REQUIRED = {"conservation": "error", "unique": "error", "freshness": "warn"}


def written(loaded=10):
    return Materialization("asset", DAY, "v1", 1, AT, "run", RowCounts(loaded=loaded), id=7)


def check(name="conservation", passed=True, severity="error", message="3 rows lost"):
    return CheckResult("asset", DAY, name, severity, passed, message, 7, AT, "run")


def outcomes(*results):
    return CheckOutcomes.of(results)


def awaited(is_due, name="tickets"):
    return Awaited(name, "support", AT, is_due, 0, 1)


PASSED = (check("conservation"), check("unique"))


def evidence(**known):
    """Evidence of a partition that lacks nothing, but for what is given."""
    ready = {
        "materialization": written(),
        "required_checks": REQUIRED,
        "checks": outcomes(*PASSED),
        "is_expected": True,
    }
    return PartitionEvidence("asset", DAY, **{**ready, **known})


def upstream(status=Status.FAILED, is_mendable=False, partition=DAY):
    return Verdict("upstream", partition, status, ("why",), evidence(), is_mendable)


@pytest.mark.parametrize(
    ("known", "status", "reasons"),
    [
        pytest.param({}, Status.READY, (), id="lacks nothing"),
        pytest.param(
            {"materialization": None, "checks": outcomes()},
            Status.MISSING,
            ("expected, never materialized",),
            id="never written",
        ),
        pytest.param(
            {"materialization": None, "checks": outcomes(), "source_problems": ["a.gz: gone", "b.gz: cut"]},
            Status.MISSING,
            ("a.gz: gone", "b.gz: cut"),
            id="never written because of its sources",
        ),
        pytest.param(
            {"checks": outcomes(check(passed=False), check("unique"))},
            Status.FAILED,
            ("check conservation failed: 3 rows lost",),
            id="a check failed",
        ),
        pytest.param(
            {"checks": outcomes(check())},
            Status.UNCHECKED,
            ("check unique has not run on this materialization",),
            id="a check has not run",
        ),
        pytest.param(
            {"checks": outcomes()},
            Status.UNCHECKED,
            (
                "check conservation has not run on this materialization",
                "check unique has not run on this materialization",
            ),
            id="no check has run",
        ),
        pytest.param(
            {"changed_inputs": ["raw_ticket_events"]},
            Status.STALE,
            ("raw_ticket_events has changed since",),
            id="an input changed",
        ),
        pytest.param({"source_problems": ["a.gz: gone"]}, Status.STALE, ("a.gz: gone",), id="a source broke since"),
        pytest.param(
            {"blockers": [upstream()]}, Status.BLOCKED, (f"upstream upstream {DAY} is FAILED",), id="upstream failed"
        ),
        pytest.param(
            {"checks": outcomes(*PASSED, check("freshness", passed=False, severity="warn"))},
            Status.READY,
            (),
            id="a warning",
        ),
        pytest.param(
            {"is_expected": False, "materialization": None, "checks": outcomes()}, Status.EMPTY, (), id="empty day"
        ),
        pytest.param(
            {"is_expected": False, "materialization": written(0), "checks": outcomes()},
            Status.EMPTY,
            (),
            id="empty day, written",
        ),
        pytest.param(
            {
                "is_expected": False,
                "materialization": written(0),
                "checks": outcomes(check("conservation", passed=False)),
            },
            Status.FAILED,
            ("check conservation failed: 3 rows lost",),
            id="empty day, written, whose check failed",
        ),
        pytest.param(
            {"is_expected": False, "materialization": None, "checks": outcomes(), "source_problems": ["cut off"]},
            Status.MISSING,
            ("cut off",),
            id="empty day of a source that cannot be read",
        ),
        pytest.param(
            {"is_expected": False, "materialization": None, "checks": outcomes(), "outside": "nothing covered"},
            Status.UNKNOWN,
            ("nothing covered",),
            id="outside of the horizon",
        ),
        pytest.param(
            {"is_expected": False, "materialization": written(0), "checks": outcomes(), "outside": "nothing covered"},
            Status.UNKNOWN,
            ("nothing covered",),
            id="outside of the horizon, written without rows",
        ),
        pytest.param(
            {"is_expected": False, "materialization": None, "checks": outcomes(), "awaited": [awaited(False)]},
            Status.PENDING,
            ("expected by tickets, due 2026-05-01T00:00Z; owner support",),
            id="not due yet",
        ),
        pytest.param(
            {"is_expected": False, "materialization": written(0), "checks": outcomes(), "awaited": [awaited(True)]},
            Status.MISSING,
            ("due since 2026-05-01T00:00Z, not arrived; owner support (tickets)",),
            id="due, whatever was built meanwhile",
        ),
        pytest.param(
            {"awaited": [awaited(True), awaited(False, "listing")]},
            Status.MISSING,
            (
                "due since 2026-05-01T00:00Z, not arrived; owner support (tickets)",
                "expected by listing, due 2026-05-01T00:00Z; owner support",
            ),
            id="of two expectations the strictest decides",
        ),
        pytest.param(
            {
                "is_expected": False,
                "materialization": None,
                "checks": outcomes(),
                "blockers": [upstream(Status.PENDING)],
            },
            Status.PENDING,
            (f"upstream upstream {DAY} is not due yet",),
            id="reads a day that is not due yet",
        ),
        pytest.param(
            {
                "is_expected": False,
                "materialization": None,
                "checks": outcomes(),
                "blockers": [upstream(Status.UNKNOWN)],
            },
            Status.BLOCKED,
            (f"upstream upstream {DAY} is UNKNOWN",),
            id="nothing is expected by what is known, and some is unknown",
        ),
        pytest.param({"is_expected": False}, Status.READY, (), id="holds rows that nothing expects, and is sound"),
        pytest.param(
            {"is_expected": False, "materialization": None, "checks": outcomes(), "foreign_write": "written"},
            Status.STALE,
            ("written",),
            id="written by someone else, where nothing was expected",
        ),
        pytest.param(
            {"is_expected": False, "materialization": written(0), "changed_inputs": ["its sources"]},
            Status.STALE,
            ("its sources has changed since",),
            id="all its rows went away",
        ),
        pytest.param(
            {"materialization": written(0), "checks": outcomes()},
            Status.UNCHECKED,
            (
                "check conservation has not run on this materialization",
                "check unique has not run on this materialization",
            ),
            id="expected, and written without rows",
        ),
    ],
)
def test_status_and_reasons_follow_from_the_evidence(known, status, reasons):
    verdict = decide(evidence(**known))

    assert (verdict.status, verdict.reasons) == (status, reasons)


@pytest.mark.parametrize("status", list(Status))
def test_ready_and_empty_are_safe_to_consume_and_nothing_else(status):
    verdict = Verdict("asset", DAY, status, (), evidence(), True)

    assert verdict.is_ready == (status in (Status.READY, Status.EMPTY))


WORSE = {
    Status.UNKNOWN: {"outside": "nothing declared, nothing covered"},
    Status.PENDING: {"awaited": [awaited(is_due=False)]},
    Status.MISSING: {"materialization": None, "checks": outcomes()},
    Status.FAILED: {"checks": outcomes(check("conservation", passed=False), check("unique"))},
    Status.UNCHECKED: {"checks": outcomes(check("conservation"))},
    Status.STALE: {"changed_inputs": ["an input"]},
    Status.BLOCKED: {"blockers": [upstream()]},
}


@pytest.mark.parametrize("first", list(WORSE))
@pytest.mark.parametrize("second", list(WORSE))
def test_of_two_findings_the_one_that_comes_first_in_the_order_decides(first, second):
    worst = min(first, second, key=ORDER.index)

    verdict = decide(evidence(**{**WORSE[max(first, second, key=ORDER.index)], **WORSE[worst]}))

    assert verdict.status is worst


def test_every_unmet_requirement_is_named_the_decisive_one_first():
    verdict = decide(
        evidence(
            checks=outcomes(check("conservation", passed=False)),
            changed_inputs=["ticket_events", "knowledge_doc"],
            source_problems=["a.gz: cut"],
            blockers=[upstream(Status.STALE)],
        )
    )

    assert verdict.reasons == (
        "check conservation failed: 3 rows lost",
        "check unique has not run on this materialization",
        "a.gz: cut",
        "ticket_events has changed since",
        "knowledge_doc has changed since",
        f"upstream upstream {DAY} is STALE",
    )


def test_a_missing_partition_names_what_blocks_it_too():
    verdict = decide(evidence(materialization=None, checks=outcomes(), blockers=[upstream()]))

    assert verdict.reasons == ("expected, never materialized", f"upstream upstream {DAY} is FAILED")


@pytest.mark.parametrize(
    ("number", "more"), [(3, None), (4, "1 more upstream partitions are not ready"), (40, "37 more upstream")]
)
def test_of_many_blockers_three_are_named_and_the_others_counted(number, more):
    blockers = [upstream(partition=f"2026-04-{n:02}") for n in range(number)]

    reasons = decide(evidence(blockers=blockers)).reasons

    assert [r.split()[2] for r in reasons[:3]] == ["2026-04-00", "2026-04-01", "2026-04-02"]
    assert [*reasons[3:]] == [] if more is None else reasons[3].startswith(more) and len(reasons) == 4


@pytest.mark.parametrize(
    ("known", "is_mendable"),
    [
        pytest.param({}, True, id="ready"),
        pytest.param(WORSE[Status.MISSING], True, id="missing"),
        pytest.param(WORSE[Status.UNCHECKED], True, id="unchecked"),
        pytest.param(WORSE[Status.STALE], True, id="stale"),
        pytest.param(WORSE[Status.FAILED], False, id="a failed check"),
        pytest.param({"source_problems": ["a.gz: gone"]}, False, id="an unreadable source"),
        pytest.param({**WORSE[Status.MISSING], "source_problems": ["a.gz: gone"]}, False, id="missing for its source"),
        pytest.param({"blockers": [upstream(Status.STALE, True)]}, True, id="a mendable blocker"),
        pytest.param(
            {"blockers": [upstream(Status.STALE, True), upstream()]}, False, id="one blocker that no run can mend"
        ),
    ],
)
def test_a_run_can_mend_what_no_failed_check_and_no_unreadable_source_holds(known, is_mendable):
    assert decide(evidence(**known)).is_mendable == is_mendable


def test_a_failed_check_counts_by_the_severity_that_the_asset_requires_now():
    recorded_as_warning = check("unique", passed=False, severity="warn")

    verdict = decide(evidence(checks=outcomes(check("conservation"), recorded_as_warning)))

    assert verdict.status is Status.FAILED


def test_a_verdict_is_named_as_a_person_types_it():
    daily = decide(evidence())
    whole = decide(replace(evidence(), partition=""))

    assert (daily.name, whole.name) == (f"asset {DAY}", "asset")


def test_a_verdict_carries_the_materialization_it_speaks_for():
    assert decide(evidence()).evidence.materialization == written()


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────
NAMES = st.sampled_from(["conservation", "unique", "other"])
CHECKS = st.dictionaries(NAMES, st.booleans()).map(
    lambda found: outcomes(*(check(name, passed) for name, passed in found.items()))
)
EVIDENCE = st.builds(
    PartitionEvidence,
    asset=st.just("asset"),
    partition=st.just(DAY),
    is_expected=st.booleans(),
    materialization=st.sampled_from([None, written(0), written(10)]),
    required_checks=st.dictionaries(NAMES, st.sampled_from(["error", "warn"])),
    checks=CHECKS,
    source_problems=st.lists(st.sampled_from(["a.gz: gone", "b.gz: cut"]), unique=True),
    changed_inputs=st.lists(st.sampled_from(["one", "two"]), unique=True),
    foreign_write=st.sampled_from([None, "written by someone else"]),
    needs_comparison=st.booleans(),
    blockers=st.lists(
        st.sampled_from([upstream(), upstream(Status.STALE, True), upstream(Status.UNKNOWN), upstream(Status.PENDING)]),
        max_size=5,
    ),
    outside=st.sampled_from([None, "nothing covered"]),
    awaited=st.lists(st.sampled_from([awaited(True), awaited(False), awaited(False, "listing")]), max_size=2),
)
RANK = {status: rank for rank, status in enumerate([*ORDER, Status.EMPTY])}
RANK[Status.MISSING] = RANK[Status.PENDING]  # has not come, due or not


@given(EVIDENCE)
def test_nothing_is_ready_with_an_unmet_requirement(known):
    verdict = decide(known)

    if verdict.status is Status.READY:
        assert known.materialization is not None
        assert {
            name for name, severity in known.required_checks.items() if severity == "error"
        } <= known.checks.passed.keys()
        assert all(known.required_checks.get(c.check, c.severity) == "warn" for c in known.checks.failed)
        assert not (known.source_problems or known.changed_inputs or known.foreign_write or known.blockers)
        assert not (known.outside or known.awaited)


@given(EVIDENCE)
def test_nothing_is_empty_that_is_expected_or_holds_rows_or_has_changed(known):
    if decide(known).status is Status.EMPTY:
        assert not known.is_expected
        assert known.materialization is None or known.materialization.rows.loaded == 0
        assert not (known.changed_inputs or known.foreign_write or known.outside or known.awaited)
        assert not (known.blockers or known.failed_errors or known.source_problems)


@given(EVIDENCE)
def test_a_verdict_gives_reasons_exactly_where_it_is_not_ready(known):
    verdict = decide(known)

    assert bool(verdict.reasons) == (not verdict.is_ready)


@given(
    known=EVIDENCE,
    failure=st.sampled_from(
        [
            {"checks": check("another", passed=False)},
            {"source_problems": "c.gz: gone"},
            {"changed_inputs": "three"},
            {"blockers": upstream()},
            {"blockers": upstream(Status.UNKNOWN)},
            {"blockers": upstream(Status.PENDING)},
            {"awaited": awaited(True)},
            {"awaited": awaited(False)},
        ]
    ),
)
def test_one_more_failure_never_makes_a_verdict_better_and_silences_no_reason(known, failure):
    ((name, added),) = failure.items()
    before = decide(known)
    checks = CheckOutcomes(known.checks.passed, (*known.checks.failed, added))

    after = decide(replace(known, **{name: checks if name == "checks" else [*getattr(known, name), added]}))

    assert RANK[after.status] <= RANK[before.status]
    # New data make even a failed partition worth computing again.
    assert after.is_mendable <= before.is_mendable or name == "changed_inputs"
    assert _particular(before.reasons) <= _particular(after.reasons)


@given(EVIDENCE)
def test_what_lies_outside_of_the_horizon_is_unknown_whatever_was_built(known):
    for item in (None, written(0), written(10)):
        verdict = decide(replace(known, outside="nothing covered", materialization=item))

        assert (verdict.status, verdict.is_mendable) == (Status.UNKNOWN, False)
        assert verdict.is_problem == bool(known.checks.failed and verdict.evidence.failed_errors)


def _particular(reasons):
    """Without the default reason, which a particular one replaces, and the number of blockers that are not named."""
    return {r for r in reasons if r != "expected, never materialized" and "more upstream partitions" not in r}
