"""What a partition reads of its upstream assets, and the version of that."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.ledger.evidence import Materialization, RowCounts
from lakehouse.ledger.inputs import AssetVersions, derived_version
from lakehouse.partitions import WHOLE

AT = datetime(2026, 5, 1, tzinfo=UTC)
KEYS = st.dates(date(2026, 4, 1), date(2026, 4, 20)).map(date.isoformat)
VERSIONS = st.dictionaries(KEYS, st.sampled_from("abc"), max_size=12)


def written(partition, version, loaded=1):
    return Materialization("upstream", partition, version, 1, AT, "run", RowCounts(loaded=loaded))


def versions(contents):
    return AssetVersions(written(key, version) for key, version in contents.items())


THREE_DAYS = {"2026-04-01": "a", "2026-04-02": "b", "2026-04-03": "c"}


def test_same_day_reads_the_version_of_that_day():
    assert versions(THREE_DAYS).input_version("same_day", "2026-04-02") == "b"


@pytest.mark.parametrize("reach", ["same_day", "up_to_day", "all"])
def test_an_asset_that_was_never_written_offers_nothing_to_read(reach):
    assert AssetVersions([]).input_version(reach, "2026-04-02") == ""


@pytest.mark.parametrize("reach", ["same_day", "up_to_day"])
def test_a_day_before_all_others_has_nothing_to_read(reach):
    assert versions(THREE_DAYS).input_version(reach, "2026-03-31") == ""


def test_same_day_of_a_day_that_was_never_written_is_nothing_to_read():
    assert versions(THREE_DAYS).input_version("same_day", "2026-04-04") == ""


def test_up_to_day_reads_the_day_itself():
    before, after = versions(THREE_DAYS), versions(THREE_DAYS | {"2026-04-02": "x"})

    assert before.input_version("up_to_day", "2026-04-02") != after.input_version("up_to_day", "2026-04-02")


def test_up_to_day_of_the_last_day_is_what_all_reads():
    of = versions(THREE_DAYS)

    assert of.input_version("up_to_day", "2026-04-03") == of.input_version("all", WHOLE) != ""


def test_all_changes_with_every_partition():
    readings = {
        versions(contents).input_version("all", WHOLE)
        for contents in (THREE_DAYS, *({**THREE_DAYS, day: "x"} for day in THREE_DAYS))
    }

    assert len(readings) == 4


def test_all_tells_which_day_holds_which_version():
    swapped = {"2026-04-01": "b", "2026-04-02": "a", "2026-04-03": "c"}

    assert versions(THREE_DAYS).input_version("all", "") != versions(swapped).input_version("all", "")


@pytest.mark.parametrize("reach", ["up_to_day", "all"])
def test_the_same_content_on_another_day_is_another_version(reach):
    moved = {"2026-04-01": "a", "2026-04-03": "b"}
    stayed = {"2026-04-01": "a", "2026-04-02": "b"}

    readings = {versions(contents).input_version(reach, "2026-04-04") for contents in (moved, stayed)}

    assert len(readings) == 2


@pytest.mark.parametrize("reach", ["same_day", "up_to_day", "all"])
def test_a_partition_without_rows_counts_as_absent(reach):
    items = [written(key, version) for key, version in THREE_DAYS.items()]
    empty = written("2026-04-04", "whatever", loaded=0)

    with_empty = AssetVersions([*items, empty]).input_version(reach, "2026-04-04")

    assert with_empty == AssetVersions(items).input_version(reach, "2026-04-04")


@given(contents=VERSIONS, changed=KEYS, partition=KEYS)
def test_a_change_of_a_day_reaches_that_day_and_later_days_only(contents, changed, partition):
    before, after = versions(contents), versions(contents | {changed: "new"})

    differs = before.input_version("up_to_day", partition) != after.input_version("up_to_day", partition)

    assert differs == (changed <= partition)


@given(contents=VERSIONS, changed=KEYS, partition=KEYS)
def test_a_change_of_a_day_reaches_only_the_same_day(contents, changed, partition):
    before, after = versions(contents), versions(contents | {changed: "new"})

    differs = before.input_version("same_day", partition) != after.input_version("same_day", partition)

    assert differs == (changed == partition)


@given(contents=VERSIONS, partition=KEYS, data=st.data())
def test_versions_do_not_depend_on_the_order_of_the_materializations(contents, partition, data):
    items = [written(key, version) for key, version in contents.items()]
    shuffled = data.draw(st.permutations(items))

    for reach in ("same_day", "up_to_day", "all"):
        of = AssetVersions(items).input_version(reach, partition)
        assert of == AssetVersions(shuffled).input_version(reach, partition)


@given(inputs=st.dictionaries(st.text("abc", min_size=1), st.text("012")), data=st.data())
def test_a_derived_version_does_not_depend_on_the_order_of_its_inputs(inputs, data):
    shuffled = dict(data.draw(st.permutations(list(inputs.items()))))

    assert derived_version("code", inputs) == derived_version("code", shuffled)


@pytest.mark.parametrize(
    ("code", "inputs"),
    [
        ("other code", {"a": "1", "b": "2"}),
        ("code", {"a": "1", "b": "3"}),
        ("code", {"a": "2", "b": "1"}),
        ("code", {"a": "1"}),
        ("code", {"a": "1", "c": "2"}),
        ("code", {"a": "1", "b": ""}),
    ],
)
def test_a_derived_version_changes_with_the_code_and_with_each_input(code, inputs):
    assert derived_version(code, inputs) != derived_version("code", {"a": "1", "b": "2"})
