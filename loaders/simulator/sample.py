"""Write a whole simulated sample: manifests, ticket files, document files and their exact counts.

The one module here that touches the disk, and the entry point of the package: the `omni simulate` command and
the tests call `simulate`. The same arguments give the same bytes on every machine; compression is pyarrow's
own zstd for that reason.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa

from loaders.simulator.counts import Counts
from loaders.simulator.crm import Row, csv_text, derived_event_type, list_crm_tickets
from loaders.simulator.declarations import (
    Json,
    declare_documents,
    declare_tickets,
    document_asset,
    ticket_asset,
)
from loaders.simulator.disorder import Export, export_daily, reexport
from loaders.simulator.documents import COLLECTIONS, Collection, Listing, count_changes, listings, render
from loaders.simulator.lives import Event, live
from loaders.simulator.timeline import Timeline

__all__ = ["Counts", "simulate"]

_FOLDER = "sample"
_COUNTS = f"{_FOLDER}/counts.json"
_ZSTD_LEVEL = 12


def simulate(
    target: Path, *, seed: int = 42, tickets: int = 500, start: date = date(2026, 4, 1), days: int = 30
) -> Counts:
    """Write a manifest folder for a simulated support desk.

    Writes `<target>/manifest-*.json` and `<target>/sample/`; an earlier sample there is replaced, nothing
    else is touched.

    Args:
        target: The manifest folder; made where it does not exist.
        seed: Chooses everything that is left to chance.
        tickets: Tickets of the event-exporting desk, about 5.5 events each; the other desk has 40.
        start: First UTC day.
        days: How many days, at least 28: the scripted disorder and the snapshots need them.

    Returns:
        What was written, counted while it was made; also in `<target>/sample/counts.json`.

    Raises:
        ValueError: `days` is too small, or `tickets` is less than 1.
        FileExistsError: `<target>/sample` exists and is no sample of this simulator.
    """
    if tickets < 1:
        raise ValueError(f"tickets is {tickets}, expected at least 1; next: ask for one ticket or more")
    timeline = Timeline(start, days)
    _remove_earlier_sample(target)
    events = list(live(seed, tickets, timeline))
    export = export_daily(seed, events, timeline)
    again, corrected = reexport(seed, events, timeline)
    crm = list_crm_tickets(seed, timeline)
    files, manifests = _ticket_files(timeline, export, again, crm)
    for collection in COLLECTIONS:
        _add_documents(seed, timeline, collection, files, manifests)
    for manifest in manifests:
        files[f"{manifest['manifest_id']}.json"] = _text(json.dumps(manifest, indent=2) + "\n")
    counts = _count(timeline, events, export, crm, files, reexported=len(again), corrected=corrected)
    _write(target, files | {_COUNTS: _text(counts.to_json())})
    return counts


def _ticket_files(
    timeline: Timeline, export: Export, again: list[str], crm: list[Row]
) -> tuple[dict[str, bytes], list[Json]]:
    """Return the ticket files by path, and the three manifests that declare them."""
    daily = {day: f"{_FOLDER}/tickets/{day}.jsonl.zst" for day in export.lines}
    first, last = timeline.reexport_days[0], timeline.reexport_days[-1]
    second = f"{_FOLDER}/tickets_reexport/reexport-{first}-{last:%d}.jsonl.zst"
    other = f"{_FOLDER}/crm/tickets.csv"
    files = {path: _compressed(export.lines[day]) for day, path in daily.items()}
    files |= {second: _compressed(again), other: _text(csv_text(crm))}
    exported_on = timeline.last + timedelta(days=1)
    next_day = exported_on + timedelta(days=1)
    daily_assets = [ticket_asset(f"tickets-{day}", path, files[path]) for day, path in daily.items()]
    second_asset = ticket_asset(f"tickets-reexport-{first}-{last:%d}", second, files[second])
    other_asset = ticket_asset("crm-tickets", other, files[other])
    return files, [
        declare_tickets("tickets", exported_on, daily_assets, _NOTES["tickets"]),
        declare_tickets("tickets-reexport", next_day, [second_asset], _NOTES["reexport"]),
        declare_tickets("crm", exported_on, [other_asset], _NOTES["crm"]),
    ]


_NOTES = {
    "tickets": "Simulated. One file per day of arrival; mail addresses use the reserved example.com.",
    "reexport": "Simulated. Three days of occurrence again, some categories corrected; the newer wins.",
    "crm": "Simulated. Another desk without events: one row per ticket, as it stood at the export.",
}


def _add_documents(
    seed: int, timeline: Timeline, collection: Collection, files: dict[str, bytes], manifests: list[Json]
) -> None:
    """Add the files and the manifests of all snapshots; an unchanged version keeps its earlier path."""
    for snapshot in range(len(timeline.snapshot_days)):
        assets = []
        for listing in listings(collection, snapshot):
            path = _document_path(timeline, collection, listing)
            files.setdefault(path, _text(render(seed, listing.document, listing.version)))
            assets.append(document_asset(collection, listing, path, files[path]))
        manifests.append(declare_documents(collection, timeline, snapshot, assets))


def _document_path(timeline: Timeline, collection: Collection, listing: Listing) -> str:
    day = timeline.snapshot_days[listing.first_listed]
    return f"{_FOLDER}/docs/{collection.name}/{day}/{listing.document.slug}.{listing.document.suffix}"


def _count(
    timeline: Timeline,
    events: list[Event],
    export: Export,
    crm: list[Row],
    files: dict[str, bytes],
    *,
    reexported: int,
    corrected: int,
) -> Counts:
    lines_per_file = {day.isoformat(): len(lines) for day, lines in export.lines.items()}
    last = {event.ticket_id: json.loads(event.line) for event in events}
    closed = [state for state in last.values() if state["status"] == "closed"]
    days = [str(event.occurred_at.date()) for event in events] + [row["updated_at"][:10] for row in crm]
    types = [event.event_type for event in events] + [derived_event_type(row) for row in crm]
    return Counts(
        manifests=tuple(sorted(path for path in files if "/" not in path)),
        files=_tally(path.split("/")[1] for path in files if "/" in path),
        lines={"crm": len(crm), "tickets": sum(lines_per_file.values()), "tickets_reexport": reexported},
        lines_per_file=lines_per_file,
        events=len(events) + len(crm),
        events_by_source={"crm": len(crm), "tickets": len(events)},
        events_per_day=_tally(days),
        event_types=_tally(types),
        tickets_by_source={"crm": len(crm), "tickets": len(last)},
        tickets_open_at_end=sum(state["status"] not in ("resolved", "closed") for state in last.values()),
        tickets_closed_unresolved=sum("resolved_at" not in state for state in closed),
        bad=dict(sorted(export.bad.items())),
        bad_per_file={day.isoformat(): count for day, count in export.bad_per_file.items()},
        late=export.late,
        duplicates=export.duplicates,
        reexported=reexported,
        corrected=corrected,
        docs={
            collection.name: {
                day.isoformat(): count_changes(collection, index) for index, day in enumerate(timeline.snapshot_days)
            }
            for collection in COLLECTIONS
        },
    )


def _tally(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _text(text: str) -> bytes:
    return text.encode()


def _compressed(lines: list[str]) -> bytes:
    plain = _text("".join(f"{line}\n" for line in lines))
    return bytes(pa.Codec("zstd", compression_level=_ZSTD_LEVEL).compress(plain, asbytes=True))


def _remove_earlier_sample(target: Path) -> None:
    """Remove the sample and the manifests that its own counts name, and nothing else."""
    folder, counts = target / _FOLDER, target / _COUNTS
    if not folder.exists():
        return
    if not counts.is_file():
        raise FileExistsError(
            f"{folder} exists without counts.json, expected a sample of this simulator; next: name another target"
        )
    for name in json.loads(counts.read_text(encoding="utf-8"))["manifests"]:
        (target / Path(name).name).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _write(target: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(content)
