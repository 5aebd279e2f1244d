"""Histories that once put somebody back, added somebody elsewhere, or lost a customer."""

from functools import partial

import pytest

from tests.integration.flush.world import World
from worker.flush import account_flush
from worker.mailchimp import calls
from worker.mailchimp.calls import Call
from worker.plan.related_customers import chunks
from worker.sandbox.faults import Fault

A, B, C, D = (f"{one}@example.com" for one in "abcd")


def lost_post(world: World, kind: str = "timeout_after") -> None:
    """Flushes while the answer to the add is lost."""
    world.standin.faults = [Fault(kind, method="POST|PUT", times=1)]  # type: ignore[arg-type]
    world.flush()
    world.standin.faults = []


# An opt-out follows everybody who was there


def test_an_opt_out_follows_the_other_customer_of_a_shared_address_whose_add_was_lost(world: World):
    """Of two customers added by one call without an answer, both left when their member left."""
    world.event("ann", A)
    world.event("bob", A)
    lost_post(world)
    world.by_hand(A, "unsubscribe")
    world.event("ann", B)
    world.flush()
    assert world.status(B) is None
    assert world.outcomes("ann")[-1] == "left"


def test_a_lost_add_that_was_not_done_keeps_no_customer_from_its_next_address(world: World):
    """An add that never reached Mailchimp is no departure, for neither customer of the address."""
    world.event("ann", A)
    world.event("bob", A)
    lost_post(world, "timeout_before")
    world.event("bob", C)
    world.flush()
    world.event("ann", B)
    world.flush()
    assert (world.status(B), world.status(C)) == ("subscribed", "subscribed")


def test_an_address_refused_after_a_lost_add_can_be_corrected_by_both_customers(world: World):
    """A refusal after a lost answer leaves nobody known at a place that never had a member."""
    world.event("ann", "a@wrong.invalid")
    world.event("bob", "a@wrong.invalid")
    lost_post(world, "timeout_before")
    world.flush()
    world.event("ann", A)
    world.event("bob", B)
    world.flush()
    assert (world.status(A), world.status(B)) == ("subscribed", "subscribed")


def test_an_opt_out_is_not_lost_by_way_of_a_place_of_another_customer(world: World):
    """Who left, and then got the address of a member, is not added when the address changes again."""
    world.event("ann", A)
    world.event("carl", A)
    world.event("bob", B)
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.event("ann", B)
    world.flush()
    assert world.outcomes("ann")[-1] == "left"
    world.event("ann", C)
    world.flush()
    assert world.status(C) is None
    assert world.status(B) == "subscribed"


def test_a_customer_who_left_stays_known_there_when_an_address_is_freed(world: World):
    """Who left and waits for the address of a member is not moved there by that member's customer going away."""
    world.event("ann", A)
    world.event("carl", A)
    world.event("zed", B)
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.event("ann", B)
    world.flush()
    world.event("zed", D)
    world.flush()
    world.event("ann", C)
    world.flush()
    assert world.status(C) is None


def test_fields_are_still_sent_for_a_customer_whose_address_another_one_took_on(world: World):
    """A newcomer who left elsewhere holds up no change of the customer whose member it is."""
    world.event("ann", A, first_name="Ann")
    world.event("bob", B, first_name="Bob")
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.event("ann", B, first_name="Ann")
    world.event("bob", B, first_name="Robert")
    world.flush()
    assert world.fields(B) == {"FNAME": "Robert"}
    assert world.outcomes("ann")[-1] == "left"
    assert world.outcomes("bob")[-1] == "updated"


def test_an_opt_out_follows_a_customer_who_shared_an_address_that_was_withheld(world: World):
    """Who had an address when it was added by another's consent left with it."""
    world.event("ann", A, marketing_consent=False)
    world.event("bob", A)
    world.flush()
    world.event("ann", A, marketing_consent=True)
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.event("bob", B)
    world.flush()
    assert world.status(B) is None


def test_a_withheld_customer_is_sent_when_nothing_withholds_it_any_more(world: World):
    """Who shares an address that was withheld is added once the other one has another address."""
    world.event("ann", A, marketing_consent=False)
    world.event("bob", A)
    world.flush()
    assert world.status(A) is None
    world.event("ann", B, marketing_consent=False)
    world.flush()
    assert world.status(A) == "subscribed"


@pytest.mark.parametrize("first", ["ann", "zed"])
def test_a_lost_add_is_remembered_across_chunks(world: World, monkeypatch: pytest.MonkeyPatch, first: str):
    """A departure after an add without an answer is known, though an earlier chunk gives the address to another one."""
    monkeypatch.setattr(account_flush, "chunks", partial(chunks, size=1))
    other = "zed" if first == "ann" else "ann"
    world.event(other, A)
    lost_post(world)
    world.by_hand(A, "unsubscribe")
    world.event(other, B)
    world.event(first, A)
    world.flush()
    assert world.status(B) is None
    assert world.status(A) == "unsubscribed"


