"""What can be wrong with a day's delivery of tickets, and what must be said of the day then.

A delivery is one file with its manifest, as a desk would hand it over; each breakage changes it in one way and knows,
from what it did, the verdict. It reads nothing and shares no code with what loads. Called by `chaos`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from typing import Literal, NamedTuple

from loaders.simulator.declarations import Json, declare_tickets, ticket_asset
from loaders.simulator.timeline import midnight, written

Verdict = Literal["READY", "EMPTY", "UNKNOWN", "UNSAFE"]
"""What must be said; `UNSAFE` is whatever else is not READY: MISSING, FAILED, UNCHECKED, STALE, BLOCKED."""

_LONG_LINE = 17 << 20


@dataclass
class Delivery:
    """The tickets of a day on their way: files and manifests by the path below the manifest folder."""

    day: date
    lines: list[str]
    path: str
    manifest: Json
    files: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, day: date, lines: list[str], exported_on: date) -> Delivery:
        """A sound one: a file of the day's events, and a manifest of its own."""
        path = f"chaos/tickets/{day}.jsonl"
        asset = ticket_asset(f"tickets-{day}", path, b"")
        found = cls(day, lines, path, declare_tickets(f"tickets-{day:%d}", exported_on, [asset], "Simulated."))
        found.write(found.content)
        return found

    @property
    def content(self) -> bytes:
        """The lines, as they stand in a file."""
        return "".join(f"{line}\n" for line in self.lines).encode()

    @property
    def asset(self) -> Json:
        """The declaration of its file."""
        return self.manifest["assets"][0]  # type: ignore[index, no-any-return]

    @property
    def manifest_path(self) -> str:
        """Name of its manifest's file."""
        return f"{self.manifest['manifest_id']}.json"

    def write(self, content: bytes, path: str | None = None) -> None:
        """Put the file in its place, and declare it as it is."""
        self.files.pop(self.path, None)
        self.path = path or self.path
        self.files[self.path] = content
        told = {"source_url_or_path": self.path, "size_bytes": len(content)}
        self.asset.update({**told, "checksum_sha256": sha256(content).hexdigest()})

    def add(self, *lines: str) -> None:
        """Let the file hold more lines."""
        self.lines = [*self.lines, *lines]
        self.write(self.content)

    def changed(self, number: int, **fields: object) -> list[str]:
        """The first lines once more, as events of their own with some fields changed."""
        return [
            json.dumps({**json.loads(line), "event_id": f"more-{self.day}-{at}", **fields})
            for at, line in enumerate(self.lines[:number])
        ]

    @property
    def many(self) -> int:
        """So many lines that to hold them back is too much."""
        return max(3, len(self.lines) // 5)


class Breakage(NamedTuple):
    """One way to break a delivery."""

    verdict: Verdict
    what: str
    """In words, for who reads the prediction."""
    do: Callable[[Delivery], None]


def _truncated_gzip(it: Delivery) -> None:
    it.write(gzip.compress(it.content, mtime=0)[:-20], f"{it.path}.gz")


def _missing_file(it: Delivery) -> None:
    del it.files[it.path]


def _long_line(it: Delivery) -> None:
    it.add('{"subject": "' + "a" * _LONG_LINE + '"}')
    it.write(gzip.compress(it.content, mtime=0), f"{it.path}.gz")


def _another_day(it: Delivery) -> None:
    it.add(*it.changed(it.many, occurred_at=written(midnight(it.day + timedelta(days=1)))))
    it.write(it.content, f"chaos/dt={it.day}/tickets.jsonl")


def _replayed(it: Delivery) -> None:
    it.manifest.update(load_mode="replay", selection_window={"replay_from_batch": "batch-that-never-was"})


def _expected_more(it: Delivery) -> None:
    told = {"asset": "raw_ticket_events", "source": it.asset["source_id"], "rhythm": "daily", "due_after_hours": 0}
    days = {"since": str(it.day), "until": str(it.day), "min_records": len(it.lines) + 1, "owner": "support"}
    name = f"tickets_{it.day:%d}"
    it.files[f"expectations/{name}.json"] = json.dumps({"name": name, **told, **days}).encode()


def _declared_twice(it: Delivery) -> None:
    it.manifest["assets"] = [it.asset, {**it.asset, "source_id": f"{it.asset['source_id']}-again"}]


def _sent_again(it: Delivery) -> None:
    path = f"chaos/again/{it.day}.jsonl"
    it.files[path] = it.content
    asset = ticket_asset(f"again-{it.day}", path, it.content)
    again = declare_tickets(f"again-{it.day:%d}", it.day + timedelta(days=90), [asset], "Simulated.")
    it.files[f"{again['manifest_id']}.json"] = json.dumps(again).encode()


def _manifest_twice(it: Delivery) -> None:
    it.files[f"{it.manifest_path.removesuffix('.json')}-copy.json"] = json.dumps(it.manifest).encode()


def _half_a_manifest(it: Delivery) -> None:
    it.files[it.manifest_path] = json.dumps(it.manifest).encode()[:-40]


def _backwards(it: Delivery) -> None:
    it.lines.reverse()
    it.write(it.content)


def _evidence(**fields: object) -> Callable[[Delivery], None]:
    return lambda it: it.asset.update(fields)


def _manifest(**fields: object) -> Callable[[Delivery], None]:
    return lambda it: it.manifest.update(fields)


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Delivery], None]:
    return lambda it: it.write(change(it.content))


