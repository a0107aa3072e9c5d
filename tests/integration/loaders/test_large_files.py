"""A file that does not fit in memory gives the days that a small one gives."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from lakehouse.contracts.registry import load_contract
from lakehouse.ledger.ledger import open_ledger
from lakehouse.namespaces import QUARANTINE
from loaders.bronze.coverage import refresh_coverage
from loaders.errors import SourceUnreadable
from loaders.events import typed_rows
from loaders.events.staging import RecordStager
from loaders.ingest import ingest
from loaders.plans.planning import plan_load
from loaders.seed_loader import admit_manifests
from loaders.sources import lines as file_lines
from loaders.workers import Workers
from tests.conftest import TICKET_EVENTS, source, ticket_event, ticket_manifest, write_lines
from tests.integration.loaders.test_bronze import digests


def test_a_day_is_written_the_same_from_memory_and_from_disk(settings, declare, tmp_path, monkeypatch):
    extras = {"tags": ["x", None], "pii_redacted": True, "channel": "mail"}
    write_lines(settings.manifests / "a.jsonl", [ticket_event(1, **extras), ticket_event(2, subject='a "b"')])
    write_lines(settings.manifests / "b.jsonl", [ticket_event(3, sla_due_at="2026-04-16T01:30:00.5+08:00")])
    declare(ticket_manifest([source("a", "a.jsonl"), source("b", "b.jsonl")]))
    from_disk = settings.model_copy(update={"home": tmp_path / "another home"})

    ingest(settings)
    monkeypatch.setattr(typed_rows, "HELD_BYTES", 0)
    ingest(from_disk)

    assert digests(settings, TICKET_EVENTS) == digests(from_disk, TICKET_EVENTS)
    columns = [
        [(column.path, column.physical_type, str(column.logical_type)) for column in pq.ParquetFile(file).schema]
        for home in (settings, from_disk)
        for file in home.home.rglob("raw_ticket_events/data/*.parquet")
    ]
    assert len(columns) == 2 and columns[0] == columns[1]


PLAIN = [ticket_event(number) for number in range(4)]


@pytest.mark.parametrize(
    ("lines", "most_ids"),
    [
        (PLAIN, 4),
        (PLAIN, 2),
        ([*PLAIN, "broken"], 9),
        ([*PLAIN, ticket_event(1, category="corrected")], 9),
        ([*PLAIN, ticket_event(5, channel="mail", run_id="r"), ticket_event(6, channel="chat")], 9),
        ([*PLAIN, ticket_event(5, channel="mail"), "broken"], 9),
        ([*PLAIN, ticket_event(5, event_id=None), ticket_event(6)], 9),
        ([*PLAIN, ticket_event(5, "2026-04-16"), "broken"], 9),
        (["broken", *PLAIN], 9),
        (["broken"], 9),
    ],
)
def test_a_large_file_gives_the_days_that_a_small_one_gives(settings, declare, tmp_path, monkeypatch, lines, most_ids):
    write_lines(settings.manifests / "a.jsonl", lines)
    declare(ticket_manifest([source("a", "a.jsonl")]))
    from_disk = settings.model_copy(update={"home": tmp_path / "another home"})

    from_memory = ingest(settings).loads[0]
    monkeypatch.setattr(typed_rows, "HELD_BYTES", 0)
    monkeypatch.setattr(typed_rows, "MOST_IDS", most_ids)
    monkeypatch.setattr(file_lines, "CHUNK_BYTES", 1)
    spilled = ingest(from_disk).loads[0]

    assert [(item.partition, item.rows) for item in spilled.loaded] == [
        (item.partition, item.rows) for item in from_memory.loaded
    ]
    assert [(c.partition, c.check, c.message) for c in spilled.checks] == [
        (c.partition, c.check, c.message) for c in from_memory.checks
    ]
    assert digests(from_disk, TICKET_EVENTS, QUARANTINE) == digests(settings, TICKET_EVENTS, QUARANTINE)


def test_the_rows_of_a_refused_day_are_not_kept(settings, declare, tmp_path):
    write_lines(settings.manifests / "a.jsonl", PLAIN)
    declare(ticket_manifest([source("a", "a.jsonl")]))
    ledger = open_ledger(settings)
    admissions = admit_manifests(settings, ledger).admissions
    (plan,) = plan_load(
        ledger, TICKET_EVENTS, refresh_coverage(settings, ledger, TICKET_EVENTS, admissions, Workers(1))
    ).partitions
    stager = RecordStager(settings, load_contract(settings, "ticket_event"), "run", tmp_path)

    with pytest.raises(SourceUnreadable, match="4 records read, coverage expects 5"):
        stager(replace(plan, rows_expected=5))

    assert not stager._files
