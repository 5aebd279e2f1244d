"""One browser for all these tests, and a shop for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import INSTALL, VARIABLE, chromium_path, launch
from tests.browser.shop import Shop

PATIENCE = 10_000
"""Milliseconds for a page to become what a test waits for."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, started once."""
    with sync_playwright() as playwright:
        path = chromium_path(playwright)
        if path is None:
            pytest.skip(f"NO BROWSER: the pages were not tried in one. {INSTALL}; or name one by {VARIABLE}.")
        made = launch(playwright, path)
        yield made
        made.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop that has not begun yet."""
    with Shop(tmp_path) as made:
        yield made


@pytest.fixture
def running_shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop that is connected, uses two lists and is enabled."""
    with Shop(tmp_path, connected=True) as made:
        yield made


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page 1,280 pixels wide, which fails the test at any error in its console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = context.new_page()
    made.set_default_timeout(PATIENCE)
    errors: list[str] = []
    made.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    made.on("pageerror", lambda error: errors.append(str(error)))
    yield made
    context.close()
    # A page that says what is wrong with a form has a status of its own. A shop may close while an icon is asked for.
    # Without https, it ignores the policy about windows that open each other.
    ignored = "The Cross-Origin-Opener-Policy header has been ignored"
    expected = ("the server responded with a status of 4", "ERR_CONNECTION_REFUSED", ignored)
    assert [one for one in errors if not any(part in one for part in expected)] == []
