"""What one call of a flush tells of a departure counts for every call after it, whatever becomes of its customer."""

from collections.abc import Callable

import pytest

from tests.integration.flush.world import World
from worker.mailchimp.calls import Call
from worker.sandbox.faults import Fault

pytestmark = pytest.mark.world(connections=1)
A, B, C = "a@example.com", "b@example.com", "c@example.com"


def archived_by_hand(world: World, email: str, list_id: str) -> None:
    """Somebody joins a list, and its owner archives her."""
    world.by_hand(email, "subscribe", list_id)
    world.by_hand(email, "archive", list_id)


def archived_after_the_readings(world: World, email: str, list_id: str, then: Callable[[Call], None] | None) -> None:
    """The same in the middle of the next flush, which has read the lists by then.

    Args:
        then: what happens before each call after that.
    """

    def archives(call: Call) -> None:
        if "merge-fields" not in call.path and "members.email_address" not in call.query.get("fields", ""):
            world.before_call(then)
            archived_by_hand(world, email, list_id)

    world.before_call(archives)


@pytest.mark.parametrize("by", ["POST", "PUT"])
def test_an_address_found_to_have_left_a_moment_ago_is_not_added_to_another_list(world: World, by: str):
    """Two new customers share it: the read for the one keeps the other out, whose own list knows nothing."""
    archived_by_hand(world, A, "master")
    if by == "PUT":
        archived_by_hand(world, C, "other")
    world.event("ann", A, list_id="master")
    world.event("bob", A, list_id="other")
    world.flush()
    assert world.status(A, "other") is None
    assert world.outcomes("bob") == ["left"]
    assert not world.waits("bob")


def test_a_member_does_not_get_an_address_that_was_found_to_have_left_a_moment_ago(world: World):
    """A rename puts an address on a list as an add does."""
    world.event("bob", B, list_id="other")
    world.flush()
    world.event("ann", A, list_id="master")
    world.event("bob", A, list_id="other")
    archived_after_the_readings(world, A, "master", None)
    world.flush()
    assert world.members("other") == {B: "archived"}
    assert world.outcomes("bob") == ["added", "left", "archived"]


def test_a_newcomer_is_kept_out_by_a_departure_of_the_customer_who_has_the_address_now(world: World):
    """Ann left as a@ and has b@ since: Bob's b@ is not added, though nothing of Ann changed but the newest read."""
    world.event("ann", A, list_id="master")
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.event("ann", B, list_id="master")
    world.flush()
    world.event("bob", B, list_id="other")
    world.flush()
    assert world.status(B, "other") is None
    assert world.outcomes("bob") == ["left"]


def test_a_departure_is_known_though_the_write_after_the_read_failed(world: World):
    """It is written down before anything else is done, so that the next flush knows it, as does another customer."""
    archived_by_hand(world, A, "master")
    world.event("ann", A, list_id="master")
    world.standin.faults = [Fault("status", method="PATCH")]
    world.flush()
    entry = world.entry(A)
    assert world.waits("ann")
    assert entry is not None
    assert entry.member_status == "archived"
    world.event("bob", A, list_id="other")
    world.flush()
    assert world.status(A, "other") is None
    world.event("ann", B, list_id="other")
    world.flush()
    assert world.status(B, "other") is None


def test_an_archive_by_somebody_else_after_ours_is_known_though_the_write_after_the_read_failed(world: World):
    """Archived by this worker, back by herself, archived by the owner: that she left is known at once."""
    world.event("ann", A, list_id="master")
    world.flush()
    world.deleted("ann", A)
    world.flush()
    archived_by_hand(world, A, "master")
    world.event("ann", A, list_id="master")
    world.standin.faults = [Fault("status", method="PATCH")]
    world.flush()
    world.event("bob", A, list_id="other")
    world.flush()
    assert world.status(A, "other") is None
    assert world.status(A) == "archived"


def test_who_joined_again_between_the_read_and_another_customers_add_is_not_kept_out_for_good(world: World):
    """What keeps a customer out is looked at again when the customer changes."""
    world.event("ann", A, list_id="master")
    world.event("bob", A, list_id="other")

    def joins(call: Call) -> None:
        if call.method == "PATCH":
            world.by_hand(A, "subscribe")
            world.before_call(None)

    archived_after_the_readings(world, A, "master", joins)
    world.flush()
    world.event("bob", A, list_id="other", first_name="Bob")
    world.flush()
    assert world.status(A, "other") == "subscribed"


def test_who_left_by_deleting_herself_keeps_out_a_newcomer_at_her_present_address(world: World):
    """Ann's member is gone when she has another address: that is known from then on, and b@ is hers."""
    world.event("ann", A)
    world.flush()
    world.by_hand(A, "forget")
    world.event("ann", B)
    world.flush()
    world.event("bob", B)
    world.flush()
    assert world.status(B) is None
    assert world.outcomes("bob") == ["left"]


def test_a_list_that_vanished_before_a_move_is_no_departure_of_its_member(world: World):
    """The member of a list that is gone did not leave: its customer waits until the account has chosen."""
    world.event("ann", A, list_id="other")
    world.flush()
    world.event("ann", A, list_id="master")

    def vanish(call: Call) -> None:
        if call.path.startswith("/lists/master/members/"):
            world.standin.delete_list("other")
            world.before_call(None)

    world.before_call(vanish)
    world.flush()
    assert world.outcomes("ann")[-1] == "list gone"
    assert world.waits("ann")


def test_a_found_member_that_stays_behind_does_not_hide_where_its_customer_left_since(world: World):
    """Ann's found member of a@ stays; she left as b@: neither c@ nor the next event puts her on the list again."""
    world.by_hand(A, "subscribe")
    world.event("ann", A)
    world.flush()
    world.event("ann", B)
    world.flush()
    assert world.members() == {A: "subscribed", B: "subscribed"}
    world.event("eve", B, first_name="Eve")
    world.flush()
    world.by_hand(B, "unsubscribe")
    for name in ("1", "2"):
        world.event("ann", C, first_name=name)
        world.flush()
    assert world.status(C) is None
    assert world.outcomes("ann")[-1] == "left"
