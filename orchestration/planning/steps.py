"""From a set of asset partitions to runs over ranges of days: as few as hold these partitions and no other."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from lakehouse.partitions import ONE_DAY, WHOLE, Window

Target = tuple[str, str]
"""Asset and partition."""

_LONGEST = 92
"""Days in one step: what a step holds in memory and loses when it is killed stays bounded."""


@dataclass(frozen=True)
class Step:
    """Assets that one run computes over the same days."""

    assets: tuple[str, ...]
    window: Window | None


def plan_steps(
    targets: Collection[Target],
    order: Sequence[str],
    window: Window | None = None,
    is_free: Callable[[Target], bool] = lambda _: False,
) -> list[Step]:
    """Group partitions: the days in order, assets in topological order, those that are not partitioned at the end.

    Args:
        targets: What is to be computed.
        order: Assets in topological order.
        window: Where no day is among the targets, the last day of it stands for those that are not partitioned.
        is_free: Partitions beside the targets that a step may cover, since there is nothing to compute.
    """
    steps = list(_daily_steps(targets, order, is_free))
    whole = tuple(name for name in order if (name, WHOLE) in targets)
    if not whole:
        return steps
    last = steps.pop() if steps else Step((), window and Window(window.end - ONE_DAY, window.end))
    return [*steps, Step((*last.assets, *whole), last.window)]


def _daily_steps(
    targets: Collection[Target], order: Sequence[str], is_free: Callable[[Target], bool]
) -> Iterator[Step]:
    keys = sorted({key for _, key in targets if key != WHOLE})
    assets, possible, days = set[str](), set(order), list[str]()
    for key in Window.of_keys(keys[0], keys[-1]).keys if keys else []:
        wanted = {name for name in order if (name, key) in targets}
        allowed = {name for name in possible if name in wanted or is_free((name, key))}
        if days and not (assets | wanted <= allowed and len(days) < _LONGEST):
            yield _step(assets, days, targets, order)
            assets, days = set(), []
            allowed = wanted | {name for name in order if is_free((name, key))}
        if days or wanted:
            assets, possible, days = assets | wanted, allowed, [*days, key]
        else:
            possible = set(order)
    if days:
        yield _step(assets, days, targets, order)


def _step(assets: set[str], days: list[str], targets: Collection[Target], order: Sequence[str]) -> Step:
    last = max(key for key in days for name in assets if (name, key) in targets)
    return Step(tuple(name for name in order if name in assets), Window.of_keys(days[0], last))
