"""Bad and odd ticket files, one row each, and what the ingest makes of them: refused, quarantined by line, or fine.

All files of a table are sources of one lakehouse, so that a table costs one or two ingests, and every file proves that
it holds no other back. Their events have no ids of their own: so the same ticket in two sources is two events.
"""

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.namespaces import QUARANTINE
from lakehouse.settings import LakehouseSettings
from loaders.ingest import IngestReport, ingest
from tests.conftest import CREATED_AT, TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines
from tests.integration.loaders.test_bronze import rows

NEXT = "next: export the file again"
NO_UTF8 = f"{{file}}: line 1 is no UTF-8; {NEXT}, as UTF-8"
DAY = "2026-04-14"
LOADED = [("t1", 1), ("t2", 2), ("t3", 3)]
LOADED_CSV = [("t1", 2), ("t2", 3), ("t3", 4)]
NO_OBJECT = "not a JSON object, or dropped by the mapping"
NO_TICKET = "; ".join(f"{name}: missing, a value is required" for name in ("ticket_id", "status", "created_at"))


@dataclass(frozen=True)
class Case:
    """A source file: three good events, packed as its ending says, and then changed."""

    ending: str
    change: Callable[[bytes], bytes] = lambda content: content
    place: Callable[[Path], None] | None = None
    """Done to the file itself, in place of `change`."""
    declared: dict[str, Any] = field(default_factory=dict)
    """Declared of the source from then on; `{file}` in a text stands for its name."""
    mapping: str | None = None
    message: str = ""
    """Of a refused file, with `{file}` for its name; what follows … is DuckDB's own text."""
    loaded: list[tuple[str, int]] = field(default_factory=lambda: LOADED)
    quarantined: list[tuple[int, str, str]] = field(default_factory=list)
    """Line, reason code, reason."""
    has_own_day: bool = False

    @property
    def asset_type(self) -> str:
        """As the manifest declares it."""
        return self.ending.partition(".")[0]


def good_file(ending: str, day: str) -> bytes:
    """Three good events of a day."""
    events = [{k: v for k, v in ticket_event(n, day).items() if k != "event_id"} for n in (1, 2, 3)]
    kind, _, compression = ending.partition(".")
    if kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(events), sink)
        return sink.getvalue()
    texts = {
        "jsonl": "".join(json.dumps(event) + "\n" for event in events),
        "json": json.dumps(events),
        "csv": "".join(",".join(row) + "\n" for row in (events[0], *(event.values() for event in events))),
    }
    content = texts[kind].encode()
    if compression == "gz":
        return gzip.compress(content, mtime=0)
    return pa.compress(content, codec="zstd", asbytes=True) if compression == "zst" else content


def flipped(position: int) -> Callable[[bytes], bytes]:
    """Turn the bits of one byte round."""

    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[position] ^= 0xFF
        return bytes(changed)

    return change


def second_line(change: Callable[[bytes], bytes] | bytes) -> Callable[[bytes], bytes]:
    """Change the second of the lines, or put another in its place."""

    def changed(content: bytes) -> bytes:
        lines = content.split(b"\n")
        lines[1] = change(lines[1]) if callable(change) else change
        return b"\n".join(lines)

    return changed


def with_field(text: str) -> Callable[[bytes], bytes]:
    """Write another field into the object of the second line, as it stands."""
    return second_line(lambda line: line[:-1] + b", " + text.encode() + b"}")


def broken(line: int = 2) -> dict[str, Any]:
    """What becomes of a file whose line is no record."""
    return {"loaded": [each for each in LOADED if each[1] != line], "quarantined": [(line, "broken_record", NO_OBJECT)]}


def folder_in_place(path: Path) -> None:
    """Put a folder with a file where the file was."""
    content = path.read_bytes()
    path.unlink()
    path.mkdir()
    (path / "part.jsonl").write_bytes(content.replace(b"\n", b"\n\n"))


