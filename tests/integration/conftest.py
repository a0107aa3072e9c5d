"""What several tests need and is dear to make: the bundled sample, loaded, built and checked by the main job."""

import pytest

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from orchestration.main_job import run_main_job


@pytest.fixture(scope="session")
def filled_sample(tmp_path_factory):
    """The lakehouse of the bundled sample after `omni run`. Shared: tests only read it."""
    home = tmp_path_factory.mktemp("sample") / "the home"
    settings = LakehouseSettings(home=home, manifests=PROJECT_ROOT / "manifests")
    outcome = run_main_job(settings, None, lambda _: None)
    assert outcome.is_complete, outcome.lines
    return settings
