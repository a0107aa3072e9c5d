"""Sources and records that are larger than they may be: refused while they are read, and the message names the setting."""

import json
import os
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.contracts.registry import load_contracts
from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings
from loaders.errors import SourceUnreadable
from loaders.events.checks import contract_drift
from loaders.events.records import _read_source, connect
from loaders.manifests.manifest import read_manifests
from loaders.plans.plan import Description
from loaders.snapshots.formats import describe
from loaders.sources.bounds import Bounds
from loaders.sources.lines import is_bounded_text
from loaders.sources.reading import local_file, open_stream, verify_file
from tests.conftest import source, ticket_manifest
from tests.unit.loaders.test_files import declared, found, local, names, relocated, write
from tests.unit.loaders.test_reading import PACK

BOUNDS = Bounds.of(LakehouseSettings())
NULLS = bytes(70 * 1024 * 1024)


def read_by_verifying(file, tmp_path):
    verify_file(file, declared(file.name))


def read_as_stream(file, tmp_path):
    with open_stream(file, declared(file.name)) as stream:
        while stream.read(1 << 20):
            pass


def read_as_copy(file, tmp_path):
    with local_file(file, declared(file.name), tmp_path):
        pass


READERS = [read_by_verifying, read_as_stream, read_as_copy]


def bounded(path, **bounds):
    return replace(local(path), bounds=replace(BOUNDS, **bounds))


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("read", READERS)
def test_more_than_may_come_out_of_a_file_is_refused(tmp_path, read, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(PACK[suffix](os.urandom(1 << 20) * 3))

    read(bounded(path, unpacked_bytes=3 << 20), tmp_path)
    with pytest.raises(SourceUnreadable) as refused:
        read(bounded(path, unpacked_bytes=2 << 20), tmp_path)

    assert str(refused.value) == (
        f"a{suffix}: holds more than 2 MiB once it is unpacked; next: export it in parts, or raise OMNI_MAX_UNPACKED_BYTES"
    )
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("read", READERS)
def test_a_bomb_is_refused_by_how_much_comes_out_of_how_little(tmp_path, read, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(PACK[suffix](NULLS))

    with pytest.raises(
        SourceUnreadable, match=f"^a{suffix}: unpacks to more than 200 times .*OMNI_MAX_UNPACKED_RATIO$"
    ):
        read(local(path), tmp_path)
    read(bounded(path, unpacked_ratio=1_000_000), tmp_path)


def test_a_file_that_is_not_packed_may_be_as_large_as_it_is(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x\n" * 1000)

    read_by_verifying(bounded(path, unpacked_bytes=10, unpacked_ratio=1), tmp_path)


@pytest.mark.parametrize("path", ["d", "d/*", "d/**"])
def test_a_folder_or_a_pattern_stands_for_so_many_files_at_most(settings, path):
    write(settings.manifests, *(f"d/{number}.jsonl" for number in range(5)))

    assert len(names(relocated(settings, max_source_files=5), path)) == 5
    with pytest.raises(SourceUnreadable) as refused:
        found(relocated(settings, max_source_files=4), path)
    assert str(refused.value) == (
        f"s1: {path} stands for more than 4 files; next: declare fewer, or raise OMNI_MAX_SOURCE_FILES"
    )


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def records(path, asset_type, **bounds):
    """What a file holds as records: line and whether it is one."""
    connection = connect(path.parent)
    _read_source(connection, asset_type, bounded(path, **bounds), path)
    return connection.execute("select source_line, is_object from source_records order by 1").fetchall()


DEEP = '{"a": [{"b": [1]}]}'
WIDE = '{"a": 1, "b": {"x": 1, "y": 2, "z": 3}, "c": [": ", ": "], "d": "\\": ["}'


@pytest.mark.parametrize("kind", ["jsonl", "json"])
@pytest.mark.parametrize(("text", "bound", "size"), [(DEEP, "record_depth", 4), (WIDE, "record_fields", 4)])
def test_a_record_that_is_deeper_or_wider_than_it_may_be_is_none_and_its_neighbours_are(
    tmp_path, kind, text, bound, size
):
    path = tmp_path / f"a.{kind}"
    path.write_text(f'{{"a": 1}}\n{text}\n{{"a": 2}}\n')

    assert records(path, kind, **{bound: size}) == [(1, True), (2, True), (3, True)]
    assert records(path, kind, **{bound: size - 1}) == [(1, True), (2, False), (3, True)]


@pytest.mark.parametrize("text", ["[" * 3_000_000, '{"a":' * 1000, '"' + "[" * 1000 + '"', "[]" * 1000, '"\\"' * 1000])
def test_any_text_is_measured(text):
    assert is_bounded_text(text, BOUNDS) == (text.startswith('"') or text.startswith("[]"))


@pytest.mark.parametrize("size", [1000, 20 << 20])
def test_a_line_of_so_many_bytes_is_a_record_and_a_longer_one_refuses_its_file(tmp_path, size):
    path, line = tmp_path / "a.jsonl", '{"a": "' + "x" * (size - 10) + '"}\n'
    path.write_text('{"a": 1}\n' + line + '{"a": 2}\n')

    assert len(records(path, "jsonl", record_bytes=size)) == 3
    with pytest.raises(SourceUnreadable, match="^a.jsonl: line 2 is longer than .*, or raise OMNI_MAX_RECORD_BYTES$"):
        records(path, "jsonl", record_bytes=size - 1)


def test_a_header_is_as_wide_and_as_long_as_a_record_may_be(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,c\n1,2,3\n")

    assert records(path, "csv", record_fields=3, record_bytes=6) == [(2, True)]
    with pytest.raises(
        SourceUnreadable, match="^a.csv: found 3 columns, expected 2 or less; .* OMNI_MAX_RECORD_FIELDS$"
    ):
        records(path, "csv", record_fields=2)
    with pytest.raises(SourceUnreadable, match="^a.csv: its header is longer than 5 bytes; .* OMNI_MAX_RECORD_BYTES$"):
        records(path, "csv", record_bytes=5)


LONG_TEXT = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), ["x" * 1_000_000])
LONG_TEXTS = {
    "a word of a dictionary": LONG_TEXT,
    "items of lists": pa.ListArray.from_arrays(pa.array(range(1_000_001), pa.int32()), LONG_TEXT),
    "a field of a field": pa.StructArray.from_arrays([LONG_TEXT], ["b"]),
}
"""A terabyte each."""


@pytest.mark.parametrize(
    ("table", "bounds", "said"),
    [
        pytest.param(pa.table({"a": [1], "b": [2]}), {"record_fields": 1}, "found 2 columns", id="columns"),
        pytest.param(pa.table({"a": pa.nulls(100_000)}), {"unpacked_bytes": 400_000}, "holds more than", id="rows"),
        *(
            pytest.param(pa.table({"a": column}), {}, "unpacks to more than 200 times", id=f"one long text as {name}")
            for name, column in LONG_TEXTS.items()
        ),
        pytest.param(
            pa.table({"a": pa.repeat(pa.scalar("x" * 1_000_000), 100)}),
            {},
            "unpacks to more than 200 times",
            id="a text",
        ),
    ],
)
def test_a_parquet_file_unpacks_to_no_more_than_it_may(tmp_path, table, bounds, said):
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)

    with pytest.raises(SourceUnreadable, match=f"^a.parquet: {said}.*; next: .* OMNI_MAX_"):
        records(path, "parquet", **bounds)


def test_an_object_of_a_json_file_is_as_large_as_a_record_may_be(settings, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"a": "x" * 100_000}]))

    assert records(path, "json", record_bytes=200_000) == [(1, True)]
    assert records(path, "json", record_bytes=50_000) == [(1, False)]


