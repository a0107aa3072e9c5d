"""Transcripts: WebVTT, SubRip and JSON Lines; what one speaker says in a row is a block, with its time.

A block of WebVTT or SubRip begins with its first words, and has the timings between its cues in its text, as they
stand. One of JSON Lines has the texts of its lines.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson

from loaders.documents.refusals import Bounds, NotParsable
from loaders.documents.sections import Block, Outline, ParsedDocument
from loaders.documents.source import Source, decode, line_spans

VERSION = "transcript-1"

MOST_CUES = 20
"""In a block, however long one speaker goes on."""

MOST_CHARACTERS = 2_000
"""In a block of several cues, what stands between them included."""

_TIME = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})[.,](\d{3})"
_TIMING = re.compile(rf"[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t]|$)")
_VOICE = re.compile(r"[ \t]*<v(?:\.[^\s>]+)?[ \t]+([^>]+)>")
_NAMED = re.compile(r"[ \t]*(?:-[ \t]*)?\[?([^\W\d_][\w .'-]{0,39})\]?:[ \t]+\S")
_NO_CUES = re.compile(r"(NOTE|STYLE|REGION)(?:[ \t]|$)")


@dataclass(frozen=True, slots=True)
class _Cue:
    start: int
    """Positions of its words in the text."""
    end: int
    start_seconds: float | None
    end_seconds: float | None
    speaker: str | None
    text: str


def parse_cues(content: bytes, bounds: Bounds) -> ParsedDocument:
    """Parse WebVTT or SubRip; the title is what stands behind `WEBVTT`.

    Raises:
        NotParsable: no line says from when to when.
    """
    source, outline = decode(content, bounds), Outline(bounds)
    head = source.text.partition("\n")[0].strip()
    cues = [cue for chunk in _chunks(source.text) for cue in _cues_of(source, chunk, outline)]
    if not cues and source.text.strip() and not head.startswith("WEBVTT"):
        raise NotParsable(
            "not_what_it_says", "has no line as in `00:01.000 --> 00:02.000`; next: list it as what it is"
        )
    for run in _runs(cues):
        block = source.block("speech", run[0].start, run[-1].end)
        outline.add(_timed(block, run, block.text))
    title = head.removeprefix("WEBVTT").strip(" \t-") if head.startswith("WEBVTT") else ""
    return outline.finish(title or None, {}, source.encoding, "source-1")


def parse_json_lines(content: bytes, bounds: Bounds) -> ParsedDocument:
    """Parse JSON Lines, each an object with `text`; `start`, `end` (seconds) and `speaker` if it has them.

    Raises:
        NotParsable: a line is none.
    """
    source, outline = decode(content, bounds), Outline(bounds)
    numbered = enumerate(line_spans(source.text), start=1)
    cues = [_cue_of(source, number, *span) for number, span in numbered if source.text[slice(*span)].strip()]
    for run in _runs([cue for cue in cues if cue.text.strip()]):
        block = source.block("speech", run[0].start, run[-1].end)
        outline.add(_timed(block, run, "\n".join(cue.text for cue in run)))
    return outline.finish(None, {}, source.encoding, "jsonl-text-1")


def _timed(block: Block, run: list[_Cue], text: str) -> Block:
    return Block(
        "speech",
        text,
        block.byte_start,
        block.byte_end,
        start_seconds=run[0].start_seconds,
        end_seconds=run[-1].end_seconds,
        speaker=run[0].speaker,
    )


def _runs(cues: list[_Cue]) -> Iterator[list[_Cue]]:
    """Cues in a row of one speaker, as many as a block may have."""
    run: list[_Cue] = []
    for cue in cues:
        is_full = run and (len(run) >= MOST_CUES or cue.end - run[0].start > MOST_CHARACTERS)
        if run and (is_full or run[-1].speaker != cue.speaker):
            yield run
            run = []
        run.append(cue)
    if run:
        yield run


def _chunks(text: str) -> Iterator[list[tuple[int, int]]]:
    """Lines between blank ones."""
    chunk: list[tuple[int, int]] = []
    for first, last in line_spans(text):
        if text[first:last].strip():
            chunk.append((first, last))
        elif chunk:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _cues_of(source: Source, chunk: list[tuple[int, int]], outline: Outline) -> Iterator[_Cue]:
    """Cues of a chunk: one, unless blank lines between them are missing."""
    lines = [source.text[first:last] for first, last in chunk]
    if chunk[0][0] == 0 and lines[0].startswith("WEBVTT"):
        return
    if left := _NO_CUES.match(lines[0]):
        outline.leave_out(left[1].lower())
        return
    timings = [(number, timing) for number, line in enumerate(lines) if (timing := _TIMING.match(line))]
    if not timings:
        outline.leave_out("untimed")
    for (number, timing), (following, _) in pairwise([*timings, (len(lines), None)]):
        end = following - (following < len(lines) and lines[following - 1].strip().isdigit())
        if timing and number + 1 < end:
            yield _cue(source, timing, chunk[number + 1][0], chunk[end - 1][1])


def _cue(source: Source, timing: re.Match[str], start: int, end: int) -> _Cue:
    text = source.text[start:end]
    named = _VOICE.match(text) or _NAMED.match(text)
    speaker = named[1].strip() if named else None
    return _Cue(start, end, _seconds(timing.groups()[:4]), _seconds(timing.groups()[4:8]), speaker, text)


def _seconds(clock: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, thousandths = (int(part or 0) for part in clock)
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000


def _cue_of(source: Source, number: int, start: int, end: int) -> _Cue:
    try:
        found = orjson.loads(source.text[start:end])
    except orjson.JSONDecodeError as error:
        raise NotParsable("damaged", f"line {number} is no JSON ({error}); next: export it again") from error
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise NotParsable("not_what_it_says", f'line {number} is no object with a "text"; next: list it as what it is')
    speaker = found.get("speaker")
    return _Cue(
        start,
        end,
        _number(found.get("start")),
        _number(found.get("end")),
        speaker if isinstance(speaker, str) else None,
        found["text"],
    )


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None
