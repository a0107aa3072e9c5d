"""What is asked of the database does not grow with the days, manifests and partitions that a lake holds."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event

from lakehouse.database.engines import database_url
from lakehouse.ledger.ledger import open_ledger
from lakehouse.tables.catalog import open_catalog
from loaders.ingest import ingest, refresh
from orchestration.readiness.readiness import open_readiness
from orchestration.runs.proof import prove
from tests.conftest import source, ticket_event, ticket_manifest, write_lines

ASKED = {
    "refresh": refresh,
    "load again": ingest,
    "verdicts": lambda lake: open_readiness(lake).days(),
    "verify": lambda lake: prove(lake, open_catalog(lake), open_ledger(lake)),
}


@contextmanager
def counted(settings) -> Iterator[list[str]]:
    """Statements that the database of a lakehouse is sent."""
    own, found = database_url(settings.ledger_url), []

    def count(connection, _cursor, statement, *_):
        if connection.engine.url == own:
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", count)


@pytest.fixture
def days_come(settings, declare):
    """Days arrive, a manifest each, and are loaded."""

    def come(numbers):
        for number in numbers:
            day = f"2026-04-{number:02}"
            write_lines(settings.manifests / f"{day}.jsonl", [ticket_event(number, day)])
            declare(ticket_manifest([source("a", f"{day}.jsonl")], number))
        assert ingest(settings).is_complete

    return come


def test_a_lake_of_many_days_asks_its_database_as_often_as_one_of_few(settings, days_come):
    days_come(range(1, 4))
    few = statements_of(settings)

    days_come(range(4, 25))

    assert statements_of(settings) == few


def statements_of(settings):
    """How many statements each question takes, where nothing is new."""
    numbers = {}
    for name, ask in ASKED.items():
        with counted(settings) as found:
            ask(settings)
        numbers[name] = len(found)
    return numbers
