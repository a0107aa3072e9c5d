"""The row of what we left as current, against real catalogs: it follows our commits, and nobody else's."""

import threading
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField
from sqlalchemy import event

from lakehouse.builds.foreign_inputs import ForeignInputs
from lakehouse.database.versions import adopt_version, read_versions
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import ensure_table, open_catalog
from orchestration.readiness.asset_graph import AssetNode
from orchestration.readiness.foreign_writes import WrittenElsewhere

NAME = "bronze.shape"
SCHEMA = Schema(NestedField(1, "a", LongType(), required=False))
ROW = pa.table({"a": pa.array([1], pa.int64())})
SHAPE = AssetNode("shape", "bronze", True)


@pytest.fixture
def home(tmp_path):
    return LakehouseSettings(home=tmp_path / "the home")


@pytest.fixture
def ours(home):
    """A table of ours, as a writer has it open."""
    return ensure_table(open_catalog(home), NAME, SCHEMA, {})


def stranger(home):
    return SqlCatalog("lake", uri=f"sqlite:///{home.home}/catalog.db", warehouse=home.warehouse_url)


def version(home, name=NAME):
    return read_versions(open_ledger(home).catalog_engine)[name]


def test_creation_and_every_kind_of_commit_of_ours_moves_it(home, ours):
    seen = [version(home)]
    ours.append(ROW)
    seen.append(version(home))
    with ours.update_schema() as update:
        update.add_column("b", LongType())
    seen.append(version(home))
    ours.maintenance.expire_snapshots().older_than(datetime.now(UTC)).commit()
    seen.append(version(home))

    assert all(each.is_ours and each.left for each in seen)
    assert len({each.left for each in seen}) >= 3


def test_a_commit_of_someone_else_leaves_it_and_ours_on_top_does_not_move_it(home, ours):
    left = version(home).left
    stranger(home).load_table(NAME).append(ROW)
    ours.refresh()
    ours.append(ROW)
    ours.append(ROW)

    assert version(home).left == left
    assert not version(home).is_ours


def test_a_commit_of_ours_that_someone_else_was_faster_than_moves_nothing(home, ours):
    catalog = open_catalog(home)
    table = catalog.load_table(NAME)
    with table.transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "0"})
    left = version(home).left
    seen = []

    @event.listens_for(catalog.engine, "before_execute")
    def _be_faster(connection, statement, *_):
        if not seen and statement.is_dml:
            seen.append(True)
            stranger(home).load_table(NAME).append(ROW)

    with pytest.raises(CommitFailedException):
        table.append(ROW)

    assert (seen, version(home).left) == ([True], left)
    assert not version(home).is_ours


def test_a_process_that_dies_before_the_catalogs_commit_has_moved_neither(home, ours):
    before = version(home)

    @event.listens_for(ours.catalog.engine, "commit")
    def _die(connection):
        raise SystemExit

    with pytest.raises(SystemExit):
        ours.append(ROW)

    assert version(home) == before


def test_two_writers_of_ours_at_once_raise_no_alarm(home, ours):
    def write():
        table = open_catalog(home).load_table(NAME)
        for _ in range(3):
            table.append(ROW)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert len(open_catalog(home).load_table(NAME).snapshots()) == 6
    assert version(home).is_ours


def test_a_verdict_that_reads_during_our_commit_sees_it_whole(home, ours):
    seen, engine = [], open_ledger(home).catalog_engine

    @event.listens_for(ours.catalog.engine, "commit")
    def _read(connection):
        seen.append(read_versions(engine)[NAME].is_ours)

    ours.append(ROW)

    assert seen == [True]


@pytest.mark.parametrize("deed", ["drop", "rename", "register"])
def test_what_is_no_commit_leaves_it_where_it_was(home, ours, deed):
    left = version(home).left
    if deed == "rename":
        stranger(home).rename_table(NAME, "bronze.elsewhere")
    else:
        stranger(home).drop_table(NAME)
    if deed == "register":
        stranger(home).register_table(NAME, left)

    assert version(home).left == left
    assert version(home).is_ours == (deed == "register")  # the very metadata that we left


