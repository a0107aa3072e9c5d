"""Files that a source declares beside its own (a transcript, the text of its frames, its sound): found and read.

Which fields of a source name one says the contract. A sidecar that cannot be read is as if its document could not be.
Called by `loaders.bronze.coverage` and `loaders.snapshots.reading`; `loaders.snapshots.staging` stores the bytes.
"""

from collections.abc import Sequence

from lakehouse.contracts.model import Contract
from lakehouse.ledger.evidence import Sidecar
from lakehouse.settings import LakehouseSettings
from loaders.errors import SourceUnreadable
from loaders.manifests.admission import Admission
from loaders.manifests.manifest import Source
from loaders.sources.files import SourceFile, find_files
from loaders.sources.reading import verify_file


def find_sidecars(
    settings: LakehouseSettings, contract: Contract, admission: Admission, files: Sequence[SourceFile]
) -> dict[str, SourceFile]:
    """Find the sidecars of a source with these files; column → file.

    Raises:
        SourceUnreadable: one is not there, or is no single file; or the source itself is none, so that whose sidecar
            it is cannot be told.
    """
    source = admission.source
    columns = [column for column in contract.sidecars if getattr(source, column) is not None]
    if columns and not _is_one(files, source.source_url_or_path):
        raise SourceUnreadable(
            f"{source.source_id}: {source.source_url_or_path} is a folder or a pattern and declares "
            f"{', '.join(columns)}, expected one file that it belongs to; next: declare each file as its own source"
        )
    return {column: _find(settings, admission, column) for column in columns}


def read_sidecar(source: Source, file: SourceFile) -> Sidecar:
    """Read a sidecar of a source once, proven whole.

    Raises:
        SourceUnreadable: it cannot be read, or is empty.
    """
    sizes: list[int] = []
    undeclared = source.model_copy(update={"checksum_sha256": None, "size_bytes": None})  # these are the source's own
    sha256 = verify_file(file, undeclared, lambda stored: sizes.append(len(stored)))
    if not sum(sizes):
        raise SourceUnreadable(
            f"{source.source_id}: {file.name} is empty, expected a sidecar with content; next: export it again, or "
            "declare none"
        )
    return Sidecar(sha256, sum(sizes))


def _find(settings: LakehouseSettings, admission: Admission, column: str) -> SourceFile:
    source = admission.source
    declared = getattr(source, column)
    files = find_files(settings, admission.file.path, source, column)
    if not _is_one(files, declared):
        raise SourceUnreadable(
            f"{source.source_id}, {column}: {declared} is a folder or a pattern, expected one file; next: name the file"
        )
    return files[0]


def _is_one(files: Sequence[SourceFile], declared: str) -> bool:
    """Whether a declared path is a file itself: what a folder or a pattern stands for has other names."""
    return [file.name for file in files] == [declared]
