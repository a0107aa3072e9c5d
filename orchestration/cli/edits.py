"""`omni plan` and `omni accept`: what an edit of the dbt project means for what is there, and a person's word on it."""

import getpass
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.errors import ConfigurationError
from lakehouse.partitions import WHOLE, Window, named, parse_day, typed_window
from lakehouse.settings import load_settings
from orchestration.cli.console import (
    FromOption,
    JsonOption,
    PartitionOption,
    ToOption,
    asset_names,
    console,
    open_filled_ledger,
    reported,
    say,
    show_progress,
)

if TYPE_CHECKING:  # SQLAlchemy and the engines are opened by what is typed rightly
    from lakehouse.ledger.acceptances import Acceptance
    from lakehouse.ledger.ledger import Ledger
    from orchestration.planning.edits import Touched
    from orchestration.readiness.readiness import Readiness
    from orchestration.readiness.verdicts import Verdict
    from orchestration.runs.trial import AssetDifference


def plan_command(
    diff: Annotated[bool, typer.Option("--diff", help="Build them into scratch, and say which rows differ.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say which partitions an edit of the dbt project or of a threshold touches, and why; writes nothing.

    Exit 0: none. Exit 1: some are to be computed, checked or accepted.
    """
    with reported():
        from loaders.manifests.expectation_files import expectations_in_force
        from orchestration.planning.edits import touched, unedited
        from orchestration.readiness.asset_graph import load_asset_graph
        from orchestration.readiness.readiness import Readiness

        settings = load_settings()
        graph, ledger = load_asset_graph(settings), open_filled_ledger(settings)
        now, expectations = datetime.now(UTC), expectations_in_force(settings, ledger)
        before, after = (Readiness(each, ledger, now, expectations) for each in (unedited(graph), graph))
        found = list(touched(before, after))
        rows: list[AssetDifference] | None = None
        lines: list[str] = []
        if diff:
            from orchestration.runs.trial import difference_lines, try_edit  # opens the engines

            rows = try_edit(settings, after, ledger, found, show_progress)
            lines = [line for each in rows for line in difference_lines(each)]
        if as_json:
            console.print_json(data=[_as_json(each, rows) for each in found])
        else:
            say(*map(_line, found), *lines, _summary(found))
    raise typer.Exit(1 if found else 0)


def _line(group: "Touched") -> str:
    return f"{named(group.asset, group.partitions)}: {group.before} → {group.after}: {group.reason}"


def _summary(found: list["Touched"]) -> str:
    if not found:
        return "no edit touches any partition: everything is computed and checked as the project says"
    counts = Counter[str]()
    for group in found:
        counts[group.after] += len(group.partitions)
    said = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    return f"{said}; next: omni run, or omni accept ASSET --reason '…'"


def _as_json(group: "Touched", rows: Sequence["AssetDifference"] | None) -> dict[str, object]:
    found = [each for of in rows or () if of.asset == group.asset for each in of.differences]
    return {
        "asset": group.asset,
        "partitions": [key or None for key in group.partitions],
        "before": group.before.value,
        "after": group.after.value,
        "reason": group.reason,
        "rows": None if rows is None else [asdict(each) for each in found if each.partition in group.partitions],
    }


def accept_command(
    asset: Annotated[str, typer.Argument(autocompletion=asset_names)],
    reason: Annotated[str, typer.Option("--reason", help="Why: it is recorded, and shown with the verdict.")] = "",
    partition: PartitionOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take it back.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Default: the user of this machine.")] = None,
) -> None:
    """Let stand what a model's SQL computed before it was edited: for this edit, not for the next one.

    Only its SQL: a failed check or a changed input is no less in the way.
    """
    with reported():
        window, who = typed_window(partition, from_, to), by or getpass.getuser()
        if not (undo or reason.strip()):
            raise ConfigurationError("an acceptance needs its reason; nothing was accepted; next: --reason '…'")
        from orchestration.readiness.asset_graph import load_asset_graph
        from orchestration.readiness.readiness import readiness_now

        settings = load_settings()
        graph, ledger = load_asset_graph(settings), open_filled_ledger(settings)
        readiness = readiness_now(settings, graph, ledger)
        if window is not None and not graph[asset].is_partitioned:
            raise ConfigurationError(f"{asset} is not partitioned; next: leave the days out")
        verdicts = [v for key, v in readiness.verdicts(asset).items() if _is_inside(key, window)]
        if undo:
            _undo(ledger, verdicts, who)
        else:
            _accept(readiness, ledger, verdicts, reason.strip(), who)


def _accept(readiness: "Readiness", ledger: "Ledger", verdicts: list["Verdict"], reason: str, by: str) -> None:
    from lakehouse.ledger.acceptances import Acceptance, record_acceptances

    found = []
    for verdict in verdicts:
        item, logic = verdict.evidence.materialization, readiness.graph[verdict.asset].logic
        if verdict.evidence.changed_logic and item and logic:
            about = (item.id, verdict.asset, verdict.partition, item.logic, logic)
            found.append(Acceptance(*about, reason, by, datetime.now(UTC)))
    record_acceptances(ledger, found)
    say(*_named("accepted", found), f"{len(found)} accepted")
    if not found:
        say("nothing there was computed by another SQL than the model has now")


def _undo(ledger: "Ledger", verdicts: list["Verdict"], by: str) -> None:
    from lakehouse.ledger.acceptances import undo_acceptances

    found = [verdict.evidence.acceptance for verdict in verdicts if verdict.evidence.acceptance]
    undo_acceptances(ledger, found, by, datetime.now(UTC))
    say(*_named("taken back", found), f"{len(found)} taken back")


def _named(done: str, found: list["Acceptance"]) -> list[str]:
    """What was done, of the days of one asset."""
    return [f"{done} {named(found[0].asset, [item.partition for item in found])}"] if found else []


def _is_inside(key: str, window: Window | None) -> bool:
    return window is None or key == WHOLE or parse_day(key) in window
