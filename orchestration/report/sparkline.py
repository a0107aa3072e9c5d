"""A small line chart as inline SVG: one figure over days. Gaps stay gaps; days that cannot be trusted are marked.

Pure; no scripts, no fonts, no external parts. The text alternative says what a reader would see.
"""

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

_WIDTH, _HEIGHT, _MARGIN = 240, 44, 4


def sparkline(days: Sequence[str], values: dict[str, float | None], untrusted: set[str], name: str) -> Markup:
    """Draw the values of these days, from 0 (or the smallest, where that is negative) to the largest."""
    known = [value for day in days if (value := values.get(day)) is not None]
    if not known:
        return Markup("")
    low, high = min(0.0, *known), max(known)
    step = (_WIDTH - 2 * _MARGIN) / max(1, len(days) - 1)
    points = [
        (day, _MARGIN + number * step, _y(value, low, high)) if (value := values.get(day)) is not None else None
        for number, day in enumerate(days)
    ]
    lines = [list(run) for is_gap, run in groupby(points, key=lambda point: point is None) if not is_gap]
    drawn = Markup("").join(
        _line([(x, y) for point in run if point is not None for _, x, y in [point]]) for run in lines
    )
    doubts = [point for point in points if point is not None and point[0] in untrusted]
    drawn += Markup("").join(
        Markup('<rect class="doubt" x="{:.1f}" y="{:.1f}" width="5" height="5"/>').format(x - 2.5, y - 2.5)
        for _, x, y in doubts
    )
    note = f"; not to be trusted: {', '.join(day for day, _, _ in doubts)}" if doubts else ""
    label = f"{name}: lowest {min(known):g}, highest {high:g}, last {known[-1]:g}{note}"
    return Markup(
        '<svg class="spark" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">'
        "<title>{2}</title>{3}</svg>"
    ).format(_WIDTH, _HEIGHT, label, drawn)


def _y(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return _HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN)


def _line(points: Sequence[tuple[float, float]]) -> Markup:
    if len(points) == 1:
        ((x, y),) = points
        return Markup('<circle class="point" cx="{:.1f}" cy="{:.1f}" r="2"/>').format(x, y)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polyline class="line" points="{}"/>').format(path)
