"""A small line chart of one figure over days, as coordinates for a template to draw. Gaps stay gaps. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

WIDTH, HEIGHT, _MARGIN = 240, 56, 5

Point = tuple[float, float]


@dataclass(frozen=True)
class Sparkline:
    """Where to draw, in a box of `WIDTH` by `HEIGHT`, the larger values higher up."""

    lines: list[list[Point]]
    """Days in a row that have a value."""
    doubts: list[Point]
    """Values of days that are not to be trusted."""
    label: str
    """What a reader would see, in words."""


def sparkline(
    days: Sequence[str], values: Mapping[str, float | None], untrusted: Collection[str], name: str
) -> Sparkline | None:
    """The values of these days, from 0 (or the smallest, where that is negative) to the largest; None without any."""
    known = [value for day in days if (value := values.get(day)) is not None]
    if not known:
        return None
    low, high = min(0.0, *known), max(known)
    step = (WIDTH - 2 * _MARGIN) / max(1, len(days) - 1)
    points = [
        (day, (round(_MARGIN + number * step, 1), _y(value, low, high)))
        for number, day in enumerate(days)
        if (value := values.get(day)) is not None
    ]
    order = {day: number for number, day in enumerate(days)}
    runs = groupby(enumerate(points), key=lambda each: order[each[1][0]] - each[0])
    lines = [[point for _, (_, point) in run] for _, run in runs]
    doubts = {day: point for day, point in points if day in untrusted}
    note = f"; not to be trusted: {', '.join(doubts)}" if doubts else ""
    label = f"{name}: lowest {min(known):g}, highest {high:g}, last {known[-1]:g}{note}"
    return Sparkline(lines, list(doubts.values()), label)


def _y(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return round(HEIGHT - _MARGIN - share * (HEIGHT - 2 * _MARGIN), 1)
