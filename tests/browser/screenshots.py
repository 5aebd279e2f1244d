"""Makes the pictures of docs/: ``make screenshots``. The same shop each time, so that only what was changed differs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.chromium import INSTALL, chromium_path, launch
from tests.browser.shop import Shop
from tests.integration.flush.world import ACCOUNT, CHANGELOG
from worker.accounts import api_keys
from worker.mailchimp.user import MailchimpUser
from worker.sqlite.lock import DatabaseLock
from worker.sqlite.rows import Changed

FOLDER = Path(__file__).parents[2] / "docs" / "images"
DAYS = 12


def a_shop(folder: Path) -> Shop:
    """Returns a shop that has been at work for some days."""
    shop = Shop(folder, connected=True)
    shop.__enter__()
    user = MailchimpUser("Leeds Plumbing", "ann@leedsplumbing.example")
    CHANGELOG.commit(shop.db, lambda: Changed(None, api_keys.note_owner(shop.db, ACCOUNT, user)))
    shop.standin.find_list("other").fields.pop("COMPANY", None)
    shop.people(60)
    number = 100
    for day in range(DAYS):
        shop.daily()
        shop.clock.forward(days=1)
        for _ in range(3 + day * 5 % 11):
            shop.event(f"c{number}", f"customer{number}@example.com", first_name="Kim", last_name=f"No {number}")
            number += 1
        for one in range(day * 3 % 8):
            shop.event(f"c{one}", f"customer{one}@example.net", first_name="Pat", company="Pat & Co")
    shop.by_hand("hal.iqbal@example.com", "unsubscribe")
    shop.event("c500", None, first_name="Zed")
    shop.event("c501", "hal.iqbal@example.com", first_name="Hal", list_id="other")
    shop.refresh()
    shop.daily()
    shop.clock.forward(minutes=8)
    for one in range(37):
        shop.event(f"c{600 + one}", f"new{one}@example.com", first_name="New", company="New Ltd")
    return shop


def take(browser: Browser, shop: Shop) -> None:
    """Takes the pictures."""

    def picture(name: str, url: str, width: int, height: int, scheme: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = context.new_page()
        page.goto(shop.operators_link() if url == "/" else shop.link())
        page.goto(shop.url + url if url == "/" else shop.page + url)
        page.screenshot(path=str(FOLDER / f"{name}.png"))
        context.close()

    FOLDER.mkdir(parents=True, exist_ok=True)
    picture("settings", "", 1280, 1000)
    picture("settings-phone", "", 390, 800, "dark")
    picture("review", "/review?kind=lists&list=master&list=other&master=other", 1280, 620)
    picture("person", "/person?email=hal.iqbal@example.com", 1280, 860)
    picture("syncs", "/runs", 1280, 720)
    picture("operators", "/", 1280, 1000)


def main() -> int:
    """Makes all of them."""
    with sync_playwright() as playwright:
        path = chromium_path(playwright)
        if path is None:
            sys.stderr.write(f"There is no browser. {INSTALL}\n")
            return 1
        browser = launch(playwright, path)
        shop = a_shop(Path(tempfile.mkdtemp(prefix="screenshots-")))
        try:
            # Held by the worker, where one runs.
            with DatabaseLock(shop.app.config.staging.path):
                take(browser, shop)
        finally:
            shop.__exit__()
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