def empty_folder_in_place(path: Path) -> None:
    """Put a folder where the file was."""
    path.unlink()
    path.mkdir()


def build(folder: Path, cases: Iterable[Case]) -> tuple[LakehouseSettings, dict[str, str]]:
    """A lakehouse whose sources hold three good events each; their days by the name of the file.

    A case with a day of its own is not refused with the others.
    """
    settings = LakehouseSettings(home=folder / "the home", manifests=folder / "the manifests")
    days = {}
    for number, case in enumerate(cases):
        name = f"tickets/{number}.{case.ending}"
        days[name] = (date(2026, 1, 1) + timedelta(number)).isoformat() if case.has_own_day else DAY
        path = settings.manifests / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(good_file(case.ending, days[name]))
    return settings, days


def damage(settings: LakehouseSettings, cases: Iterable[Case], names: Iterable[str]) -> None:
    """Change every file as its case says."""
    for name, case in zip(names, cases, strict=True):
        path = settings.manifests / name
        if case.place:
            case.place(path)
        else:
            path.write_bytes(case.change(path.read_bytes()))


def declare(settings: LakehouseSettings, cases: list[Case], names: Iterable[str], *, final: bool) -> None:
    """Declare all sources: those without a mapping in one manifest, beside a readable one."""
    write_lines(settings.manifests / "good.jsonl", [ticket_event(n, "2026-04-15") for n in range(1, 3 if final else 2)])
    plain, mapped = [source("good", "good.jsonl")], []
    for number, (name, case) in enumerate(zip(names, cases, strict=True)):
        changes = {k: v.format(file=name) if isinstance(v, str) else v for k, v in case.declared.items()}
        item = source(f"s{number}", name, case.asset_type, **(changes if final else {}))
        if case.mapping and final:
            mapped.append(ticket_manifest([item], 100 + number, mapping=case.mapping))
        elif case.mapping:
            mapped.append(ticket_manifest([item], 100 + number))
        else:
            plain.append(item)
    for manifest in (ticket_manifest(plain), *mapped):
        (settings.manifests / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest))


@dataclass(frozen=True)
class Outcome:
    """A table after its last ingest."""

    report: IngestReport
    days: dict[str, str]
    names: list[str]
    events: list[tuple[str, int, str]]
    """Ticket, line, file, the readable file's apart."""
    quarantined: list[tuple[int, str, str, str, str]]
    """Line, reason code, reason, file, partition."""
    good: int


def outcome_of(settings: LakehouseSettings, days: dict[str, str]) -> Outcome:
    """Ingest and look at the tables."""
    report = ingest(settings)
    events = rows(settings, TICKET_EVENTS, "ticket_id, source_line::int, source_file")
    return Outcome(
        report,
        days,
        list(days),
        [event for event in events if event[2] != "good.jsonl"],
        rows(settings, QUARANTINE, "source_line::int, reason_code, reason, source_file, partition"),
        sum(event[2] == "good.jsonl" for event in events),
    )


def write_mappings(settings: LakehouseSettings) -> None:
    """The mappings that the cases name."""
    folder = settings.manifests / "mappings"
    folder.mkdir()
    for name, query in MAPPINGS.items():
        (folder / f"{name}.sql").write_text(query.replace("{folder}", str(settings.manifests)))


MAPPINGS = {
    "two_statements": "select * from raw; select * from raw",
    "no_source_line": "select * exclude (source_line) from raw",
    "twice": "select * from raw union all select * from raw",
    "reads_a_file": "select source_line, content as ticket_id from raw, read_text('{folder}/good.jsonl')",
    "no_sql": "selekt 1",
    "everything": "select * from raw",
}

