"""The `omni` command: which commands there are, where they stand in the help, and the small ones.

Engines, and SQLAlchemy, are imported inside the commands that need them: what is typed wrongly is refused at once.
"""

import logging
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from lakehouse.errors import ConfigurationError
from lakehouse.partitions import WHOLE, typed_window
from lakehouse.settings import PROJECT_ROOT, load_settings
from orchestration.cli.backfill import backfill_command
from orchestration.cli.cite import cite_command
from orchestration.cli.console import (
    DAY,
    FromOption,
    JsonOption,
    OneLine,
    PartitionOption,
    ToOption,
    asset_names,
    console,
    day,
    examples,
    open_filled_ledger,
    reported,
    say,
    show_progress,
)
from orchestration.cli.edits import accept_command, plan_command
from orchestration.cli.groups.contracts import contract_app
from orchestration.cli.groups.manifests import manifests_app
from orchestration.cli.groups.quarantine import quarantine_app
from orchestration.cli.groups.report import report_app
from orchestration.cli.status import print_status, status_command
from orchestration.cli.upkeep import maintain_command, recover_command, verify_command
from orchestration.cli.verdicts import explain_command, ready_command

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        say(f"omni {version('omni-lakehouse')}")
        raise typer.Exit


@app.callback()
def _configure(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it and end.")
    ] = False,
) -> None:
    """Is this day of this table safe to use? omni loads, builds, tests and tells.

    It ends with 0: yes, done; 1: not ready, or data is missing; 2: error.
    """
    logging.basicConfig()
    handler = logging.getLogger().handlers[0]
    handler.setFormatter(OneLine("%(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.WARNING)  # Dagster's loggers set their own, lower level


def run_command(partition: PartitionOption = None, from_: FromOption = None, to: ToOption = None) -> None:
    """Run the main job: load what is new, build and test what depends on it, print the verdicts.

    Without a window: the ranges of days that hold what is not ready and can be mended. With one: its days, again.
    """
    with reported():
        window = typed_window(partition, from_, to)
        from orchestration.report.notifications import notify
        from orchestration.runs.main_job import run_main_job

        outcome = run_main_job(load_settings(), window, show_progress)
        print_status(outcome=outcome.lines, is_complete=outcome.is_complete)
        if told := notify(load_settings()):
            say(told)
    raise typer.Exit(0 if outcome.is_complete else 1)


def ingest_command(partition: PartitionOption = None, from_: FromOption = None, to: ToOption = None) -> None:
    """Load Bronze only: the partitions whose sources are new or changed, or those of a window."""
    with reported():
        window = typed_window(partition, from_, to)
        from loaders.ingest import ingest

        report = ingest(load_settings(), window=window, progress=show_progress)
        say(*report.lines())
    raise typer.Exit(0 if report.is_complete else 1)


def ui_command(port: Annotated[int, typer.Option(help="Port on this machine.")] = 3000) -> None:
    """Open Dagster with the asset graph: what the ledger knows, whoever did the work."""
    import os
    import sys

    from orchestration.instance.home import dagster_environment
    from orchestration.instance.mirror import mirror
    from orchestration.instance.sqlite_events import open_instance
    from orchestration.readiness.asset_graph import load_asset_graph

    with reported():
        settings = load_settings()
        environment = {**os.environ, **dagster_environment(settings)}
        with open_instance(settings.dagster_home) as instance:
            mirror(settings, load_asset_graph(settings), instance)
        command = [str(Path(sys.executable).with_name("dagster")), "dev", "--port", str(port)]
        os.chdir(PROJECT_ROOT)
        os.execve(command[0], command, environment)


def digest_command(
    asset: Annotated[str, typer.Argument(autocompletion=asset_names)], partition: PartitionOption = None
) -> None:
    """Print one line: a hash of the content, the rows, the asset. Independent of order and of the run that wrote it."""
    from lakehouse.tables.catalog import open_catalog
    from lakehouse.tables.digest import content_digest, find_table

    with reported():
        value, rows = content_digest(find_table(open_catalog(load_settings()), asset), partition or WHOLE)
        say(f"{value} {rows} rows {asset} {partition or ''}".rstrip())


def simulate_command(
    target: Annotated[Path, typer.Option(help="Folder to write manifests and source files to.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 42,
    tickets: Annotated[int, typer.Option(help="Number of tickets.")] = 500,
    start: Annotated[str, typer.Option(parser=day, metavar=DAY, help="First UTC day.")] = "2026-04-01",
    days: Annotated[int, typer.Option(help="Number of days.")] = 30,
    chaos: Annotated[
        int | None, typer.Option(help="Seed of a broken world of ten days instead, with its own prediction.")
    ] = None,
) -> None:
    """Write a deterministic sample: ticket events and document snapshots, with everything that goes wrong in life."""
    from loaders.simulator.chaos import write_chaos
    from loaders.simulator.sample import simulate as write_sample

    with reported():
        try:
            if chaos is not None:
                write_chaos(target, chaos)
            else:
                write_sample(target, seed=seed, tickets=tickets, start=date.fromisoformat(start), days=days)
        except (ValueError, FileExistsError) as error:
            raise ConfigurationError(str(error)) from error
        say(f"wrote {target}; next: OMNI_MANIFESTS={target} omni run")


def coverage_command(
    asset: Annotated[
        str | None,
        typer.Argument(autocompletion=asset_names, help="A Bronze asset, such as raw_ticket_events; default: all."),
    ] = None,
    from_: FromOption = None,
    to: ToOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what is expected: per day the records and files that the admitted sources hold, as last looked at."""
    with reported():
        window = typed_window(None, from_, to)
        from lakehouse.contracts.registry import load_contracts
        from orchestration.report.coverage_table import coverage_json, coverage_lines

        settings = load_settings()
        contracts, ledger = load_contracts(settings), open_filled_ledger(settings)
        assets = contracts.assets if asset is None else [contracts.of_asset(asset).declared_asset.name]
        if as_json:
            console.print_json(data=coverage_json(ledger, assets, window))
        else:
            say(*coverage_lines(ledger, assets, window))


_DAILY, _MEND, _DECLARE, _KEEP = "Every day", "Something is wrong", "What should be there", "Prove, keep, try"

_TICKETS = "raw_ticket_events"
for _name, _function, _panel, _short, _examples in (
    ("run", run_command, _DAILY, "Load, build and test what is new; then as status.", ("", "--partition yesterday")),
    ("status", status_command, _DAILY, "Show what is safe day by day, and why not.", ("", "--from 2026-04-01")),
    ("ready", ready_command, _DAILY, "Answer for one asset: 0 safe, 1 not, 2 error.", ("support_kpi_daily yesterday",)),
    ("explain", explain_command, _DAILY, "Show why it is not ready, down to the cause.", ("ticket_fact",)),
    ("cite", cite_command, _DAILY, "Show where a passage stands, or whether a text does.", (
        "53586f8ccf84d50c800032c6265c0f07", "--check 'The limit is 200 users' help-center-gateway-tunnels")),
    ("ui", ui_command, _DAILY, "Open Dagster on the same lakehouse.", ("", "--port 3001")),
    ("backfill", backfill_command, _MEND, "Compute named days of named assets again; --list.", (
        f"{_TICKETS} --partition yesterday --dry-run", "--failed --from 2026-04-01 --to 2026-04-30", "--list")),
    ("ingest", ingest_command, _MEND, "Load Bronze only.", ("", "--partition 2026-04-15")),
    ("recover", recover_command, _MEND, "Bring back a catalog or ledger that was lost.", ("--dry-run",)),
    ("coverage", coverage_command, _DECLARE, "Show which records are expected on which day.", (_TICKETS,)),
    ("plan", plan_command, _DECLARE, "Say what an edit of the dbt project touches.", ("", "--diff")),
    ("accept", accept_command, _DECLARE, "Let stand what a model computed before an edit.", (
        "support_kpi_daily --reason 'only a cast'",)),
    ("verify", verify_command, _KEEP, "Prove the ledger against tables, files and sources.", ("", "--deep")),
    ("digest", digest_command, _KEEP, "Hash the content of a table.", ("support_kpi_daily",)),
    ("maintain", maintain_command, _KEEP, "Compact files, expire snapshots, remove leftovers.", ("--dry-run",)),
    ("simulate", simulate_command, _KEEP, "Write sample data to try things on.", ("--target /tmp/sample",)),
):  # fmt: skip
    _epilog = examples(*(f"omni {_name} {each}".rstrip() for each in _examples))
    app.command(_name, rich_help_panel=_panel, short_help=_short, epilog=_epilog)(_function)
for _name, _group, _panel, _short in (
    ("quarantine", quarantine_app, _MEND, "See, release or discard records that were not loaded."),
    ("manifests", manifests_app, _DECLARE, "Say which sources there are, and who let them in."),
    ("contract", contract_app, _DECLARE, "Judge, export and start from data contracts."),
):
    app.add_typer(_group, name=_name, rich_help_panel=_panel, short_help=_short)
app.add_typer(
    report_app,
    name="report",
    rich_help_panel=_DAILY,
    short_help="Write a page to keep or to send.",
    epilog=examples("omni report", "omni report --since yesterday --format md --output -"),
)
