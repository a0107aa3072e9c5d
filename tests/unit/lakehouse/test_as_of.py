"""What the ledger knew at an instant, whatever it learned later."""

from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.ledger import schema
from lakehouse.ledger.acceptances import Acceptance, acceptances, record_acceptances, undo_acceptances
from lakehouse.ledger.as_of import RECORDED_AT, ledger_as_of
from lakehouse.ledger.evidence import Coverage, ManifestVersion, Release, SourceAdmission, SourceFileRecord
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings
from tests.unit.lakehouse.test_ledger import ASSET, AT, BATCH, JUDGED, checked, covering, looked_at, written

HOUR = timedelta(hours=1)


@pytest.fixture
def ledger(tmp_path):
    return open_ledger(LakehouseSettings(home=tmp_path / "the home"))


def now() -> datetime:
    return datetime.now(UTC)


def coverage(ledger) -> list[Coverage]:
    return sorted((row for rows in ledger.coverage().values() for row in rows), key=lambda row: row.source_file)


def test_every_table_says_since_when_its_rows_are_known():
    changed_in_place = {name for table in schema.past_of.values() for name in (table.name,)} | schema.past_of.keys()
    with_their_version = {schema.admissions.name}

    assert RECORDED_AT.keys() | changed_in_place | with_their_version == schema.metadata.tables.keys()
    assert all(schema.metadata.tables[name].c[column].type.python_type for name, column in RECORDED_AT.items())


def test_what_was_recorded_later_was_not_known(ledger):
    ledger.record_admission(BATCH, [JUDGED])
    later = ManifestVersion("m2", "h2", "b2", "m2.json", AT, None, {}, AT + 2 * HOUR)
    ledger.record_admission(later, [SourceAdmission("s2", "accept", (), None)])
    ledger.record_release(Release("m1", "h1", "s1", "cleared", "ana", AT + 2 * HOUR))
    first, second = ledger.record_materializations([written(), written(version="v2", committed_at=AT + 2 * HOUR)])
    ledger.record_checks([checked(first), checked(first, passed=False, observed_at=AT + HOUR), checked(second)])

    before, at, between = (ledger_as_of(ledger, AT + apart) for apart in (-HOUR, 0 * HOUR, HOUR))

    assert not before.has_admissions() and before.current_materializations() == {}
    assert between.manifest_versions() == [BATCH] and between.source_admissions(BATCH) == [JUDGED]
    assert between.source_admissions(later) == [] and between.releases() == {}
    (item,) = between.current_materializations().values()
    assert (item.id, item.version) == (first, "v1")
    assert [[c.passed for c in known.current_checks()[first]] for known in (at, between)] == [[True], [False]]
    assert ledger_as_of(ledger, AT + 3 * HOUR).current_materializations() == ledger.current_materializations()


def test_coverage_that_was_replaced_doubted_or_dropped_is_told_as_it_was(ledger):
    files = [looked_at("a"), looked_at("b")]
    ledger.replace_file_coverage(files, [covering("a"), covering("b")])
    looked, known = [now()], [coverage(ledger)]
    ledger.replace_file_coverage([looked_at("a", stamp="20:2")], [covering("a", rows=5), covering("a", "2026-04-16")])
    looked.append(now()), known.append(coverage(ledger))
    ledger.doubt_files(files[0].asset, "m1", "the manifest is gone")
    looked.append(now()), known.append(coverage(ledger))
    ledger.forget_files(files[0].asset, [files[0].key])
    looked.append(now()), known.append(coverage(ledger))

    assert [len(rows) for rows in known] == [2, 3, 3, 1]
    assert [coverage(ledger_as_of(ledger, at)) for at in looked] == known
    assert coverage(ledger_as_of(ledger, looked[0] - HOUR)) == []
    stamps = [{f.stamp for f in ledger_as_of(ledger, at).known_files(files[0].asset).values()} for at in looked]
    assert stamps == [{"10:1"}, {"10:1", "20:2"}, {"10:1", "20:2"}, {"10:1"}]


def test_a_row_of_an_earlier_version_without_its_instant_was_always_known(ledger):
    ledger.replace_file_coverage([looked_at("a")], [covering("a")])
    with ledger.engine.begin() as connection:
        for name in schema.past_of:
            connection.execute(schema.metadata.tables[name].update().values(since=None))

    assert coverage(ledger_as_of(ledger, AT - 1000 * HOUR)) == [covering("a")]


def test_an_acceptance_that_was_taken_back_later_stood_until_then(ledger):
    (item,) = ledger.record_materializations([written()])
    record_acceptances(ledger, [Acceptance(item, ASSET, "2026-04-15", "old", "new", "the same rows", "ana", AT)])
    undo_acceptances(ledger, acceptances(ledger).values(), "bo", AT + 2 * HOUR)

    stood = [bool(acceptances(ledger_as_of(ledger, AT + apart))) for apart in (-HOUR, HOUR, 3 * HOUR)]

    assert stood == [False, True, False]


def test_what_is_asked_of_then_changes_nothing(ledger):
    ledger.replace_file_coverage([looked_at("a")], [covering("a")])

    ledger_as_of(ledger, now()).forget_files(looked_at("a").asset, [looked_at("a").key])

    assert coverage(ledger) == [covering("a")]
    assert isinstance(next(iter(ledger.known_files(looked_at("a").asset).values())), SourceFileRecord)
