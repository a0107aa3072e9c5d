"""`omni report`: the page that one opens every morning, or the same as Markdown or JSON."""

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, Literal

import typer

from lakehouse.errors import ConfigurationError
from lakehouse.partitions import InvalidPartition, Window, named_day, typed_window
from lakehouse.settings import LakehouseSettings, load_settings
from lakehouse.whole_files import replace_file
from orchestration.cli.console import FromOption, ToOption, examples, reported, say

report_app = typer.Typer(
    invoke_without_command=True, help="Write what is safe, what is new and what stands in the way."
)

LAST = "last"
Format = Literal["html", "md", "json"]
SinceOption = Annotated[
    str, typer.Option("--since", metavar="last|INSTANT", help="What is new since the last page, or since an instant.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="A page, Markdown or the evidence.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="File or folder instead of OMNI_HOME/reports; - prints it.")
]
RunOption = Annotated[str | None, typer.Option("--run", help="What this run wrote and changed.")]


@report_app.callback()
def report(
    context: typer.Context,
    since: SinceOption = LAST,
    run: RunOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    form: FormatOption = "html",
    output: OutputOption = None,
) -> None:
    """Write a report on everything, on a range of days or on a run: the answer of today first, and what is new.

    Exit 0 written, 2 error.
    """
    if context.invoked_subcommand is not None:
        return
    with reported():
        window, at = typed_window(None, from_, to), _instant(since)
        if run is not None and (window is not None or at is not None):
            raise ConfigurationError("--run names its own days and instant; next: leave out --from, --to and --since")
        _write(load_settings(), window, run, at, form, output)


def _write(
    settings: LakehouseSettings,
    window: Window | None,
    run: str | None,
    since: datetime | None,
    form: Format,
    output: Path | None,
) -> None:
    import sys

    from orchestration.report import files
    from orchestration.report.news import reports_folder

    content = files.make_report(settings, window=window, run_id=run, since=since)
    text = files.rendered(content, form)
    if output == Path("-"):
        sys.stdout.write(text)
    else:
        file = output or reports_folder(settings)
        if output is None or file.is_dir() or not file.suffix:
            file /= files.file_name(form, window, run)
        replace_file(file, text)
        say(f"wrote {file}")
    if form == "html" and window is None and run is None:
        files.keep_as_last(settings, content)


def _instant(since: str) -> datetime | None:
    """The instant (UTC) that `--since` names; None for the last page.

    Raises:
        ConfigurationError: it is none, or not past.
    """
    if since == LAST:
        return None
    now = datetime.now(UTC)
    try:
        at = datetime.combine(named_day(since, now), time(), UTC)
    except InvalidPartition:
        try:
            at = datetime.fromisoformat(since)
        except ValueError:
            at = None
    if at is None or at.tzinfo is None or at > now:
        raise ConfigurationError(
            f"--since {since}: expected last, a UTC day (2026-05-01, today, yesterday), or an instant with its offset "
            "(2026-05-01T06:00:00Z), that is past"
        )
    return at.astimezone(UTC)


@report_app.command("smoke", epilog=examples("omni report smoke"))
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
