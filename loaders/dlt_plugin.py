"""`dlt pipeline run NAME …` and `dlt pipeline NAME run …`: the Bronze pipelines under dlt's own command.

Three hooks of dlt's plugin system: a `run` sub-command under `pipeline`; a subclass of dlt's own pipeline command that
accepts the verb first and looks for pipelines where this project keeps them; and, in Python started in the repository,
the same place for `dlt.attach`. Every stock operation works on.
"""

import argparse
import os
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dlt.common.configuration import plugins
from dlt.common.configuration.plugins import only_host
from dlt.common.runtime.run_context import RunContext

from lakehouse.contracts.registry import load_contracts
from lakehouse.errors import OmniError
from lakehouse.partitions import Window, named_day, typed_window
from lakehouse.settings import PROJECT_ROOT, load_settings
from lakehouse.unicode_text import escaped


class RunCommand:
    """The sub-command `run`; dlt asks for these attributes and methods."""

    command = "run"
    parent = "pipeline"
    compose = "replace"
    help_string = "Load a Bronze pipeline, such as ticket_events or doc_snapshots"
    description = "Loads what is new or changed; with a window, its days again, whole."
    docs_url = None

    def configure_parser(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("names", nargs="*", help="pipelines, when the verb comes first")
        parser.add_argument("--partition", metavar="DAY", help="one UTC day: 2026-04-15, today, yesterday")
        parser.add_argument("--from", dest="first", metavar="DAY", help="first UTC day")
        parser.add_argument("--to", dest="last", metavar="DAY", help="last UTC day, inside")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be loaded")

    def execute(self, args: argparse.Namespace) -> None:
        """Run, print what was done, and end with status 1 where data is missing, 2 on an error."""
        names = [name for name in (getattr(args, "pipeline_name", None), *args.names) if name]
        try:
            is_complete = _run(names, args)
        except OmniError as error:
            print(escaped(f"error: {error}"), file=sys.stderr)
            raise SystemExit(2) from error
        if not is_complete:
            raise SystemExit(1)


def _run(names: list[str], args: argparse.Namespace) -> bool:
    settings = load_settings()
    pipelines = load_contracts(settings).pipelines
    if not names or not set(names) <= pipelines.keys():
        raise OmniError(f"pipeline {' '.join(names) or 'missing'}: expected {' or '.join(pipelines)}")
    window = _window(args)
    assets = [pipelines[name] for name in names]
    from loaders.ingest import ingest, preview  # only what is asked rightly opens the engines

    if args.dry_run:
        print("\n".join(map(escaped, preview(settings, assets=assets, window=window))))
        return True
    report = ingest(settings, assets=assets, window=window)
    for line in (*report.table(), *report.lines()):
        print(escaped(line))
    return report.is_complete


def _window(args: argparse.Namespace) -> Window | None:
    now = datetime.now(UTC)
    typed = (text and named_day(text, now).isoformat() for text in (args.partition, args.first, args.last))
    return typed_window(*typed)


@plugins.hookimpl(specname="plug_cli")
@only_host("dlt")
def plug_run_command(host: Any) -> Any:
    """Add `run` to `dlt pipeline`."""
    return RunCommand


@plugins.hookimpl(specname="plug_cli", tryfirst=True)
@only_host("dlt")
def plug_pipeline_command(host: Any) -> Any:
    """Let `dlt pipeline` take the verb first, and find pipelines under OMNI_HOME."""
    try:  # a private module: an upgrade of dlt may cost the verb-first form, and nothing else
        from dlt._workspace.cli.commands import PipelineCommand
    except ImportError as error:
        warnings.warn(f"`dlt pipeline run NAME` is not available with this dlt: {error}", stacklevel=1)
        return None

    class VerbFirstPipelineCommand(PipelineCommand):
        def configure_parser(self, parser: argparse.ArgumentParser) -> None:
            from loaders.bronze.pipelines import pipelines_dir

            super().configure_parser(parser)
            parser.set_defaults(pipelines_dir=str(pipelines_dir(load_settings())))
            parse_known_args = parser.parse_known_args

            def verb_last(args: Any = None, namespace: Any = None) -> Any:
                return parse_known_args(_verb_last(list(args or [])), namespace)

            parser.parse_known_args = verb_last  # type: ignore[method-assign]

    return VerbFirstPipelineCommand


class HomeContext(RunContext):
    """Of code that runs in the repository: what dlt keeps of pipelines lies under OMNI_HOME."""

    @property
    def data_dir(self) -> str:
        """Where `dlt.attach` looks, unless `DLT_DATA_DIR` says another folder."""
        return os.environ.get("DLT_DATA_DIR") or str(load_settings().home / "dlt")


@plugins.hookimpl(specname="plug_run_context")
def plug_home_context(run_dir: str | None, runtime_kwargs: dict[str, Any] | None) -> RunContext | None:
    """Take the repository for a place of its own; every other folder is dlt's."""
    return HomeContext(run_dir) if Path(run_dir or ".").resolve() == PROJECT_ROOT else None


def _verb_last(args: list[str]) -> list[str]:
    """`run NAME …` → `NAME run …`."""
    if args[:1] == ["run"] and len(args) > 1 and not args[1].startswith("-"):
        return [args[1], "run", *args[2:]]
    return args
