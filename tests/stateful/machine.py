"""Steps in any order; after each of them what the verdicts say is held against the model."""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.stateful.lake import DERIVED, POINTS, Lake, killed, noted
from tests.stateful.model import ASSETS, DAYS, ORDER, Model, Record, Source

SAFE = ("READY", "EMPTY")

names = st.sampled_from(ORDER)
windows = st.none() | st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)).map(lambda days: (min(days), max(days)))
deaths = st.none() | st.tuples(st.sampled_from(sorted(POINTS)), st.integers(1, 3))
a_record = st.builds(
    Record,
    st.integers(1, 3),
    st.sampled_from(DAYS),
    st.sampled_from(["old", "new"]),
    st.sampled_from([True] * 5 + [False]),
)
records = st.lists(a_record, max_size=3, unique_by=lambda record: record.event).map(tuple)
flags = st.sampled_from(["is_declared", "is_cleared", "is_whole", "is_there", "is_refused"])


class Machine(RuleBasedStateMachine):
    """A lakehouse and its model, side by side."""

    lake: ClassVar[Lake]

    @initialize()
    def begin(self) -> None:
        """With two sources, loaded and built."""
        self.model, self.before = Model(), dict[str, Source]()
        for name, word in (("first", "old"), ("second", "new")):
            self.model.edit(name, records=tuple(Record(n, day, word) for n, day in enumerate(DAYS[:2], 1)))
        self.model.look_at_files()
        self.lake.begin()
        self._exits = ExitStack()
        self._exits.enter_context(self.lake.opened_once())
        notes: dict[str, Callable[..., None]] = {
            "replace_file_coverage": lambda *_: self.model.look_at_files(),
            "forget_files": lambda *_: self.model.forget_the_rest(),
            "record_materializations": lambda ids, items, *_: self.model.write(ids, items),
            "record_checks": lambda _, results: self.model.check(results),
        }
        self._exits.enter_context(noted(notes))

    def teardown(self) -> None:
        """At the end everything can be made safe that nothing stands in the way of."""
        if hasattr(self, "model"):
            try:
                self.run()
            finally:
                self._exits.close()

    # ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @rule(name=names, records=records, is_seen=st.booleans())
    def edit_source(self, name: str, records: tuple[Record, ...], is_seen: bool) -> None:
        """Mostly a run comes by soon after."""
        self._lay(name, records=records)
        if is_seen:
            self.lake.ingest()

    @rule(name=names, owner=st.sampled_from(["support", "sales"]))
    def edit_manifest(self, name: str, owner: str) -> None:
        self._lay(name, owner=owner)

    @rule(name=names, flag=flags, is_seen=st.booleans())
    def spoil_or_mend(self, name: str, flag: str, is_seen: bool) -> None:
        if name in self.model.sources:
            self._lay(name, **{flag: not getattr(self.model.sources[name], flag)})
            if is_seen:
                self.lake.ingest()

    @rule(name=names)
    def take_back(self, name: str) -> None:
        """The last edit of a source is undone."""
        if name in self.before:
            self._lay(name, **vars(self.before[name]))

    @rule(name=names)
    def let_in(self, name: str) -> None:
        """A person's word for a source that is in quarantine, or comes into it first."""
        source = self.model.sources.get(name)
        if source and source.is_declared and not source.is_refused:
            if source.is_cleared:
                self._lay(name, is_cleared=False)
            if not self.model.is_admitted(name):
                self.lake.let_in(name)
                self.model.let_in(name)

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    @rule(window=windows, death=deaths)
    def ingest(self, window: tuple[str, str] | None, death: tuple[str, int] | None) -> None:
        with killed(*death) if death else nullcontext():
            self.lake.ingest(window)

    @rule(name=names, records=records)
    def die_over_an_edit_that_is_undone(self, name: str, records: tuple[Record, ...]) -> None:
        """A load that died after its commit left rows of what is no longer there."""
        self._lay(name, records=records)
        with killed("after a commit", 1):
            self.lake.ingest()
        self.take_back(name)
        self.lake.ingest()

    @rule(asset=st.sampled_from(DERIVED), window=windows, death=deaths)
    def build(self, asset: str, window: tuple[str, str] | None, death: tuple[str, int] | None) -> None:
        with killed(*death) if death else nullcontext():
            self.lake.build([asset], window)

    @rule()
    def run(self) -> None:
        """All that can be made safe is; and then ledger and tables agree."""
        self.lake.ingest()
        said = self.lake.verdicts()
        self.lake.build([name for name in DERIVED if any(said[key][0] not in SAFE for key in said if key[0] == name)])
        self.assert_safe_is_right(at_rest=True)
        found = self.lake.verify()
        assert [each for each in found if self.model.hindrance(*each[:2]) is None] == []

    @rule(logic=st.sampled_from([1, 2]))
    def edit_logic(self, logic: int) -> None:
        self.lake.logic = self.model.logic = logic

    # ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────
    @rule()
    def release(self) -> None:
        self.lake.release()

    @rule()
    def discard(self) -> None:
        self.model.recorded.discarded |= self.lake.discard()

    @rule()
    def verify(self) -> None:
        self.lake.verify()

    @rule()
    def maintain(self) -> None:
        """A copy of the database that is older than the age limit is of no use afterwards."""
        self.lake.maintain()
        self.model.kept = None

    @rule(asset=st.sampled_from(ASSETS), how=st.sampled_from(["adds", "removes", "writes the same"]))
    def write_elsewhere(self, asset: str, how: str) -> None:
        self.lake.write_elsewhere(asset, how)

    @rule()
    def keep_database(self) -> None:
        self.lake.keep_database()
        self.model.keep()

    @precondition(lambda self: self.model.kept is not None)
    @rule()
    def put_database_back(self) -> None:
        """What was recorded since is lost; a recovery looks at the sources anew."""
        self.model.go_back()
        self.lake.put_database_back()

    @rule()
    def recover(self) -> None:
        self.lake.recover()

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────
    @invariant()
    def assert_safe_is_right(self, at_rest: bool = False) -> None:
        """What is called safe holds what the model says, and nothing stands in its way; EMPTY has no rows.

        At rest, after a run that nothing disturbed, all else is safe that nothing stands in the way of.
        """
        for (asset, partition), (status, reasons) in self.lake.verdicts().items():
            hindrance, what = self.model.hindrance(asset, partition), f"{asset} {partition} is {status} ({reasons})"
            if status in SAFE:
                found, expected = self.lake.rows(asset, partition), self.model.rows(asset, partition)
                assert found == expected, f"{what}: found {found}, expected {expected}"
                assert hindrance is None, f"{what}, and {hindrance}"
                assert status == "READY" or not found, f"{what}: found {found}"
            elif at_rest:
                assert hindrance is not None, f"{what}, and nothing stands in its way"

    def _lay(self, name: str, **changes: object) -> None:
        if name in self.model.sources:
            self.before[name] = self.model.sources[name]
        self.model.edit(name, **changes)
        self.lake.lay(name, self.model.sources[name])


def made_lake(root: Path) -> Lake:
    """A lake as every example begins with it."""
    lake, machine = Lake(root), Model()
    lake.begin()
    for name, word in (("first", "old"), ("second", "new")):
        machine.edit(name, records=tuple(Record(n, day, word) for n, day in enumerate(DAYS[:2], 1)))
        lake.lay(name, machine.sources[name])
    lake.ingest()
    lake.build(DERIVED)
    lake.keep_as_made()
    return lake
