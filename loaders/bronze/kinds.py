"""The loaders' half of the kinds (`lakehouse.kinds`): how the files of an asset are looked at, staged and checked.

One entry per form of rows; nothing else in the loaders asks what an asset is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lakehouse.contracts.model import Contract
from lakehouse.kinds import RowForm
from lakehouse.settings import LakehouseSettings
from loaders.events.checks import record_findings
from loaders.events.counting import RecordReader
from loaders.events.staging import RecordStager
from loaders.plans.findings import Found, Inspection
from loaders.plans.plan import PartitionPlan, Reader, StagedDay
from loaders.snapshots.mass_delete import listing_findings
from loaders.snapshots.reading import FileReader
from loaders.snapshots.staging import ListingStager


@dataclass(frozen=True)
class Loader:
    """How rows of one form are loaded."""

    reader: Callable[[LakehouseSettings, Contract, Path], Reader]
    """Looks at source files for coverage, with a folder for scratch files."""
    stager: Callable[[LakehouseSettings, Contract, str, Path], Callable[[PartitionPlan], StagedDay]]
    """Stages partitions for a run (its id), into a folder of the run's own."""
    findings: Callable[[Inspection], Iterable[Found]]
    """Judges partitions beside their conservation."""


LOADERS: Mapping[RowForm, Loader] = {
    "records": Loader(RecordReader, RecordStager, record_findings),
    "files": Loader(FileReader, ListingStager, listing_findings),
}
