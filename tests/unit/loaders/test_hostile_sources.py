"""Sources that name what is none of theirs: outside of the roots, no file, exchanged, in a store that does not answer."""

import os
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from loaders.errors import SourceUnreadable
from loaders.manifests.manifest import Source
from loaders.sources.files import find_files
from loaders.sources.reading import local_file, open_stream, verify_file
from tests.unit.loaders.test_files import declared, found, names, relocated, write

OUTSIDE = (
    "leads outside of the folders that sources may lie in: the manifest's, OMNI_SOURCE_ROOT and those of "
    "OMNI_SOURCE_ROOTS; next: bring it below one of them, or add its folder to OMNI_SOURCE_ROOTS"
)
OF_THE_SYSTEM = "leads to /proc or /sys, which hold no data; next: take it out of the manifest"


def refusal(settings, path):
    with pytest.raises(SourceUnreadable) as refused:
        found(settings, path)
    return str(refused.value)


@pytest.fixture
def secret(tmp_path):
    """A file beside the manifest folder, which no manifest may name, and a folder with it."""
    write(tmp_path / "private", "secret.jsonl")
    return tmp_path / "private" / "secret.jsonl"


# ── outside of the roots ─────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "path", ["../private/secret.jsonl", "x/../../private/secret.jsonl", "{}", "file://{}", "{}/", "link", "deep/link"]
)
def test_a_file_outside_of_the_roots_is_refused_by_whatever_path_and_its_place_is_not_told(settings, secret, path):
    (settings.manifests / "x").mkdir()
    (settings.manifests / "link").symlink_to(secret)
    (settings.manifests / "deep").symlink_to(settings.manifests)
    path = path.format(secret)

    said = refusal(settings, path)

    assert said == f"s1: {path} {OUTSIDE}"


@pytest.mark.parametrize("path", ["../private", "{}", "../private/*.jsonl", "{}/**", "file://{}/*"])
def test_a_folder_or_a_pattern_outside_of_the_roots_is_refused_before_it_is_listed(settings, secret, path):
    assert OUTSIDE in refusal(settings, path.format(secret.parent))


@pytest.mark.parametrize("path", ["d", "d/*", "d/**/*.jsonl"])
def test_a_link_in_a_folder_to_a_file_outside_of_the_roots_is_refused(settings, secret, path):
    write(settings.manifests, "d/a.jsonl")
    (settings.manifests / "d" / "b.jsonl").symlink_to(secret)

    assert refusal(settings, path) == f"s1: d/b.jsonl {OUTSIDE}"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_an_alias_to_a_file_outside_of_the_roots_is_refused(settings, secret, scheme):
    aliased = relocated(settings, source_aliases={"s3://raw/": f"{scheme}{secret.parent}/"})

    assert refusal(aliased, "s3://raw/secret.jsonl") == f"s1: s3://raw/secret.jsonl {OUTSIDE}"


def test_an_alias_is_left_by_no_dots(settings, secret, tmp_path):
    write(tmp_path / "mirror", "a.jsonl")
    aliased = relocated(
        settings, source_aliases={"s3://raw/": f"{tmp_path}/mirror/"}, source_roots=[tmp_path / "mirror"]
    )

    assert names(aliased, "s3://raw/a.jsonl") == ["s3://raw/a.jsonl"]
    assert OUTSIDE in refusal(aliased, "s3://raw/../private/secret.jsonl")


def test_a_sidecar_outside_of_the_roots_is_refused(settings, secret):
    source = Source(source_id="s1", source_url_or_path="a.mp3", asset_type="audio", transcript_object_path=str(secret))

    with pytest.raises(SourceUnreadable) as refused:
        find_files(settings, settings.manifests / "manifest.json", source, "transcript_object_path")

    assert str(refused.value) == f"s1, transcript_object_path: {secret} {OUTSIDE}"


@pytest.mark.parametrize("by", ["source_root", "source_roots"])
def test_what_lies_below_a_root_is_found_by_any_path_that_leads_there(settings, secret, by):
    (settings.manifests / "link").symlink_to(secret)
    root = secret.parent if by == "source_root" else [secret.parent.parent / "other", secret.parent]
    rooted = relocated(settings, **{by: root})

    for path in ("link", str(secret), "../private/secret.jsonl", "secret.jsonl"):
        (file,) = found(rooted, path)
        assert (file.name, file.location) == (path, f"file://{secret}")


def test_a_root_beside_another_of_the_same_beginning_is_not_that_one(settings, tmp_path):
    write(tmp_path / "the manifests of others", "a.jsonl")

    assert OUTSIDE in refusal(settings, "../the manifests of others/a.jsonl")


# ── what is no file ──────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/proc/self/environ", OF_THE_SYSTEM),
        ("/proc/self", OF_THE_SYSTEM),
        ("/proc/self/e*", OF_THE_SYSTEM),
        ("/dev/zero", "leads to a device, expected a file; next: declare the file itself"),
        ("/dev/z*o", "leads to a device, expected a file; next: declare the file itself"),
    ],
)
def test_what_the_system_shows_as_files_is_refused_under_any_root(settings, path, said):
    assert refusal(relocated(settings, source_roots=["/"]), path).endswith(said)


