"""An opt-out belongs to the address and to the customers known by it, over all lists of the account."""

import pytest

from tests.integration.flush.world import World
from worker.mailchimp.calls import Call
from worker.sandbox.faults import Fault

A, B, C, D = (f"{one}@example.com" for one in "abcd")


def noted(world: World, customer: str, email: str, act: str) -> None:
    """Somebody leaves, and a change of the customer tells the ledger so."""
    world.by_hand(email, act)
    world.event(customer, email, first_name="Noted", list_id="master")
    world.flush()


@pytest.mark.parametrize("act", ["unsubscribe", "clean", "archive", "forget"])
def test_an_address_that_left_one_list_is_added_to_no_other(world: World, act: str):
    """A second record with the address and another list is not added there, and not at its next address either."""
    world.event("ann", A, list_id="master")
    world.flush()
    noted(world, "ann", A, act)
    world.event("second", A, list_id="other")
    world.flush()
    assert world.status(A, "other") is None
    assert world.outcomes("second") == ["left"]
    assert not world.waits("second")
    if act != "clean":
        world.event("second", B, list_id="other")
        world.flush()
        assert world.members("other") == {}


def test_an_address_that_left_is_not_restored_on_another_list(world: World):
    """What this worker archived on one list is not put back there once the address left another."""
    world.event("ann", A, list_id="other")
    world.flush()
    world.event("ann", A, list_id="master")
    world.flush()
    noted(world, "ann", A, "unsubscribe")
    world.event("bob", A, list_id="other")
    world.flush()
    assert world.status(A, "other") == "archived"
    assert world.outcomes("bob")[-1] == "left"


def test_who_is_known_by_an_address_that_left_another_list_is_added_nowhere(world: World):
    """A customer on one list, whose address left another one, is not added under its next address."""
    world.event("bob", A, list_id="other")
    world.event("ann", A, list_id="master")
    world.flush()
    noted(world, "ann", A, "unsubscribe")
    world.event("bob", B, list_id="other")
    world.flush()
    assert world.members("other") == {A: "archived"}
    assert world.outcomes("bob")[-2:] == ["left", "archived"]
    world.event("bob", C, list_id="other")
    world.flush()
    assert world.status(C, "other") is None


def kept_out_by_a_third_one(world: World) -> None:
    """Ann is known by the address that left Bob's list, and a newcomer has Ann's new one."""
    world.event("bob", A, list_id="master")
    world.event("ann", A, list_id="other")
    world.flush()
    world.deleted("ann", A)
    world.flush()
    noted(world, "bob", A, "unsubscribe")
    world.event("ann", B, list_id="master")
    world.event("new", B, list_id="other")
    world.flush()


def test_a_newcomer_is_kept_out_with_the_customer_whose_address_it_has(world: World):
    """An opt-out is of all customers known by the address, and of the addresses that these have now."""
    kept_out_by_a_third_one(world)
    assert (world.status(B), world.status(B, "other")) == (None, None)
    assert (world.outcomes("ann")[-1], world.outcomes("new")[-1]) == ("left", "left")


@pytest.mark.parametrize(
    ("end", "outcome"), [("the sharer gets another address", "added"), ("the person joins again", "moved")]
)
def test_who_was_kept_out_for_a_sharers_sake_is_looked_at_again_when_that_ends(world: World, end: str, outcome: str):
    """The newcomer itself need not change: it waits for the customer whose address it has."""
    kept_out_by_a_third_one(world)
    if end == "the person joins again":
        world.by_hand(A, "subscribe")
        world.event("bob", A, list_id="master", first_name="Back")
    else:
        world.event("ann", C, list_id="master")
    world.flush()
    assert world.status(C) is None
    assert world.status(B, "other") == "subscribed"
    assert world.outcomes("new")[-1] == outcome


@pytest.mark.parametrize("act", ["forget", "rename"])
@pytest.mark.parametrize("names", [True, False])
def test_a_member_that_was_found_and_went_by_itself_is_not_added(world: World, act: str, names: bool):
    """What was read of it is kept, though its customer was not put there: it was to come from where it had left."""
    world.event("ann", A)
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.by_hand(B, "subscribe")
    world.event("ann", B, first_name="Ann" if names else None)
    world.flush()
    assert world.outcomes("ann")[-1] == "left"
    world.by_hand(B, act, value=D)
    world.by_hand(A, "subscribe")
    world.event("ann", B, first_name="Anna" if names else None)
    world.flush()
    assert world.status(B) is None
    assert world.outcomes("ann")[-1] == "gone"