ENDS_EARLY = f"{{file}}: Compressed file ended before the end-of-stream marker was reached; {NEXT}"
NO_FILE = (
    "s{number}: no file at {declared!r}, neither beside manifest-tickets-20260501-001.json nor under OMNI_SOURCE_ROOT; "
    "next: bring the file or take the source out of manifest-tickets-20260501-001.json"
)
NEW_VERSION = "in a new version of the manifest"
GOOD_CONTENT = b"".join(json.dumps(ticket_event(n)).encode() for n in (1, 2, 3))

REFUSED: dict[str, Case] = {
    "gz-truncated": Case("jsonl.gz", lambda c: c[:-20], message=ENDS_EARLY),
    "gz-trailer-cut": Case("jsonl.gz", lambda c: c[:-4], message=ENDS_EARLY),
    "gz-second-member-truncated": Case("jsonl.gz", lambda c: c + c[:-6], message=ENDS_EARLY),
    "gz-corrupt-crc": Case("jsonl.gz", flipped(-6), message="{file}: CRC check failed {crc}; " + NEXT),
    "gz-corrupt-length": Case("jsonl.gz", flipped(-2), message=f"{{file}}: Incorrect length of data produced; {NEXT}"),
    "gz-not-compressed": Case("jsonl.gz", gzip.decompress, message=f"{{file}}: Not a gzipped file (b'{{{{\"'); {NEXT}"),
    "gz-trailing-garbage": Case(
        "jsonl.gz", lambda c: c + b"garbage " * 8, message=f"{{file}}: Not a gzipped file (b'ga'); {NEXT}"
    ),
    "gz-no-bytes": Case(
        "jsonl.gz", lambda _: b"", message=f"{{file}}: holds no bytes, not even an empty stream; {NEXT}"
    ),
    "gz-twice": Case("jsonl.gz", gzip.compress, message=NO_UTF8),
    "csv-gz-truncated": Case("csv.gz", lambda c: c[:-8], message=ENDS_EARLY),
    "zst-truncated": Case("jsonl.zst", lambda c: c[:-10], message=f"{{file}}: Truncated compressed stream; {NEXT}"),
    "zst-last-byte-missing": Case(
        "jsonl.zst", lambda c: c[:-1], message=f"{{file}}: Truncated compressed stream; {NEXT}"
    ),
    "zst-not-compressed": Case(
        "jsonl.zst",
        lambda _: GOOD_CONTENT,
        message=f"{{file}}: ZSTD decompress failed: Unknown frame descriptor; {NEXT}",
    ),
    "zst-trailing-garbage": Case(
        "jsonl.zst",
        lambda c: c + b"garbage",
        message=f"{{file}}: ZSTD decompress failed: Unknown frame descriptor; {NEXT}",
    ),
    "zst-no-bytes": Case(
        "jsonl.zst", lambda _: b"", message=f"{{file}}: holds no bytes, not even an empty stream; {NEXT}"
    ),
    "wrong-checksum": Case(
        "jsonl",
        declared={"checksum_sha256": "0" * 64},
        message="{file}: checksum_sha256 is {sha256}, the manifest declares " + "0" * 64 + "; next: restore the file, "
        f"or declare the new checksum_sha256 {NEW_VERSION}",
    ),
    "wrong-size": Case(
        "jsonl",
        declared={"size_bytes": 7},
        message="{file}: size_bytes is {size}, the manifest declares 7; next: restore the file, or declare the new "
        f"size_bytes {NEW_VERSION}",
    ),
    "missing-file": Case("jsonl", place=Path.unlink, message=NO_FILE),
    "empty-folder": Case("jsonl", place=empty_folder_in_place, message=NO_FILE),
    "glob-without-a-match": Case("jsonl", declared={"source_url_or_path": "tickets/none-*.jsonl"}, message=NO_FILE),
    "folder-in-place-of-a-file": Case(
        "jsonl",
        place=folder_in_place,
        message="{file}: matches no file any more; next: restore it, or declare a new version of the manifest",
    ),
    "unreadable-scheme": Case(
        "jsonl",
        declared={"source_url_or_path": "nosuch://bucket/a.jsonl"},
        message="s{number}: nosuch://bucket/a.jsonl cannot be listed (Protocol not known: nosuch); next: mend the path "
        "or the access to it",
    ),
    "jsonl-17-mb-line": Case(
        "jsonl",
        with_field(f'"subject": "{"x" * 17 * 1024 * 1024}"'),
        message=f"{{file}}: line 2 is longer than 16 MiB; {NEXT}, or raise OMNI_MAX_RECORD_BYTES",
    ),
    "jsonl-latin-1": Case(
        "jsonl",
        second_line(lambda line: line[:-1] + b', "subject": "\xe9"}'),
        message=f"{{file}}: line 2 is no UTF-8; {NEXT}, as UTF-8",
    ),
    "jsonl-utf-16": Case("jsonl", lambda c: c.decode().encode("utf-16"), message=NO_UTF8),
    "jsonl-that-is-gzip": Case("jsonl", gzip.compress, message=NO_UTF8),
    "csv-latin-1": Case(
        "csv", lambda c: c.replace(b"t2", b"t\xe9"), message="{file}: In CSV column #0: Row #3: CSV conversion error…"
    ),
    "csv-quote-unclosed": Case(
        "csv",
        second_line(lambda line: line.replace(b"new", b'"new')),
        message=f"{{file}}: row 2: a quote is never closed; {NEXT}",
    ),
    "csv-without-header": Case(
        "csv",
        lambda c: c.partition(b"\n")[2],
        message=f"{{file}}: the column {DAY}T10:00:00Z stands twice; next: export it under one name",
    ),
    "jsonl-carriage-returns-alone": Case(
        "jsonl",
        lambda c: c.replace(b"\n", b"\r"),
        message="{file}: its lines end in carriage returns alone; next: export it with line feeds",
    ),
    "json-array-cut-off": Case(
        "json", lambda c: c[:-30], message="{file}: Invalid Input Error: Malformed JSON in file …"
    ),
    "json-trailing-comma": Case(
        "json", lambda c: c[:-1] + b",]", message="{file}: Invalid Input Error: Malformed JSON in file …"
    ),
    "json-lone-surrogate-escape": Case(
        "json",
        lambda c: c.replace(b'"t2"', b'"t2\\ud800"'),
        message="{file}: Invalid Input Error: Malformed JSON in file …",
    ),
    "json-trailing-garbage": Case(
        "json", lambda c: c + b"xyz", message="{file}: Invalid Input Error: Malformed JSON in file …"
    ),
    "parquet-truncated": Case(
        "parquet", lambda c: c[:-20], message="{file}: Invalid Input Error: No magic bytes found at end of file …"
    ),
    "parquet-that-is-text": Case(
        "parquet", lambda _: GOOD_CONTENT, message="{file}: Invalid Input Error: No magic bytes found at end of file …"
    ),
    "parquet-no-bytes": Case("parquet", lambda _: b"", message="{file}: Invalid Input Error: …"),
    "mapping-missing": Case(
        "jsonl",
        mapping="nowhere",
        message="mapping 'nowhere': no such file nowhere.sql in mappings/; next: write it",
    ),
    "mapping-two-statements": Case(
        "jsonl",
        mapping="two_statements",
        message="two_statements.sql: found SELECT, SELECT, expected one SELECT over the view raw; next: mend the mapping",
    ),
    "mapping-drops-source-line": Case("jsonl", mapping="no_source_line", message="no_source_line.sql: Binder Error: …"),
    "mapping-gives-a-line-twice": Case(
        "jsonl",
        mapping="twice",
        message="twice.sql: line 1 comes out twice; next: mend the mapping, a record must stay one record",
    ),
    "mapping-reads-a-file": Case("jsonl", mapping="reads_a_file", message="reads_a_file.sql: Permission Error: …"),
}

