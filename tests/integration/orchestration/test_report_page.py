"""The page of a report in a browser: nothing is cut at any width, each cell opens by keyboard, dark, and in print.

`OMNI_SCREENSHOTS=docs/images` keeps the pictures of the docs.
"""

import json
import os
from datetime import UTC, datetime

import pytest
from playwright.sync_api import ViewportSize, expect

from lakehouse.settings import PROJECT_ROOT
from loaders.manifests.expectations import Expectation
from orchestration.report.news import Said
from orchestration.report.pages import as_html
from tests.browser import opened_browser
from tests.integration.orchestration.test_report import report

SCREENSHOTS = os.environ.get("OMNI_SCREENSHOTS")  # before the tests are isolated from the environment
WIDTHS = (1600, 1000, 390)
PICTURES = {1600: "report", 390: "report_phone"}
LATE = {
    "name": "tickets_weekdays",
    "asset": "raw_ticket_events",
    "rhythm": "weekdays",
    "due_after_hours": 12,
    "since": "2026-04-01",
    "until": "2026-05-04",
    "owner": "support-data",
}

CUT = """() => [...document.querySelectorAll('main *')].filter(each => {
    const box = each.getBoundingClientRect()
    return !each.closest('[popover]') && box.width && (box.right > innerWidth + 1 || box.left < -1)
}).map(each => each.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def address(filled_sample, tmp_path_factory):
    """The page of the sample on a day on which two deliveries are overdue, of which the last page knew nothing."""
    settings = filled_sample
    said = Said.of(report(settings).verdicts, datetime(2026, 5, 4, 6, tzinfo=UTC))
    late = Expectation.model_validate_json(json.dumps(LATE))
    content = report(settings, expectations=[late], generated_at=datetime(2026, 5, 6, 6, tzinfo=UTC), said=said)
    file = tmp_path_factory.mktemp("a page") / "report.html"
    file.write_text(as_html(content), "utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as browser:
        yield browser


@pytest.fixture
def opened(browser, address):
    """Opens the page: `opened(width, color_scheme)`."""
    pages = []

    def open_page(width, scheme="light"):
        page = browser.new_page(viewport=ViewportSize(width=width, height=900), color_scheme=scheme)
        page.on("console", lambda message: pages[-1][1].append(message.text))
        pages.append((page, []))
        page.goto(address)
        return page

    yield open_page
    assert [said for _, said in pages] == [[]] * len(pages)  # nothing was fetched or refused
    for page, _ in pages:
        page.close()


def keep(page, name, **options):
    if SCREENSHOTS:
        page.screenshot(path=PROJECT_ROOT / SCREENSHOTS / f"{name}.png", **options)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_of_the_page_is_cut_at_any_width_with_all_of_it_unfolded(opened, width):
    page = opened(width)
    if width in PICTURES:
        keep(page, PICTURES[width], clip={"x": 0, "y": 0, "width": width, "height": 1400}, full_page=True)

    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT) == []
    assert page.locator("details table.data tr").count() > 50


def test_the_map_is_as_wide_as_the_page(opened):
    page = opened(1600)

    box = page.locator("table.matrix").first.bounding_box()

    assert box["width"] > 1450


def test_a_cell_opens_and_closes_by_keyboard_and_says_why_and_what_to_type(opened):
    page = opened(1000, "dark")
    cell = page.get_by_role("button", name="raw_ticket_events 2026-05-01: MISSING")
    cell.focus()

    page.keyboard.press("Enter")

    opened_cell = page.get_by_role("dialog", name="raw_ticket_events 2026-05-01")
    expect(opened_cell).to_be_visible()
    expect(opened_cell.get_by_text("due since 2026-05-02T12:00Z, not arrived; owner support-data")).to_be_visible()
    expect(opened_cell.get_by_text("omni explain raw_ticket_events 2026-05-01")).to_be_visible()
    keep(page, "report_cell")
    page.keyboard.press("Escape")
    expect(opened_cell).to_be_hidden()
    assert cell.evaluate("each => each === document.activeElement")
    page.get_by_role("button", name="raw_ticket_events 2026-04-15: READY").click()
    expect(page.get_by_text("98 loaded of 100 read, 2 deduplicated, 0 quarantined")).to_be_visible()


def test_the_first_screen_answers_what_is_safe_what_is_new_and_what_is_late(opened):
    page = opened(1600)

    answer = page.locator("section.today")

    expect(answer.get_by_text("partitions are not ready")).to_be_in_viewport()
    expect(answer.get_by_role("heading", name="New since 2026-05-04 06:00:00 UTC")).to_be_in_viewport()
    expect(answer.get_by_text("owed by support-data").first).to_be_in_viewport()
    expect(answer.get_by_role("heading", name="Overdue")).to_be_in_viewport()


def test_text_is_readable_in_the_dark_and_on_paper(opened):
    page = opened(1000, "dark")
    brightness = "each => getComputedStyle(each).{}.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0)"

    def contrast(selector="body"):
        found = page.locator(selector).first
        return [found.evaluate(brightness.format(name)) for name in ("color", "backgroundColor")]

    ink, paper = contrast()
    assert ink > 600 and paper < 100
    ink, paper = contrast("button.s-ready")
    assert ink > 600 and paper < 300
    page.emulate_media(media="print", color_scheme="dark")
    ink, paper = contrast()
    assert ink < 100 and paper > 700
    ink, paper = contrast("button.s-ready")
    assert ink < 100 and paper > 600
    assert page.locator("nav").first.is_hidden()
    page.set_viewport_size(ViewportSize(width=1030, height=700))  # A4 across, without its margins
    assert page.evaluate(CUT) == []
