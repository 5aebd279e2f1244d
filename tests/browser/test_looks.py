"""Every page in both widths, in light and dark, with full and hostile content: nothing breaks, axe finds nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.shop import Shop
from tests.integration.flush.world import ACCOUNT, CHANGELOG
from tests.staged import stage_batch
from worker.accounts import settings
from worker.consumer.decode import Record
from worker.sqlite.lock import DatabaseLock
from worker.sqlite.rows import Changed
from worker.store import accounts
from worker.store.accounts import Pause

EVIL = "<script>window.evil=1</script><img src=x onerror=window.evil=1>\"'>"
LONG = "A very long name of a list that somebody typed without ever thinking of telephones " * 2
PATHS = (
    "", "/review?kind=enable&enabled=1&status=pending", "/review?kind=lists&list=other&master=other", "/disconnect",
    "/runs", "/people?run=1", "/people?run=2&group=missed", "/person", "/person?email=evil@example.com", "/log",
    "/waiting",
)  # fmt: skip


@pytest.fixture(scope="module")
def full_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop with two syncs, a held change, fields not sent, and markup in whatever others can set."""
    with Shop(tmp_path_factory.mktemp("shop"), connected=True) as shop:
        shop.standin.find_list("other").name = EVIL
        shop.standin.find_list("spare").name = LONG
        shop.refresh()
        shop.people(24, phone="0113 496 0000", address={"line1": "1 High St"})
        shop.event("evil", "evil@example.com", first_name=EVIL, last_name=EVIL, company=EVIL, list_id="other")
        shop.event(EVIL.replace("/", ""), "second@example.com", first_name="=1+1")
        shop.event("nobody", None, first_name=LONG)
        shop.run()
        for number in range(20):
            shop.deleted(f"c{number}")
        shop.run()
        stage_batch(
            shop.db, "billmywork.customers", "", [Record(0, 10_000, EVIL.encode(), EVIL.encode())], "2026-11-22"
        )
        yield shop


@pytest.fixture(params=[*product(("light", "dark"), (375, 1280))], ids=lambda one: f"{one[0]}-{one[1]}")
def visited(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page in one of the schemes and widths."""
    scheme, width = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    yield context.new_page()
    context.close()


def test_no_page_breaks_or_shuts_anybody_out(visited: Page, full_shop: Shop) -> None:
    """No markup of others comes to life, no page or table is wider than the window, and axe finds no violation."""
    full_shop.clock.forward(minutes=1)
    visited.goto(full_shop.link(EVIL))
    wrong = []
    for url in [*(full_shop.page + path for path in PATHS), full_shop.page + "/held"]:
        wrong += _wrong(visited, url)
    visited.goto(full_shop.operators_link())
    for url in (
        full_shop.url + "/",
        full_shop.url + "/?find=a",
        full_shop.url + "/dead-letters",
        full_shop.url + "/login",
        full_shop.page,
    ):
        wrong += _wrong(visited, url)
    assert wrong == []


def _wrong(page: Page, url: str) -> Iterator[str]:
    answer = page.goto(url)
    assert answer is not None
    if answer.status != 200:
        yield f"{url}: {answer.status}"
    if page.evaluate("window.evil") is not None:
        yield f"{url}: markup of others came to life"
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        yield f"{url}: wider than the window"
    if page.evaluate(
        "[...document.querySelectorAll('.scroll')].some(region => region.scrollWidth > region.clientWidth)"
    ):
        yield f"{url}: a table scrolls sideways"
    for found in Axe().run(page).response["violations"]:
        yield f"{url}: {found['id']}: {[node['html'][:120] for node in found['nodes'][:3]]}"


def test_the_first_visit_is_as_good(visited: Page, shop: Shop) -> None:
    """An account without anything, and the form with an error, are without violations too."""
    visited.goto(shop.link())
    wrong = list(_wrong(visited, shop.page))
    visited.get_by_label("Mailchimp API key").fill("wrong")
    visited.keyboard.press("Enter")
    visited.get_by_role("alert").wait_for()
    wrong += [one["id"] for one in Axe().run(visited).response["violations"]]
    assert wrong == []


def test_operators_see_everything_and_replay_a_dead_letter(page: Page, full_shop: Shop) -> None:
    """The page names what is wrong, leads to held changes, and reads a dead letter again."""
    page.goto(full_shop.operators_link())
    main = page.locator("main")
    main.get_by_role("link", name="Review and confirm").wait_for()
    assert "20 members would leave list All customers" in main.inner_text()
    assert "No worker runs with this database" in main.inner_text()
    page.get_by_role("link", name="See dead letters").click()
    page.get_by_role("button", name="Replay").click()
    page.get_by_role("status").wait_for()
    assert "Still not understood" in page.get_by_role("status").inner_text()


def test_a_running_sync_is_shown_with_its_progress(page: Page, browser: Browser, running_shop: Shop) -> None:
    """Owner and operator see that a sync is under way, how far it is, that it goes on, and its end."""
    shop = running_shop
    shop.people(24)
    shop.run()
    for number in range(24):
        shop.event(f"c{number}", f"person{number}@example.com", first_name="New")
    allowed = threading.Semaphore(0)
    shop.before_call(lambda call: None if call.reads_only else allowed.acquire(timeout=30) and None)
    operators = browser.new_context().new_page()
    page.goto(shop.link())
    operators.goto(shop.operators_link())
    flush = threading.Thread(target=shop.run)
    with DatabaseLock(shop.app.config.staging.path):
        flush.start()
        seen = [_progress(page, shop.page, 0)]
        assert "A sync is under way" in page.locator(".state").inner_text()
        for _ in range(2):
            allowed.release(8)
            seen.append(_progress(page, shop.page, seen[-1][0] + 1))
        assert [(most, value < most) for value, most in seen] == [(24, True)] * 3
        value, most = _progress(operators, shop.url + "/", seen[-1][0])
        assert value < most == 24
        assert f"{ACCOUNT}, run " in operators.locator(".state").inner_text()
        allowed.release(100)
        flush.join(30)
        page.goto(shop.page)
        assert "24 updated" in page.locator(".sentence").inner_text()
        assert page.locator("progress").count() == 0
        operators.goto(shop.url + "/")
        assert operators.locator("progress").count() == 0
    operators.context.close()


def _progress(page: Page, url: str, least: int) -> tuple[int, int]:
    """Loads a page until its bar shows so many people, and returns them and all there are."""
    ends = time.monotonic() + 20
    while True:
        page.goto(url)
        bar = page.locator("progress")
        if bar.count():
            value, most = (int(float(str(bar.get_attribute(name)))) for name in ("value", "max"))
            if value >= least:
                return value, most
        assert time.monotonic() < ends, "it does not come so far"


def test_a_paused_list_is_resumed(page: Page, running_shop: Shop) -> None:
    """One button ends a pause."""
    shop = running_shop
    CHANGELOG.commit(
        shop.db,
        lambda: Changed(
            None, accounts.pause_list(shop.db, ACCOUNT, "other", Pause("it refuses everybody", shop.clock()))
        ),
    )
    page.goto(shop.link())
    page.locator(".notice.problem").get_by_role("button", name="Try again").click()
    page.get_by_text("The next sync tries again.").wait_for()
    assert settings.load(shop.db, ACCOUNT).list_of("other").pause is None


def test_pictures_are_small() -> None:
    """The pictures in docs/ do not make the repository heavy."""
    folder = Path(__file__).parents[2] / "docs" / "images"
    assert sum(one.stat().st_size for one in folder.glob("*.png")) < 600_000
