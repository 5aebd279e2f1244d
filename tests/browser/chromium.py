"""The browser of these tests: where it is found, and how it is started."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Playwright

VARIABLE = "CHROMIUM_PATH"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
INSTALL = "Install it: apt-get install chromium (Debian), or .venv/bin/python -m playwright install chromium"
PLAIN_HOST = "billmywork.test"
"""A host that browsers do not trust as they trust this machine: without https they send less."""
ARGUMENTS = (
    "--no-sandbox",  # containers have no user namespaces
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {PLAIN_HOST} 127.0.0.1",
)


def chromium_path(playwright: Playwright | None = None) -> str | None:
    """Returns the first of: what the environment names, what is on the path, Playwright's own; None without any."""
    if named := os.environ.get(VARIABLE):
        return named
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and playwright is not None and Path(playwright.chromium.executable_path).exists():
        return playwright.chromium.executable_path
    return found


def launch(playwright: Playwright, path: str) -> Browser:
    """Starts it."""
    return playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
