"""`omni maintain`, `omni recover`, `omni verify`: shells around upkeep, recovery and proof."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.counted import counted
from lakehouse.errors import ConfigurationError
from lakehouse.partitions import is_day, named, typed_window
from lakehouse.settings import LakehouseSettings, load_settings
from orchestration.cli.console import (
    FromOption,
    JsonOption,
    ToOption,
    asset_names,
    console,
    open_filled_ledger,
    reported,
    say,
    show_progress,
)

if TYPE_CHECKING:  # engines are imported by the commands that use them
    from lakehouse.proof.partition_comparison import Finding


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


def recover_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Bring back catalog and ledger from the warehouse, where they were lost, broken or set back to an older copy.

    Exit 0: all of it is there, or nothing was lost. Exit 1: a table needs a look. Exit 2: error.
    """
    from lakehouse.recovery.plan import plan_recovery
    from lakehouse.recovery.recover import recover
    from loaders.ingest import look_again

    with reported():
        settings = load_settings()
        plan = plan_recovery(settings, datetime.now(UTC))
        say(*plan.lines)
        if not plan.is_needed:
            say("catalog and ledger know what the warehouse holds: there is nothing to recover")
        elif dry_run:
            say("nothing was changed; next: omni recover")
        else:
            say(*recover(settings, plan, lambda catalog, ledger: look_again(settings, catalog, ledger)))
            say("next: omni run")
    raise typer.Exit(1 if plan.needs_a_look else 0)


def verify_command(
    asset: Annotated[
        str | None,
        typer.Option("--asset", autocompletion=asset_names, help="One asset, such as raw_ticket_events; default: all."),
    ] = None,
    from_: FromOption = None,
    to: ToOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every file, object and source, and ask the checks again.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Recompute the evidence from tables, snapshots and manifests, and compare it with the ledger; --deep by reading.

    No table changes. What someone else is found to have written is recorded: these partitions are not safe.

    Exit 0: they agree. Exit 1: they do not. Exit 2: error.
    """
    with reported():
        window = typed_window(None, from_, to)
        from lakehouse.ledger.ledger import open_ledger
        from lakehouse.tables.catalog import open_catalog
        from orchestration.runs.proof import prove

        settings = load_settings()
        _refuse_to_create(settings)
        catalog, ledger = open_catalog(settings), open_ledger(settings)
        reading = show_progress if deep else None
        report = prove(settings, catalog, ledger, asset=asset, window=window, reading=reading)
        if not report.findings:
            open_filled_ledger(settings)  # which agrees with anything where nothing was ever admitted
        if as_json:
            console.print_json(data=asdict(report))
        else:
            say(*_told(report.findings))
            say(*(f"not proven: {note}" for note in report.notes))
            things = {"partition": report.partitions, "snapshot": report.snapshots, "object": report.objects}
            compared = ", ".join(counted(number, thing) for thing, number in things.items())
            compared += f", {counted(report.files, 'file')} read" if deep else ""
            outcome = counted(len(report.findings), "disagreement") if report.findings else "ledger and tables agree"
            say(f"{compared}: {outcome}")
    raise typer.Exit(1 if report.findings else 0)


def _told(findings: "list[Finding]") -> Iterator[str]:
    """Findings for a person: what is found alike of several days stands once, with what to do for the first of them."""
    alike: dict[tuple[str | bool, ...], list[Finding]] = {}
    for each in findings:
        key = (each.code, each.asset, is_day(each.partition) or each.partition, each.found, each.expected)
        alike.setdefault(key, []).append(each)
    for first, *others in alike.values():
        days = named(first.asset, [each.partition for each in (first, *others)]) if is_day(first.partition) else ""
        also = f"; likewise of {counted(len(others), 'other day')}" if others else ""
        yield f"{first.code} {days or f'{first.asset} {first.partition}'}".rstrip()
        yield from (f"  found: {first.found}", f"  expected: {first.expected}", f"  next: {first.next_step}{also}")


def _refuse_to_create(settings: LakehouseSettings) -> None:
    """Refuse where opening an embedded ledger would make it.

    Raises:
        ConfigurationError: there is no ledger.
    """
    from lakehouse.database.engines import sqlite_file

    file = sqlite_file(settings.ledger_url)
    if file is not None and not file.exists():
        raise ConfigurationError(f"no ledger at {file}; next: omni run, or set OMNI_HOME")
