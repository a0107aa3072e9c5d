"""Looking at the files of a listing for coverage: each is one row, of the day of its batch, told by its bytes."""

from pathlib import Path

import duckdb

from lakehouse.contracts.model import Contract
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from loaders.manifests.admission import Admission
from loaders.plans.plan import CountedDay, FileContent
from loaders.snapshots.formats import HEAD_BYTES, describe, is_paged
from loaders.sources.files import SourceFile
from loaders.sources.reading import verify_file


class FileReader:
    """Looks at files that are rows themselves."""

    def __init__(
        self, settings: LakehouseSettings, contract: Contract, connection: duckdb.DuckDBPyConnection, scratch: Path
    ) -> None:
        """Nothing of the lakehouse is needed: a listing is dated by its batch."""

    def declared_days(self, admission: Admission, name: str) -> Window | None:
        """Not told: a listing is looked at whole, whatever days are asked for."""
        return None

    def days_by_name(self, admission: Admission, name: str) -> set[str]:
        """The day of the batch."""
        return {admission.manifest.snapshot_date.isoformat()}

    def read(self, admission: Admission, file: SourceFile) -> FileContent:
        """Fingerprint a file, proven whole; what its head says of it, where that is asked for and is enough."""
        head, source = bytearray(), admission.source
        sha256 = verify_file(file, source, lambda stored: head.extend(stored[: HEAD_BYTES - len(head)]))
        is_told = source.title or is_paged(source.asset_type, file.name)
        described = None if is_told else describe(lambda _: bytes(head), source.asset_type, file.name)
        day = CountedDay(admission.manifest.snapshot_date.isoformat(), 1, sha256)
        return FileContent(sha256, [day], described)
