"""What is published about customers whose member is another's too, or who are gone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.clock import as_text
from worker.mailchimp.calls import Call
from worker.model import AddressKey, CustomerId, ListId
from worker.plan.outcomes import NOTHING_NEXT, ONLY_THE_PERSON
from worker.status.explanation import explanations_of
from worker.store import customer_outcomes
from worker.store.customer_outcomes import CustomerOutcome

ANN, EVE = "ann@example.com", "eve@example.com"


def told(world: World, customer: str) -> CustomerOutcome | None:
    """Returns what was published last about a customer."""
    return customer_outcomes.find(world.db, ACCOUNT, CustomerId(customer))


def summary(world: World, customer: str) -> tuple[int | None, str, str, str]:
    """Returns version, status, outcome and cause of what was published last about a customer."""
    found = told(world, customer)
    assert found is not None
    return found.version, found.member_status, found.outcome, found.caused_by


@pytest.mark.parametrize("known", [False, True])
def test_who_left_another_list_before_being_a_customer_is_published_with_that_member(world: World, known: bool) -> None:
    """With its status there; and with the time of its departure, if the flush reads the member itself."""
    world.by_hand(ANN, "subscribe", "other")
    world.by_hand(ANN, "unsubscribe", "other")
    left_at = as_text(world.clock())
    world.clock.forward(days=30)
    if known:
        world.read_back()
    world.event("ann", ANN)
    world.flush()
    found = told(world, "ann")
    assert found is not None
    assert (found.outcome, found.list_id, found.member_status) == ("left", "other", "unsubscribed")
    assert (found.since <= left_at) == known


def test_who_withdrew_consent_is_not_published_as_subscribed_for_another_customers_member(world: World) -> None:
    """A customer that gave its address away and withdrew consent is published as no member, at its own version."""
    world.event("c1", ANN)
    world.flush()
    world.event("c2", ANN)
    world.event("c1", EVE, marketing_consent=False)
    world.flush()
    assert world.members() == {ANN: "subscribed"}
    assert summary(world, "c1") == (2, "none", "withheld", "billmywork")
    world.event("c1", "evelyn@example.com", marketing_consent=False)
    world.flush()
    assert summary(world, "c1") == (3, "none", "withheld", "billmywork")
    assert summary(world, "c2")[:2] == (1, "subscribed")


def test_a_withdrawal_at_an_address_is_published_for_every_customer_with_it(world: World) -> None:
    """When a customer withdraws consent, all with its address are published as unsubscribed, changed or not."""
    for customer in ("c1", "c2", "c3"):
        world.event(customer, ANN)
    world.flush()
    world.event("c1", ANN, marketing_consent=False)
    world.event("c2", ANN, first_name="Ann")
    world.flush()
    assert world.members() == {ANN: "unsubscribed"}
    assert [summary(world, one)[:2] for one in ("c1", "c2", "c3")] == [
        (1 + (one != "c3"), "unsubscribed") for one in ("c1", "c2", "c3")
    ]
    assert {summary(world, one)[3] for one in ("c1", "c2", "c3")} == {"billmywork"}


def test_nothing_is_published_again_about_a_deleted_customer(world: World) -> None:
    """When a shared member leaves, its outcome is published for the customer that is left, not for the deleted one."""
    world.event("c1", ANN)
    world.event("c2", ANN)
    world.flush()
    world.deleted("c1", ANN)
    world.flush()
    assert told(world, "c1") is None
    world.by_hand(ANN, "unsubscribe")
    world.daily()
    assert summary(world, "c2")[1:] == ("unsubscribed", "left", "person")
    assert told(world, "c1") is None


def test_who_went_by_itself_is_published_as_none_when_consent_is_withdrawn(world: World) -> None:
    """A withdrawal that finds the member deleted in Mailchimp is published with status none, not the one before."""
    world.event("c1", ANN)
    world.flush()
    world.by_hand(ANN, "forget")
    world.event("c1", ANN, marketing_consent=False)
    world.flush()
    assert summary(world, "c1") == (2, "none", "withheld", "billmywork")


def test_what_a_read_for_one_customer_shows_is_published_for_every_customer_of_the_member(world: World) -> None:
    """When one customer's step reads that the member is subscribed again, the other one's outcome says so as well."""
    world.event("c1", ANN)
    world.flush()
    world.by_hand(ANN, "unsubscribe")
    world.daily()
    assert summary(world, "c1")[1:3] == ("unsubscribed", "left")
    world.by_hand(ANN, "subscribe")
    world.event("c2", ANN, first_name="Ann")
    world.flush()
    assert {summary(world, one)[1] for one in ("c1", "c2")} == {"subscribed"}


def test_an_address_that_is_none_is_no_refusal_of_mailchimps(world: World) -> None:
    """Where the worker itself sees that an address is not valid, billmywork caused it; the text is not published."""
    world.event("c1", "ann at example.com")
    world.flush()
    assert summary(world, "c1") == (1, "none", "refused", "billmywork")
    found = told(world, "c1")
    assert found is not None
    assert "ann" not in found.as_text()


def test_a_second_withdrawal_is_published_from_when_it_was_done(world: World) -> None:
    """A member that joined again unseen and is unsubscribed once more is published so from then on."""
    for customer in ("c1", "c2"):
        world.event(customer, ANN)
    world.flush()
    world.event("c1", ANN, marketing_consent=False)
    world.flush()
    first = [told(world, one) for one in ("c1", "c2")]
    world.clock.forward(hours=1)
    world.by_hand(ANN, "subscribe")
    world.event("c1", ANN, marketing_consent=False, first_name="Ann")
    world.flush()
    assert world.members() == {ANN: "unsubscribed"}
    for before, customer in zip(first, ("c1", "c2"), strict=True):
        now = told(world, customer)
        assert before is not None
        assert now is not None
        assert now.since > before.since
        assert (now.member_status, now.outcome, now.caused_by) == ("unsubscribed", "unsubscribed", "billmywork")


def test_a_change_of_another_customers_member_is_not_published_for_who_withdrew_consent(world: World) -> None:
    """Who withdrew consent at another address stays no member when the customer that has its old one changes."""
    world.event("c1", ANN)
    world.event("c2", ANN)
    world.flush()
    world.event("c1", EVE, marketing_consent=False)
    world.flush()
    world.event("c2", ANN, first_name="Anne")
    world.flush()
    assert world.members() == {ANN: "subscribed"}
    assert summary(world, "c1") == (2, "none", "withheld", "billmywork")
    assert summary(world, "c2")[1:3] == ("subscribed", "updated")


def test_a_departure_from_an_earlier_list_gives_no_reason_for_that_list(world: World) -> None:
    """The outcome names the list that the person left, and no reason: the reason is that of the chosen list."""
    world.event("c1", ANN, list_id="other")
    world.flush()
    world.by_hand(ANN, "unsubscribe", "other")
    world.event("c1", ANN)
    world.flush()
    found = told(world, "c1")
    assert found is not None
    assert (found.outcome, found.list_id, found.list_reason) == ("left", "other", None)
    assert world.receipts("c1")[-1].list_reason is None


def test_another_members_subscription_counts_from_when_it_was_found(world: World) -> None:
    """A customer that takes the address of another subscribed member has the date of that member, not of its first."""
    world.event("c1", EVE)
    world.flush()
    before = told(world, "c1")
    world.by_hand(ANN, "subscribe")
    world.event("c1", ANN)
    world.flush()
    found = told(world, "c1")
    assert before is not None
    assert found is not None
    assert (found.outcome, found.member_status) == ("found", "subscribed")
    assert found.since > before.since


@pytest.mark.parametrize("flush", [World.daily, World.flush])
@pytest.mark.parametrize("acts", [("subscribe", "archive"), ("subscribe", "unsubscribe"), ("unsubscribe", "subscribe")])
def test_a_status_that_ended_and_began_again_unread_counts_from_its_last_beginning(
    world: World, acts: tuple[str, str], flush: Callable[[World], object]
) -> None:
    """Mailchimp's time of the opt-in shows that the member was subscribed in between, whatever reads it next."""
    ended, begun = acts
    world.event("c1", ANN)
    world.flush()
    if begun != "subscribe":
        world.by_hand(ANN, begun)
    world.event("c1", ANN, first_name="Ann")
    world.daily()
    before = told(world, "c1")
    world.clock.forward(hours=1)
    for act in (ended, begun):
        world.by_hand(ANN, act)
    member = world.standin.find_list("master").find(ANN)
    assert member is not None
    began = as_text(member.last_changed.replace(microsecond=0))
    if flush is World.flush:
        world.event("c1", ANN, marketing_consent=False)
    flush(world)
    now = told(world, "c1")
    assert before is not None
    assert now is not None
    assert before.since < began <= now.since