def test_a_member_that_a_batch_found_and_nobody_read_is_known(world: World):
    """Who joined by herself a moment before the POST, and deleted herself before she could be read, is not added."""

    def joins(call: Call) -> None:
        if call.method == "POST":
            world.by_hand(A, "subscribe")
            world.standin.faults = [Fault("status", method="GET", status=503)]

    world.event("ann", A, first_name="Ann", last_name="Lee")
    world.before_call(joins)
    world.flush()
    world.before_call(None)
    world.standin.faults = []
    world.by_hand(A, "forget")
    world.event("ann", A, list_id="other")
    world.flush()
    assert (world.status(A), world.status(A, "other")) == (None, None)
    assert world.outcomes("ann")[-1] == "left"


def test_who_withdrew_by_one_address_and_joined_again_by_an_earlier_one_goes_nowhere_else(world: World):
    """A withdrawal follows its customer by the address that it had then, also where the member was another one's."""
    world.event("bob", B, list_id="other")
    world.event("ann", A)
    world.flush()
    world.event("ann", B, marketing_consent=False)
    world.flush()
    assert (world.status(A), world.status(B, "other")) == ("unsubscribed", "unsubscribed")
    world.by_hand(A, "subscribe")
    world.event("ann", C)
    world.flush()
    assert world.status(C) is None
    assert world.outcomes("ann")[-1] == "left"


def test_a_person_who_joined_again_by_herself_is_added_on_the_other_list(world: World):
    """The places where somebody left are read before they are believed."""
    world.event("ann", A, list_id="master")
    world.flush()
    noted(world, "ann", A, "unsubscribe")
    world.by_hand(A, "subscribe")
    world.event("second", A, list_id="other")
    world.flush()
    assert world.status(A, "other") == "subscribed"


@pytest.mark.parametrize("list_id", ["master", "other"])
@pytest.mark.parametrize("first", ["the address", "the newcomer", "both at once"])
def test_an_address_of_a_customer_who_left_is_not_added_for_a_newcomer(world: World, first: str, list_id: str):
    """A newcomer who shares an address with somebody who left waits, whichever event comes first, until that ends."""
    world.event("ann", A, list_id="master")
    world.flush()
    world.by_hand(A, "unsubscribe")
    if first == "the address":
        world.event("ann", B, list_id="master")
        world.flush()
    elif first == "both at once":
        world.event("ann", B, list_id="master")
    world.event("new", B, list_id=list_id)
    if first == "the newcomer":
        world.event("ann", B, list_id="master")
    world.flush()
    assert (world.status(B, "master"), world.status(B, "other")) == (None, None)
    assert world.outcomes("new") == ["left"]
    assert not world.waits("new")
    world.event("ann", C, list_id="master")
    world.flush()
    assert world.status(B, list_id) == "subscribed"
    assert world.outcomes("new")[-1] in ("added", "moved")
    assert world.status(C) is None


@pytest.mark.parametrize("elsewhere", [False, True], ids=["renamed", "moved"])
@pytest.mark.parametrize("left", [False, True], ids=["never left", "left itself"])
def test_a_former_address_of_a_customer_who_left_counts_only_if_it_left_a_list_itself(
    world: World, elsewhere: bool, left: bool
):
    """Ann has another address since and left under that one: a newcomer with her first address is added."""
    world.event("ann", A, list_id="master")
    world.flush()
    world.event("ann", B, list_id="other" if elsewhere else "master")
    world.flush()
    noted_at = "other" if elsewhere else "master"
    world.by_hand(B, "unsubscribe", noted_at)
    world.event("ann", B, first_name="Noted", list_id=noted_at)
    if left:
        world.by_hand(A, "subscribe", "other")
        world.by_hand(A, "unsubscribe", "other")
        world.event("zed", A, list_id="other")
    world.flush()
    world.event("new", A, list_id="master")
    world.flush()
    assert (world.status(A) == "subscribed") is not left
    assert (world.outcomes("new")[-1] == "left") is left


def test_a_withdrawal_at_a_former_address_does_not_keep_out_who_had_it(world: World):
    """The member there was archived for another address, so the withdrawal is only that of the one who has it now."""
    world.event("ann", "old@example.com", first_name="Ann", list_id="other")
    world.daily()
    world.event("ann", "new@example.com", first_name="Ann", list_id="master")
    world.daily()
    world.event("eve", "old@example.com", marketing_consent=False)
    world.daily()
    world.event("ann", "new@example.com", first_name="Ann", list_id="other")
    world.daily()
    assert world.members("other") == {"old@example.com": "archived", "new@example.com": "subscribed"}
    world.event("eve", "old@example.com")
    world.daily()
    assert world.status("old@example.com", "other") == "archived"
    assert world.status("old@example.com") is None


