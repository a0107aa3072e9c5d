"""How far a model reads its upstream assets, from what dbt's manifest has noted of its SQL."""

import pytest

from lakehouse.builds.reach import reach_of


def upstream(event_time="at", **config):
    return {"resource_type": "source", "name": "raw", "config": {"event_time": event_time, **config}}


def model(*reads, partitioned="daily"):
    """A model; a read is (reach, column)."""
    noted = {
        f"reads raw {reach} {column}": {"asset": "raw", "reach": reach, "column": column} for reach, column in reads
    }
    meta = {"omni": {"partitioned": partitioned}, "reads other same_day at": {"asset": "other", "reach": "same_day"}}
    return {"resource_type": "model", "name": "derived", "config": {"event_time": "at", "meta": {**meta, **noted}}}


@pytest.mark.parametrize(
    "reads, reach",
    [
        pytest.param([], "all", id="nothing is noted"),
        pytest.param([("all", None)], "all", id="no window"),
        pytest.param([("same_day", "at")], "same_day", id="its window"),
        pytest.param([("up_to_day", "at")], "up_to_day", id="up to its window"),
        pytest.param([("same_day", "at"), ("up_to_day", "at")], "up_to_day", id="twice, the second wider"),
        pytest.param([("up_to_day", "at"), ("same_day", "at")], "up_to_day", id="twice, the first wider"),
        pytest.param([("same_day", "at"), ("all", None)], "all", id="twice, once without a window"),
        pytest.param([("all", None), ("same_day", "at")], "all", id="twice, first without a window"),
        pytest.param([("same_day", "seen_at")], "all", id="a window on a column that does not make the day"),
    ],
)
def test_the_widest_read_of_an_upstream_asset_is_the_reach(reads, reach):
    assert reach_of(model(*reads), upstream()) == reach


def test_a_model_without_days_reads_all_whatever_its_windows_say():
    assert reach_of(model(("same_day", "at"), partitioned="whole"), upstream()) == "all"


def test_of_an_upstream_asset_without_days_all_is_read():
    whole = {**upstream(meta={"omni": {"partitioned": "whole"}}), "resource_type": "model"}
    assert reach_of(model(("same_day", "at")), whole) == "all"
    assert reach_of(model(("same_day", None)), upstream(event_time=None)) == "all"
