"""`omni verify`: a shell around `orchestration.runs.proof`."""

from dataclasses import asdict
from typing import Annotated

import typer

from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings, load_settings
from orchestration.cli.console import (
    FromOption,
    JsonOption,
    ToOption,
    console,
    open_filled_ledger,
    reported,
    say,
    show_progress,
    window_of,
)


def verify_command(
    asset: Annotated[
        str | None, typer.Option("--asset", help="One asset, such as raw_ticket_events; default: all.")
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
    from lakehouse.ledger.ledger import open_ledger
    from lakehouse.tables.catalog import open_catalog
    from orchestration.runs.proof import prove

    with reported():
        settings, window = load_settings(), window_of(None, from_, to)
        _refuse_to_create(settings)
        catalog, ledger = open_catalog(settings), open_ledger(settings)
        reading = show_progress if deep else None
        report = prove(settings, catalog, ledger, asset=asset, window=window, reading=reading)
        if not report.findings:
            open_filled_ledger(settings)  # which agrees with anything where nothing was ever admitted
        if as_json:
            console.print_json(data=asdict(report))
        else:
            for finding in report.findings:
                say(
                    f"{finding.code} {finding.asset} {finding.partition}".rstrip(),
                    f"  found: {finding.found}",
                    f"  expected: {finding.expected}",
                    f"  next: {finding.next_step}",
                )
            say(*(f"not proven: {note}" for note in report.notes))
            read = f", {report.files} files read" if deep else ""
            compared = f"{report.partitions} partitions, {report.snapshots} snapshots, {report.objects} objects{read}"
            outcome = f"{len(report.findings)} disagreements" if report.findings else "ledger and tables agree"
            say(f"{compared}: {outcome}")
    raise typer.Exit(1 if report.findings else 0)


def _refuse_to_create(settings: LakehouseSettings) -> None:
    """Refuse where opening an embedded ledger would make it.

    Raises:
        ConfigurationError: there is no ledger.
    """
    from lakehouse.database.engines import sqlite_file

    file = sqlite_file(settings.ledger_url)
    if file is not None and not file.exists():
        raise ConfigurationError(f"no ledger at {file}; next: omni run, or set OMNI_HOME")
