"""Five hundred single bytes changed at random places: each is found, or without effect. Twenty are among `test_verify`'s."""

import os
from collections import Counter

import pytest

from tests.integration.lakehouse.corruptions import assert_each_is_found, built_lake

IS_LONG = bool(os.environ.get("OMNI_SOAK"))


@pytest.mark.skipif(not IS_LONG, reason="make soak: a quarter of an hour")
def test_each_of_five_hundred_changed_bytes_is_found(tmp_path, parsed_project):
    settings, kept = built_lake(tmp_path, parsed_project)

    outcomes = Counter(each.outcome for each in assert_each_is_found(settings, kept, range(500)))

    print(outcomes)
