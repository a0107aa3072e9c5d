"""A real browser for the tests of pages: the system's, or Playwright's own; without one they are skipped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Error, sync_playwright


@contextmanager
def opened_browser() -> Iterator[Browser]:
    """Open it."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        except Error as error:
            pytest.skip(f"no browser; next: playwright install chromium ({str(error).splitlines()[0]})")
        yield browser
        browser.close()
