"""`omni maintain`: a shell around `lakehouse.upkeep.maintenance`."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from lakehouse.settings import load_settings
from orchestration.cli.console import JsonOption, console, reported, say


def maintain_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be done.")] = False,
    older_than: Annotated[
        int, typer.Option(min=1, metavar="HOURS", help="Age limit; longer than any run or read of yours takes.")
    ] = 24,
    keep_snapshots: Annotated[int, typer.Option(min=1, help="So many of the latest snapshots of a table stay.")] = 10,
    table: Annotated[
        str | None, typer.Option(help="One table, such as raw_ticket_events; default: everything.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compact days of many small files, expire snapshots that nobody needs, remove files that nothing refers to.

    Safe beside running loads, any number of times. Exit 0 done, 1 something needs a look, 2 error.
    """
    from lakehouse.ledger.ledger import open_ledger
    from lakehouse.proof.foreign_writes import find_foreign_writes
    from lakehouse.tables.catalog import open_catalog
    from lakehouse.upkeep.maintenance import maintain

    with reported():
        settings = load_settings()
        catalog, ledger = open_catalog(settings), open_ledger(settings)
        if not dry_run:
            find_foreign_writes(catalog, ledger)
        report = maintain(
            catalog,
            ledger,
            settings,
            older_than=timedelta(hours=older_than),
            dry_run=dry_run,
            now=datetime.now(UTC),
            keep_snapshots=keep_snapshots,
            table=table,
        )
        if as_json:
            console.print_json(data=report.as_json())
        else:
            say(*report.lines())
    raise typer.Exit(1 if report.problems else 0)
