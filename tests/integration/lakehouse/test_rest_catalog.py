"""With a REST catalog each verdict asks it what its tables are: what someone else commits is never called safe."""

import pytest
from pydantic import SecretStr
from pyiceberg.exceptions import ServerError
from sqlalchemy.exc import OperationalError

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.catalog_versions import catalog_versions
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.proof.foreign_writes import find_foreign_writes
from lakehouse.tables import catalog as catalog_module
from lakehouse.tables import followed_commits
from lakehouse.tables.catalog import open_catalog
from lakehouse.tables.filters import day_filter
from loaders.ingest import ingest
from orchestration.readiness.readiness import open_readiness
from tests.conftest import TICKET_EVENTS, ticket_lake
from tests.integration.conftest import run, statuses
from tests.integration.rest_catalog_server import serving_icebergs_rest, serving_rest

ONE, TWO = "2026-04-01", "2026-04-02"
TABLE = f"bronze.{TICKET_EVENTS}"
SAFE = {"READY", "EMPTY", "UNKNOWN"}


@pytest.fixture(scope="module", params=[serving_rest, serving_icebergs_rest], ids=["ours", "Iceberg's"])
def served(tmp_path_factory, parsed_project, request):
    """Two days of tickets after `omni run`, with a REST catalog; and the catalog behind it, which others may use."""
    root = tmp_path_factory.mktemp("rest")
    settings = ticket_lake(root, parsed_project, [ONE, TWO])
    with request.param(root / "server", settings.warehouse_url) as (address, behind):
        settings = settings.model_copy(update={"catalog_type": "rest", "catalog_uri": SecretStr(address)})
        with pytest.MonkeyPatch.context() as patch:  # dbt reads these in a process of its own
            patch.setenv("OMNI_CATALOG_TYPE", "rest")
            patch.setenv("OMNI_CATALOG_URI", address)
            run(settings)
            yield settings, behind


@pytest.fixture
def lake(served):
    assert set(statuses(served[0]).values()) <= SAFE  # each test leaves it as it was
    return served[0]


@pytest.fixture
def behind(served):
    return served[1]


def look(settings):
    return find_foreign_writes(open_catalog(settings), open_ledger(settings))


def is_ours(settings):
    return catalog_versions(open_ledger(settings))[TABLE].is_ours


def test_what_only_we_have_written_is_safe(lake):
    found = statuses(lake)

    assert (found[f"{TICKET_EVENTS} {ONE}"], found[f"support_kpi_daily {TWO}"], found["ticket_fact"]) == ("READY",) * 3
    assert all(version.is_ours for version in catalog_versions(open_ledger(lake)).values())


def test_what_someone_else_commits_is_unsafe_at_once_and_narrowed_to_its_day_until_a_run_has_mended_it(lake, behind):
    table = behind.load_table(TABLE)
    table.delete(day_filter(table, Window.of_keys(ONE, ONE)))

    at_once, why = statuses(lake), open_readiness(lake).verdict(TICKET_EVENTS, TWO).reasons[0]
    assert look(lake) == []
    looked_at = statuses(lake)
    run(lake)

    assert {at_once[f"{TICKET_EVENTS} {day}"] for day in (ONE, TWO)} == {"STALE"}
    assert "its table was written by someone else since" in why
    assert (at_once[f"support_kpi_daily {TWO}"], at_once["ticket_fact"]) == ("BLOCKED", "BLOCKED")
    assert (looked_at[f"{TICKET_EVENTS} {ONE}"], looked_at[f"{TICKET_EVENTS} {TWO}"]) == ("STALE", "READY")
    assert set(statuses(lake).values()) <= SAFE


@pytest.mark.parametrize("own", [{"our": "own"}, {"somebody": "else"}], ids=["another change", "no change"])
def test_a_commit_of_ours_on_top_of_what_someone_else_did_does_not_hide_it(lake, behind, own):
    ours = open_catalog(lake).load_table(TABLE)
    with behind.load_table(TABLE).transaction() as foreign:
        foreign.set_properties({"somebody": "else"})
    with ours.transaction() as transaction:  # as loaded before: the server sees no conflict
        transaction.set_properties(own)

    is_told = not is_ours(lake)
    look(lake)
    with open_catalog(lake).load_table(TABLE).transaction() as back:
        back.remove_properties("somebody")

    assert is_told
    assert is_ours(lake)


def test_a_commit_of_ours_that_nobody_followed_is_recognised_by_its_evidence(lake, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(followed_commits, "follow_commit", lambda *_: False)  # as if the process had died before it
        patch.setattr(followed_commits, "LOOK_AGAIN_S", 0)
        ingest(lake, window=Window.of_keys(ONE, ONE))
    apart = open_readiness(lake).verdict(TICKET_EVENTS, ONE)
    run(lake)

    assert "its table was written by someone else" in " ".join(apart.reasons)
    assert set(statuses(lake).values()) <= SAFE
    assert open_ledger(lake).current_materializations([TICKET_EVENTS])[TICKET_EVENTS, ONE].rows.loaded == 1


def test_a_commit_that_landed_and_cannot_be_noted_is_no_failure_and_stays_apart(lake, monkeypatch):
    def locked(*_):
        raise OperationalError("update", {}, Exception("database is locked"))

    with monkeypatch.context() as patch:
        patch.setattr(followed_commits, "follow_commit", locked)
        with open_catalog(lake).load_table(TABLE).transaction() as transaction:
            transaction.set_properties({"our": "own"})
    is_apart = not is_ours(lake)
    look(lake)

    assert is_apart
    assert is_ours(lake)


def test_a_table_that_someone_else_drops_is_not_safe(lake, behind):
    location = behind.load_table(TABLE).metadata_location
    behind.drop_table(TABLE)

    dropped = open_readiness(lake).verdict(TICKET_EVENTS, ONE)
    behind.register_table(TABLE, location)

    assert (dropped.status, dropped.is_ready) == ("STALE", False)
    assert "dropped by someone else" in dropped.reasons[0]


@pytest.mark.parametrize("why", ["nobody listens", "the server fails"])
def test_a_catalog_that_does_not_answer_is_an_error_and_no_verdict_unless_the_settings_say_so(lake, monkeypatch, why):
    if why == "nobody listens":
        settings = lake.model_copy(update={"catalog_uri": SecretStr("http://127.0.0.1:9")})
    else:
        settings = lake
        monkeypatch.setattr(
            catalog_module, "list_tables", lambda *_: (_ for _ in ()).throw(ServerError("out of order"))
        )

    with pytest.raises(
        ConfigurationError, match="nobody knows whether someone else .* OMNI_VERDICTS_ASK_CATALOG=false"
    ):
        open_readiness(settings)

    by_the_last_look = open_readiness(settings.model_copy(update={"verdicts_ask_catalog": False}))
    assert by_the_last_look.verdict(TICKET_EVENTS, ONE).is_ready
