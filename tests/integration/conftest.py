"""What several tests need and is dear to make: the bundled sample, loaded, built and checked by the main job."""

import fcntl

import pytest

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from orchestration.main_job import run_main_job


@pytest.fixture(scope="session")
def filled_sample(tmp_path_factory, parsed_project, worker_id, testrun_uid):
    """The lakehouse of the bundled sample after `omni run`. Shared by all workers: tests only read it."""
    root = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        root = root.parent / f"sample of {testrun_uid}"
        root.mkdir(exist_ok=True)
    settings = LakehouseSettings(home=root / "the home", manifests=PROJECT_ROOT / "manifests")
    made = root / "made"
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first worker makes it
        if not made.exists():
            parsed_project.give_to(settings)
            outcome = run_main_job(settings, None, lambda _: None)
            assert outcome.is_complete, outcome.lines
            made.touch()
    return settings
