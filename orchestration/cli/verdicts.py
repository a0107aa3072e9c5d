"""`omni ready` and `omni explain`: shells around `orchestration.cli.answers`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from lakehouse.errors import ConfigurationError
from lakehouse.partitions import WHOLE
from orchestration.cli.console import DAY, JsonOption, asset_names, day, reported

AssetArgument = Annotated[str, typer.Argument(autocompletion=asset_names, help="Such as support_kpi_daily.")]


def ready_command(
    asset: AssetArgument,
    partitions: Annotated[
        list[str] | None,
        typer.Argument(parser=day, metavar="[DAY]...", help="UTC days; none for what is not partitioned."),
    ] = None,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", help="So long, until all are ready.")] = 0,
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="INSTANT", help="By what was known then.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether asset partitions are safe to consume: exit 0 all are ready, 1 some are not, 2 error."""
    with reported():
        at = None if as_of is None else _past_instant(as_of, wait)
        from orchestration.cli.answers import answer

        is_ready = answer(asset, partitions or [], wait, at, as_json=as_json)
    raise typer.Exit(0 if is_ready else 1)


def explain_command(
    asset: AssetArgument,
    partition: Annotated[
        str | None, typer.Argument(parser=day, metavar=f"[{DAY}]", help="UTC day; none for what is not partitioned.")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="What was said of it before, and since when.")] = False,
) -> None:
    """Show why an asset partition is (not) ready: the chain of reasons up to the root cause, and what mends it."""
    with reported():
        from orchestration.cli.answers import explain

        explain(asset, partition or WHOLE, history=history)


def _past_instant(text: str, wait: float) -> datetime:
    """The instant (UTC) that `--as-of` names.

    Raises:
        ConfigurationError: it is none, or not past, or is to be waited for.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ConfigurationError(f"--as-of {text}: expected an instant with its offset, such as 2026-05-01T06:00:00Z")
    if at > datetime.now(UTC):
        raise ConfigurationError(f"--as-of {text}: expected an instant that is past; next: leave --as-of out for now")
    if wait:
        raise ConfigurationError("--as-of and --wait: what was said then will not change; next: leave one out")
    return at.astimezone(UTC)