def test_what_a_read_showed_is_published_though_the_write_after_it_was_not_made(world: World) -> None:
    """A member that is about to be unsubscribed is published as subscribed; who archives it later began that later."""
    world.event("c1", ANN)
    world.flush()
    world.by_hand(ANN, "archive")
    world.daily()
    world.by_hand(ANN, "subscribe")
    world.event("c1", ANN, marketing_consent=False)

    def store_another_list(call: Call) -> None:
        if call.reads_only and "/members/" in call.path:
            with closing(world.app.open_database()) as db:
                setters.store(db, CHANGELOG, ACCOUNT, [ListId(name) for name in ("master", "other", "spare")])

    world.before_call(store_another_list)
    world.flush()
    world.before_call(None)
    read = told(world, "c1")
    assert read is not None
    assert read.member_status == "subscribed"
    world.clock.forward(hours=1)
    world.by_hand(ANN, "archive")
    world.daily()
    now = told(world, "c1")
    assert now is not None
    assert (now.member_status, now.since > read.since) == ("archived", True)


def next_in_explanation(world: World, customer: str, email: str) -> str:
    """Returns what an explanation says happens next to a customer."""
    explanations = explanations_of(world.db, AddressKey(email), ACCOUNT, world.clock())
    return next(one.next_step().sentence for one in explanations if one.customer_id == customer)


