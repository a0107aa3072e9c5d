"""What must be so: which records each source holds, what a run has seen of them, and what a reader may therefore be told.

Plain Python, no code of the product. `Model` is told each step; `rows` and `hindrance` then say what every partition
must hold and whether it may be READY. What lies in the catalog's database is in `Recorded`, so that it goes back with it.
"""

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

DAYS = ("2026-04-01", "2026-04-02", "2026-04-03")
WHOLE = ""
EVENTS, DAILY, RUNNING, NOW = "raw_ticket_events", "daily_tickets", "running_tickets", "tickets_now"
ASSETS = (EVENTS, DAILY, RUNNING, NOW)
"""Tickets; per day the same; per day the number of all up to it; all of them."""
ORDER = ("replay", "first", "second")
"""Sources, the latest batch last: a replay of the first batch stands before it."""
REPEATED = "first"

Rows = list[tuple[str, ...]]


class Record(NamedTuple):
    """A line of a source: an event of a day; `word` is what a reader sees of it."""

    event: int
    day: str
    word: str
    is_valid: bool = True

    @property
    def line(self) -> str:
        """As it stands in the file."""
        at = f"{self.day}T10:00:00Z"
        names = {"event_id": f"e{self.event}", "ticket_id": f"t{self.event}", "event_type": "created"}
        told = {"occurred_at": at, "status": "new", "created_at": at, "category": self.word}
        return json.dumps({**names, **told, "priority": "P1" if self.is_valid else "URGENT"})


@dataclass(frozen=True)
class Source:
    """A source as it lies in the manifest folder."""

    records: tuple[Record, ...] = ()
    owner: str = "support"
    is_declared: bool = True
    is_cleared: bool = True
    """Without it the source is quarantined, until a person lets this version of it in."""
    is_whole: bool = True
    """Its file can be read to the end."""
    is_there: bool = True
    is_refused: bool = False
    """Its manifest breaks a rule."""

    @property
    def is_readable(self) -> bool:
        """Whether its records can be read."""
        return self.is_whole and self.is_there


@dataclass
class Recorded:
    """What the catalog's database has been told."""

    seen: dict[str, Source] = field(default_factory=dict)
    """What the last run found of each source that it let in."""
    troubled: dict[str, set[str]] = field(default_factory=dict)
    """Source that it could not read → days that are in doubt for it."""
    discarded: set[tuple[str, int, str]] = field(default_factory=set)
    """Source, line and record that a person does not want."""
    let_in: set[tuple[str, str]] = field(default_factory=set)
    """Source and version that a person let in."""
    batches: set[str] = field(default_factory=set)
    """Sources whose manifest was ever admitted."""
    written: dict[tuple[str, str], int] = field(default_factory=dict)
    """Asset and partition → the last write of it."""
    checked: set[int] = field(default_factory=set)
    """Writes that were looked at."""


