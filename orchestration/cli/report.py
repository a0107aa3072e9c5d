"""`omni report`: what the lakehouse holds, what changed and what stands in the way, as files to keep and to send."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lakehouse.errors import ConfigurationError
from lakehouse.settings import load_settings
from orchestration.cli.console import FromOption, ToOption, reported, say, window_of

report_app = typer.Typer(invoke_without_command=True, help="Write what is ready, what changed and what is blocked.")

OutputOption = Annotated[Path | None, typer.Option("--output", help="A folder to write to, too, such as reports.")]
RunOption = Annotated[str | None, typer.Option("--run", help="What this run wrote and changed.")]


@report_app.callback()
def report(
    context: typer.Context,
    run: RunOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    output: OutputOption = None,
) -> None:
    """Write a report on a run, on a range of days, or on everything: an HTML page, Markdown, the evidence as JSON.

    Files go to OMNI_HOME/reports. Exit 0 written, 2 error.
    """
    if context.invoked_subcommand is not None:
        return
    from lakehouse.ledger.ledger import open_ledger
    from lakehouse.tables.catalog import open_catalog
    from loaders.manifests.expectation_files import expectations_in_force
    from orchestration.readiness.asset_graph import load_asset_graph
    from orchestration.report.pages import as_html, as_markdown
    from orchestration.report.report import build_report

    with reported():
        settings, window = load_settings(), window_of(None, from_, to)
        if run is not None and window is not None:
            raise ConfigurationError("--run names its own days; next: leave out --from and --to")
        ledger = open_ledger(settings)
        content = build_report(
            load_asset_graph(settings),
            ledger,
            open_catalog(settings),
            expectations=expectations_in_force(settings, ledger),
            generated_at=datetime.now(UTC),
            window=window,
            run_id=run,
        )
        days = f"{content.days[0]}-to-{content.days[-1]}" if content.days else "no-days"
        name = re.sub(r"[^\w.-]", "_", f"run-{run}" if run is not None else days)
        files = {
            f"report-{name}.html": as_html(content),
            f"report-{name}.md": as_markdown(content),
            f"evidence-{name}.json": json.dumps(content.evidence, indent=1, ensure_ascii=False) + "\n",
        }
        for folder in (settings.home / "reports", *([output] if output else [])):
            folder.mkdir(parents=True, exist_ok=True)
            for file, text in files.items():
                (folder / file).write_text(text, "utf-8")
                say(f"wrote {folder / file}")


@report_app.command("smoke")
def smoke(
    output: Annotated[Path | None, typer.Option("--output", help="File; default: under OMNI_HOME/reports.")] = None,
) -> None:
    """Write what Dagster recorded: assets, their metadata, their checks, and what is still planned.

    Exit 0: sound. Exit 1: an asset was never materialized, lacks metadata, or has a check that blocks. Exit 2: error.
    """
    from orchestration.readiness.asset_graph import load_asset_graph
    from orchestration.report.smoke_report import build_smoke_report, smoke_markdown

    with reported():
        settings = load_settings()
        content = build_smoke_report(settings, load_asset_graph(settings), datetime.now(UTC))
        file = output or settings.home / "reports" / "dagster_materialization_smoke_report.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(smoke_markdown(content), "utf-8")
        say(f"wrote {file}")
    raise typer.Exit(0 if content.is_sound else 1)
