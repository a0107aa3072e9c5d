"""What commands print stands as it is."""

from orchestration.cli.console import console, errors, say

HOSTILE = ":100: [red]x[/red] :smile: [/nothing]"


def test_lines_are_printed_as_they_are(capsys):
    say(HOSTILE, "")

    assert capsys.readouterr().out == f"{HOSTILE}\n\n"


def test_a_style_makes_nothing_of_what_is_printed_in_it(capsys):
    console.print(HOSTILE, style="green")
    errors.print(HOSTILE, style="red")

    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (f"{HOSTILE}\n", f"{HOSTILE}\n")
