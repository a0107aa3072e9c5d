"""From a declared source to its files."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings
from loaders.errors import SourceUnreadable
from loaders.manifests.manifest import Source
from loaders.sources.bounds import Bounds
from loaders.sources.files import SourceFile, find_files
from loaders.sources.reading import verify_file


def write(folder, *names, content=b"x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def declared(path, **fields):
    return Source(source_id="s1", source_url_or_path=str(path), asset_type="jsonl", **fields)


def found(settings, path):
    """Files of a source that a manifest of the folder declares."""
    return find_files(settings, settings.manifests / "manifest.json", declared(path))


def names(settings, path):
    return [file.name for file in found(settings, path)]


def local(path):
    return SourceFile(path.name, f"file://{path}", "", Bounds.of(LakehouseSettings()))


def relocated(settings, **fields):
    return LakehouseSettings(home=settings.home, manifests=settings.manifests, **fields)


# ── on another machine ───────────────────────────────────────────────────────────────────────────────────────────────
def test_a_file_that_another_machine_listed_is_opened_where_it_is_the_same_here(settings):
    write(settings.manifests, "a.jsonl")
    file = replace(found(settings, "a.jsonl")[0], judged="elsewhere")

    with file.open() as opened:
        assert opened.read() == b"x"
    write(settings.manifests, "a.jsonl", content=b"y")  # as long
    with pytest.raises(SourceUnreadable, match=r"a\.jsonl: on .* it is another file than the one that was listed"):
        file.open()
    (settings.manifests / "a.jsonl").unlink()
    with pytest.raises(ConfigurationError, match=r"sees no /.*/a\.jsonl, which the process that loads has listed"):
        file.open()


# ── finding ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_relative_file_is_found_beside_the_manifest(settings):
    write(settings.manifests, "data/a.jsonl")

    (file,) = found(settings, "data/a.jsonl")

    assert (file.name, file.location) == ("data/a.jsonl", f"file://{settings.manifests}/data/a.jsonl")


@pytest.mark.parametrize("path", ["data", "data/*.jsonl"])
def test_a_file_whose_name_is_no_utf_8_refuses_its_source_and_is_shown_escaped(settings, path):
    write(settings.manifests, "data/a.jsonl", os.fsdecode(b"data/b\xff.jsonl"))

    with pytest.raises(SourceUnreadable) as refused:
        found(settings, path)

    assert (
        str(refused.value) == r's1: found a file named "data/b\udcff.jsonl", expected a path in UTF-8; next: rename it'
    )


def test_a_relative_file_is_found_under_the_source_root_where_it_is_not_beside_the_manifest(settings, tmp_path):
    write(tmp_path / "root", "data/a.jsonl")

    (file,) = found(relocated(settings, source_root=tmp_path / "root"), "data/a.jsonl")

    assert (file.name, file.location) == ("data/a.jsonl", f"file://{tmp_path}/root/data/a.jsonl")


def test_a_file_beside_the_manifest_goes_before_one_under_the_source_root(settings, tmp_path):
    write(tmp_path / "root", "a.jsonl")
    write(settings.manifests, "a.jsonl")

    (file,) = found(relocated(settings, source_root=tmp_path / "root"), "a.jsonl")

    assert file.location == f"file://{settings.manifests}/a.jsonl"


def test_the_working_directory_is_no_place_to_look(settings, tmp_path, monkeypatch):
    write(tmp_path / "here", "a.jsonl")
    monkeypatch.chdir(tmp_path / "here")

    with pytest.raises(SourceUnreadable):
        found(settings, "a.jsonl")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("t/*.jsonl", ["t/2.jsonl", "t/b.jsonl"]),
        ("t/?.jsonl", ["t/2.jsonl", "t/b.jsonl"]),
        ("t/[a-c].jsonl", ["t/b.jsonl"]),
        ("t/**/*.jsonl", ["t/2.jsonl", "t/b.jsonl", "t/deep/a.jsonl"]),
        ("*/deep/a.jsonl", ["t/deep/a.jsonl"]),
        ("./t/*.jsonl", ["./t/2.jsonl", "./t/b.jsonl"]),
        ("../the manifests/t/*.jsonl", ["../the manifests/t/2.jsonl", "../the manifests/t/b.jsonl"]),
    ],
)
def test_a_glob_lists_its_files_sorted_and_named_as_the_manifest_names_them(settings, path, expected):
    write(settings.manifests, "t/b.jsonl", "t/2.jsonl", "t/deep/a.jsonl", "t/notes.txt")

    assert names(settings, path) == expected


def test_a_glob_passes_over_folders(settings):
    write(settings.manifests, "t/a.jsonl", "t/b.jsonl/inside")

    assert names(settings, "t/*.jsonl") == ["t/a.jsonl"]


def test_a_link_in_a_folder_is_the_file_that_it_leads_to_and_a_broken_one_is_refused(settings):
    write(settings.manifests, "elsewhere/a.md", "d/b.md")
    target, link = settings.manifests / "elsewhere" / "a.md", settings.manifests / "d" / "a.md"
    link.symlink_to(target)

    a, b = found(settings, "d")
    assert (a.name, b.name) == ("d/a.md", "d/b.md")
    told = target.stat()
    assert a.stamp == found(settings, "elsewhere/a.md")[0].stamp == f"{told.st_size}:{told.st_mtime}:{told.st_ctime}"
    assert found(settings, "d/a.md")[0].stamp == found(settings, "d/*.md")[0].stamp == a.stamp
    target.unlink()
    with pytest.raises(SourceUnreadable, match="cannot be listed"):
        found(settings, "d")


def test_a_file_that_changed_under_its_old_size_and_time_has_another_stamp(settings):
    write(settings.manifests, "a.md")
    before, path = found(settings, "a.md")[0], settings.manifests / "a.md"
    times = path.stat()

    path.write_bytes(b"y")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    assert found(settings, "a.md")[0].stamp != before.stamp
    with pytest.raises(SourceUnreadable, match="changed while it was read"):
        before.expect_unchanged()


def test_a_folder_lists_its_files_but_for_hidden_and_marker_files(settings):
    write(settings.manifests, "d/b.md", "d/sub/a.md", "d/.DS_Store", "d/_SUCCESS")

    assert names(settings, "d") == ["d/b.md", "d/sub/a.md"]


def test_a_wildcard_in_a_file_of_a_folder_is_a_letter_like_others(settings):
    write(settings.manifests, "d/a[1].md", content=b"hello")

    (file,) = found(settings, "d")

    assert file.name == "d/a[1].md"
    assert verify_file(file, declared("d")) == hashlib.sha256(b"hello").hexdigest()


def test_a_file_url_is_found_and_named_as_declared(settings, tmp_path):
    write(tmp_path / "else where", "a.jsonl")

    (file,) = found(relocated(settings, source_roots=[tmp_path]), f"file://{tmp_path}/else where/a.jsonl")

    assert file.name == file.location == f"file://{tmp_path}/else where/a.jsonl"


def test_a_glob_in_a_file_url_names_files_by_their_url(settings, tmp_path):
    write(tmp_path / "t", "b.jsonl", "a.jsonl")

    rooted = relocated(settings, source_roots=[tmp_path])
    assert names(rooted, f"file://{tmp_path}/t/*.jsonl") == [f"file://{tmp_path}/t/{x}.jsonl" for x in "ab"]


def test_an_absolute_path_is_found_and_named_as_declared(settings, tmp_path):
    write(tmp_path / "t", "a.jsonl")

    rooted = relocated(settings, source_roots=[tmp_path])
    assert names(rooted, tmp_path / "t" / "a.jsonl") == [f"{tmp_path}/t/a.jsonl"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://raw/docs/a.md", ["s3://raw/docs/a.md"]),
        ("s3://raw/docs/*.md", ["s3://raw/docs/a.md", "s3://raw/docs/b.md"]),
        ("s3://raw/docs", ["s3://raw/docs/a.md", "s3://raw/docs/b.md"]),
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_an_alias_leads_elsewhere_and_leaves_the_declared_names(settings, tmp_path, scheme, path, expected):
    write(tmp_path / "mirror", "docs/b.md", "docs/a.md")
    aliases = {"s3://other/": "/nowhere/", "s3://raw/": f"{scheme}{tmp_path}/mirror/"}
    aliased = relocated(settings, source_aliases=aliases, source_roots=[tmp_path / "mirror"])

    files = found(aliased, path)

    assert [file.name for file in files] == expected
    assert all(file.location.startswith(f"file://{tmp_path}/mirror/docs/") for file in files)


def test_an_alias_may_lead_to_a_folder_beside_the_manifest(settings):
    write(settings.manifests, "mirror/a.md")

    assert names(relocated(settings, source_aliases={"s3://raw/": "mirror/"}), "s3://raw/a.md") == ["s3://raw/a.md"]


@pytest.mark.parametrize("path", ["a.jsonl", "t/*.jsonl", "t", "t/**"])
def test_no_path_of_the_machine_is_in_the_name_of_a_relative_source(settings, tmp_path, path):
    folder = tmp_path / "root"
    write(folder, "a.jsonl", "t/a.jsonl", "t/deep/b.jsonl")

    for name in names(relocated(settings, source_root=folder), path):
        assert not Path(name).is_absolute()
        assert (folder / name).is_file()
        assert str(tmp_path) not in name


@pytest.mark.parametrize("path", ["gone.jsonl", "gone/*.jsonl", "file:///gone/a.jsonl", "/gone/a.jsonl", "empty"])
def test_a_source_without_files_says_where_it_was_looked_for_and_what_to_do(settings, path):
    (settings.manifests / "empty").mkdir()

    with pytest.raises(SourceUnreadable) as refused:
        found(settings, path)

    message = str(refused.value)
    assert message.startswith(f"s1: no file at '{path}'")
    assert "beside manifest.json" in message and "OMNI_SOURCE_ROOT" in message
    assert "next: bring the file or take the source out of manifest.json" in message


def test_a_stamp_changes_with_the_file_and_with_nothing_else(settings):
    write(settings.manifests, "a.jsonl")
    before = found(settings, "a.jsonl")[0].stamp

    again = found(settings, "a.jsonl")[0].stamp
    write(settings.manifests, "a.jsonl", content=b"longer")

    assert again == before
    assert found(settings, "a.jsonl")[0].stamp != before


# ── what once slipped through ────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_manifest_folder_with_a_wildcard_in_its_path_is_a_folder_like_others(tmp_path):
    folder = tmp_path / "manifests [old]"
    write(folder, "a.jsonl")

    assert names(LakehouseSettings(home=tmp_path, manifests=folder), "a.jsonl") == ["a.jsonl"]


@pytest.mark.parametrize("url", ["foo://bucket/a.jsonl", "gs://bucket/a.jsonl"])
def test_a_url_that_no_installed_file_system_reads_is_an_unreadable_source(settings, url):
    with pytest.raises(SourceUnreadable):
        found(settings, url)


def test_a_folder_with_a_slash_behind_it_names_its_files_as_without(settings):
    write(settings.manifests, "d/a.md")

    assert names(settings, "d/") == ["d/a.md"]


@pytest.mark.parametrize("name", ["d/.git/config.md", "d/_temporary/0/a.md"])
def test_files_under_hidden_and_marker_folders_are_passed_over(settings, name):
    write(settings.manifests, "d/a.md", name)

    assert names(settings, "d") == ["d/a.md"]
