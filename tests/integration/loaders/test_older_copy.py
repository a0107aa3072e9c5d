"""A ledger apart from its catalog: whichever of the two is brought back from an older copy, nothing passes for safe."""

import shutil
from datetime import UTC, datetime

import pytest

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.recovery.plan import plan_recovery
from lakehouse.recovery.recover import recover
from lakehouse.settings import LakehouseSettings
from loaders.ingest import ingest, look_again
from orchestration.readiness.asset_graph import read_asset_graph
from orchestration.readiness.readiness import Readiness
from tests.conftest import TICKET_EVENTS
from tests.faults.lake import content, write_sources


@pytest.fixture
def apart(tmp_path):
    """Two versions of three days, one after the other; beside the folders of catalog and ledger what they were between."""
    home, manifests = tmp_path / "home", tmp_path / "manifests"
    manifests.mkdir()
    settings = LakehouseSettings(
        home=home,
        manifests=manifests,
        catalog_uri=f"sqlite:///{home}/catalog/catalog.db",
        ledger_uri=f"sqlite:///{home}/ledger/ledger.db",
    )
    write_sources(settings, TICKET_EVENTS, 1)
    assert ingest(settings, assets=[TICKET_EVENTS]).is_complete
    for part in ("catalog", "ledger"):
        shutil.copytree(home / part, home / f"older {part}")
    write_sources(settings, TICKET_EVENTS, 2)
    assert ingest(settings, assets=[TICKET_EVENTS]).is_complete
    return settings


def safe_days(settings):
    bronze = read_asset_graph({"nodes": {}}, bronze_contracts(settings))
    verdicts = Readiness(bronze, open_ledger(settings), datetime.now(UTC), []).verdicts(TICKET_EVENTS)
    return sorted(day for day, verdict in verdicts.items() if verdict.is_ready)


def bring_back(settings, part):
    shutil.rmtree(settings.home / part)
    shutil.copytree(settings.home / f"older {part}", settings.home / part)


@pytest.mark.parametrize("part", ["catalog", "ledger"])
def test_a_catalog_or_a_ledger_from_an_older_copy_makes_no_day_safe_until_a_load_has_looked_at_it(apart, part):
    right, days = content(apart), safe_days(apart)

    bring_back(apart, part)

    assert len(days) == 3 and safe_days(apart) == []
    assert ingest(apart, assets=[TICKET_EVENTS]).is_complete
    assert content(apart) == right
    assert safe_days(apart) == days


def test_both_from_one_older_copy_are_refused_until_they_are_recovered(apart):
    right, days = content(apart), safe_days(apart)
    for part in ("catalog", "ledger"):
        bring_back(apart, part)

    with pytest.raises(ConfigurationError, match="next: omni recover"):
        safe_days(apart)
    recover(apart, plan_recovery(apart, datetime.now(UTC)), lambda catalog, ledger: look_again(apart, catalog, ledger))

    assert (content(apart), safe_days(apart)) == (right, [])
    assert ingest(apart, assets=[TICKET_EVENTS]).is_complete
    assert safe_days(apart) == days
