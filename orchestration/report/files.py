"""Reports of a lakehouse as files: which there are, what the last one said, and how one is written.

Called by `omni report`, and by whoever sends the page's path around.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import Window
from lakehouse.settings import LakehouseSettings
from lakehouse.tables.catalog import open_catalog
from lakehouse.whole_files import replace_file
from loaders.manifests.expectation_files import expectations_in_force
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.report.news import Said, last_said, reports_folder, said_at
from orchestration.report.pages import as_html, as_markdown
from orchestration.report.report import Report, build_report

Format = Literal["html", "md", "json"]


def make_report(
    settings: LakehouseSettings,
    *,
    window: Window | None = None,
    run_id: str | None = None,
    since: datetime | None = None,
) -> Report:
    """A report on a lakehouse as it is: on some days, on a run, or on everything that is known.

    Args:
        settings: Of the lakehouse.
        window: Days to report on.
        run_id: Run to report on.
        since: Instant (UTC) to tell what is new from; default: the last page on everything.

    Raises:
        UnknownRun: the ledger has no materialization of that run.
        ConfigurationError: nothing was known at that instant.
    """
    graph, ledger = load_asset_graph(settings), open_ledger(settings)
    return build_report(
        graph,
        ledger,
        open_catalog(settings),
        expectations=expectations_in_force(settings, ledger),
        generated_at=datetime.now(UTC),
        window=window,
        run_id=run_id,
        said=said_at(graph, ledger, since) if since else last_said(_last_page(settings)),
    )


def rendered(report: Report, form: Format) -> str:
    """A report as a page, as Markdown, or as the evidence document."""
    if form == "json":
        return json.dumps(report.evidence, indent=1, ensure_ascii=False) + "\n"
    return as_html(report) if form == "html" else as_markdown(report)


def file_name(form: Format, window: Window | None = None, run_id: str | None = None) -> str:
    """Name of a report: of one on everything always the same, so that it can be bookmarked."""
    of = f"-run-{run_id}" if run_id else f"-{window.first_key}-to-{window.last_key}" if window else ""
    return re.sub(r"[^\w.-]", "_", f"report{of}.{form}")


def write_page(settings: LakehouseSettings) -> Path:
    """Write the page on everything, beside a message; it does not count as the last one that a person asked for."""
    file = reports_folder(settings) / file_name("html")
    replace_file(file, rendered(make_report(settings), "html"))
    return file


def keep_as_last(settings: LakehouseSettings, report: Report) -> None:
    """Remember what a page on everything said: the next one tells what is new since."""
    Said.of(report.verdicts, report.generated_at).keep(_last_page(settings))


def _last_page(settings: LakehouseSettings) -> Path:
    return reports_folder(settings) / "last_page.json"
