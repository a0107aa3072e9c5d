"""The verdict matrix (asset × day) and the list of what is not ready, for a terminal of any width."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lakehouse.counted import counted
from lakehouse.ledger.acceptances import AcceptedTogether, accepted_together
from lakehouse.partitions import WHOLE, named
from orchestration.readiness.asset_graph import AssetNode
from orchestration.readiness.readiness import Readiness
from orchestration.readiness.root_causes import RootCause, Waiting, by_reason
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
_NOTHING = (Status.EMPTY, Status.UNKNOWN)
_WEEK = 7


def print_matrix(
    console: Console, readiness: Readiness, days: list[str], nodes: Sequence[AssetNode], most: int | None = None
) -> None:
    """Print the matrix of some assets over some days, in blocks that fit the terminal, with its legend.

    Args:
        console: Where to.
        readiness: The verdicts.
        days: All that are meant: the legend counts them.
        nodes: The assets.
        most: Only so many of the latest days are drawn; default: all.
    """
    name_width = max(len(node.name) for node in nodes) + 2
    per_block = max(7, (console.width - name_width - 2) // 3)
    daily = [node.name for node in nodes if node.is_partitioned]
    drawn = days[-most:] if most else days
    columns = _columns(readiness, drawn, daily) if daily else []
    for start in range(0, len(columns), per_block):
        block = columns[start : start + per_block]
        shown = [day for day in block if day]
        title = f"{shown[0]} … {shown[-1]}" if len(shown) > 1 else shown[0]
        table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
        table.add_column("", width=name_width, no_wrap=True)
        for day in block:  # where days are left out, each says its month
            head = "…" if day is None else day[8:] if None not in block else f"{day[5:7]}\n{day[8:]}"
            table.add_column(head, width=2, justify="right", no_wrap=True)
        for name in daily:
            table.add_row(name, *("" if day is None else _symbol(readiness.verdict(name, day).status) for day in block))
        console.print(table)
    for name in (node.name for node in nodes if not node.is_partitioned):
        status = readiness.verdict(name, WHOLE).status
        console.print(
            Text.assemble(f"{name:<{name_width}}  ", _symbol(status), f"  {status.lower()} (not partitioned)")
        )
    console.print(Text("  ").join(_legend(readiness, days, nodes)))
    if earlier := len(days) - len(drawn):
        console.print(f"counted, not drawn: {counted(earlier, 'earlier day')}; next: omni status --from {days[0]}")


def _columns(readiness: Readiness, days: list[str], assets: Sequence[str]) -> list[str | None]:
    """The days to show, the first and the last among them; None stands for a week or more without anything."""
    columns: list[str | None] = []
    idle: list[str] = []
    for day in days:
        is_inner = day not in (days[0], days[-1])
        if is_inner and all(readiness.verdict(asset, day).status in _NOTHING for asset in assets):
            idle.append(day)
        else:
            columns += [None] if len(idle) >= _WEEK else idle
            columns.append(day)
            idle = []
    return columns


def print_causes(console: Console, causes: Sequence[RootCause], waiting: Sequence[Waiting]) -> None:
    """Print the root causes of what is not ready, each reason once, and how many partitions wait for them."""
    groups = by_reason(causes)
    for members, reasons in groups[:_LISTED]:
        for cause in members:
            verb = "is" if len(cause.verdicts) == 1 else "are"
            what = f" {named(cause.asset, cause.partitions)} {verb} {cause.status}"
            console.print(Text.assemble(_symbol(cause.status), what))
        for reason in reasons:
            console.print(Text(f"    {reason}"))
        # What mends a partition stands with its decisive reason.
        for step in dict.fromkeys(cause.next_step for cause in members if cause.reasons[0] in reasons):
            console.print(Text(f"    next: {step}"))
    if (more := len(groups) - _LISTED) > 0:
        console.print(f"… and {counted(more, 'more cause')}; next: omni status --json")
    if number := sum(len(group.partitions) for group in waiting):
        verb = "waits" if number == 1 else "wait"
        what = f" {counted(number, 'partition')} downstream {verb} for these"
        console.print(Text.assemble(_symbol(Status.BLOCKED), what))


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
