"""What the ledger claims of a check, against the check asked again."""

from datetime import UTC, datetime

import pytest

from lakehouse.ledger.evidence import CheckResult, Materialization
from lakehouse.ledger.ledger import open_ledger
from lakehouse.proof.ledger.check_comparison import check_findings
from lakehouse.settings import LakehouseSettings

AT = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "claimed, said",
    [((True, 0, "d"), []), ((False, 0, None), []), ((False, 2, "d"), ["check_differs"]), (None, ["check_absent"])],
    ids=["the same", "ended in an error, which claims nothing", "another", "none"],
)
def test_a_claim_that_is_not_what_the_check_says_when_it_is_asked_again_is_found(tmp_path, claimed, said):
    ledger = open_ledger(LakehouseSettings(home=tmp_path))
    (key,) = ledger.record_materializations([Materialization("a", "2026-04-15", "v", 1, AT, "run")])

    def result(passed, failures, definition):
        return CheckResult("a", "2026-04-15", "x", "error", passed, "m", key, AT, "run", failures, definition)

    ledger.record_checks([result(*claimed)] if claimed else [])

    assert [each.code for each in check_findings(ledger, [result(True, 0, "d")])] == said