# Refusals for the customer


@pytest.mark.parametrize("found", [False, True], ids=["added", "found"])
def test_a_customer_refused_for_good_stays_refused_through_deletions(world: World, found: bool):
    """Nobody whose address was forgotten is added elsewhere because the customer was deleted and came back."""
    if found:
        world.by_hand(A, "subscribe")
    world.by_hand(B, "subscribe")
    world.by_hand(B, "forget")
    world.event("ann", A)
    world.flush()
    world.event("ann", B)
    world.flush()
    assert world.outcomes("ann")[-1] == "suppressed"
    world.deleted("ann", B)
    world.flush()
    world.deleted("ann", B)
    world.flush()
    world.event("ann", C)
    world.flush()
    assert world.status(C) is None
    assert world.outcomes("ann")[-1] == "left"


# Acts by hand between two calls


def test_archived_members_that_change_while_they_are_read_are_not_put_back(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """A member restored and another archived between two pages hide nobody from the reading."""
    monkeypatch.setattr(calls, "PAGE", 2)
    monkeypatch.setattr("worker.app.Config.flush", None, raising=False)
    people = [f"p{number}@example.com" for number in range(6)]
    for email in [*people, "late@example.com"]:
        world.by_hand(email, "subscribe")
    for email in people:
        world.by_hand(email, "archive")
        world.clock.forward(minutes=1)
    pages: list[Call] = []

    def between(call: Call) -> None:
        if call.query.get("sort_field") and len(pages) < 2:
            pages.append(call)
            if len(pages) == 2:
                world.by_hand(people[0], "subscribe")
                world.by_hand("late@example.com", "archive")

    world.before_call(between)
    for number, email in enumerate(people[1:]):
        world.event(f"c{number}", email)
    world.flush()
    assert world.standin.audit.put_back() == []
    assert [world.status(email) for email in people[1:]] == ["archived"] * 5


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_list_is_not_taken_for_gone_because_a_member_went_meanwhile(world: World, method: str):
    """A member that is deleted between a read and the write that depends on it leaves its list as it is."""
    world.event("ann", A)
    world.event("bob", D)
    world.flush()
    if method == "PUT":
        world.deleted("ann", A)
        world.flush()
        world.event("ann", A)
    elif method == "PATCH":
        world.event("ann", B)
    else:
        world.deleted("ann", A)

    def before(call: Call) -> None:
        if call.method == method and world.status(A) is not None:
            world.by_hand(A, "forget")

    world.before_call(before)
    world.flush()
    world.before_call(None)
    assert not any(one.gone for one in world.settings.lists)
    world.event("bob", D, first_name="Bob")
    world.flush()
    assert world.fields(D) == {"FNAME": "Bob"}


def test_a_found_member_that_goes_before_its_fields_are_written_leaves_the_list(world: World):
    """The same between the answer that somebody is a member and the write of the fields."""
    world.by_hand(A, "subscribe")
    world.event("ann", A)
    world.before_call(lambda call: world.by_hand(A, "forget") if call.method == "PATCH" and world.status(A) else None)
    world.flush()
    assert not any(one.gone for one in world.settings.lists)


def test_an_unsubscribing_whose_member_went_meanwhile_leaves_the_list(world: World):
    """The same between the read and the write for consent withdrawn."""
    world.event("ann", A)
    world.flush()
    world.event("ann", A, marketing_consent=False)
    world.before_call(lambda call: world.by_hand(A, "forget") if call.method == "PATCH" and world.status(A) else None)
    world.flush()
    assert not any(one.gone for one in world.settings.lists)


def test_an_opt_out_that_was_archived_with_its_customer_follows_it(world: World):
    """Who left a list that it was moved away from, then had no address for a time, is added nowhere after that."""
    world.event("ann", A, list_id="other")
    world.flush()
    world.event("ann", A, list_id="master")
    world.standin.faults = [Fault("status", method="DELETE", status=503)]
    world.flush()
    world.standin.faults = []
    world.by_hand(A, "unsubscribe", "other")
    world.deleted("ann", A)
    world.flush()
    assert (world.status(A, "master"), world.status(A, "other")) == ("archived", "archived")
    world.event("ann", B, list_id="master")
    world.flush()
    assert world.status(B) is None


# What one step wrote, the next one knows


def test_what_was_sent_to_a_member_is_remembered_though_another_customer_left_there(world: World):
    """A customer that may not go elsewhere does not undo what was noted of its member a moment before."""
    world.event("ann", A)
    world.event("bob", A)
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.event("ann", B)
    world.event("bob", A, first_name="Bob")
    world.flush()
    assert (world.outcomes("ann")[-1], world.fields(A)) == ("left", {"FNAME": "Bob"})
    world.event("bob", A, first_name="Bob", phone=None)
    world.flush()
    assert world.writes() == []
    assert world.outcomes("bob")[-1] == "unchanged"