QUARANTINED: dict[str, Case] = {
    "broken-line": Case("jsonl", second_line(b'{"ticket_id": "t2", '), **broken()),
    "last-line-cut-off": Case("jsonl", lambda c: c[:-5], **broken(3)),
    "two-objects-on-a-line": Case("jsonl", second_line(lambda line: line + line), **broken()),
    "two-objects-with-a-space": Case("jsonl", second_line(lambda line: line + b" " + line), **broken()),
    "array-line": Case("jsonl", second_line(lambda line: b"[" + line + b"]"), **broken()),
    "number-line": Case("jsonl", second_line(b"42"), **broken()),
    "text-line": Case("jsonl", second_line(b'"t2"'), **broken()),
    "null-line": Case("jsonl", second_line(b"null"), **broken()),
    "comma-behind-the-object": Case("jsonl", second_line(lambda line: line + b","), **broken()),
    "single-quotes": Case("jsonl", second_line(lambda line: line.replace(b'"', b"'")), **broken()),
    "lone-surrogate-escape": Case("jsonl", with_field('"subject": "\\ud800"'), **broken()),
    "lone-surrogate-escape-in-an-unknown-field": Case("jsonl", with_field('"x": ["\\ud800"]'), **broken()),
    "lone-surrogate-escape-in-a-key": Case("jsonl", with_field('"\\udc00": 1'), **broken()),
    "nul-byte": Case("jsonl", with_field('"subject": "a\0b"'), **broken()),
    "comment-line": Case("jsonl", second_line(b"// comment"), **broken()),
    "not-a-number": Case(
        "jsonl",
        with_field('"x": NaN'),
        **broken(),
    ),
    "trailing-comma": Case(
        "jsonl",
        second_line(lambda line: line[:-1] + b",}"),
        **broken(),
    ),
    "control-character": Case(
        "jsonl",
        with_field('"subject": "a\x01b"'),
        **broken(),
    ),
    "key-twice": Case("jsonl", with_field('"status": "closed"'), **broken()),
    "empty-object": Case(
        "jsonl", second_line(b"{}"), loaded=[("t1", 1), ("t3", 3)], quarantined=[(2, "missing_required", NO_TICKET)]
    ),
    "json-array-with-a-number": Case(
        "json",
        lambda c: json.dumps([5 if event["ticket_id"] == "t2" else event for event in json.loads(c)]).encode(),
        **broken(),
    ),
    "json-object-around-the-records": Case(
        "json",
        lambda c: b'{"tickets": ' + c + b"}",
        loaded=[],
        quarantined=[(1, "missing_required", NO_TICKET)],
    ),
}

