"""The `omni` command. Exit status: 0 good, 1 not ready or data missing, 2 error in the question or the configuration.

Engines are imported inside the commands that need them: `omni ready` and `omni status` answer from the ledger alone.
"""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lakehouse.errors import ConfigurationError
from lakehouse.partitions import WHOLE, Window, parse_day
from lakehouse.settings import PROJECT_ROOT, load_settings
from orchestration.cli.backfill import backfill_command, backfills_command
from orchestration.cli.console import (
    FromOption,
    JsonOption,
    OneLine,
    PartitionOption,
    ToOption,
    console,
    open_filled_ledger,
    reported,
    say,
    show_progress,
    window_of,
)
from orchestration.cli.contracts import contract_app
from orchestration.cli.edits import accept_command, plan_command
from orchestration.cli.maintenance import maintain_command
from orchestration.cli.manifests import manifests_app
from orchestration.cli.quarantine import quarantine_app
from orchestration.cli.recover import recover_command
from orchestration.cli.report import report_app
from orchestration.cli.verdicts import explain_command, ready_command
from orchestration.cli.verify import verify_command
from orchestration.readiness.verdict_json import check_results, verdict_json

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, help=__doc__)
app.add_typer(manifests_app, name="manifests")
app.add_typer(contract_app, name="contract")
app.add_typer(quarantine_app, name="quarantine")
app.command("backfill")(backfill_command)
app.command("backfills")(backfills_command)
app.command("ready")(ready_command)
app.command("explain")(explain_command)
app.command("accept")(accept_command)
app.command("plan")(plan_command)
app.add_typer(report_app, name="report")
app.command("maintain")(maintain_command)
app.command("verify")(verify_command)
app.command("recover")(recover_command)


