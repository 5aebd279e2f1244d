"""An account's owner uses the pages as a person does, from the first visit to a confirmed change."""

from __future__ import annotations

import threading

from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import PLAIN_HOST
from tests.browser.shop import KEY, Shop
from worker.mailchimp.calls import Call


def connect(page: Page, shop: Shop, key: str = KEY) -> None:
    """Enters a key."""
    page.get_by_label("Mailchimp API key").fill(key)
    page.get_by_role("button", name="Connect", exact=True).click()


def set_up(page: Page, shop: Shop) -> None:
    """Connects, uses two lists, and turns the integration on."""
    page.goto(shop.link())
    connect(page, shop)
    page.get_by_role("checkbox", name="All customers").check()
    shop.read_again()
    page.get_by_role("checkbox", name="Boiler care plan").check()
    page.get_by_role("radio", name="All customers").check()
    page.get_by_role("button", name="Save lists").click()
    expect(page.get_by_text("Turn the integration on")).to_be_visible()
    page.get_by_label("Send my customers to Mailchimp").check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_label("I may write to these people").check()
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("status")).to_contain_text("The integration is on.")


def test_a_wrong_key_is_explained_beside_its_field(page: Page, shop: Shop) -> None:
    """Neither a text that is no key nor one that Mailchimp refuses is taken, and the page says which it was."""
    page.goto(shop.link())
    connect(page, shop, "my password")
    expect(page.get_by_role("alert")).to_contain_text("This is not a Mailchimp API key.")
    connect(page, shop, "f" * 32 + "-us1")
    expect(page.get_by_role("alert")).to_contain_text("Mailchimp does not accept this key.")
    expect(page.get_by_label("Mailchimp API key")).to_have_attribute("aria-invalid", "true")
    assert "fffffff" not in page.content(), "no key is shown again"


def test_without_https_a_browser_names_the_origin_of_its_forms(page: Page, shop: Shop) -> None:
    """It names no site then. With a policy of no-referrer, the origin would be null, as of another site's form."""
    page.goto(shop.link().replace("127.0.0.1", PLAIN_HOST))
    with page.expect_request(lambda request: request.method == "POST") as posted:
        connect(page, shop, "my password")
    expect(page.get_by_role("alert")).to_contain_text("This is not a Mailchimp API key.")
    sent = posted.value.all_headers()
    assert "sec-fetch-site" not in sent
    assert sent["origin"].startswith(f"http://{PLAIN_HOST}:")
    assert "referer" not in sent or "/mailchimp" not in sent["referer"]


def test_from_the_first_visit_to_what_happened_last_night(page: Page, shop: Shop) -> None:
    """Connect, choose lists, turn on by numbers shown before; then see who was added, who was not, and why."""
    shop.people(8)
    shop.event("nobody", None, first_name="Zed")
    set_up(page, shop)
    expect(page.locator(".state")).to_contain_text("9 people waiting")
    page.get_by_role("button", name="Sync now").first.click()
    expect(page.get_by_role("status")).to_contain_text("A sync begins within seconds")
    shop.carry_out()
    page.goto(shop.page)
    expect(page.locator(".sentence")).to_contain_text("8 added, 1 not synced.")
    page.get_by_role("link", name="8 added").click()
    expect(page.locator(".people > li")).to_have_count(8)
    page.get_by_role("link", name="Ann Lee").click()
    expect(page.locator("article")).to_contain_text("Subscribed on “All customers”.")
    page.goto(shop.page)
    page.get_by_role("link", name="1 without an address").click()
    expect(page.locator(".people")).to_contain_text("Zed")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    assert text.splitlines()[0] == "time,name,email,list,what happened,why,customer id"
    assert text.count("\n") == 2
    assert ",Zed," in text
    page.goto(shop.page)
    page.get_by_role("button", name="Sync now").click()
    expect(page.get_by_role("status")).to_contain_text("within the last ten minutes")
    page.get_by_role("link", name="Changes").click()
    expect(page.locator(".timeline")).to_contain_text("Made “All customers” the master list.")
    expect(page.locator(".timeline")).to_contain_text("Ann Lee")