def _lines(line: str) -> Callable[[Delivery], None]:
    return lambda it: it.add(*[line] * it.many)


def _fields(**fields: object) -> Callable[[Delivery], None]:
    return lambda it: it.add(*it.changed(it.many, **fields))


BREAKAGES: dict[str, Breakage] = {
    "truncated_gzip": Breakage("UNSAFE", "the compressed file ends too early", _truncated_gzip),
    "wrong_checksum": Breakage("UNSAFE", "the declared checksum is another's", _evidence(checksum_sha256="0" * 64)),
    "wrong_size": Breakage("UNSAFE", "the declared size is another's", _evidence(size_bytes=1)),
    "missing_file": Breakage("UNSAFE", "the file is not there", _missing_file),
    "long_line": Breakage("UNSAFE", "a compressed file unpacks to a line of 17 MiB", _long_line),
    "no_utf8": Breakage("UNSAFE", "bytes that are no text", _bytes(lambda content: content + b"\xff\xfe\n")),
    "no_mapping": Breakage("UNSAFE", "the manifest names a mapping that is not there", _manifest(mapping="nowhere")),
    "unknown_batch": Breakage("UNSAFE", "replays a batch that was never admitted", _replayed),
    "lines_of_no_json": Breakage("UNSAFE", "every sixth line is half a record", _lines('{"ticket_id": ')),
    "lone_surrogates": Breakage("UNSAFE", "every sixth line holds half a character", _lines('{"subject": "\\ud800"}')),
    "keys_twice": Breakage("UNSAFE", "every sixth record names a key twice", _lines('{"status": "new", "status": ""}')),
    "future_dates": Breakage("UNSAFE", "every sixth event is of 2031", _fields(occurred_at="2031-01-01T00:00:00Z")),
    "no_offset": Breakage("UNSAFE", "every sixth time has no offset", _fields(created_at="2026-04-01T08:00:00")),
    "unknown_word": Breakage("UNSAFE", "every sixth priority is no word of the contract", _fields(priority="URGENT")),
    "another_day": Breakage("UNSAFE", "a folder names the day, every sixth event is of the next one", _another_day),
    "expectation": Breakage("UNSAFE", "one record less came than is expected by now", _expected_more),
    "empty_file": Breakage("EMPTY", "the file is empty", _bytes(lambda _: b"")),
    "unknown_license": Breakage("EMPTY", "rejected: nobody knows the license", _manifest(license_tag="unknown")),
    "pii_gap": Breakage(
        "EMPTY", "in quarantine: never scanned for personal data", _evidence(pii_scan_status="not_run")
    ),
    "no_metadata": Breakage("EMPTY", "in quarantine: no metadata", _evidence(metadata_status="missing")),
    "half_a_manifest": Breakage("EMPTY", "refused: the manifest ends too early", _half_a_manifest),
    "surrogate_owner": Breakage("EMPTY", "refused: the owner is half a character", _manifest(owner="a\ud800")),
    "declared_twice": Breakage("READY", "two sources name the file", _declared_twice),
    "sent_again": Breakage("READY", "another batch holds the same events", _sent_again),
    "manifest_twice": Breakage("READY", "a second file has the manifest's id, and is refused", _manifest_twice),
    "windows_lines": Breakage("READY", "lines end as on Windows", _bytes(lambda c: c.replace(b"\n", b"\r\n"))),
    "byte_order_mark": Breakage("READY", "begins with a byte-order mark", _bytes(lambda c: b"\xef\xbb\xbf" + c)),
    "no_last_end": Breakage("READY", "the last line does not end", _bytes(lambda c: c[:-1])),
    "blank_lines": Breakage(
        "READY", "every line is followed by an empty one", _bytes(lambda c: c.replace(b"\n", b"\n\n"))
    ),
    "backwards": Breakage("READY", "the last event comes first", _backwards),
    "one_bad_line": Breakage("READY", "one line is half a record: few enough", lambda it: it.add('{"ticket_id": ')),
    "schema_drift": Breakage("READY", "a field that no contract names", _fields(mood="sunny")),
    "null_notes": Breakage("READY", "an optional field is null", _evidence(language=None)),
}
"""Kind → what it does."""
