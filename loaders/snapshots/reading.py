"""Looking at the files of a listing for coverage: each is one row, of the day of its batch, told by its bytes."""

from pathlib import Path

from lakehouse.contracts.model import Contract
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from loaders.manifests.admission import Admission
from loaders.plans.plan import CountedDay, FileContent, UnreadFile
from loaders.snapshots.formats import HEAD_BYTES, describe, is_paged
from loaders.snapshots.sidecars import read_sidecar
from loaders.sources.reading import verify_file


class FileReader:
    """Looks at files that are rows themselves."""

    least_bytes = 1 << 13

    def __init__(self, settings: LakehouseSettings, contract: Contract, scratch: Path) -> None:
        """Nothing of the lakehouse is needed: a listing is dated by its batch."""

    def declared_days(self, admission: Admission, name: str) -> Window | None:
        """Not told: a listing is looked at whole, whatever days are asked for."""
        return None

    def days_by_name(self, admission: Admission, name: str) -> set[str]:
        """The day of the batch."""
        return {admission.manifest.snapshot_date.isoformat()}

    def __call__(self, unread: UnreadFile) -> FileContent:
        """Fingerprint a file, proven whole; what its head says of it, where that is asked for and is enough."""
        admission, file, head = unread.admission, unread.file, bytearray()
        source = admission.source
        sha256 = verify_file(file, source, lambda stored: head.extend(stored[: HEAD_BYTES - len(head)]))
        is_told = source.title or is_paged(source.asset_type, file.name)
        described = None if is_told else describe(lambda _: bytes(head), source.asset_type, file.name)
        day = CountedDay(admission.manifest.snapshot_date.isoformat(), 1, sha256)
        beside = {column: read_sidecar(source, sidecar) for column, sidecar in unread.sidecars.items()}
        return FileContent(sha256, [day], described, beside)
