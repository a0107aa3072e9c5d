"""The exact counts of a simulated sample, as the simulator knows them from making it.

Loaders and tests compare what they find with these. Called by `sample`, which fills it and writes it to
`counts.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from loaders.simulator.documents import DocCounts


@dataclass(frozen=True)
class Counts:
    """What a sample holds. Days are UTC days as `YYYY-MM-DD`; every mapping is in ascending key order.

    A *valid* record fits its contract. Two valid records are the same event when they share an event_id; a
    CRM row has none and is an event of its own. Bad records are never events.

    Attributes:
        manifests: Names of the manifest files.
        files: Source files by kind: `tickets` (daily), `tickets_reexport`, `crm`, `docs`.
        lines: Lines of the ticket files by kind, bad lines and duplicates included, the CSV header not.
        lines_per_file: Lines of each daily ticket file, by its day (arrival).
        events: Distinct valid events of all ticket sources: the rows that Bronze must hold.
        events_by_source: The same by source; a re-exported event counts once, as `tickets`.
        events_per_day: The same by day of occurrence (for a CRM row: of `updated_at`); the silent day is
            absent.
        event_types: The same by event type; for CRM rows by the type that Bronze derives.
        tickets_by_source: Distinct ticket ids of the valid events.
        tickets_open_at_end: Desk tickets whose last event leaves them neither resolved nor closed.
        tickets_closed_unresolved: Desk tickets whose last event leaves them closed, without `resolved_at`.
        bad: Bad lines by what is wrong with them; all stand in daily ticket files.
        bad_per_file: Bad lines by the day of their file; days without are absent.
        late: Valid events in the file of a later day than they occurred on.
        duplicates: Exact copies of valid lines, in the same daily file, beyond the first.
        reexported: Lines of the re-export: each repeats a valid event of the daily files, in other key order.
        corrected: Those of them that differ from the daily files in content (the category); the re-export is
            newer and wins.
        docs: Collection, then snapshot day, then counts.
    """

    manifests: tuple[str, ...]
    files: dict[str, int]
    lines: dict[str, int]
    lines_per_file: dict[str, int]
    events: int
    events_by_source: dict[str, int]
    events_per_day: dict[str, int]
    event_types: dict[str, int]
    tickets_by_source: dict[str, int]
    tickets_open_at_end: int
    tickets_closed_unresolved: int
    bad: dict[str, int]
    bad_per_file: dict[str, int]
    late: int
    duplicates: int
    reexported: int
    corrected: int
    docs: dict[str, dict[str, DocCounts]]

    def to_json(self) -> str:
        """Return the counts as JSON text, the same bytes for the same counts."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"
