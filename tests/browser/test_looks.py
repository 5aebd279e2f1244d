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

from tests import setters
from tests.browser.shop import Shop
from tests.integration.flush.world import ACCOUNT, CHANGELOG, KEY
from tests.staged import stage_batch
from worker.accounts import api_keys, settings
from worker.consumer.decode import Record
from worker.model import AccountId
from worker.sandbox.merge import MergeField
from worker.sqlite.lock import DatabaseLock
from worker.sqlite.rows import Changed
from worker.store import accounts
from worker.store.accounts import Pause
from worker.web.pages.routes import PAGES

EVIL = "<script>window.evil=1</script><img src=x onerror=window.evil=1>\"'>"
LONG = "A very long name of a list that somebody typed without ever thinking of telephones " * 2
WORD = "Rindfleischetikettierungsueberwachungsaufgabenuebertragungsgesetz"
"""Sixty-five letters without a place to break."""
LONG_ADDRESS = f"{WORD[:60].lower()}@{WORD[:50].lower()}.example"
PATHS = (
    "", "/review?kind=enable&enabled=1&status=pending", "/review?kind=lists&list=other&master=other", "/disconnect",
    "/runs", "/people?run=1", "/people?run=4&group=missed", "/person", "/person?email=evil@example.com", "/log",
    "/waiting", "/held", "/fields?list=master", "/fields?list=other", f"/person?email={LONG_ADDRESS}",
    "/person?email=bounced@example.com", "/person?email=renamed@example.com", "/person?email=refused@shop.invalid",
    f"/person?email={'unknown' * 6}@example.com",
)  # fmt: skip
SKIPPED = {"/people.csv": "no page", "/refreshing": "goes on to the settings at once"}


@pytest.fixture(scope="module")
def full_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop with two syncs, a held change, fields not sent, and markup in whatever others can set."""
    with Shop(tmp_path_factory.mktemp("shop"), connected=True) as shop:
        shop.standin.find_list("other").name = EVIL
        shop.standin.find_list("spare").name = LONG
        shop.refresh()
        with_ = {"secret": shop.app.secret, "open_sender": shop.app.open_client, "at": shop.clock()}
        api_keys.connect(shop.db, CHANGELOG, AccountId("nomaster"), KEY, **with_)  # type: ignore[arg-type]
        setters.enable(shop.db, CHANGELOG, AccountId("nomaster"))
        shop.people(24, phone="0113 496 0000", address={"line1": "1 High St"})
        shop.event("evil", "evil@example.com", first_name=EVIL, last_name=EVIL, company=EVIL, list_id="other")
        shop.event(EVIL.replace("/", ""), "second@example.com", first_name="=1+1")
        shop.event("nobody", None, first_name=LONG)
        shop.event("long", LONG_ADDRESS, first_name=WORD, last_name=WORD, attributes={WORD[:64]: WORD})
        shop.event("refused", "refused@shop.invalid", first_name=WORD)
        for name in ("bounced", "renamed"):
            shop.event(name, f"{name}@example.com", first_name=name)
        fields = shop.standin.find_list("other").fields
        fields["WORD"] = MergeField(99, "WORD", WORD, "dropdown", choices=(WORD, LONG))
        shop.run()
        shop.read_back()
        shop.by_hand("bounced@example.com", "clean")
        shop.by_hand("renamed@example.com", "rename", value=LONG_ADDRESS.replace("@", "@new."))
        shop.read_back()
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
    for path in PATHS:
        wrong += _wrong(visited, full_shop.page + path)
    visited.goto(full_shop.operators_link())
    for url in (
        full_shop.url + "/",
        full_shop.url + "/?find=a",
        full_shop.url + "/dead-letters",
        full_shop.url + "/login",
        full_shop.page,
    ):
        wrong += _wrong(visited, url)
    assert wrong == [], "\n".join(wrong)


FAULTS = r"""() => {
  const faults = [], shown = e => !e.closest('.unseen, .skip, svg, datalist, option');
  if (document.documentElement.scrollWidth > innerWidth) faults.push('wider than the window');
  for (const e of document.querySelectorAll('.scroll, .tabs'))
    if (e.scrollWidth > e.clientWidth) faults.push(`${e.className} scrolls sideways`);
  for (const e of document.querySelectorAll('body *')) {
    const box = e.getBoundingClientRect();
    if (box.width > 1 && box.height > 1 && shown(e) && (box.right > innerWidth + 1 || box.left < -1))
      faults.push(`beyond the edge: ${e.outerHTML.slice(0, 120)}`);
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange();
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (!shown(text.parentElement)) continue;
    for (const word of text.data.matchAll(/\S+/g)) {
      range.setStart(text, word.index); range.setEnd(text, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
      if (word[0].length <= 14 && lines.size > 1) faults.push(`broken: ${word[0]} in ${text.data.slice(0, 60)}`);
    }
  }
  return faults.slice(0, 6);
}"""
"""What a person with this window would see cut, broken or only by scrolling sideways. No short word is broken."""


def test_every_page_of_an_account_is_looked_at() -> None:
    """A page that is added is looked at in both widths too."""
    paths = {
        page.path.partition("/mailchimp")[2] for page in PAGES if "GET" in page.methods and "/accounts" in page.path
    }
    assert paths - SKIPPED.keys() == {path.partition("?")[0] for path in PATHS}


def _wrong(page: Page, url: str) -> Iterator[str]:
    answer = page.goto(url)
    assert answer is not None
    if answer.status != 200:
        yield f"{url}: {answer.status}"
    if page.evaluate("window.evil") is not None:
        yield f"{url}: markup of others came to life"
    yield from (f"{url}: {fault}" for fault in page.evaluate(FAULTS))
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
    assert wrong == [], "\n".join(wrong)


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