# ── manifests ────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.timeout(60)
def test_a_manifest_that_is_no_file_or_too_large_is_refused_and_hides_no_other(settings, declare):
    declare(ticket_manifest([source("a", "a.jsonl")]))
    folder = settings.manifests
    (folder / "folder.json").mkdir()
    os.mkfifo(folder / "pipe.json")
    (folder / "zero.json").symlink_to("/dev/zero")
    (folder / "gone.json").symlink_to("nowhere")
    (folder / "large.json").write_text(" " * 5000 + "{}")

    files = {file.path.name: file for file in read_manifests(relocated(settings, max_manifest_bytes=4000))}

    good = files.pop("manifest-tickets-20260501-001.json")
    assert good.manifest is not None
    bounded = "a file of at most 4000 bytes, OMNI_MAX_MANIFEST_BYTES"
    allowed = dict.fromkeys(files, bounded) | dict.fromkeys(("folder.json", "gone.json"), "a readable file")
    assert {name: file.breaches[0].allowed for name, file in files.items()} == allowed
    no_file = "no file but a pipe or a device; next: take it out of the folder"
    assert {name: file.breaches[0].found for name, file in files.items()} == {
        "folder.json": "Is a directory",
        "pipe.json": no_file,
        "zero.json": no_file,
        "gone.json": "No such file or directory",
        "large.json": "more than 4000 bytes; next: make it smaller",
    }


@pytest.mark.timeout(60)
def test_a_pipe_among_the_contracts_is_refused_and_not_waited_for(settings):
    (settings.manifests / "contracts").mkdir()
    os.mkfifo(settings.manifests / "contracts" / "pipe.json")

    with pytest.raises(ConfigurationError, match="pipe.json cannot be read: no file but a pipe or a device; next: "):
        load_contracts(settings)


def test_a_check_names_no_more_fields_than_a_person_reads():
    message, number = contract_drift({f"f{n:03}": "a.jsonl:1" for n in range(1000)})

    assert number == 1000 and "f049 (first in a.jsonl:1) and 950 more; they are kept" in message


def test_a_pdf_that_is_too_large_is_not_described_and_not_read_further(monkeypatch):
    monkeypatch.setattr("loaders.snapshots.formats._PDF_BYTES", 1000)
    asked = []

    assert describe(lambda size: asked.append(size) or b"%PDF" * 250, "pdf", "a.pdf") == Description()
    assert asked == [1000]
