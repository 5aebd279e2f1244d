"""The page of one person says what `explain` and the published outcome say, in other words."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests.integration.flush.world import ACCOUNT
from tests.integration.web.site import Site
from worker.model import AddressKey
from worker.status.explanation import Explanation, explanations_of

PAGE = f"/accounts/{ACCOUNT}/mailchimp"
BY_THE_FORM = "Only they can join again, by the sign-up form of your list"


def text_of(page: str) -> str:
    """Returns the words of a page's main part, without markup."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index("<main") :])))


def person(site: Site, email: str) -> str:
    """Returns the words of a person's page."""
    return text_of(site.owner().get(f"{PAGE}/person", params={"email": email}).text)


def next_on_page(site: Site, email: str) -> str:
    """Returns what the page says is next."""
    found = re.search(r"What is next (.*?) What happened", person(site, email))
    assert found is not None
    return found[1].strip()


def explained(site: Site, email: str) -> Explanation:
    """Returns what `explain` knows."""
    (one,) = explanations_of(site.world.db, AddressKey(email), ACCOUNT, site.world.clock())
    return one


def api_next(site: Site, email: str) -> str:
    """Returns what the API says is next, after it has asked Mailchimp."""
    answer = site.owner().post(f"/api/v1/accounts/{ACCOUNT}/explain", json={"email": email, "live": True})
    (one,) = answer.json()["customers"]
    return str(one["next"])


def test_a_bounce_is_ended_by_another_address(site: Site) -> None:
    """The page does not advise the form: correcting the address is enough, before and after a sync notices it."""
    world = site.world
    world.event("ann", "ann@example.com")
    world.run()
    world.by_hand("ann@example.com", "clean")
    assert (
        next_on_page(site, "ann@example.com")
        == "They are added again once they have another email address in billmywork."
    )
    assert api_next(site, "ann@example.com") == "Added again when the customer has another address."
    world.daily()
    assert (
        next_on_page(site, "ann@example.com")
        == "They are added again once they have another email address in billmywork."
    )
    outcome = explained(site, "ann@example.com").outcome
    assert outcome is not None
    assert outcome.next == api_next(site, "ann@example.com") == "Added again when the customer has another address."


def test_who_bounced_elsewhere_is_not_said_to_have_left(site: Site) -> None:
    """Another list has the bounced member: the row of the sync says why nobody was added, and what helps."""
    world = site.world
    world.event("ann", "ann@example.com")
    world.daily()
    world.by_hand("ann@example.com", "clean")
    world.event("ann", "ann@example.com", list_id="other")
    world.daily()
    shown = text_of(site.owner().get(f"{PAGE}/people?group=missed").text)
    assert "Not added: mail to their email address came back. They are added again once they have another" in shown
    assert "left one of your lists" not in shown[shown.index("ann@example.com") :]


def test_a_withdrawn_consent_must_be_given_again(site: Site) -> None:
    """The form alone does not help: the next event would unsubscribe them again."""
    world = site.world
    world.event("ann", "ann@example.com")
    world.run()
    world.event("ann", "ann@example.com", marketing_consent=False)
    world.run()
    assert next_on_page(site, "ann@example.com").startswith(
        f"{BY_THE_FORM}, and only once they want marketing mail again"
    )
    assert api_next(site, "ann@example.com").startswith(
        "Only the person can join again, and only once consent is given"
    )


def test_the_outcome_counts_more_than_a_receipt_of_a_list_that_was_left(site: Site) -> None:
    """After a move, the last receipt may be about the old list; page and `explain` say what the outcome says."""
    world = site.world
    world.event("ann", "ann@example.com")
    world.run()
    world.event("ann", "ann@example.com", list_id="other")
    world.run()
    one = explained(site, "ann@example.com")
    assert one.outcome is not None
    assert one.next_step().sentence == one.outcome.next == api_next(site, "ann@example.com")
    assert next_on_page(site, "ann@example.com") == "Nothing, until you change this customer in billmywork."