FINE: dict[str, Case] = {
    "jsonl-byte-order-mark": Case(
        "jsonl",
        lambda c: b"\xef\xbb\xbf" + c,
    ),
    "jsonl-crlf": Case("jsonl", lambda c: c.replace(b"\n", b"\r\n")),
    "jsonl-blank-line": Case("jsonl", lambda c: c.replace(b"\n", b"\n\n", 1), loaded=[("t1", 1), ("t2", 3), ("t3", 4)]),
    "jsonl-blank-line-first": Case("jsonl", lambda c: b"\n" + c, loaded=[("t1", 2), ("t2", 3), ("t3", 4)]),
    "jsonl-line-of-spaces": Case(
        "jsonl", lambda c: c.replace(b"\n", b"\n   \n", 1), loaded=[("t1", 1), ("t2", 3), ("t3", 4)]
    ),
    "jsonl-line-of-blanks-and-tabs": Case(
        "jsonl",
        lambda c: c.replace(b"\n", b"\n \t\n", 1),
        loaded=[("t1", 1), ("t2", 3), ("t3", 4)],
    ),
    "jsonl-mixed-line-ends": Case(
        "jsonl",
        lambda c: c.replace(b"\n", b"\r\n", 1),
    ),
    "jsonl-indented-line": Case("jsonl", second_line(lambda line: b" \t" + line)),
    "jsonl-no-newline-at-the-end": Case("jsonl", lambda c: c[:-1]),
    "jsonl-nul-escape": Case("jsonl", with_field('"subject": "a\\u0000b"')),
    "jsonl-unicode-line-separator": Case("jsonl", with_field('"subject": "a\u2028b"')),
    "jsonl-empty-file": Case("jsonl", lambda _: b"", loaded=[]),
    "gz-empty-stream": Case("jsonl.gz", lambda _: gzip.compress(b""), loaded=[]),
    "gz-two-members": Case(
        "jsonl.gz", lambda c: b"".join(gzip.compress(x) for x in gzip.decompress(c).splitlines(keepends=True))
    ),
    "gz-padded-with-zeros": Case("jsonl.gz", lambda c: c + b"\0" * 512),
    "zst-empty-frame": Case("jsonl.zst", lambda _: pa.compress(b"", codec="zstd", asbytes=True), loaded=[]),
    "csv-header-only": Case("csv", lambda c: c.partition(b"\n")[0] + b"\n", loaded=[]),
    "csv-empty-file": Case("csv", lambda _: b"", loaded=[]),
    "csv-byte-order-mark": Case("csv", lambda c: b"\xef\xbb\xbf" + c, loaded=LOADED_CSV),
    "csv-crlf": Case("csv", lambda c: c.replace(b"\n", b"\r\n"), loaded=LOADED_CSV),
    "json-array": Case("json"),
    "json-byte-order-mark": Case(
        "json",
        lambda c: b"\xef\xbb\xbf" + c,
    ),
    "json-one-after-another": Case("json", lambda c: b"".join(json.dumps(x).encode() for x in json.loads(c))),
    "json-empty-array": Case("json", lambda _: b"[]", loaded=[]),
    "parquet": Case("parquet"),
}


