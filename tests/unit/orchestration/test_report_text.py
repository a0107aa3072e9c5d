"""What a report makes of hostile text: itself, and nothing of the language that it stands in."""

import pytest

from orchestration.report.pages import code, template_environment

HOSTILE = 'a|b `c` <script>x</script> [d](javascript:e) ![f](http://g) https://h & "i" \x1b[31m\u202e\nREADY'
MARKDOWN = (
    r"a\|b \`c\` &lt;script>x&lt;/script> \[d\](javascript:e) !\[f\](http:\//g) https:\//h &amp; "
    r'"i" \u001b\[31m\u202e READY'
)
PAGE = (
    "a|b `c` &lt;script&gt;x&lt;/script&gt; [d](javascript:e) ![f](http://g) https://h &amp; &#34;i&#34; "
    r"\u001b[31m\u202e\nREADY"
)


@pytest.mark.parametrize(("is_page", "shown"), [(False, MARKDOWN), (True, PAGE)], ids=["Markdown", "HTML"])
@pytest.mark.parametrize(
    "template", ["{{ text }}", "{{ [text]|join(', ') }}", "{% for each in [text] %}{{ each }}{% endfor %}"]
)
def test_text_from_outside_stands_in_a_report_as_text(is_page, shown, template):
    environment = template_environment(autoescape=is_page)

    assert environment.from_string(template).render(text=HOSTILE) == shown


def test_code_in_markdown_ends_where_the_template_ends_it():
    environment = template_environment(autoescape=False)
    environment.filters.update(code=code)

    shown = environment.from_string("`{{ text|code }}`").render(text="omni `x` | y\n<z> \x1b")

    assert shown == r"`omni 'x' \| y\n<z> \u001b`"


def test_numbers_and_words_of_a_report_are_as_they_were():
    assert (
        template_environment(autoescape=False).from_string("{{ 3 }} {{ 'READY' }} {{ none }}").render()
        == "3 READY None"
    )