@pytest.mark.parametrize("consent", [True, False])
def test_a_change_of_somebody_who_left_is_sent_but_does_not_put_them_back(site: Site, consent: bool) -> None:
    """The page says both, and so does the API."""
    world = site.world
    world.event("ann", "ann@example.com")
    world.run()
    world.by_hand("ann@example.com", "unsubscribe")
    world.event("ann", "ann@example.com", first_name="Ann", marketing_consent=consent)
    told = next_on_page(site, "ann@example.com")
    assert told.startswith("They are sent by the next sync, tomorrow at 10:00. Only they can join again")
    assert ("marketing mail again" in told) == (not consent)
    assert "Sent by the next flush" in api_next(site, "ann@example.com")
    assert "Only the person can join again" in api_next(site, "ann@example.com")


def test_a_refusal_with_a_date_names_it(site: Site) -> None:
    """Mailchimp refuses a contact for now: the page says when it is tried again, as `explain` does."""
    world = site.world
    world.event("ann", "ann@shop.invalid")
    world.run()
    after = "The first sync after tomorrow at 10:00 tries again, or the next one once their address changes."
    assert next_on_page(site, "ann@shop.invalid") == after
    assert api_next(site, "ann@shop.invalid").startswith("Tried again by the first flush after 2026-11-23T10:00")
    shown = text_of(site.owner().get(f"{PAGE}/people?group=refused").text)
    assert f"Mailchimp refused them. {after}" in shown


def test_an_address_that_the_person_changed_in_mailchimp_is_shown(site: Site) -> None:
    """Headline, Mailchimp's answer and history name the new address, and it finds the person too."""
    world = site.world
    world.event("ann", "ann@example.com")
    world.daily()
    world.daily()
    world.by_hand("ann@example.com", "rename", value="ann@new.example")
    world.clock.forward(hours=1)
    world.daily()
    for email in ("ann@example.com", "ann@new.example"):
        shown = person(site, email)
        assert "Subscribed on “Master” as ann@new.example: they changed their address in Mailchimp." in shown
        assert "In Mailchimp now Subscribed on “Master”, as ann@new.example" in shown
        assert "today at 11:00 with another address" in shown
        assert "They changed their address in Mailchimp to ann@new.example." in shown
        assert "They did this themselves" not in shown
        assert next_on_page(site, email).startswith("Nothing, while they have another address in Mailchimp.")


def test_who_left_under_the_changed_address_is_shown_at_once(site: Site) -> None:
    """The page asks Mailchimp for the new address, though the worker has not noticed the departure."""
    world = site.world
    world.event("ann", "ann@example.com")
    world.daily()
    world.daily()
    world.by_hand("ann@example.com", "rename", value="ann@new.example")
    world.daily()
    world.by_hand("ann@new.example", "unsubscribe")
    assert "Unsubscribed on “Master” as ann@new.example" in person(site, "ann@example.com")
    assert next_on_page(site, "ann@example.com") == f"{BY_THE_FORM}."


def test_a_text_longer_than_an_address_is_shortened_and_no_link(site: Site) -> None:
    """A browser cannot send it to the page of a person."""
    site.world.event("bad", "x" * 200_000)
    waiting = site.owner().get(f"{PAGE}/waiting").text
    number = site.world.run().run
    for shown in (waiting, site.owner().get(f"{PAGE}/people?run={number}").text):
        assert f"{'x' * 319}…" in shown
        assert "x" * 321 not in shown
        assert "/person?email=" not in shown


def test_an_invalid_address_was_not_refused_by_mailchimp(site: Site) -> None:
    """Nothing was sent for it, and only another address helps: the page, the people of the sync and the CSV say so."""
    world = site.world
    world.event("bad", "nope", first_name="Bad")
    number = world.run().run
    client = site.owner()
    told = "Nothing was sent, because their email address is not valid."
    helps = "They are sent once they have another email address in billmywork."
    for path in (f"/people?run={number}", f"/people?run={number}&group=refused", f"/people.csv?run={number}"):
        shown = client.get(PAGE + path).text
        assert told in shown
        assert helps in shown
        assert "try again" not in shown
        assert "Mailchimp refused" not in shown
    assert "Mailchimp refused them, or their email address is not valid." in text_of(client.get(PAGE).text)
