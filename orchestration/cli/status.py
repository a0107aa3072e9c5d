"""`omni status`, and what `omni run` ends with: the verdict matrix, what is wrong and who mends it, what is awaited."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.partitions import WHOLE, Window, typed_window
from lakehouse.settings import load_settings
from orchestration.cli.console import (
    FromOption,
    JsonOption,
    Screen,
    ToOption,
    asset_names,
    console,
    open_filled_ledger,
    reported,
    say,
)

if TYPE_CHECKING:  # SQLAlchemy is opened by the commands that need it
    from orchestration.readiness.readiness import Readiness

_MOST_DAYS = 92
"""That are drawn where nobody asks for more: a quarter."""


def status_command(
    from_: FromOption = None,
    to: ToOption = None,
    asset: Annotated[
        list[str] | None, typer.Option("--asset", autocompletion=asset_names, help="Only this one; may be given again.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the verdict matrix (asset × day), what is not ready and why."""
    with reported():
        if from_ and to:
            typed_window(None, from_, to)
        if as_json:
            _print_json(from_, to, asset)
        elif not print_status(from_, to, asset):
            raise typer.Exit(1)


def print_status(
    from_: str | None = None,
    to: str | None = None,
    assets: list[str] | None = None,
    outcome: Sequence[str] = (),
    *,
    is_complete: bool = True,
) -> bool:
    """Print the matrix, what is wrong and what is awaited.

    Args:
        from_: First day to show; default: the first that has any verdict, of which the matrix draws a quarter at most.
        to: Last day to show; default: the last that has any.
        assets: Those to show; default: all.
        outcome: What a run has come to, printed first, without what the verdicts say again.
        is_complete: Whether that run left nothing undone, a manifest that is refused among it.

    Returns:
        Whether no asset has a problem of no partition.
    """
    from orchestration.readiness.root_causes import explain
    from orchestration.report.verdict_table import (
        accepted_on,
        print_awaited,
        print_causes,
        print_matrix,
        problems,
    )

    readiness, days = _readiness(from_, to)
    nodes = [readiness.graph[name] for name in assets or readiness.graph.nodes]
    causes, waiting = explain(problems(readiness, days, nodes))
    undated = {problem: node.name for node in nodes for problem in readiness.warnings.get(node.name, ())}
    said = {*undated, *(reason for cause in causes for reason in cause.reasons)}
    say(*(line for line in outcome if not any(reason in line for reason in said)))
    say(*(f"problem: {name}: {problem}; it may hold any day" for problem, name in undated.items()))
    if not days:
        say("nothing has arrived yet; next: omni run")
        return not undated
    most = None if from_ or to else _MOST_DAYS
    print_matrix(Screen(highlight=False, markup=False, emoji=False), readiness, days, nodes, most)
    print_causes(console, causes, waiting)
    print_awaited(console, readiness, days, nodes)
    say(*(f"accepted: {each.said}" for each in accepted_on(readiness, days, nodes)))
    if not causes and not undated:
        is_any = any(v.status == "READY" for node in nodes for v in readiness.verdicts(node.name).values())
        if not is_complete:
            say("next: mend what is said above the days; no verdict knows of it")
        elif is_any:
            say("next: everything is ready to consume; `make ui` shows the graph")
        else:
            say("nothing is ready yet: what is known is empty, or not due")
    return not undated


def _print_json(from_: str | None, to: str | None, assets: list[str] | None) -> None:
    from orchestration.readiness.verdict_json import check_results, verdict_json

    readiness, days = _readiness(from_, to)
    nodes = [readiness.graph[name] for name in assets or readiness.graph.nodes]
    wanted = [(node.name, key) for node in nodes for key in (days if node.is_partitioned else [WHOLE])]
    verdicts = [readiness.verdict(*each) for each in wanted]
    results = check_results(open_filled_ledger(load_settings()), verdicts)
    console.print_json(data=[verdict_json(readiness.graph, verdict, results) for verdict in verdicts])


def _readiness(from_: str | None, to: str | None) -> tuple["Readiness", list[str]]:
    """Verdicts, and the days to show: those of the window, else all from the first to the last that has any."""
    from orchestration.readiness.asset_graph import load_asset_graph
    from orchestration.readiness.readiness import readiness_now

    settings = load_settings()
    readiness = readiness_now(settings, load_asset_graph(settings), open_filled_ledger(settings))
    known = readiness.days()
    if not known and not (from_ and to):
        return readiness, []
    first, last = from_ or min(to or known[0], known[0]), to or max(from_ or known[-1], known[-1])
    return readiness, Window.of_keys(first, last).keys