def test_who_left_and_was_archived_stays_out_though_another_one_withdrew_there(world: World):
    """The member had unsubscribed by itself, and a later customer with this address changes nothing for the first."""
    world.event("ann", "old@example.com", first_name="Ann", list_id="other")
    world.daily()
    world.by_hand("old@example.com", "unsubscribe", "other")
    world.event("ann", "old@example.com", kind="deleted", list_id="other")
    world.daily()
    world.event("eve", "old@example.com", marketing_consent=False)
    world.daily()
    world.event("ann", "new@example.com", first_name="Ann")
    world.daily()
    assert world.members() == {}
    assert world.outcomes("ann")[-1] == "left"


def test_a_newcomer_is_looked_at_again_when_the_one_who_left_is_deleted(world: World):
    """Once nobody who left has the address any more, it is added."""
    world.event("ann", A)
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.event("ann", B)
    world.flush()
    world.event("new", B)
    world.flush()
    assert world.status(B) is None
    world.deleted("ann", B)
    world.flush()
    assert world.status(B) == "subscribed"


def test_a_newcomer_is_not_kept_out_by_a_member_that_gets_another_address(world: World):
    """Two customers who get one address at once, on two lists, are both there: nobody left."""
    world.event("ann", A, list_id="master")
    world.flush()
    world.event("ann", B, list_id="master")
    world.event("new", B, list_id="other")
    world.flush()
    assert (world.members("master"), world.members("other")) == ({B: "subscribed"}, {B: "subscribed"})


def test_a_sharer_of_a_withdrawn_consent_is_looked_at_again_when_it_ends(world: World):
    """Also where the one who withdrew is known by another address, and goes to a third."""
    world.event("ann", A)
    world.flush()
    world.event("ann", B, marketing_consent=False)
    world.event("bob", B)
    world.flush()
    assert world.status(B) is None
    assert world.outcomes("bob") == ["withheld"]
    world.event("ann", C, marketing_consent=False)
    world.flush()
    assert (world.status(B), world.outcomes("bob")[-1]) == ("subscribed", "added")


def test_a_sharer_without_a_call_of_its_own_is_known_by_the_place(world: World):
    """Who shares an address that is unsubscribed for another's sake left with it, though nothing was sent for it."""
    world.by_hand(A, "subscribe", "other")
    world.event("ann", A, marketing_consent=False)
    world.event("bob", A, list_id="other")
    world.flush()
    assert world.status(A, "other") == "unsubscribed"
    world.event("bob", B, list_id="other")
    world.flush()
    assert world.members("other") == {A: "unsubscribed"}
    assert world.outcomes("bob")[-1] == "left"


def test_who_comes_to_a_withheld_address_later_is_known_by_it_too(world: World):
    """A sharer that came after the unsubscribing left with the address as well."""
    world.event("ann", A)
    world.flush()
    world.event("ann", A, marketing_consent=False)
    world.flush()
    world.event("bob", A)
    world.flush()
    world.event("bob", B)
    world.flush()
    assert world.members() == {A: "unsubscribed"}
    assert world.outcomes("bob")[-1] == "left"


def test_a_departure_that_nobody_noted_yet_keeps_the_address_from_other_lists(world: World):
    """Where the address is a member of another list it is read there first, whatever the ledger says."""
    world.event("ann", A, list_id="master")
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.event("second", A, list_id="other")
    world.flush()
    assert world.status(A, "other") is None
    assert world.outcomes("second") == ["left"]


def test_what_is_unsubscribed_in_a_flush_is_added_to_no_other_list_by_it(world: World):
    """Of two who had one address, one withdraws under another one: the address is added nowhere else meanwhile."""
    world.event("ann", A, marketing_consent=False)
    world.event("bob", A, list_id="other")
    world.flush()
    world.by_hand(A, "subscribe")
    world.event("ann", B, marketing_consent=False)
    world.event("bob", A, list_id="other", first_name="Bob")
    world.flush()
    assert (world.status(A), world.status(A, "other")) == ("unsubscribed", None)
    assert world.outcomes("bob")[-1] == "left"


def test_who_is_kept_out_for_another_ones_sake_gives_the_old_address_up(world: World):
    """Its old member is archived, since no customer wants it; at another address it is added again."""
    world.event("ann", A, list_id="other")
    world.event("bob", B)
    world.flush()
    world.by_hand(A, "unsubscribe", "other")
    world.event("bob", A)
    world.flush()
    assert world.members() == {B: "archived"}
    assert world.outcomes("bob") == ["added", "left", "archived"]
    world.event("bob", C)
    world.flush()
    assert world.members() == {B: "archived", C: "subscribed"}
