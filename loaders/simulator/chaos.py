"""A broken world with its own prediction beside it: ten days of tickets, listings of documents and a recording.

What is broken is drawn by the seed, several things at once, each on a day of its own; what must be said of each Bronze
partition follows from what was written, and stands in `chaos/prediction.json`. Called by `omni simulate --chaos`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from loaders.simulator.declarations import Json, evidence_of
from loaders.simulator.deliveries import BREAKAGES, Delivery, Verdict
from loaders.simulator.dice import Dice, Face
from loaders.simulator.lives import live
from loaders.simulator.timeline import SHORTEST_DAYS, Timeline, midnight, written

START, DAYS, TICKETS = date(2026, 4, 1), 10, 240
PREDICTION = "chaos/prediction.json"
"""In a folder of its own: what lies beside the manifests would be taken for one."""
_EVENTS, _DOCUMENTS, _RECORDINGS = "raw_ticket_events", "raw_doc_assets", "raw_audio_assets"
_LISTED_ON, _PAGES, _RECORDED_ON = (1, 4, 7), 6, 5
_BROKEN_AT_MOST, _KEPT_SOUND = 8, (0, DAYS - 1)
_LISTINGS: Mapping[str, tuple[Verdict, str]] = {
    "mass_delete": ("UNSAFE", "half of the documents are gone from one listing to the next"),
    "document_gone": ("UNSAFE", "a document that is listed is not there"),
    "document_edited": ("UNSAFE", "a document is not the one that was declared"),
    "listing_turned": ("READY", "the documents are listed the other way round"),
    "tombstone": ("READY", "a document is deleted by name"),
}


def write_chaos(target: Path, seed: int) -> Json:
    """Write a broken world, and what must be said of it.

    The same seed gives the same bytes. Writes manifests, expectations and `chaos/` below the target, and
    `prediction.json`, whose shape docs/reference/sample.md describes.

    Args:
        target: The manifest folder; made where it does not exist.
        seed: Chooses what is broken, and where.

    Returns:
        The prediction.

    Raises:
        FileExistsError: the target holds anything: a world stands for itself.
    """
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty, expected an empty folder; next: name another target")
    world = _World(seed)
    for path, content in world.files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(content)
    (target / PREDICTION).write_text(json.dumps(world.prediction, indent=2) + "\n", "utf-8")
    return world.prediction


class _World:
    """The files of a world while they are made."""

    def __init__(self, seed: int) -> None:
        self.files: dict[str, bytes] = {}
        self._seed, self._dice = seed, Dice(seed, "chaos")
        self._days = [START + timedelta(days=number) for number in range(DAYS)]
        self._broken: list[Json] = []
        self._said: dict[str, dict[str, Verdict]] = {}
        self._deliver_tickets()
        self._list_documents()
        self._record()

    @property
    def prediction(self) -> Json:
        """What is broken, and what must be said of each day of each Bronze asset."""
        return {"seed": self._seed, "broken": self._broken, "partitions": self._said}

    def _deliver_tickets(self) -> None:
        told: dict[str, Verdict] = {str(day): "READY" for day in self._days}
        lines: dict[date, list[str]] = {day: [] for day in self._days}
        for event in live(self._seed, TICKETS, Timeline(START, SHORTEST_DAYS)):
            if (day := event.occurred_at.date()) in lines:
                lines[day].append(event.line)
        kinds = self._drawn(sorted(BREAKAGES), 3 + self._dice.below(_BROKEN_AT_MOST - 2))
        days = [day for number, day in enumerate(self._days) if number not in _KEPT_SOUND]
        broken = dict(zip(self._drawn(days, len(kinds)), kinds, strict=False))
        for day in self._days:
            delivery = Delivery.of(day, lines[day], self._days[-1] + timedelta(days=1))
            if day in broken:
                verdict, what, spoil = BREAKAGES[broken[day]]
                spoil(delivery)
                told[str(day)] = self._break(_EVENTS, day, broken[day], verdict, what)
            # Where a breakage has written the manifest itself, that one stays.
            self.files |= {delivery.manifest_path: _json(delivery.manifest), **delivery.files}
        self._said[_EVENTS] = told

    def _list_documents(self) -> None:
        kind, at = self._dice.pick(("", *sorted(_LISTINGS))), 1 + self._dice.below(len(_LISTED_ON) - 1)
        days = [self._days[number] for number in _LISTED_ON]
        told: dict[str, Verdict] = {
            str(day): "UNKNOWN" if not days[0] <= day <= days[-1] else "READY" if day in days else "EMPTY"
            for day in self._days
        }
        for number, day in enumerate(days):
            assets = [self._page(day, page) for page in range(_PAGES)]
            if kind and number == at:
                assets = self._spoil_listing(kind, day, assets)
                told[str(day)] = self._break(_DOCUMENTS, day, kind, *_LISTINGS[kind])
            self._declare(
                "help-center", day, assets, source_type="help_center", modality="document", contract="doc_asset"
            )
        self._said[_DOCUMENTS] = told

    def _spoil_listing(self, kind: str, day: date, assets: list[Json]) -> list[Json]:
        first = str(assets[0]["source_url_or_path"])
        if kind == "mass_delete":
            return assets[: _PAGES // 2]
        if kind == "listing_turned":
            return assets[::-1]
        if kind == "tombstone":
            assets[0]["deleted"] = True
        elif kind == "document_gone":
            del self.files[first]
        else:
            self.files[first] = b"# Edited\n\nAfter it was declared.\n"
        return assets

    def _record(self) -> None:
        day = self._days[_RECORDED_ON]
        is_there = self._dice.happens(500)
        audio, transcript = f"chaos/calls/{day}.wav", f"chaos/calls/{day}.txt"
        self.files[audio] = b"RIFF....WAVE of " + str(day).encode()
        if is_there:
            self.files[transcript] = b"Hello? The gateway is down again."
        asset = _asset(f"call-{day}", audio, "audio", self.files[audio])
        told = {**asset, "transcript_object_path": transcript}
        self._declare("calls", day, [told], source_type="call_recording", modality="audio", contract="audio_asset")
        verdict: Verdict = "READY" if is_there else "UNSAFE"
        self._said[_RECORDINGS] = {str(each): verdict if each == day else "UNKNOWN" for each in self._days}
        if not is_there:
            self._break(_RECORDINGS, day, "deleted_sidecar", verdict, "the transcript beside a recording is gone")

    def _page(self, day: date, page: int) -> Json:
        path = f"chaos/pages/{day}/page-{page}.md"
        self.files[path] = f"# Page {page}\n\nHow to do what number {page} does, as of {day}.\n".encode()
        return _asset(f"page-{page}", path, "faq", self.files[path])

    def _declare(
        self, name: str, day: date, assets: Sequence[Json], *, source_type: str, modality: str, contract: str
    ) -> None:
        stamp = f"{name}-{day:%Y%m%d}-001"
        head = {
            "manifest_id": f"manifest-{stamp}",
            "schema_version": "source_manifest_v1",
            "batch_id": f"batch-{stamp}",
        }
        how = {"modality": modality, "source_type": source_type, "license_tag": "course_synthetic"}
        told = {
            "contract_ref": f"omni://contracts/data/{contract}/v1",
            "load_mode": "full_snapshot",
            "owner": "content",
        }
        at = {"created_at": written(midnight(day)), "snapshot_at": written(midnight(day))}
        self.files[f"manifest-{stamp}.json"] = _json({**head, **how, **told, **at, "assets": [*assets]})

    def _break(self, asset: str, day: date, kind: str, verdict: Verdict, what: str) -> Verdict:
        self._broken.append({"kind": kind, "what": what, "asset": asset, "partition": str(day), "verdict": verdict})
        return verdict

    def _drawn(self, faces: Sequence[Face], number: int) -> list[Face]:
        """So many different ones of the faces, in the order in which they were drawn."""
        left, drawn = [*faces], list[Face]()
        while left and len(drawn) < number:
            drawn.append(left.pop(self._dice.below(len(left))))
        return drawn


def _asset(source_id: str, path: str, kind: str, content: bytes) -> Json:
    """The declaration of a file that is a row itself."""
    return {"source_id": source_id, "source_url_or_path": path, "asset_type": kind, **evidence_of(content)}


def _json(manifest: Json) -> bytes:
    return (json.dumps(manifest, indent=2) + "\n").encode()
