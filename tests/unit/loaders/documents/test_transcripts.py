"""Transcripts: who says what, from when to when."""

import json

import pytest

from loaders.documents.parsers.transcripts import MOST_CHARACTERS, MOST_CUES
from loaders.documents.parsing import parse
from loaders.documents.refusals import NotParsable
from tests.unit.loaders.documents.anchors import read

VTT = """\
WEBVTT - Weekly call

NOTE made by a machine
of two lines

STYLE
::cue {}

intro
00:01.000 --> 00:02.500 align:start
<v Ana>Hello <i>all</i>

00:02.500 --> 00:04.000
<v Ana>again.
Two lines.

01:00:04.000 --> 01:00:05.250
<v.loud Bo B>مرحبا 🙂

01:00:06.000 --> 01:00:07.000
Nobody says this
"""


def test_cues_of_one_speaker_in_a_row_are_a_block_with_its_time():
    document = read(VTT.encode(), "call.vtt")

    assert [(block.speaker, block.start_seconds, block.end_seconds, block.text) for block in document.blocks] == [
        ("Ana", 1.0, 4.0, "<v Ana>Hello <i>all</i>\n\n00:02.500 --> 00:04.000\n<v Ana>again.\nTwo lines."),
        ("Bo B", 3604.0, 3605.25, "<v.loud Bo B>مرحبا 🙂"),
        (None, 3606.0, 3607.0, "Nobody says this"),
    ]
    assert (document.title, document.left_out) == ("Weekly call", {"note": 1, "style": 1})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_mark_and_carriage_returns_change_no_block(encoding: str):
    document = read(VTT.replace("\n", "\r\n").encode(encoding), "call.vtt")

    assert [block.text for block in document.blocks] == [block.text for block in read(VTT.encode(), "c.vtt").blocks]
    assert document.title == "Weekly call"


def test_subrip_has_commas_and_numbers_and_names_before_colons():
    content = (
        "1\r\n00:00:01,000 --> 00:00:02,000\r\nDr. Ana: caf\u00e9\r\n\r\n2\r\n00:00:02,000 --> 00:00:03,000\r\n- [BO]: yes\r\n"
        "3\r\n00:00:03,000 --> 00:00:04,000\r\nno number: 4\r\n"
    ).encode("cp1252")

    document = read(content, "call.srt")

    assert [(block.speaker, block.text) for block in document.blocks] == [
        ("Dr. Ana", "Dr. Ana: caf\u00e9"),
        ("BO", "- [BO]: yes"),
        ("no number", "no number: 4"),
    ]


def test_a_block_has_an_end_however_long_one_speaks():
    short = read(("WEBVTT\n\n" + "00:01.000 --> 00:02.000\n<v A>x\n\n" * (MOST_CUES + 1)).encode(), "x.vtt")
    long = read(("WEBVTT\n\n" + f"00:01.000 --> 00:02.000\n<v A>{'x' * MOST_CHARACTERS}\n\n" * 3).encode(), "x.vtt")

    assert (len(short.blocks), len(long.blocks)) == (2, 3)


def test_json_lines_are_read_as_their_texts():
    lines = [
        {"start": 0, "end": 1.5, "speaker": "Ana", "text": 'Hallo \u4e91 "x"'},
        {"start": 1.5, "end": 2, "speaker": "Ana", "text": "two\nlines"},
        {"start": 2, "end": 3, "speaker": "Bo", "text": "\U0001f642"},
        {"text": "  "},
    ]
    content = "\n\r\n".join(json.dumps(line) for line in lines).encode()

    document = read(content, "call.jsonl")

    assert [(block.speaker, block.start_seconds, block.end_seconds, block.text) for block in document.blocks] == [
        ("Ana", 0.0, 2.0, 'Hallo \u4e91 "x"\ntwo\nlines'),
        ("Bo", 2.0, 3.0, "\U0001f642"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.jsonl", b'{"text": "a"}\n{"text": ', "damaged"),
        ("x.jsonl", b'{"text": "\\ud83d"}', "damaged"),
        ("x.jsonl", b'{"a": 1}', "not_what_it_says"),
        ("x.jsonl", b"[" * 100_000, "damaged"),
        ("x.srt", b"just words", "not_what_it_says"),
        ("x.vtt", b"WEBVTT\n\nNOTE x\n", "empty"),
    ],
)
def test_what_is_no_transcript_says_why(name: str, content: bytes, reason: str):
    with pytest.raises(NotParsable) as refused:
        parse(content, name)

    assert refused.value.reason == reason
