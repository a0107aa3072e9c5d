"""The lakehouse that each test of this folder, and each example of the machine, begins with."""

from collections.abc import Iterator

import pytest

from tests.stateful.lake import Lake, without_dlt
from tests.stateful.machine import made_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """Two sources, loaded and built."""
    with without_dlt():
        yield made_lake(tmp_path_factory.mktemp("stateful") / "lake")