class Model:
    """The truth, and what may be said of it."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.recorded = Recorded()
        self.logic = 1
        self.kept: Recorded | None = None

    def version(self, name: str) -> str:
        """What of a source a person's word holds for: all that its manifest says."""
        source = self.sources[name]
        return f"{source.owner} {source.is_cleared}"

    def is_admitted(self, name: str) -> bool:
        """Whether a run would load a source as it lies there."""
        source = self.sources.get(name)
        if source is None or not source.is_declared or source.is_refused:
            return False
        return source.is_cleared or (name, self.version(name)) in self.recorded.let_in

    def judge(self) -> None:
        """Manifests were read, and what they declare is on record."""
        self.recorded.batches |= {name for name, s in self.sources.items() if s.is_declared and not s.is_refused}

    def look_at_files(self) -> None:
        """A run has looked at the files of every source that it lets in."""
        self.judge()
        for name in filter(self.is_admitted, ORDER):
            source = self.sources[name]
            is_known = name != "replay" or REPEATED in self.recorded.batches
            if source.is_readable and is_known:
                self.recorded.troubled.pop(name, None)
                self.recorded.seen[name] = source
            else:
                self._doubt(name, source)

    def forget_the_rest(self) -> None:
        """A run has forgotten what nobody declares any more; what a refused manifest declared stays, in doubt."""
        for name in ORDER:
            source = self.sources.get(name)
            if source is not None and source.is_declared and source.is_refused:
                if name in self.recorded.seen or name in self.recorded.troubled:
                    self._doubt(name, source)
            elif not self.is_admitted(name):
                self.recorded.seen.pop(name, None)
                self.recorded.troubled.pop(name, None)

    def _doubt(self, name: str, source: Source) -> None:
        before = self.recorded.seen.pop(name, None)
        days = {record.day for record in before.records} if before else set()
        self.recorded.troubled[name] = days | self.recorded.troubled.get(name, set())

    def write(self, ids: Iterable[int], writes: Iterable[Any]) -> None:
        """Partitions were written, each by a write with an id of its own."""
        self.recorded.written |= {(of.asset, of.partition): id for id, of in zip(ids, writes, strict=True)}

    def check(self, results: Iterable[Any]) -> None:
        """Writes were looked at."""
        self.recorded.checked |= {result.materialization_id for result in results}

    def let_in(self, name: str) -> None:
        """A person let a quarantined source in."""
        self.judge()
        self.recorded.let_in.add((name, self.version(name)))

    def edit(self, name: str, **changes: object) -> None:
        """Change a source where it lies; a new one is made."""
        self.sources[name] = replace(self.sources.get(name, Source()), **changes)  # type: ignore[arg-type]

    def keep(self) -> None:
        """The catalog's database is copied."""
        self.kept = copy.deepcopy(self.recorded)

    def go_back(self) -> None:
        """The copy is put in its place."""
        assert self.kept is not None
        self.recorded = copy.deepcopy(self.kept)

    def rows(self, asset: str, partition: str) -> Rows:
        """What a reader must see of a partition that is called safe, in order."""
        if asset == EVENTS:
            return self._events(partition)
        if asset == DAILY:
            return [(event, self._computed(word)) for event, word in self._events(partition)]
        if asset == RUNNING:
            number = sum(len(self._events(day)) for day in DAYS if day <= partition)
            return [(self._computed(str(number)),)] if number else []
        return sorted((event, day, self._computed(word)) for day in DAYS for event, word in self._events(day))

    def hindrance(self, asset: str, partition: str) -> str | None:
        """Why a partition cannot be safe, however often it is computed; None where nothing is in the way."""
        write = self.recorded.written.get((asset, partition))
        if write is not None and write not in self.recorded.checked:
            return "nobody has looked at its last write"
        known = self._known_days()
        if not known or (partition != WHOLE and not min(known) <= partition <= max(known)):
            return "nothing is known of it"
        read = {EVENTS: {partition}, DAILY: {partition}, RUNNING: {d for d in DAYS if d <= partition}}
        for day in sorted(read.get(asset, set(DAYS))):
            if found := [name for name, days in self.recorded.troubled.items() if day in days]:
                return f"{day}: cannot read {found}"
            if self._held(day):
                return f"{day}: holds back {self._held(day)}"
        return None

    def _known_days(self) -> set[str]:
        seen = {record.day for source in self.recorded.seen.values() for record in source.records}
        return seen.union(*self.recorded.troubled.values())

    def _events(self, day: str) -> Rows:
        told: dict[str, str] = {}
        for name in ORDER:
            if name in self.recorded.seen:
                records = self.recorded.seen[name].records
                told.update({f"e{r.event}": r.word for r in records if r.day == day and r.is_valid})
        return sorted(told.items())

    def _held(self, day: str) -> list[tuple[str, int, str]]:
        """Records that break the contract and that nobody has discarded: of days so small, one is too many."""
        places = [(n, line, r) for n, s in self.recorded.seen.items() for line, r in enumerate(s.records, 1)]
        found = [(name, line, r.line) for name, line, r in places if r.day == day and not r.is_valid]
        return [place for place in found if place not in self.recorded.discarded]

    def _computed(self, word: str) -> str:
        return f"{word} by {self.logic}"