LOSING: dict[str, Case] = {
    "row-too-short": Case(
        "csv",
        lambda c: c + b"t4,created\n",
        has_own_day=True,
    ),
    "row-too-long": Case(
        "csv",
        lambda c: c + c.splitlines()[1] + b",more,still\n",
        has_own_day=True,
    ),
    "column-name-twice": Case(
        "csv",
        lambda c: b"ticket_id," + c.replace(b"\n", b"\nzz,")[: -len(b"zz,")],
        has_own_day=True,
    ),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Every file of the tables of refused and losing files loaded whole, then damaged, then loaded again."""
    cases = [*REFUSED.values(), *LOSING.values()]
    settings, days = build(tmp_path_factory.mktemp("refused"), cases)
    write_mappings(settings)
    declare(settings, cases, days, final=False)
    assert ingest(settings).is_complete
    damage(settings, cases, days)
    declare(settings, cases, days, final=True)
    return outcome_of(settings, days)


@pytest.fixture(scope="module")
def readable(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Every file of the tables of quarantined records and of fine files, loaded as it is."""
    cases = [*QUARANTINED.values(), *FINE.values()]
    settings, days = build(tmp_path_factory.mktemp("readable"), cases)
    damage(settings, cases, days)
    declare(settings, cases, days, final=True)
    return outcome_of(settings, days)


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_its_reason_and_its_old_rows_stay(refused: Outcome, name: str):
    number = list(REFUSED).index(name)
    case, file = REFUSED[name], refused.names[number]
    day = refused.days[file]
    content = good_file(case.ending, day)
    plain = gzip.decompress(content) if case.ending.endswith(".gz") else content
    message = case.message.format(
        file=file,
        number=number,
        declared=case.declared.get("source_url_or_path", file),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        crc=f"{zlib.crc32(plain) ^ 0xFF0000} != {zlib.crc32(plain)}",
    )

    start, is_duckdb, _ = message.partition("…")
    found = [p for p in refused.report.problems if (p.startswith(start) if is_duckdb else p == message)]
    assert found
    assert all(problem in refused.report.loads[0].refused[day] for problem in found)
    assert [event[:2] for event in refused.events if event[2] == file] == (
        LOADED_CSV if case.asset_type == "csv" else LOADED
    )


def test_bad_files_hold_no_readable_source_of_their_manifest_back(refused: Outcome):
    load = refused.report.loads[0]

    assert "2026-04-15" in [item.partition for item in load.loaded]
    assert DAY in load.refused
    assert refused.good == 2
    assert not refused.report.is_complete


@pytest.mark.parametrize("name", QUARANTINED)
def test_a_bad_record_is_quarantined_with_reason_and_line_and_the_others_are_loaded(readable: Outcome, name: str):
    file, case = readable.names[list(QUARANTINED).index(name)], QUARANTINED[name]
    day = readable.days[file] if case.loaded else CREATED_AT[:10]

    assert [(*row[:3], row[4]) for row in readable.quarantined if row[3] == file] == [
        (*expected, day) for expected in case.quarantined
    ]
    assert [event[:2] for event in readable.events if event[2] == file] == case.loaded


@pytest.mark.parametrize("name", FINE)
def test_an_odd_file_is_read_whole(readable: Outcome, name: str):
    file, case = readable.names[len(QUARANTINED) + list(FINE).index(name)], FINE[name]

    assert [event[:2] for event in readable.events if event[2] == file] == case.loaded
    assert [row for row in readable.quarantined if row[3] == file] == []
    assert not [problem for problem in readable.report.problems if problem.startswith(file)]


@pytest.mark.parametrize("name", LOSING)
def test_no_good_record_of_an_odd_csv_file_is_lost(refused: Outcome, name: str):
    """Whether the file is refused, or only its odd row is quarantined."""
    file = refused.names[len(REFUSED) + list(LOSING).index(name)]

    assert [event[:2] for event in refused.events if event[2] == file][:3] == LOADED_CSV
    assert refused.days[file] in refused.report.loads[0].refused or file in [row[3] for row in refused.quarantined]


@pytest.mark.parametrize("name", ["jsonl-17-mb-line", "jsonl-utf-16", "gz-twice"])
def test_the_message_of_a_refused_file_is_short_and_names_no_path_of_the_machine(refused: Outcome, name: str):
    file = refused.names[list(REFUSED).index(name)]

    (problem,) = (problem for problem in refused.report.problems if problem.startswith(file))
    assert len(problem) < 500
    assert "/the home/" not in problem and "/the manifests/" not in problem


def alone(folder: Path, case: Case) -> Outcome:
    """What becomes of one file in a lakehouse of its own."""
    settings, days = build(folder, [case])
    write_mappings(settings)
    (settings.manifests / "mappings" / "latin_1.sql").write_bytes(b"select * from raw -- \xe9")
    damage(settings, [case], days)
    declare(settings, [case], days, final=True)
    return outcome_of(settings, days)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case("parquet", flipped(20)), id="parquet-corrupt-page"),
        pytest.param(Case("jsonl", mapping="no_sql"), id="mapping-that-is-no-sql"),
        pytest.param(Case("jsonl", mapping="latin_1"), id="mapping-in-latin-1"),
        pytest.param(Case("jsonl", with_field('"": 1'), mapping="everything"), id="mapping-over-an-empty-key"),
    ],
)
def test_no_error_of_one_file_ends_the_ingest_of_the_others(tmp_path: Path, case: Case):
    outcome = alone(tmp_path, case)

    assert outcome.good == 2
    assert outcome.report.problems or len(outcome.events) == 3


def test_a_key_in_another_case_in_one_record_costs_no_other_its_value(tmp_path: Path):
    outcome = alone(tmp_path, Case("jsonl", with_field('"Ticket_ID": "other"'), mapping="everything"))

    assert {event[:2] for event in outcome.events} >= {LOADED[0], LOADED[2]}
