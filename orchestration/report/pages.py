"""A report as one self-contained HTML page and one Markdown file; the templates lie beside this module."""

import re
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lakehouse.partitions import day_ranges
from lakehouse.unicode_text import escaped
from orchestration.readiness.decisions import decision_on, failed_warnings
from orchestration.readiness.mending import next_command
from orchestration.readiness.verdicts import SAFE, Status
from orchestration.report.parts.sparkline import HEIGHT, WIDTH, sparkline
from orchestration.report.report import Report
from orchestration.report.verdict_table import SYMBOLS

MEANINGS: dict[Status, str] = {
    Status.READY: "safe to consume",
    Status.EMPTY: "nothing expected, nothing there",
    Status.UNKNOWN: "nothing declared, nothing covered",
    Status.PENDING: "expected, not arrived, not due yet",
    Status.MISSING: "expected and never materialized, or due and not arrived",
    Status.FAILED: "an error check failed",
    Status.UNCHECKED: "an error check has not run",
    Status.STALE: "its sources, inputs or SQL have changed since, or someone else wrote it",
    Status.BLOCKED: "an upstream partition is not ready",
}


def as_html(report: Report) -> str:
    """One page without scripts and without anything to fetch; a browser is told to allow neither."""
    return _render("report.html.j2", report, autoescape=True)


def as_markdown(report: Report) -> str:
    """The same in Markdown, without pictures."""
    return _render("report.md.j2", report, autoescape=False)


def template_environment(*, autoescape: bool) -> Environment:
    """Jinja over this package's templates; an unknown name is an error."""
    return Environment(
        loader=PackageLoader("orchestration.report", "templates"),
        autoescape=autoescape,
        finalize=_on_one_line if autoescape else _as_plain_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def instant(at: datetime) -> str:
    """An instant (UTC), to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def code(text: str) -> Markup:
    """Text between the backticks of Markdown, which end with a backtick whatever stands before it."""
    return Markup(escaped(text.replace("`", "'")).replace("|", "\\|"))  # noqa: S704  # of Markdown, not of HTML


def _on_one_line(value: object) -> object:
    """What stands in a page: HTML is escaped by Jinja, what a screen would obey here."""
    return escaped(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _as_plain_markdown(value: object) -> object:
    """What stands in Markdown: a text is itself, and neither table, code, link, picture nor HTML."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    plain = re.sub(r"[`|\[\]]", r"\\\g<0>", value.replace("\n", " ").replace("&", "&amp;").replace("<", "&lt;"))
    return escaped(plain.replace("://", ":\\//"))


def _render(template: str, report: Report, *, autoescape: bool) -> str:
    environment = template_environment(autoescape=autoescape)
    environment.filters.update(instant=instant, code=code, ranges=day_ranges, number=_number, figure=_figure, of=_of)
    names: dict[str, Any] = {
        "letters": {status: letter for status, (letter, _) in SYMBOLS.items()},
        "meanings": MEANINGS,
        "sparkline": sparkline,
        "spark_box": (WIDTH, HEIGHT),
        "decision_on": decision_on,
        "failed_warnings": failed_warnings,
        "next_command": next_command,
        "safe_statuses": SAFE,
    }
    return environment.get_template(template).render(report=report, **names)


def _number(value: int) -> str:
    return f"{value:,}"


def _figure(value: float) -> str:
    return f"{value:,g}" if value < 100_000 else f"{value:,.0f}"


def _of(number: int, one: str) -> str:
    """A number of things, such as `1 partition`, `2 partitions`."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"
