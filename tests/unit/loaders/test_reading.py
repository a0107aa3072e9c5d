"""Reading a source file once: what proves it whole, what comes out of it."""

import codecs
import gzip
import hashlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.errors import SourceUnreadable
from loaders.sources.lines import count_lines
from loaders.sources.reading import _TextSurvey, local_file, open_stream, verify_file
from tests.unit.loaders.test_files import declared, found, local, write

LINES = b"".join(b'{"ticket_id": "t%d"}\n' % (number * 7919) for number in range(5000))


def zstd(content):
    return pa.compress(content, codec="zstd", asbytes=True)


PACK = {".gz": gzip.compress, ".zst": zstd}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_a_whole_file_is_known_by_the_hash_of_its_bytes_as_stored(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(PACK.get(path.suffix, bytes)(LINES))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    assert verify_file(local(path), declared(name)) == sha256
    assert verify_file(local(path), declared(name, checksum_sha256=sha256, size_bytes=path.stat().st_size)) == sha256


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_of_several_compressed_streams_is_whole(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(PACK[suffix](LINES) + PACK[suffix](LINES))

    assert verify_file(local(path), declared(path)) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda whole: whole[:-1], id="last byte"),
        pytest.param(lambda whole: whole[:-20], id="end"),
        pytest.param(lambda whole: whole[: len(whole) // 2], id="half"),
        pytest.param(lambda whole: whole[:5], id="all but the header"),
        pytest.param(lambda whole: whole + whole[:-1], id="end of a second stream"),
    ],
)
def test_a_truncated_file_is_unreadable(tmp_path, suffix, damage):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(damage(PACK[suffix](LINES)))

    with pytest.raises(
        SourceUnreadable,
        match=rf"^a\{suffix}: (Truncated compressed stream|Compressed file ended before .*); next: export",
    ):
        verify_file(local(path), declared(path))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda whole: LINES, id="not compressed"),
        pytest.param(lambda whole: whole + b"what is this", id="bytes behind the end"),
        pytest.param(lambda whole: whole[:40] + bytes(40) + whole[80:], id="overwritten"),
    ],
)
def test_a_damaged_file_is_unreadable(tmp_path, suffix, damage):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(damage(PACK[suffix](LINES)))

    with pytest.raises(SourceUnreadable, match="next: export the file again"):
        verify_file(local(path), declared(path))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"checksum_sha256": "0" * 64},
            f"checksum_sha256 is {hashlib.sha256(LINES).hexdigest()}, the manifest declares 0",
        ),
        ({"size_bytes": 7}, f"size_bytes is {len(LINES)}, the manifest declares 7"),
        ({"size_bytes": 0}, "the manifest declares 0"),
    ],
)
def test_a_file_that_is_not_what_was_declared_is_unreadable_and_says_both(tmp_path, fields, said):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)

    with pytest.raises(SourceUnreadable) as refused:
        verify_file(local(path), declared(path, **fields))

    assert said in str(refused.value)
    assert "next: restore the file" in str(refused.value)


def test_a_declared_size_is_that_of_the_bytes_as_stored(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(LINES))

    with pytest.raises(SourceUnreadable, match=f"size_bytes is {path.stat().st_size}"):
        verify_file(local(path), declared(path, size_bytes=len(LINES)))


def test_a_file_that_went_away_is_unreadable(tmp_path):
    with pytest.raises(SourceUnreadable, match="a.jsonl: cannot be opened .* next: restore the file"):
        verify_file(local(tmp_path / "a.jsonl"), declared("a.jsonl"))


def test_an_empty_file_is_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    path.touch()

    assert verify_file(local(path), declared(path, size_bytes=0)) == hashlib.sha256(b"").hexdigest()


def test_a_plain_local_file_is_read_where_it_lies(settings, tmp_path):
    write(settings.manifests, "a.jsonl")
    (file,) = found(settings, "a.jsonl")

    with local_file(file, declared("a.jsonl"), tmp_path / "scratch") as opened:
        assert opened.path == settings.manifests / "a.jsonl"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_is_unpacked_for_a_while(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(PACK[suffix](LINES))
    (tmp_path / "scratch").mkdir()

    with local_file(local(path), declared(path), tmp_path / "scratch") as opened:
        assert opened.path.read_bytes() == LINES
        assert opened.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_plain_file_that_changes_while_it_is_read_is_unreadable(settings, tmp_path):
    write(settings.manifests, "a.jsonl")
    (file,) = found(settings, "a.jsonl")

    with (
        pytest.raises(SourceUnreadable, match="a.jsonl: changed while it was read; next: run it again"),
        local_file(file, declared("a.jsonl"), tmp_path),
    ):
        write(settings.manifests, "a.jsonl", content=b"longer")


def read_all(file, source):
    """The bytes of a file and its fingerprint, read as lines are."""
    with open_stream(file, source) as stream:
        pieces = [stream.read(3), stream.readline(1 << 20)]
        while piece := stream.read(5):
            pieces.append(piece)
    return b"".join(pieces), stream.sha256


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_stream_gives_the_bytes_without_their_mark_and_the_fingerprint_of_what_is_stored(settings, suffix, mark):
    stored = PACK[suffix](mark + LINES) if suffix else mark + LINES
    write(settings.manifests, f"a.jsonl{suffix}", content=stored)
    (file,) = found(settings, f"a.jsonl{suffix}")
    sha256 = hashlib.sha256(stored).hexdigest()

    content = read_all(file, declared(file.name, checksum_sha256=sha256, size_bytes=len(stored)))

    assert content == (LINES, sha256)


@pytest.mark.parametrize("fields", [{"size_bytes": 1}, {"checksum_sha256": "0" * 64}])
def test_a_stream_that_is_not_what_was_declared_is_refused_at_its_end(tmp_path, fields):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(LINES))

    with pytest.raises(SourceUnreadable, match=f"{next(iter(fields))} is"):
        read_all(local(path), declared(path, **fields))


@pytest.mark.parametrize("stored", [gzip.compress(LINES)[:-9], b"", b"no gzip"])
def test_a_broken_stream_is_refused(tmp_path, stored):
    path = tmp_path / "a.gz"
    path.write_bytes(stored)

    with pytest.raises(SourceUnreadable, match="next: export the file again"):
        read_all(local(path), declared(path))


def test_a_plain_file_that_changes_while_it_streams_is_refused(settings):
    write(settings.manifests, "a.jsonl")
    (file,) = found(settings, "a.jsonl")

    with (
        pytest.raises(SourceUnreadable, match="a.jsonl: changed while it was read; next: run it again"),
        open_stream(file, declared("a.jsonl")) as stream,
    ):
        stream.read(1)
        write(settings.manifests, "a.jsonl", content=b"longer")


def test_a_full_disk_is_not_blamed_on_the_source(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(LINES))

    with pytest.raises(FileNotFoundError), local_file(local(path), declared(path), tmp_path / "nowhere"):
        pass


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_of_no_bytes_is_truncated(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.touch()

    with pytest.raises(SourceUnreadable):
        verify_file(local(path), declared(path))


@given(pieces=st.lists(st.sampled_from([b"", b"a", b"\n", b"a\n", b"\nb", b"\n\n", b"a\r\nb"])))
def test_lines_are_counted_across_the_pieces_that_they_are_read_in(pieces):
    content, survey = b"".join(pieces), _TextSurvey()

    for piece in pieces:
        survey.look_at(piece)

    lines = content.count(b"\n") + (content[-1:] not in (b"", b"\n"))
    assert survey.lines == count_lines(content) == lines
    assert survey.has_controls == (b"\r" in content)
