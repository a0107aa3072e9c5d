"""A manifest of many sources to measure with; there are no files behind them, for admission reads none."""

import json
from pathlib import Path

from tests.bench.cache import kept
from tests.conftest import source, ticket_manifest


def declared(sources: int) -> str:
    """Manifest folder with one manifest."""
    assets = [source(f"source-{number}", f"2026/{number}.jsonl.gz") for number in range(sources)]
    manifest = json.dumps(ticket_manifest(assets))

    def write(folder: Path) -> None:
        (folder / "tickets.json").write_text(manifest, "utf-8")

    return kept(f"sources-{sources}", manifest, write)
