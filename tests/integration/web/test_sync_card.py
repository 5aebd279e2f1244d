"""What the owner's page says of the last sync, and of which details were sent."""

from __future__ import annotations

import re
from html import unescape

from tests.integration.flush.world import ACCOUNT
from tests.integration.web.site import Site
from tests.integration.web.test_person_page import text_of
from worker.sandbox.faults import Fault

PAGE = f"/accounts/{ACCOUNT}/mailchimp"


def badges(site: Site) -> dict[str, str]:
    """Returns what the page says of each detail: whether it was sent."""
    page = site.owner().get(PAGE).text
    table = page[page.index('<table class="fields">') :]
    rows = re.findall(r"<code>(\w+)</code></td><td><span[^>]*>([^<]+)</span>", table[: table.index("</table>")])
    return {tag: unescape(text) for tag, text in rows}


def shown(site: Site) -> str:
    """Returns the words of the page."""
    return text_of(site.owner().get(PAGE).text)


def test_only_a_detail_that_some_member_got_is_shown_as_sent(site: Site) -> None:
    """Neither a detail that no customer has nor one that no list has a field for was sent."""
    world = site.world
    world.standin.find_list("master").fields.pop("COMPANY")
    world.standin.find_list("other").fields.pop("COMPANY")
    assert set(badges(site).values()) == {"no sync yet"}
    world.event("ann", "ann@example.com", first_name="Ann", company="Ann Ltd")
    world.run()
    assert badges(site) == {
        "EMAIL": "sent", "FNAME": "sent", "LNAME": "nothing sent", "COMPANY": "not sent", "PHONE": "nothing sent",
        "ADDRESS": "nothing sent",
    }  # fmt: skip
    world.event("bob", "bob@example.com", first_name="Bob", phone="0113 496 0000")
    world.run()
    assert badges(site) | {"PHONE": ""} == {
        "EMAIL": "sent", "FNAME": "sent", "LNAME": "nothing sent", "COMPANY": "nothing sent", "PHONE": "",
        "ADDRESS": "nothing sent",
    }  # fmt: skip


def test_a_failed_sync_did_not_find_that_nothing_had_changed(site: Site) -> None:
    """The page says that it did not finish, and how many are up to date."""
    world = site.world
    world.event("ann", "ann@example.com")
    world.standin.faults.append(Fault("status", path="/lists/"))
    world.run()
    page = shown(site)
    assert "Today at 10:00: it did not finish." in page
    assert "nothing had changed" not in page
    assert "0 of 1 person is up to date." in page


def test_reading_lists_is_no_sync(site: Site) -> None:
    """A failed reading leaves the last sync as it was, and is in no list of syncs."""
    world = site.world
    world.event("ann", "ann@example.com")
    world.run()
    world.clock.forward(hours=2)
    world.standin.faults.append(Fault("status", path="/lists/"))
    world.read_back()
    world.event("ann", "ann@example.com", first_name="Ann")
    page = shown(site)
    assert "Today at 10:00: 1 added" in page
    assert "did not finish" not in page
    assert "at 12:0" not in text_of(site.owner().get(f"{PAGE}/runs").text)