@pytest.mark.parametrize("double_opt_in", [False, True])
def test_who_is_kept_off_is_published_as_left_when_its_old_member_is_taken_off(
    world: World, double_opt_in: bool
) -> None:
    """The opt-out of an address decides about the customer that has it now; that its old member goes does not."""
    if double_opt_in:
        setters.enable(world.db, CHANGELOG, ACCOUNT, status_if_new="pending")
    world.event("ann", ANN, list_id="other")
    world.event("bob", EVE)
    world.flush()
    world.by_hand(ANN, "unsubscribe", "other")
    world.daily()
    world.event("bob", ANN)
    world.flush()
    old = "unsubscribed" if double_opt_in else "archived"
    assert world.members() == {EVE: old}
    assert world.outcomes("bob")[-2:] == ["left", old]
    assert summary(world, "bob") == (2, old, "left", "person")
    found = told(world, "bob")
    assert found is not None
    assert (found.next, next_in_explanation(world, "bob", ANN)) == (ONLY_THE_PERSON, ONLY_THE_PERSON)


def test_who_is_withheld_for_another_customer_waits_when_its_old_member_is_archived(world: World) -> None:
    """Withdrawn consent keeps the customer off that has the address now, until it is given again."""
    world.event("ann", ANN, list_id="other")
    world.event("bob", EVE)
    world.flush()
    world.event("ann", ANN, list_id="other", marketing_consent=False)
    world.flush()
    world.event("bob", ANN)
    world.flush()
    assert world.members() == {EVE: "archived"}
    assert summary(world, "bob") == (2, "archived", "withheld", "billmywork")
    assert next_in_explanation(world, "bob", ANN) == "Checked again when that customer changes."
    world.event("ann", "new@example.com", list_id="other")
    world.flush()
    assert world.outcomes("bob")[-1] == "left", "its address is unsubscribed on the other list"


def test_a_deleted_customer_has_nothing_next_though_it_was_kept_off(world: World) -> None:
    """A customer that was kept off and is deleted gets nothing more."""
    world.event("ann", ANN, list_id="other")
    world.event("bob", EVE)
    world.flush()
    world.by_hand(ANN, "unsubscribe", "other")
    world.daily()
    world.event("bob", ANN)
    world.flush()
    world.deleted("bob", ANN)
    world.flush()
    assert told(world, "bob") is None
    assert next_in_explanation(world, "bob", ANN) == NOTHING_NEXT


def test_who_leaves_a_shared_address_and_is_added_nowhere_has_no_member(world: World) -> None:
    """The old member stays subscribed, but it is the other customer's from then on."""
    world.event("ann", ANN)
    world.event("bob", ANN)
    world.daily()
    world.by_hand(EVE, "subscribe", "other")
    world.by_hand(EVE, "unsubscribe", "other")
    world.event("ann", EVE)
    world.daily()
    assert world.members()[ANN] == "subscribed"
    assert summary(world, "ann")[1:3] == ("none", "left")
    assert summary(world, "bob")[1] == "subscribed"
