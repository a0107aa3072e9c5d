"""The verdict matrix (asset × day) and the list of what is not ready, for a terminal of any width."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lakehouse.ledger.acceptances import AcceptedTogether, accepted_together
from lakehouse.partitions import WHOLE
from orchestration.readiness.asset_graph import AssetNode
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.root_causes import explain
from orchestration.readiness.verdicts import Status, Verdict

SYMBOLS: dict[Status, tuple[str, str]] = {
    Status.READY: ("R", "green"),
    Status.EMPTY: ("·", "dim"),
    Status.UNKNOWN: ("?", "dim"),
    Status.PENDING: ("P", "cyan"),
    Status.MISSING: ("M", "bold red"),
    Status.FAILED: ("F", "bold white on red"),
    Status.UNCHECKED: ("U", "yellow"),
    Status.STALE: ("S", "bold yellow"),
    Status.BLOCKED: ("B", "magenta"),
}
"""A letter each, so that the matrix reads without colour."""

_LISTED = 10


def print_matrix(console: Console, readiness: Readiness, days: list[str], nodes: Sequence[AssetNode]) -> None:
    """Print the matrix of some assets over some days, in blocks that fit the terminal, with its legend."""
    name_width = max(len(node.name) for node in nodes) + 2
    per_block = max(7, (console.width - name_width - 2) // 3)
    for start in range(0, len(days), per_block):
        block = days[start : start + per_block]
        title = f"{block[0]} … {block[-1]}" if len(block) > 1 else block[0]
        table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
        table.add_column("", width=name_width, no_wrap=True)
        for day in block:
            table.add_column(day[8:], width=2, justify="right", no_wrap=True)
        for name in (node.name for node in nodes if node.is_partitioned):
            table.add_row(name, *(_symbol(readiness.verdict(name, day).status) for day in block))
        console.print(table)
    for name in (node.name for node in nodes if not node.is_partitioned):
        status = readiness.verdict(name, WHOLE).status
        console.print(
            Text.assemble(f"{name:<{name_width}}  ", _symbol(status), f"  {status.lower()} (not partitioned)")
        )
    console.print(Text("  ").join(_legend(readiness, days, nodes)))


def print_problems(console: Console, verdicts: list[Verdict]) -> None:
    """Print the root causes of what is not ready, alike ones together, and how many partitions wait for them."""
    causes, waiting = explain(verdicts)
    for cause in causes[:_LISTED]:
        what = f"{cause.asset} {_listed(cause.partitions)}".strip()
        verb = "is" if len(cause.verdicts) == 1 else "are"
        console.print(Text.assemble(_symbol(cause.status), f" {what} {verb} {cause.status}"))
        for reason in cause.reasons:
            console.print(Text(f"    {reason}"))
        console.print(Text(f"    next: {cause.next_step}"))
    if len(causes) > _LISTED:
        console.print(f"… and {len(causes) - _LISTED} more causes; next: omni status --json")
    if number := sum(len(group.partitions) for group in waiting):
        console.print(Text.assemble(_symbol(Status.BLOCKED), f" {number} partitions downstream wait for these"))


def _listed(partitions: list[str]) -> str:
    more = len(partitions) - _LISTED
    return ", ".join(partitions[:_LISTED]) + (f" and {more} more days" if more > 0 else "")


def print_awaited(console: Console, readiness: Readiness, days: list[str], nodes: Sequence[AssetNode]) -> None:
    """Print what is expected on some days and not due yet, the earliest first."""
    wanted = {*days}
    found = [
        (each.due_at, verdict.name, each.reason)
        for node in nodes
        for key, verdict in readiness.verdicts(node.name).items()
        if key in wanted and verdict.status is Status.PENDING
        for each in verdict.evidence.awaited
    ]
    for _, name, reason in sorted(found):
        console.print(Text.assemble(_symbol(Status.PENDING), f" {name}: {reason}"))


def problems(readiness: Readiness, days: list[str], nodes: Sequence[AssetNode]) -> list[Verdict]:
    """Verdicts on some assets where something is wrong: on some days, and where they are not partitioned."""
    return [verdict for verdict in _verdicts(readiness, days, nodes) if verdict.is_problem]


def accepted_on(readiness: Readiness, days: list[str], nodes: Sequence[AssetNode]) -> list[AcceptedTogether]:
    """What stands on a person's word, of some assets: on some days, and where they are not partitioned."""
    return accepted_together(word for v in _verdicts(readiness, days, nodes) if (word := v.evidence.acceptance))


def _verdicts(readiness: Readiness, days: list[str], nodes: Sequence[AssetNode]) -> Iterator[Verdict]:
    wanted = {*days, WHOLE}
    for node in nodes:
        yield from (verdict for key, verdict in readiness.verdicts(node.name).items() if key in wanted)


def _symbol(status: Status) -> Text:
    return Text(*SYMBOLS[status])


def _legend(readiness: Readiness, days: list[str], nodes: Sequence[AssetNode]) -> Iterator[Text]:
    counts = Counter(
        readiness.verdict(node.name, key).status for node in nodes for key in (days if node.is_partitioned else [WHOLE])
    )
    for status, number in sorted(counts.items(), key=lambda item: list(Status).index(item[0])):
        yield Text.assemble(_symbol(status), f" {status.lower()} {number}")