def test_a_table_that_we_make_anew_after_someone_dropped_it_is_not_ours_before_it_was_looked_at(home, ours):
    stranger(home).drop_table(NAME)
    ensure_table(open_catalog(home), NAME, SCHEMA, {})

    assert not version(home).is_ours


def test_a_drop_that_was_looked_at_lets_us_make_the_table_anew(home, ours):
    stranger(home).drop_table(NAME)
    assert adopt_version(open_ledger(home).catalog_engine, version(home))
    ensure_table(open_catalog(home), NAME, SCHEMA, {}).append(ROW)

    assert version(home).is_ours


def test_a_table_of_someone_else_is_not_ours_and_a_second_creation_of_it_changes_nothing(home, ours):
    stranger(home).create_table("bronze.theirs", SCHEMA)
    with pytest.raises(TableAlreadyExistsError):
        open_catalog(home).create_table("bronze.theirs", SCHEMA)

    theirs = version(home, "bronze.theirs")
    assert (theirs.is_known, theirs.is_ours) == (False, False)


def test_what_moved_since_it_was_looked_at_is_not_taken_for_ours(home, ours):
    stranger(home).load_table(NAME).append(ROW)
    seen = version(home)
    engine = open_ledger(home).catalog_engine
    adopt_version(engine, seen)
    stranger(home).load_table(NAME).append(ROW)

    assert not adopt_version(engine, seen)
    assert not version(home).is_ours


def test_what_a_build_reads_is_marked_where_someone_else_wrote_before_it_or_beneath_it(home, ours):
    ledger = open_ledger(home)
    clean, late = ForeignInputs(ledger), ForeignInputs(ledger)
    clean.compare({NAME: ours.metadata_location})
    stranger(home).load_table(NAME).append(ROW)
    late.compare({NAME: stranger(home).load_table(NAME).metadata_location})
    marks = [each.mark("shape", "all", "", {}) for each in (clean, late)]
    ours.refresh()
    ours.append(ROW)
    clean.compare({NAME: ours.metadata_location})

    assert (marks[0], bool(marks[1]), bool(clean.mark("shape", "all", "", {}))) == ("", True, True)


def test_a_ledger_elsewhere_follows_our_commits_and_asks_the_catalogs_database(home, tmp_path):
    apart = home.model_copy(update={"ledger_uri": type(home.catalog_url)(f"sqlite:///{tmp_path / 'ledger.db'}")})
    ensure_table(open_catalog(apart), NAME, SCHEMA, {}).append(ROW)
    before = WrittenElsewhere(open_ledger(apart)).is_unsettled(SHAPE)
    stranger(home).load_table(NAME).append(ROW)

    assert (before, WrittenElsewhere(open_ledger(apart)).is_unsettled(SHAPE)) == (False, True)


def test_a_ledger_elsewhere_takes_nothing_for_ours_that_it_has_not_seen(home, ours, tmp_path):
    apart = home.model_copy(update={"ledger_uri": type(home.catalog_url)(f"sqlite:///{tmp_path / 'ledger.db'}")})

    assert WrittenElsewhere(open_ledger(apart)).is_unsettled(SHAPE)


def test_where_there_is_no_catalog_nothing_is_told(home):
    assert read_versions(open_ledger(home).catalog_engine) is None


def test_a_rest_catalog_that_does_not_answer_is_an_error_unless_the_settings_say_that_verdicts_do_not_ask(home):
    elsewhere = home.model_copy(update={"catalog_type": "rest"})

    with pytest.raises(ConfigurationError, match="the catalog does not say which metadata its tables have"):
        WrittenElsewhere(open_ledger(elsewhere))
    unasked = elsewhere.model_copy(update={"verdicts_ask_catalog": False})
    assert not WrittenElsewhere(open_ledger(unasked)).is_unsettled(SHAPE)