def test_what_follows_is_said_before_it_is_saved(page: Page, shop: Shop) -> None:
    """The numbers are the plan's, and nothing is saved before the owner has seen them."""
    shop.people(8)
    page.goto(shop.link())
    connect(page, shop)
    page.get_by_role("checkbox", name="All customers").check()
    shop.read_again()
    page.get_by_role("button", name="Save lists").click()
    page.get_by_label("Ask them first").check()
    page.get_by_label("Send my customers to Mailchimp").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".follows")).to_contain_text(
        "Enabling adds 8 people once they confirm by mail tomorrow at 10:00"
    )
    expect(page.locator("main")).to_contain_text("counts as a yes")
    assert not shop.settings.enabled, "nothing is saved yet"
    page.get_by_role("link", name="Cancel").click()
    assert not shop.settings.enabled
    page.go_back()
    page.get_by_label("I may write to these people").check()
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("status")).to_contain_text("The integration is on.")
    assert shop.settings.status_if_new == "pending"


def test_people_move_by_the_numbers_that_were_shown(page: Page, running_shop: Shop) -> None:
    """Another master list moves those on the old one; the page says how many from where to where, and asks."""
    shop = running_shop
    shop.people(12)
    shop.run()
    page.goto(shop.link())
    page.get_by_role("radio", name="Boiler care plan").check()
    page.get_by_role("button", name="Save lists").click()
    expect(page.locator(".follows")).to_contain_text("12 people move from “All customers” to “Boiler care plan”.")
    expect(page.locator("main")).to_contain_text("Nobody who we know unsubscribed is moved")
    page.get_by_label("Yes, 12 people may leave “All customers”").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    shop.run()
    assert set(shop.members("other").values()) == {"subscribed"}
    assert set(shop.members("master").values()) == {"archived"}


def test_held_changes_are_confirmed_by_the_owner(page: Page, running_shop: Shop) -> None:
    """More deletions than usual wait; the owner sees how many would leave which list, and lets it happen."""
    shop = running_shop
    shop.people(24)
    shop.run()
    for number in range(20):
        shop.deleted(f"c{number}")
    shop.run()
    page.goto(shop.link())
    problem = page.locator(".notice.problem")
    expect(problem).to_contain_text("20 people would leave “All customers”.")
    problem.get_by_role("link", name="Review and confirm").click()
    page.get_by_label("Yes, 20 people may leave “All customers”").check()
    page.get_by_role("button", name="Confirm and sync now").click()
    expect(page.get_by_role("status")).to_contain_text("Confirmed.")
    expect(page.locator("main")).not_to_contain_text("Review and confirm")
    shop.carry_out()
    page.goto(shop.page)
    expect(page.locator(".notice.problem")).to_have_count(0)
    assert list(shop.members().values()).count("archived") == 20


def test_a_list_that_was_deleted_in_mailchimp_is_a_problem_with_a_way_out(page: Page, running_shop: Shop) -> None:
    """After a refresh the page says that the list is gone; unticking it ends the problem."""
    shop = running_shop
    shop.people(3, list_id="other")
    shop.run()
    shop.standin.delete_list("other")
    page.goto(shop.link())
    page.get_by_role("button", name="Refresh list").click()
    expect(page.locator(".notice.problem")).to_contain_text("“Boiler care plan” is no longer in Mailchimp")
    row = page.locator("tr", has_text="Boiler care plan")
    expect(row.locator(".badge")).to_have_text("gone")
    row.get_by_role("checkbox").uncheck()
    page.get_by_role("button", name="Save lists").click()
    expect(page.locator("main")).to_contain_text("The next sync asks you before it adds 3 people from it")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice.problem", has_text="Boiler care plan")).to_have_count(0)
    shop.run()
    page.goto(shop.page)
    page.get_by_role("link", name="Review and confirm").click()
    page.get_by_label("Yes, add 3 people from “Boiler care plan”").check()
    page.get_by_role("button", name="Confirm and sync now").click()
    expect(page.get_by_role("status")).to_contain_text("Confirmed.")
    expect(page.locator(".notice.problem")).to_have_count(0)
    shop.carry_out()
    assert set(shop.members().values()) == {"subscribed"}