@pytest.mark.parametrize("path", ["d/x.jsonl", "d", "d/*.jsonl", "link"])
@pytest.mark.parametrize("kind", ["a pipe", "a socket"])
@pytest.mark.timeout(60)  # an opened pipe waits for ever
def test_a_pipe_or_a_socket_is_refused_and_not_opened(settings, kind, path, monkeypatch):
    write(settings.manifests, "d/a.jsonl")
    special = settings.manifests / "d" / "x.jsonl"
    if kind == "a pipe":
        os.mkfifo(special)
    else:
        monkeypatch.chdir(special.parent)  # the name of a socket is short
        socket.socket(socket.AF_UNIX).bind(special.name)
    (settings.manifests / "link").symlink_to(special)

    name = "link" if path == "link" else "d/x.jsonl"
    assert refusal(settings, path) == f"s1: {name} leads to {kind}, expected a file; next: declare the file itself"


def test_a_link_to_a_folder_is_no_file_of_a_folder_and_is_not_followed(settings):
    write(settings.manifests, "d/a.jsonl", "e/b.jsonl")
    (settings.manifests / "d" / "x").symlink_to(settings.manifests / "e")

    assert names(settings, "d/*") == ["d/a.jsonl"]
    assert refusal(settings, "d") == "s1: d/x leads to a folder, expected a file; next: declare the file itself"


@pytest.mark.parametrize("path", ["a\0b", "loop", "a" * 5000, "a/" * 3000 + "b"])
def test_a_path_that_no_file_has_is_refused(settings, path):
    (settings.manifests / "loop").symlink_to("loop")

    assert refusal(settings, path).startswith("s1: ")


# ── exchanged between the look and the opening ───────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("exchange", ["file", "link", "pipe", "folder"])
@pytest.mark.timeout(60)
def test_what_takes_the_place_of_a_file_after_it_was_listed_is_not_read(settings, secret, tmp_path, exchange):
    write(settings.manifests, "d/secret.jsonl")
    (file,), path = found(settings, "d/secret.jsonl"), settings.manifests / "d" / "secret.jsonl"
    path.rename(tmp_path / "kept")
    if exchange == "file":
        write(settings.manifests, "d/secret.jsonl")
    elif exchange == "link":
        path.symlink_to(secret)
    elif exchange == "pipe":
        os.mkfifo(path)
    else:
        path.parent.rmdir()
        path.parent.symlink_to(secret.parent)

    with pytest.raises(SourceUnreadable, match="d/secret.jsonl: cannot be opened .*; next: restore the file"):
        verify_file(file, declared("d/secret.jsonl"))


def test_what_takes_the_place_of_a_file_while_it_is_read_is_noticed(settings, secret, tmp_path):
    write(settings.manifests, "a.jsonl")
    (file,), path = found(settings, "a.jsonl"), settings.manifests / "a.jsonl"

    with (
        pytest.raises(SourceUnreadable, match="changed while it was read"),
        local_file(file, declared("a.jsonl"), tmp_path),
    ):
        path.unlink()
        path.symlink_to(secret)
    with pytest.raises(SourceUnreadable, match="cannot be opened"), open_stream(file, declared("a.jsonl")):
        pass


# ── stores ───────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "url",
    [
        "zip://a.jsonl::{}",
        "zip://a.jsonl::file://{}",
        "simplecache::file://{}",
        "blockcache::{}",
        "local://{}",
        "dir://{}",
        "reference://{}",
        "git://{}",
        "memory://a.jsonl",
        "data://a",
    ],
)
def test_a_url_that_reads_this_machine_past_the_roots_is_refused(settings, secret, url):
    said = refusal(settings, url.format(secret))

    assert "is no store of its own" in said or "no file at" in said


def test_a_name_with_colons_is_a_path_like_others(settings):
    write(settings.manifests, "simplecache::a.jsonl")

    assert names(settings, "simplecache::a.jsonl") == ["simplecache::a.jsonl"]


def test_a_store_without_credentials_is_an_unreadable_source(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    for path in ("s3://bucket/a.jsonl", "s3://bucket/a/*.jsonl"):
        assert refusal(settings, path) == (
            f"s1: {path} cannot be listed (Unable to locate credentials); next: mend the path or the access to it"
        )


@contextmanager
def served(respond):
    """A server on this machine that answers each GET and HEAD like this; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            respond(self)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_store_that_forbids_is_an_unreadable_source(settings):
    with served(lambda request: request.send_error(403)) as address:
        said = refusal(settings, f"{address}/a.jsonl")

    assert said.startswith(f"s1: {address}/a.jsonl ") or said.startswith(f"s1: no file at '{address}/a.jsonl'")


@pytest.mark.parametrize("url", ["http://nobody.invalid/a.jsonl", "http://127.0.0.1:1/a.jsonl", "sftp://127.0.0.1:1/a"])
def test_a_store_that_is_not_there_is_an_unreadable_source(settings, url):
    assert refusal(settings, url).startswith("s1: ")


def test_a_store_that_breaks_off_makes_its_file_unreadable(settings):
    def break_off(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(b"x" * 1000)
            request.close_connection = True

    with served(break_off) as address:
        (file,) = found(settings, f"{address}/a.jsonl")
        for read in (verify_file, open_and_read):
            with pytest.raises(SourceUnreadable, match=f"^{address}/a.jsonl: .*next: "):
                read(file, declared(f"{address}/a.jsonl"))


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_store_that_breaks_off_within_a_compressed_file_makes_it_unreadable(settings, ending):
    def break_off(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        request.close_connection = True

    with served(break_off) as address:
        (file,) = found(settings, f"{address}/a{ending}")
        with pytest.raises(SourceUnreadable, match="next: "):
            verify_file(file, declared(f"{address}/a{ending}"))


def open_and_read(file, source):
    with open_stream(file, source) as stream:
        while stream.read(1 << 16):
            pass