@app.callback()
def _configure() -> None:
    logging.basicConfig()
    handler = logging.getLogger().handlers[0]
    handler.setFormatter(OneLine("%(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.WARNING)  # Dagster's loggers set their own, lower level


@app.command()
def run(partition: PartitionOption = None, from_: FromOption = None, to: ToOption = None) -> None:
    """Run the main job: load what is new, build and test what depends on it, print the verdicts.

    Without a window: the ranges of days that hold what is not ready and can be mended. With one: its days, again.
    """
    from orchestration.report.notifications import notify
    from orchestration.runs.main_job import run_main_job

    with reported():
        outcome = run_main_job(load_settings(), window_of(partition, from_, to), show_progress)
        say(*outcome.lines)
        _print_status(None, None, None)
        if told := notify(load_settings()):
            say(told)
    raise typer.Exit(0 if outcome.is_complete else 1)


@app.command()
def ingest(partition: PartitionOption = None, from_: FromOption = None, to: ToOption = None) -> None:
    """Load Bronze only: the partitions whose sources are new or changed, or those of a window."""
    from loaders.ingest import ingest as load

    with reported():
        report = load(load_settings(), window=window_of(partition, from_, to), progress=show_progress)
        say(*report.lines())
    raise typer.Exit(0 if report.is_complete else 1)


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port on this machine.")] = 3000) -> None:
    """Open Dagster with the asset graph, on the instance that `omni run` writes to."""
    import os
    import sys

    from orchestration.instance.home import dagster_environment

    with reported():
        command = [str(Path(sys.executable).with_name("dagster")), "dev", "--port", str(port)]
        os.chdir(PROJECT_ROOT)
        os.execve(command[0], command, {**os.environ, **dagster_environment(load_settings())})


@app.command()
def status(
    from_: FromOption = None,
    to: ToOption = None,
    asset: Annotated[list[str] | None, typer.Option("--asset", help="Only this one; may be given again.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the verdict matrix (asset × day), what is not ready and why."""
    with reported():
        if as_json:
            readiness, days = _readiness(from_, to)
            nodes = [readiness.graph[name] for name in asset or readiness.graph.nodes]
            wanted = [(node.name, key) for node in nodes for key in (days if node.is_partitioned else [WHOLE])]
            verdicts = [readiness.verdict(*each) for each in wanted]
            results = check_results(open_filled_ledger(load_settings()), verdicts)
            console.print_json(data=[verdict_json(readiness.graph, verdict, results) for verdict in verdicts])
        elif not _print_status(from_, to, asset):
            raise typer.Exit(1)


@app.command()
def digest(asset: str, partition: PartitionOption = None) -> None:
    """Print one line: a hash of the content, the rows, the asset. Independent of order and of the run that wrote it."""
    from lakehouse.tables.catalog import open_catalog
    from lakehouse.tables.digest import content_digest, find_table

    with reported():
        key = parse_day(partition).isoformat() if partition else WHOLE
        value, rows = content_digest(find_table(open_catalog(load_settings()), asset), key)
        say(f"{value} {rows} rows {asset} {key}".rstrip())


@app.command()
def simulate(
    target: Annotated[Path, typer.Option(help="Folder to write manifests and source files to.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 42,
    tickets: Annotated[int, typer.Option(help="Number of tickets.")] = 500,
    start: Annotated[str, typer.Option(help="First UTC day.")] = "2026-04-01",
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
                write_sample(target, seed=seed, tickets=tickets, start=parse_day(start), days=days)
        except (ValueError, FileExistsError) as error:
            raise ConfigurationError(str(error)) from error
        say(f"wrote {target}; next: OMNI_MANIFESTS={target} omni run")


@app.command()
def coverage(
    asset: Annotated[
        str | None, typer.Argument(help="A Bronze asset, such as raw_ticket_events; default: all.")
    ] = None,
    from_: FromOption = None,
    to: ToOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what is expected: per day the records and files that the admitted sources hold, as last looked at."""
    from lakehouse.contracts.registry import load_contracts
    from orchestration.report.coverage_table import coverage_json, coverage_lines

    with reported():
        settings, window = load_settings(), window_of(None, from_, to)
        contracts, ledger = load_contracts(settings), open_filled_ledger(settings)
        assets = contracts.assets if asset is None else [contracts.of_asset(asset).declared_asset.name]
        if as_json:
            console.print_json(data=coverage_json(ledger, assets, window))
        else:
            say(*coverage_lines(ledger, assets, window))


def _readiness(from_: str | None, to: str | None) -> tuple[Any, list[str]]:
    """Verdicts, and the days to show: those of the window, else all from the first to the last that has any."""
    from orchestration.readiness.asset_graph import load_asset_graph
    from orchestration.readiness.readiness import readiness_now

    settings = load_settings()
    readiness = readiness_now(settings, load_asset_graph(settings), open_filled_ledger(settings))
    known = readiness.days()
    if not known and not (from_ and to):
        return readiness, []
    return readiness, Window.of_keys(from_ or known[0], to or known[-1]).keys


def _print_status(from_: str | None, to: str | None, assets: list[str] | None) -> bool:
    """Print the matrix, what is wrong and what is awaited; returns whether no asset has a problem of no partition."""
    from orchestration.report.verdict_table import accepted_on, print_awaited, print_matrix, print_problems, problems

    readiness, days = _readiness(from_, to)
    nodes = [readiness.graph[name] for name in assets or readiness.graph.nodes]
    undated = [(node.name, problem) for node in nodes for problem in readiness.warnings.get(node.name, ())]
    say(*(f"problem: {name}: {problem}; it may hold any day" for name, problem in undated))
    if not days:
        say("nothing has arrived yet; next: omni run")
        return not undated
    print_matrix(Console(highlight=False, markup=False, emoji=False), readiness, days, nodes)
    found = problems(readiness, days, nodes)
    print_problems(console, found)
    print_awaited(console, readiness, days, nodes)
    say(*(f"accepted: {each.said}" for each in accepted_on(readiness, days, nodes)))
    if not found and not undated:
        say("next: everything is ready to consume; `make ui` shows the graph")
    return not undated
