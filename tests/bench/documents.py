"""Documents to measure with: two snapshots of one collection, a week apart, in which few documents differ.

Each snapshot is a folder of its own. Writing the changes into the first folder would be another thing: the first
manifest still declares it, so the first day would be computed again from bytes that it never held.
"""

import json
import os
import random
from pathlib import Path

from tests.bench.cache import kept
from tests.conftest import document_manifest, source

_SNAPSHOTS = ("2026-04-01", "2026-04-08")

_WORDS = ("gateway", "connection", "tenant", "key", "sync", "session", "dashboard", "export", "retry", "quota")


def snapshot_folders(documents: int, size_bytes: int, changed_every: int) -> str:
    """Folder with, per snapshot, a folder of documents and its manifest; an unchanged document is a link to the first.

    Args:
        documents: How many, in each snapshot.
        size_bytes: Size of a document.
        changed_every: One document in so many differs in the second snapshot.
    """
    manifests = {day: json.dumps(document_manifest(day, [source("help", day, "html")])) for day in _SNAPSHOTS}

    def write(folder: Path) -> None:
        for day, manifest in manifests.items():
            (folder / day).mkdir()
            (folder / f"{day}.json").write_text(manifest, "utf-8")
        first, second = (folder / day for day in _SNAPSHOTS)
        for number in range(documents):
            name = f"{number:06}.html"
            (first / name).write_bytes(_document(number, size_bytes))
            if number % changed_every:
                os.link(first / name, second / name)
            else:
                (second / name).write_bytes(_document(number + documents, size_bytes))

    return kept(f"documents-{documents}-{size_bytes}-{changed_every}", "".join(manifests.values()), write)


def _document(number: int, size_bytes: int) -> bytes:
    words = random.Random(number).choices(_WORDS, k=size_bytes // 4)
    return f"<h1>{number}</h1> {' '.join(words)}".encode()[:size_bytes]
