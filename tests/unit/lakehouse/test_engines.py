"""Engines of the databases: none is kept that nobody uses any more."""

import gc
import weakref

import pytest

from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import open_catalog


@pytest.mark.parametrize(
    "open_it", [lambda s: open_ledger(s).engine, lambda s: open_catalog(s).engine], ids=["ledger", "catalog"]
)
def test_an_engine_that_nobody_uses_any_more_is_not_kept(tmp_path, open_it):
    engine = open_it(LakehouseSettings(home=tmp_path))
    engine.connect().close()
    kept = weakref.ref(engine)

    del engine
    gc.collect()

    assert kept() is None
