"""An opt-out stays with the customer whose member it was: another one may take the address on, or find it gone."""

import pytest

from tests.integration.flush.world import World

A, B, C, D = (f"{one}@example.com" for one in "abcd")


@pytest.mark.parametrize("taken", [False, True])
def test_an_opt_out_follows_though_another_customer_takes_the_address_on(world: World, taken: bool):
    """Who was unsubscribed for withdrawn consent is added nowhere else, though another customer gets the address."""
    world.event("ann", A, marketing_consent=False)
    world.flush()
    world.by_hand(A, "subscribe", "other")
    world.event("ann", A, marketing_consent=False)
    world.flush()
    assert world.status(A, "other") == "unsubscribed"
    world.event("ann", B, marketing_consent=True)
    if taken:
        world.event("bob", A, list_id="other")
    world.flush()
    assert world.status(B) is None
    assert world.outcomes("ann")[-1] == "left"


@pytest.mark.parametrize("taken", ["before", "with it", "never"])
def test_an_opt_out_of_a_member_left_behind_follows_the_customer_that_takes_it_on(world: World, taken: str):
    """A found member stays when its customer moves; who is archived there goes nowhere else by another's coming."""
    world.by_hand(A, "subscribe", "other")
    world.event("ann", A, list_id="other")
    world.flush()
    world.event("ann", B)
    world.flush()
    world.by_hand(A, "archive", "other")
    if taken != "never":
        world.event("bob", A, list_id="other", first_name="Bob")
    if taken == "before":
        world.flush()
    world.event("ann", C)
    world.flush()
    assert world.status(C) is None
    assert world.outcomes("ann")[-1] == "left"
    assert world.status(B) == "subscribed"


# A member that went by its own hand


def test_a_customer_is_not_put_where_another_ones_member_went(world: World):
    """Who comes to an address whose member changed it stays where it is, and nobody passes by its being put there."""
    world.event("cid", A)
    world.flush()
    world.by_hand(A, "rename", value=B)
    world.event("ann", B)
    world.flush()
    world.event("ann", A)
    world.event("cid", C)
    world.flush()
    assert world.members() == {B: "subscribed"}
    assert (world.outcomes("ann")[-1], world.outcomes("cid")[-1]) == ("gone", "left")
    world.event("ann", A)
    world.flush()
    assert world.members() == {B: "subscribed"}
    world.event("ann", D)
    world.flush()
    # Found there, and not surely hers: it stays.
    assert world.members() == {B: "subscribed", D: "subscribed"}


@pytest.mark.parametrize("wanted", [False, True])
def test_a_member_left_behind_that_went_stays_its_customers_departure(world: World, wanted: bool):
    """Another customer who finds that member gone takes no opt-out from whose member it was."""
    world.by_hand(B, "subscribe")
    world.event("cid", B)
    world.event("ann", B, list_id="other")
    world.flush()
    world.event("cid", C, list_id="other")
    world.flush()
    assert world.status(B) == "subscribed"
    world.by_hand(B, "rename", value=D)
    world.event("ann", B)
    world.flush()
    assert world.outcomes("ann")[-1] == "gone"
    if wanted:
        world.event("ann", B)
    world.event("cid", A)
    world.flush()
    assert world.status(A) is None
    assert world.outcomes("cid")[-1] == "left"


def test_who_comes_back_to_an_archived_address_that_went_meanwhile_stays_where_it_is(world: World):
    """The same where this worker archived the old member before it was deleted in Mailchimp."""
    world.event("ann", A)
    world.flush()
    world.event("ann", A, list_id="other")
    world.flush()
    world.by_hand(A, "forget")
    world.event("ann", A)
    world.flush()
    assert (world.status(A), world.status(A, "other")) == (None, "subscribed")
    assert world.outcomes("ann")[-1] == "gone"


def test_an_opt_out_is_not_lost_by_way_of_a_member_that_is_there_again(world: World):
    """Who left, and then got an address that had gone and was signed up again, is not added at the next one."""
    world.event("zed", B)
    world.flush()
    world.by_hand(B, "rename", value=D)
    world.event("zed", B, first_name="Zed")
    world.flush()
    world.event("ann", A)
    world.event("carl", A)
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.by_hand(B, "subscribe")
    world.event("ann", B)
    world.flush()
    assert world.outcomes("ann")[-1] == "left"
    world.event("ann", C)
    world.flush()
    assert world.status(C) is None
