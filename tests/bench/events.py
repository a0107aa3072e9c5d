"""Ticket events to measure with: the same N events in D daily files on every machine, made once and kept.

A folder of events is a manifest folder, too: it holds the manifest that declares them.
"""

import json
from datetime import date, timedelta
from pathlib import Path

import duckdb

from tests.bench.cache import kept
from tests.conftest import source, ticket_manifest

_FIRST_DAY = date(2026, 4, 1)

# One event per number i: about 700 bytes of JSON, 150 of them after compression, evenly spread over its day.
_EVENTS_OF_DAY = """
select
    'evt-' || md5(i::varchar) as event_id,
    't-' || (hash(i) % {tickets}) as ticket_id,
    ['created', 'updated', 'status_changed', 'comment_added', 'escalated', 'resolved', 'reopened', 'closed']
        [1 + (hash(i + 1) % 8)::int] as event_type,
    strftime(moment, '%Y-%m-%dT%H:%M:%SZ') as occurred_at,
    'cust-' || (hash(i) % 9973) as customer_id,
    'org-' || (hash(i) % 211) as org_id,
    ['new', 'open', 'pending', 'escalated', 'resolved', 'closed'][1 + (hash(i + 2) % 6)::int] as status,
    ['P1', 'P2', 'P3', 'P4'][1 + (hash(i + 3) % 4)::int] as priority,
    ['billing', 'login', 'sync', 'performance'][1 + (hash(i + 4) % 4)::int] as category,
    ['northstar_workspace', 'northstar_edge_gateway', 'northstar_studio'][1 + (hash(i + 5) % 3)::int] as product_line,
    '4.' || (hash(i) % 12) as product_version,
    'Cannot open the dashboard after the update ' || md5((i * 3)::varchar) as subject,
    repeat('The customer reports that the gateway drops its connection. ', 2)
        || md5((i * 7)::varchar) || ' ' || md5((i * 11)::varchar) as description,
    ['E-' || (hash(i) % 997)] as error_codes,
    ['att-' || md5((i * 13)::varchar)] as asset_ids,
    'agent-' || (hash(i) % 67) as assignee_id,
    ['gold', 'silver', 'bronze'][1 + (hash(i + 6) % 3)::int] as sla_tier,
    strftime(moment + interval 8 hour, '%Y-%m-%dT%H:%M:%SZ') as sla_due_at,
    strftime(moment - interval 3 hour, '%Y-%m-%dT%H:%M:%SZ') as created_at,
    strftime(moment, '%Y-%m-%dT%H:%M:%SZ') as updated_at,
    'low' as pii_level,
    true as pii_redacted,
    'support' as owner,
    ['web', 'beta'] as tags
from (
    select i, timestamp '{day}' + to_milliseconds(((i - {first}) * 86399000 // ({end} - {first}))::bigint) as moment
    from range({first}, {end}) numbers(i)
)
"""


def daily_files(events: int, days: int) -> str:
    """Folder with the events in one `.jsonl.gz` per day, and their manifest."""
    created_at = f"{_FIRST_DAY + timedelta(days=days)}T00:00:00Z"
    manifest = json.dumps(ticket_manifest([source("events", "*.jsonl.gz")], created_at=created_at))

    def write(folder: Path) -> None:
        (folder / "tickets.json").write_text(manifest, "utf-8")
        with duckdb.connect() as connection:
            for number in range(days):
                day = _FIRST_DAY + timedelta(days=number)
                first, end = (events * n // days for n in (number, number + 1))
                query = _EVENTS_OF_DAY.format(tickets=max(events // 6, 1), day=day, first=first, end=end)
                connection.execute(f"copy ({query}) to '{folder / f'{day}.jsonl.gz'}' (format json, compression gzip)")

    return kept(f"events-{events}-{days}", _EVENTS_OF_DAY + manifest, write)