def test_a_refused_key_is_replaced_and_the_account_disconnected(page: Page, running_shop: Shop) -> None:
    """Mailchimp refuses the key at night; the owner sees it first, enters another one, and later disconnects."""
    shop = running_shop
    shop.people(2)
    shop.standin.revoke(KEY)
    shop.run()
    page.goto(shop.link())
    expect(page.locator(".notice.problem").first).to_contain_text("Mailchimp does not accept your key any more")
    new = "9" * 32 + "-us1"
    shop.standin.add_key(new, "owner")
    page.get_by_label("New API key").fill(new)
    page.get_by_role("button", name="Replace").click()
    expect(page.get_by_role("status")).to_contain_text("Connected.")
    expect(page.locator("#connection")).to_contain_text("…9999-us1")
    page.get_by_role("link", name="Disconnect").click()
    expect(page.locator("main")).to_contain_text("stays there, as they are")
    page.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_role("status")).to_contain_text("Nothing was changed in Mailchimp")
    assert shop.settings.key_hint is None
    assert not shop.settings.enabled


def test_a_person_who_left_is_explained(page: Page, running_shop: Shop) -> None:
    """The page says what became of somebody, what Mailchimp says now, and what is next."""
    shop = running_shop
    shop.people(2)
    shop.run()
    shop.by_hand("bob.hill@example.com", "unsubscribe")
    page.goto(shop.link())
    page.get_by_label("Email address").fill("Bob.Hill@example.com")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("article")).to_contain_text("Unsubscribed on “All customers”.")
    expect(page.locator("article")).to_contain_text("Only they can join again")
    page.get_by_label("Email address").fill("stranger@example.com")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("status")).to_contain_text("We do not know stranger@example.com.")


def test_all_of_it_goes_without_javascript(browser: Browser, shop: Shop) -> None:
    """A browser without scripts sets an account up, waits for its lists, and sees the first sync."""
    shop.people(8)
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800})
    page = context.new_page()
    set_up(page, shop)
    page.get_by_role("button", name="Sync now").first.click()
    shop.carry_out()
    page.goto(shop.page)
    expect(page.locator(".sentence")).to_contain_text("8 added.")
    context.close()


def test_a_reading_of_lists_that_takes_long_comes_back_by_itself(browser: Browser, running_shop: Shop) -> None:
    """The page says that lists are being read, without a script too, and shows them once they are there."""
    shop = running_shop

    go_on = threading.Event()

    def wait(call: Call) -> None:
        go_on.wait(20)

    shop.before_call(wait)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(shop.link())
    page.get_by_role("button", name="Refresh list").click()
    expect(page.get_by_role("heading", name="Reading your lists from Mailchimp")).to_be_visible()
    shop.standin.create_list("owner", "fresh", "Spring offers")
    go_on.set()
    expect(page.locator("tr", has_text="Spring offers").locator(".badge")).to_have_text("new", timeout=10_000)
    context.close()


def test_the_account_is_set_up_by_keyboard_alone(page: Page, shop: Shop) -> None:
    """Tab, Space and Enter are enough, and what has the focus can be seen."""
    page.goto(shop.link())
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()

    def tab_to(label: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            active = page.evaluate(
                "(() => { const e = document.activeElement; return (e.labels?.[0]?.innerText || e.innerText || '') })()"
            )
            if active.strip().startswith(label):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"the focus on {label} cannot be seen"
                return
        raise AssertionError(f"{label} cannot be reached")

    tab_to("Mailchimp API key")
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("table.lists")).to_be_visible()
    tab_to("All customers")
    page.keyboard.press("Space")
    tab_to("Save lists")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    tab_to("Send my customers to Mailchimp")
    page.keyboard.press("Space")
    tab_to("Save")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Turn the integration on?")).to_be_visible()
    tab_to("I may write")
    page.keyboard.press("Space")
    tab_to("Turn it on")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The integration is on.")
