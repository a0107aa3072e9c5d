"""What a run can mend: ranges of days that are not ready though nothing stands in their way, and the state they are in.

Pure, over verdicts. The main job computes these ranges; the sensor of `orchestration.graph.arrivals_sensor` asks for
them.
"""

import hashlib

from lakehouse.ledger.evidence import coverage_version
from lakehouse.partitions import WHOLE, Window, contiguous_windows, parse_day
from orchestration.readiness.readiness import Readiness

_BRIDGED_DAYS = 7
"""Days on which nothing is expected cost nothing inside a range; a range of its own would cost a dbt process."""


def windows_to_mend(readiness: Readiness) -> list[Window]:
    """Ranges of days that hold every partition that is not ready and can be mended, and no other that holds data."""
    mendable = [verdict.partition for verdict in readiness.mendable()]
    days = [key for key in mendable if key != WHOLE] or (readiness.days()[-1:] if mendable else [])
    return contiguous_windows(days, apart=readiness.days_with_data(), bridged_days=_BRIDGED_DAYS)


def state_of(readiness: Readiness, window: Window) -> str:
    """Hash of what is to be mended in a window: which partitions, why, what was written and what is expected now.

    By versions, not by commits: a run that changes nothing leaves the same state.
    """
    mendable = readiness.mendable()
    inside = [v for v in mendable if v.partition != WHOLE and parse_day(v.partition) in window]
    parts = []
    for verdict in inside or mendable:  # else what is not partitioned, which the last day stands for
        item = verdict.evidence.materialization
        expected = coverage_version(readiness.coverage.get((verdict.asset, verdict.partition), []))
        changed = ",".join(filter(None, (*verdict.evidence.changed_inputs, verdict.evidence.foreign_write)))
        logic = readiness.graph[verdict.asset].logic or ""
        parts.append(f"{verdict.name} {verdict.status} {item.version if item else ''} {expected} {changed} {logic}")
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]
