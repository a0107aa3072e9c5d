"""What commands print stands as it is."""

import json
import logging

import pytest
import typer
from botocore.exceptions import EndpointConnectionError
from rich.text import Text

from lakehouse.unicode_text import escaped
from orchestration.cli.console import OneLine, Screen, console, errors, reported, say

HOSTILE = ":100: [red]x[/red] :smile: [/nothing]"


def test_lines_are_printed_as_they_are(capsys):
    say(HOSTILE, "")

    assert capsys.readouterr().out == f"{HOSTILE}\n\n"


def test_a_style_makes_nothing_of_what_is_printed_in_it(capsys):
    console.print(HOSTILE, style="green")
    errors.print(HOSTILE, style="red")

    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (f"{HOSTILE}\n", f"{HOSTILE}\n")


@pytest.mark.parametrize(
    "failed", [PermissionError(13, "Permission denied", "/lake"), EndpointConnectionError(endpoint_url="http://s3")]
)
def test_a_disk_or_a_store_that_fails_is_one_line_that_says_what_to_do(capsys, failed):
    with pytest.raises(typer.Exit) as ended, reported():
        raise failed

    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.exit_code == 2
    assert line == f"error: {failed}; next: mend the disk, store or path that it speaks of, and type it again"


def test_an_error_that_nobody_has_foreseen_is_raised_whole():
    with pytest.raises(ZeroDivisionError), reported():
        raise ZeroDivisionError


OBEYED = "\x1b[31mx\x1b[0m\x9b2J\x7f\x07\r\n \u202eevil\u2066\u2028\u200f\ufeff\ttab"
SHOWN = r"\u001b[31mx\u001b[0m\u009b2J\u007f\u0007\r\n \u202eevil\u2066\u2028\u200f\ufeff\ttab"


def test_what_a_terminal_would_obey_is_shown_and_stays_on_its_line(capsys):
    say(OBEYED)
    console.print(Text(OBEYED), style="red")
    errors.print(f"error: {OBEYED}", style="red")

    printed, of_rich = capsys.readouterr(), SHOWN.replace(r"\u0007\r", "")  # its Text leaves these out
    assert (printed.out, printed.err) == (f"{SHOWN}\n{of_rich}\n", f"error: {SHOWN}\n")


def test_a_terminal_with_colours_gets_no_code_but_those_of_the_style(monkeypatch):
    screen = Screen(force_terminal=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
    with screen.capture() as captured:
        screen.print(OBEYED, style="red")

    assert captured.get() == f"\x1b[31m{SHOWN}\x1b[0m\n"


def test_json_says_the_same_and_holds_nothing_that_a_terminal_obeys(capsys):
    console.print_json(data={"é": [OBEYED, "plain"]})

    printed = capsys.readouterr().out
    assert json.loads(printed) == {"é": [OBEYED, "plain"]}
    assert "é" in printed and set(printed) & set(OBEYED) <= {"\n", *"[31mx0mJ evil2tab"}


def test_a_log_line_is_one_line():
    record = logging.LogRecord("a", logging.WARNING, "a.py", 1, "of %s", (OBEYED,), None)

    assert OneLine("%(levelname)s %(message)s").format(record) == f"WARNING of {SHOWN}"


@pytest.mark.parametrize("text", ["Grüße 東京 👩‍👩‍👧 a-b_c", "C:\\new", ""])
def test_text_that_a_screen_only_shows_is_not_touched(text):
    assert escaped(text) == text
