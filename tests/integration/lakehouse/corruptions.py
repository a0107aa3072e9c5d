"""Single bytes changed at random places of a lakehouse: of files, of the fields of catalog and ledger that anything reads.

Each is found by `omni verify --deep`, the cheap proofs asked first, or proven to be without effect: all digests, verdicts
and evidence are as before. Called by `test_verify` and `tests/soak`.
"""

import json
import random
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import OmniError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import NAMESPACES
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import list_tables, open_catalog
from lakehouse.tables.digest import content_digest
from orchestration.readiness.readiness import open_readiness
from orchestration.readiness.verdict_json import verdict_json
from orchestration.runs import proof
from orchestration.runs.main_job import run_main_job
from orchestration.runs.proof import prove
from tests.conftest import document_manifest, source, ticket_event, ticket_manifest, write_lines
from tests.parsed_project import ParsedProject

ONE, TWO = "2026-04-15", "2026-04-16"

_UNPROVEN = {"since", "checked_at", "until", "moved_at", "admitted_at", "recorded_at", "seal"}
"""Columns that say when something was learnt, or vouch for a row: no digest, verdict or evidence is made of them."""
_NOT_READ = ("omni_coverage_past", "omni_source_files_past", "iceberg_namespace_properties")
"""Tables that only a question about the past reads, or none."""


@dataclass(frozen=True)
class Corruption:
    """What was done, and what came of it."""

    seed: int
    place: str
    outcome: str
    """`verify`, `deep`, `dbt`, `refused`, `without effect`, or `not found`."""


def built_lake(root: Path, parsed_project: ParsedProject) -> tuple[LakehouseSettings, Path]:
    """Two days of tickets (the second with a broken line) and a document, loaded, built and checked; a copy of its home."""
    settings = LakehouseSettings(home=root / "home", manifests=root / "manifests", max_quarantined_share=0.9)
    parsed_project.give_to(settings)
    events = [ticket_event(n, ONE, event_id=f"e{n}", product_line="cross_product") for n in (1, 2, 3)]
    write_lines(settings.manifests / f"{ONE}.jsonl", events)
    write_lines(settings.manifests / f"{TWO}.jsonl", [ticket_event(4, TWO, event_id="e4"), "broken"])
    (settings.manifests / "d.md").write_text("the text of a document")
    tickets = ticket_manifest([source(day, f"{day}.jsonl") for day in (ONE, TWO)])
    documents = document_manifest(ONE, [source("d", "d.md", "other")])
    for manifest in (tickets, documents):
        (settings.manifests / f"{manifest['manifest_id']}.json").write_text(json.dumps(manifest))
    outcome = run_main_job(settings, None, lambda _: None)
    assert outcome.is_complete, outcome.lines
    with closing(sqlite3.connect(settings.home / "catalog.db")) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    for folder in (settings.home, settings.manifests):
        shutil.copytree(folder, root / "kept" / folder.name)
    return settings, root / "kept" / settings.home.name


def assert_each_is_found(settings: LakehouseSettings, kept: Path, seeds: Iterable[int]) -> list[Corruption]:
    """Change a byte by each seed; what came of it."""
    before, found = effects(settings), []
    for seed in seeds:
        found.append(corrupt(settings, kept, before, seed))
        print(found[-1])
    assert [each for each in found if each.outcome == "not found"] == []
    return found


def effects(settings: LakehouseSettings) -> object:
    """All digests, verdicts and evidence."""
    catalog, ledger = open_catalog(settings), open_ledger(settings)
    tables = [catalog.load_table(name) for space in NAMESPACES for name in list_tables(catalog, space)]
    readiness = open_readiness(settings)
    verdicts = [v for asset in readiness.graph.nodes for v in readiness.verdicts(asset).values()]
    results = ledger.current_checks()
    said = [verdict_json(readiness.graph, verdict, results) for verdict in verdicts]
    return [(table.name(), content_digest(table)) for table in tables], said


def corrupt(settings: LakehouseSettings, kept: Path, before: object, seed: int) -> Corruption:
    """Change one byte, ask, and put it back; `kept` is a copy of OMNI_HOME, `before` its effects."""
    dice, original = random.Random(seed), None
    if dice.random() < 0.6:
        files = [path for path in sorted((kept / "warehouse").rglob("*")) if path.is_file() and path.stat().st_size]
        original = dice.choice(files)
        said = _corrupt_file(settings.home / original.relative_to(kept), dice)
    else:
        said = _corrupt_field(settings, dice)
    try:
        outcome = _outcome(settings, before)
    finally:
        for name in ("catalog.db", "catalog.db-wal", "catalog.db-shm"):
            (settings.home / name).unlink(missing_ok=True)
            if (kept / name).exists():
                shutil.copyfile(kept / name, settings.home / name)
        if original is not None:
            shutil.copyfile(original, settings.home / original.relative_to(kept))
    return Corruption(seed, said, outcome)


def _corrupt_file(path: Path, dice: random.Random) -> str:
    content = bytearray(path.read_bytes())
    at = dice.randrange(len(content))
    content[at] ^= 1 << dice.randrange(8)
    path.unlink()  # it may be a link of another
    path.write_bytes(content)
    return f"{path} byte {at}"


def _outcome(settings: LakehouseSettings, before: object) -> str:
    run_dbt = proof.run_dbt
    try:
        proof.run_dbt = lambda *_, **__: None  # seconds: last
        if prove(settings, open_catalog(settings), open_ledger(settings)).findings:
            return "verify"
        if prove(settings, open_catalog(settings), open_ledger(settings), reading=lambda _: None).findings:
            return "deep"
        if _has_no_effect(settings, before):
            return "without effect"
        proof.run_dbt = run_dbt
        found = prove(settings, open_catalog(settings), open_ledger(settings), reading=lambda _: None).findings
        return "dbt" if found else "not found"
    except OmniError:
        return "refused"
    finally:
        proof.run_dbt = run_dbt


def _has_no_effect(settings: LakehouseSettings, before: object) -> bool:
    return effects(settings) == before


def _corrupt_field(settings: LakehouseSettings, dice: random.Random) -> str:
    with closing(sqlite3.connect(settings.home / "catalog.db")) as connection:
        table, key, column, value = dice.choice(list(_fields(connection)))
        changed = _flipped(value, dice)
        with suppress(sqlite3.IntegrityError):  # the key of another row: no such byte can change
            connection.execute(f'update {table} set "{column}" = ? where rowid = ?', (changed, key))
        connection.commit()
    return f"{table} {key} {column}: {value!r} -> {changed!r}"


def _fields(connection: sqlite3.Connection) -> Iterator[tuple[str, int, str, object]]:
    tables = connection.execute("select name from sqlite_master where type = 'table' order by name").fetchall()
    for (table,) in tables:
        if table in _NOT_READ or table.startswith("sqlite"):
            continue
        columns = [row[1] for row in connection.execute(f"pragma table_info({table})")]
        for row in connection.execute(f"select rowid, * from {table}"):
            for column, value in zip(columns, row[1:], strict=True):
                if value is not None and column not in _UNPROVEN:
                    yield table, row[0], column, value


def _flipped(value: object, dice: random.Random) -> object:
    if isinstance(value, str):
        at = dice.randrange(max(len(value), 1))
        return value[:at] + chr(ord(value[at]) ^ (1 << dice.randrange(5))) + value[at + 1 :] if value else "x"
    assert isinstance(value, int)
    return value ^ (1 << dice.randrange(4))
