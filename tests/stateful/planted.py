"""Faults that the product might have, each put into it by name: the machine must fail of every one."""

from typing import Any
from unittest.mock import patch

import loaders.ingest
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import ONE_DAY, Window
from loaders import seed_loader
from loaders.bronze import destination
from loaders.manifests.admission import Admission
from loaders.plans import plan
from loaders.sources import files
from orchestration.readiness import readiness, verdicts
from orchestration.readiness.foreign_writes import WrittenElsewhere
from orchestration.readiness.readiness import Readiness


def _replays_last(covered: Any, real: Any = plan.batch_order) -> tuple[object, ...]:
    return (covered.admission.manifest.load_mode == "replay", *real(covered))


def _a_day_more(table: Any, asset: str, window: Window, real: Any = destination.rows_of) -> Any:
    return real(table, asset, Window(window.first, window.end + ONE_DAY))


FAULTS: dict[str, list[Any]] = {
    "a changed file passes for unchanged": [patch.object(files, "_stamp", lambda _: "the same")],
    "a verdict ignores changed inputs": [patch.object(Readiness, "_changed_inputs", lambda *_: ())],
    "a verdict ignores edited logic": [patch.object(readiness, "_changed_logic", lambda *_: None)],
    "a verdict ignores checks that have not run": [patch.object(verdicts, "_unchecked", lambda _: [])],
    "what someone else wrote is not noticed": [
        patch.object(WrittenElsewhere, "change", lambda *_: None),
        patch.object(WrittenElsewhere, "is_unsettled", lambda *_: False),
    ],
    "a replay counts as the latest batch": [patch.object(plan, "batch_order", _replays_last)],
    "a quarantined source is loaded": [patch.object(Admission, "is_admitted", True)],
    "a load replaces the day after its own, too": [patch.object(destination, "rows_of", _a_day_more)],
    "a commit that the ledger lacks is not recovered": [patch.object(loaders.ingest, "recover_ledger", lambda *_: 0)],
    "a person's word for a source is not heard": [patch.object(seed_loader, "_let_in", lambda admission, _: admission)],
    "a deleted source keeps its rows": [patch.object(Ledger, "forget_files", lambda *_: None)],
}
"""Fault → what puts it in its place."""
